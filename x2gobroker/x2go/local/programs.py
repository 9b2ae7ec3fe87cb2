"""Programs on the user's own machine that get a file: run as argument lists, never through a shell.

A viewer needs its file for as long as it runs, and longer: many a viewer hands the file to another process and ends.
So each file shown is remembered here, and removed by `tidy()` once its program ended and 20 seconds went by; what is
left is removed when this process ends. A viewer itself is never ended: its user may still read.
"""

from __future__ import annotations

import atexit
import contextlib
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from x2gobroker.x2go.local.spool_files import PrivateCopy
from x2gobroker.x2go.texts import printable

KEEP_SECONDS = 20.0
START_SECONDS = 1.0
RUN_SECONDS = 60.0
_MAX_MESSAGE = 500


class CommandError(Exception):
    """A program is missing, could not be started, or failed. The text says which and how."""


@dataclass(frozen=True)
class _Shown:
    copy: PrivateCopy
    due: float
    process: subprocess.Popen[bytes] | None
    failed: Callable[[str], None]

    @property
    def broken(self) -> bool:
        return self.process is not None and bool(self.process.poll())

    @property
    def over(self) -> bool:
        ended = self.process is None or self.process.poll() is not None
        return self.broken or (ended and self.due <= time.monotonic())


_shown: list[_Shown] = []
_lock = threading.Lock()


def split_command(command: str) -> list[str]:
    """The words of a command that a user has set: a program as it is, else as a shell splits words, without a shell.

    Raises CommandError for no words, or a quote that does not end.
    """
    if shutil.which(command):
        return [command]
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CommandError(f"The command {printable(command)!r} cannot be split into words: {error}.") from None
    if not words:
        raise CommandError("The command is empty.")
    return words


def run_to_end(argv: Sequence[str], seconds: float = RUN_SECONDS) -> None:
    """Run a program and wait for it. Raises CommandError when it fails, or has to be ended after `seconds`."""
    with tempfile.TemporaryFile() as messages:
        process = _start(argv, messages.fileno())
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise CommandError(f"{argv[0]} was not done after {seconds:g} seconds, and was ended.") from None
        messages.seek(0)
        said = printable(messages.read(_MAX_MESSAGE).decode("utf-8", "replace"))
    if status:
        raise CommandError(f"{_ended(argv[0], status)}: {said}" if said else f"{_ended(argv[0], status)}.")


def show(argv: Sequence[str], copy: PrivateCopy, failed: Callable[[str], None]) -> None:
    """Start a program with the file as its last argument; the file belongs to `tidy()` from now on.

    Raises CommandError when it cannot be started, or fails within a second; the file is gone then. For a later failure
    `tidy()` calls `failed` with the reason.
    """
    tidy()
    try:
        process = _start([*argv, copy.path], subprocess.DEVNULL)
    except CommandError:
        copy.remove()
        raise
    with contextlib.suppress(subprocess.TimeoutExpired):
        if status := process.wait(START_SECONDS):
            copy.remove()
            raise CommandError(f"{_ended(argv[0], status)}.")
    with _lock:
        _shown.append(_Shown(copy, time.monotonic() + KEEP_SECONDS, process, failed))


def keep(copy: PrivateCopy, seconds: float) -> None:
    """Leave a file to `tidy()`, which removes it after so many seconds."""
    with _lock:
        _shown.append(_Shown(copy, time.monotonic() + seconds, None, lambda _: None))


def tidy() -> None:
    """Remove the files that nobody looks at any more, and tell of programs that failed. Quick: for every second."""
    with _lock:
        over = [shown for shown in _shown if shown.over]
        _shown[:] = [shown for shown in _shown if shown not in over]
    for shown in over:
        shown.copy.remove()
        if shown.broken and shown.process is not None:
            program = shown.process.args[0] if isinstance(shown.process.args, list) else ""
            shown.failed(f"{_ended(str(program), shown.process.returncode)}.")


def shown_files() -> list[str]:
    """The files that are still kept for a program."""
    with _lock:
        return [shown.copy.path for shown in _shown]


@atexit.register
def _remove_all() -> None:
    with _lock:
        for shown in _shown:
            shown.copy.remove()


def _start(argv: Sequence[str], errors: int) -> subprocess.Popen[bytes]:
    """Its own session: a Ctrl-C that ends an X2Go client must not end what its user looks at."""
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"{printable(argv[0])} cannot be started: {reason}.") from None


def _ended(program: str, status: int) -> str:
    return f"{program} was ended by signal {-status}" if status < 0 else f"{program} ended with status {status}"
