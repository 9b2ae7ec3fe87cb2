"""One end for everything that belongs together: resolving, connecting, logging in, running a command."""

from __future__ import annotations

import time

from x2gobroker.ssh.failures import SshTimeout


class Deadline:
    """`seconds` from now. `what` is named when it passes."""

    def __init__(self, seconds: float, what: str) -> None:
        self.seconds = seconds
        self.what = what
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left. Raises SshTimeout when there are none."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> SshTimeout:
        """The error that says so."""
        return SshTimeout(f"{self.what}: not done within {self.seconds:g} s")
