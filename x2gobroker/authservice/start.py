"""Starts worker processes, each by exec: a program of its own, with memory that nobody else has touched."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from x2gobroker.authservice.protocol import NO_TICKETS, TICKETS, WORKER_CHANNEL

# without site-packages' hooks and the user's variables (-I, -S): a worker needs the standard library and this package
PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); from x2gobroker.authservice.worker import main; sys.exit(main())"
)
PROJECT = "x2gobroker"
PACKAGE_FOLDER = str(Path(__file__).resolve().parents[2])


def interpreter() -> str:
    """The Python to run; a web server that embeds one may call itself something else."""
    usual = Path(sys.prefix, "bin", "python3")
    name = sys.executable
    return name if "python" in Path(name).name or not usual.exists() else str(usual)


def program_name() -> str:
    """The name of the program that this process runs; that of the project where a web server has loaded us."""
    name = Path(sys.argv[0]).name
    return name if name.startswith(PROJECT) else PROJECT


def start_worker(channel: socket.socket, services: Iterable[str], name: str, tickets: bool = False) -> int:
    """Start a worker process that gets its request on `channel`; its process ID. Raises OSError.

    `tickets`: it keeps the Kerberos tickets of logins. `name` is what PAM modules in it are called in the log of the
    system. The process leads a group of its own: programs that PAM modules start end with a worker that is killed.
    """
    kept = TICKETS if tickets else NO_TICKETS
    command = [interpreter(), "-I", "-S", "-c", PROGRAM, PACKAGE_FOLDER, name, kept, *services]
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, channel.fileno(), WORKER_CHANNEL)],
        setsid=True,
        setsigdef=[signal.SIGCHLD, signal.SIGTERM],
    )
