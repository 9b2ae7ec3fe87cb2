"""What daemons have in common: output to files, the background, a PID file."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import TrustError, check_place, open_log, service_folder

LOG_FOLDER = "/var/log/x2gobroker/"


def add_background_options(parser: argparse.ArgumentParser, pid_file: str) -> None:
    """The options of every daemon that are about the background."""
    parser.add_argument("-D", "--daemonize", action="store_true", help="run in the background")
    parser.add_argument("-P", "--pidfile", metavar="FILE", help=f"write the process ID here (with -D: {pid_file})")
    parser.add_argument(
        "-L", "--logdir", metavar="FOLDER", help=f"with -D: where the output goes (default: {LOG_FOLDER})"
    )


def own_log_folder(program: str) -> Path:
    """Where the output of a program that stays root goes without -L: not into a folder of the broker's account."""
    try:
        check_place(Path(LOG_FOLDER))
    except TrustError:
        return Path("/var/log") / program
    return Path(LOG_FOLDER)


def redirect_output(folder: Path, name: str) -> None:
    """Send what is printed to files of the log folder. Raises ConfigurationError when that cannot be.

    Root does so only in a folder that is root's alone: elsewhere somebody else could choose the file.
    """
    try:
        check_place(folder)
        with service_folder(folder):
            sys.stdout.flush()
            sys.stderr.flush()
        for suffix, stream in (("stdout", 1), ("stderr", 2)):
            descriptor = open_log(folder / f"{name}.{suffix}")
            os.dup2(descriptor, stream)
            os.close(descriptor)
    except TrustError as error:
        raise ConfigurationError(f"root writes no output there: {error}, or choose another folder with -L") from None
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}; choose another with -L") from None


def go_to_background() -> None:
    """Leave the terminal; the program that started us goes on."""
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    if os.fork() != 0:  # what is no session leader can never get a terminal again
        os._exit(0)
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


@contextlib.contextmanager
def write_pid_file(path: Path | None) -> Iterator[None]:
    """Keep the process ID in a file for the length of the block. Raises ConfigurationError when that cannot be.

    A process that has meanwhile become another account may have to leave the file of root behind.
    """
    if path is None:
        yield
        return
    try:
        with service_folder(path.parent) as folder:
            folder.write(path.name, b"%d\n" % os.getpid(), 0o644)
    except (OSError, TrustError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path} cannot be written: {reason}; choose another with -P") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError, TrustError), service_folder(path.parent) as folder:
            folder.remove(path.name)
