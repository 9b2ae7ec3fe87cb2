"""Runs commands: words, never a shell; with a deadline, a bound, and an environment of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

DEADLINE = 900.0  # seconds; apt-get may have to fetch packages
LARGEST_OUTPUT = 8000
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    "SYSTEMD_PAGER": "",
}


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit status, and the end of what it printed."""

    status: int
    output: str = ""


class Runner(Protocol):
    """Whatever runs commands."""

    def run(self, argv: Sequence[str]) -> Done:
        """Run one command to its end. Never raises for what the command does."""


class SystemRunner:
    """Runs commands on this machine."""

    def run(self, argv: Sequence[str]) -> Done:
        """Run one command to its end. Status 127: there is no such program, 124: it took too long."""
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=DEADLINE,
                check=False,
                cwd="/",
                env=ENVIRONMENT,
                umask=0o022,
            )
        except subprocess.TimeoutExpired:
            return Done(124, f"it did not end within {DEADLINE:.0f} s")
        except OSError as error:
            return Done(127, f"{argv[0]}: {error.strerror}")
        return Done(done.returncode, done.stdout[-LARGEST_OUTPUT:].decode("utf-8", "replace").strip())


def active_units(runner: Runner, names: Collection[str]) -> frozenset[str]:
    """Which of these units run; none where systemd does not."""
    return frozenset(name for name in names if runner.run(("systemctl", "--quiet", "is-active", name)).status == 0)
