"""Start real programs for a test, wait for them with a deadline, and end exactly those."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

START_DEADLINE = 60.0  # a busy machine may take its time; who waits for a fault pays it only then
STOP_DEADLINE = 15.0


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses at this moment, below those that outgoing connections take."""
    for _ in range(200):
        port = random.randrange(20000, 30000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port between 20000 and 30000")


def wait_until(condition: Callable[[], bool], what: str, deadline: float = START_DEADLINE) -> None:
    """Poll `condition` until it holds; raises AssertionError naming `what` after `deadline` seconds.

    Looking takes half of the time at most: some conditions start programs on a machine that has enough to do.
    """
    end = time.monotonic() + deadline
    while True:
        looked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        if now > end:
            raise AssertionError(f"{what} did not happen within {deadline:g} s")
        time.sleep(min(max(0.05, now - looked), 0.5))


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts TCP connections at this address."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


class Program:
    """One started program: its process, its log file, and a stop that never touches another process."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process ID of the started program."""
        return self.process.pid

    def output(self) -> str:
        """What the program wrote so far, both streams."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for_port(self, port: int, deadline: float = START_DEADLINE) -> None:
        """Wait until `port` accepts connections; fails at once, with the log, when the program ends."""

        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.argv[0]} ended with {self.process.returncode}:\n{self.output()}")
            return listens(port)

        wait_until(ready, f"{self.argv[0]} listening on port {port}", deadline)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the program and its own process group; returns its exit status."""
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
            try:
                self.process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(STOP_DEADLINE)
        return self.process.returncode


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    log: Path,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: Path | None = None,
) -> Iterator[Program]:
    """Run `argv` for the length of a `with` block, after it listens on `port` when one is given."""
    program = Program(argv, log, env=env, user=user, cwd=cwd)
    try:
        if port is not None:
            program.wait_for_port(port)
        yield program
    finally:
        program.stop()
