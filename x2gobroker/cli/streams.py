"""The streams of a program and the files that it cannot write: one line of error, never a traceback.

Whoever starts a program may have closed its streams, limited its files, or read no more of its output.
"""

from __future__ import annotations

import argparse
import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

from x2gobroker.errors import BrokerError

P = ParamSpec("P")

FAILED = 1
INTERRUPTED = 130  # as shells have it


def hold_streams() -> None:
    """See to it that the numbers 0 to 2 are open: else the next file that is opened would get what is printed.

    What was closed fails on use, as it would have; the error stream swallows what it is told.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for the life of the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def told(program: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """For the entry point of `program`: what cannot be written or opened is one line, and exit status 1.

    Somebody who reads no more of the output (SIGPIPE) is told nothing.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            hold_streams()
            try:
                status = main(*args, **kwargs)
            except SystemExit as end:
                if _flushed(program):
                    raise
                raise SystemExit(end.code or FAILED) from None
            except BrokenPipeError:
                _silence(sys.stdout)
                return FAILED
            except KeyboardInterrupt:
                _flushed(program)
                return INTERRUPTED
            except OSError as error:
                say(program, reason_of(error))
                _flushed(program)
                return FAILED
            return status if _flushed(program) else status or FAILED

        return run

    return decorate


def run_told(program: str, run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """The exit status of `run`; 1 where it raises BrokerError, which the user is told."""
    try:
        return run(options)
    except BrokerError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1


def reason_of(error: OSError) -> str:
    """What went wrong, and with which file."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename is not None else what


def say(program: str, text: str) -> None:
    """One line on the error stream, if it can be written to."""
    try:
        print(f"{program}: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _silence(sys.stderr)


def _flushed(program: str) -> bool:
    """Whether all output has been written; if not, that is said, and Python does not try again at the end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        return False
    except OSError as error:
        _silence(sys.stdout)
        say(program, f"the output cannot be written: {reason_of(error)}")
        return False
    try:
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)
    return True


def _silence(stream: object) -> None:
    """Have what is left in a stream's buffer written to nowhere."""
    number = 1 if stream is sys.stdout else 2
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
