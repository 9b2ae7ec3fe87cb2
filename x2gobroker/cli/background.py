"""What daemons have in common: output to files, the background, a PID file."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from x2gobroker.errors import ConfigurationError

LOG_FOLDER = "/var/log/x2gobroker/"


def add_background_options(parser: argparse.ArgumentParser, pid_file: str) -> None:
    """The options of every daemon that are about the background."""
    parser.add_argument("-D", "--daemonize", action="store_true", help="go to the background")
    parser.add_argument("-P", "--pidfile", metavar="FILE", help=f"write the process ID here (with -D: {pid_file})")
    parser.add_argument(
        "-L", "--logdir", metavar="FOLDER", help=f"with -D: where the output goes to (default: {LOG_FOLDER})"
    )


def redirect_output(folder: Path, name: str) -> None:
    """Send what is printed to files of the log folder. Raises ConfigurationError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        for suffix, stream in (("stdout", 1), ("stderr", 2)):
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
            descriptor = os.open(folder / f"{name}.{suffix}", flags, 0o640)
            os.dup2(descriptor, stream)
            os.close(descriptor)
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
    """Keep the process ID in a file for the length of the block."""
    if path is None:
        yield
        return
    path.unlink(missing_ok=True)
    # never through a link: the folder may belong to an account that is not trusted like this process
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "w", encoding="ascii") as stream:
        stream.write(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
