"""What a desktop may take of the host, kept by the kernel's control groups. Of the standard library only.

Limits count for all programs of a desktop together. They are written into a control group of version 2, by us or by
systemd. What a single process may take (`ulimit`) is another matter: that is PAM's, see `pamsession.py`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PERIOD_US = 100_000  # for which the kernel counts processor time
SYSTEMD_SECONDS = 10.0
MEMORY_SECONDS = 10.0
OOM_SCORE = Path("/proc/self/oom_score_adj")  # proc(5): -1000 to 1000; whoever has most ends first
SPARED = "-900"
KEY_OF = {"memory": "memory-megabytes", "pids": "tasks", "cpu": "cpu-percent"}  # by the kernel's controller
NO_LIMITS = (
    "memory-megabytes, tasks and cpu-percent need control groups of version 2 with the controllers memory, pids and "
    "cpu, as systemd has them: leave them out of the session type on this host"
)


class LimitsError(Exception):
    """A limit cannot be kept here. The text says why and what to do."""


class Limits(NamedTuple):
    """0 is no limit. `tasks` are processes and threads; 100 in `cpu_percent` is one processor."""

    megabytes: int = 0
    tasks: int = 0
    cpu_percent: int = 0

    def files(self) -> Iterator[tuple[str, str]]:
        """Which files of a control group get which text."""
        if self.megabytes:
            yield "memory.max", str(self.megabytes << 20)
        if self.tasks:
            yield "pids.max", str(self.tasks)
        if self.cpu_percent:
            yield "cpu.max", f"{self.cpu_percent * PERIOD_US // 100} {PERIOD_US}"

    def properties(self) -> Iterator[str]:
        """The same as systemd's properties of a unit."""
        if self.megabytes:
            yield f"MemoryMax={self.megabytes}M"
        if self.tasks:
            yield f"TasksMax={self.tasks}"
        if self.cpu_percent:
            yield f"CPUQuota={self.cpu_percent}%"

    def lacking(self, root: Path | None, by_systemd: bool) -> dict[str, str]:
        """The keys that nothing on this host can keep, each with the controller that is missing for it.

        `root` is the topmost control group, None where there is none of version 2. systemd hands controllers down as
        they are needed; without it, they have to be handed down already.
        """
        try:
            name = "cgroup.controllers" if by_systemd else "cgroup.subtree_control"
            there = (root / name).read_text(encoding="ascii").split() if root is not None else []
        except OSError:
            there = []
        wanted = (file.partition(".")[0] for file, _ in self.files())
        return {KEY_OF[controller]: controller for controller in wanted if controller not in there}

    def write(self, group: Path) -> None:
        """Have the kernel keep them for a control group. Raises LimitsError where it has no such controller."""
        try:
            for name, text in self.files():
                number = os.open(group / name, os.O_WRONLY | os.O_CLOEXEC)
                with open(number, "w", encoding="ascii") as stream:
                    stream.write(text)
        except OSError as error:
            raise LimitsError(NO_LIMITS) from error

    def check(self, group: Path) -> None:
        """Raises LimitsError unless somebody has set all of them for a control group: systemd says nothing if not."""
        try:
            missing = [name for name, _ in self.files() if (group / name).read_text("ascii").split()[:1] == ["max"]]
        except OSError as error:
            raise LimitsError(NO_LIMITS) from error
        if missing:
            raise LimitsError(NO_LIMITS)

    def tell_systemd(self, unit: str) -> None:
        """Have systemd set them for a unit that runs. Raises LimitsError."""
        words = ["systemctl", "set-property", "--runtime", unit, *self.properties()]
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=SYSTEMD_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise LimitsError(f"systemd cannot be told the limits of {unit}: {error}") from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()[:200]
            raise LimitsError(f"systemd does not set the limits of {unit}: {said}")


class MemoryWatch:
    """Whether the kernel has lately killed a process of a control group because it took too much memory."""

    def __init__(self, group: Path) -> None:
        self._group = group
        self._kills = self._count()
        self._seen = -MEMORY_SECONDS
        self._score = ""

    def spare(self) -> None:
        """Have the kernel end this process last of all: it has to say why the others ended. Only root may."""
        score = OOM_SCORE.read_text(encoding="ascii")
        with contextlib.suppress(PermissionError):
            OOM_SCORE.write_text(SPARED, encoding="ascii")
            self._score = score

    def spare_no_longer(self) -> None:
        """In a new process, before it becomes the user: count as others do, for good. Raises OSError."""
        if self._score:
            OOM_SCORE.write_text(self._score, encoding="ascii")

    def look(self) -> None:
        """To be called at least every MEMORY_SECONDS."""
        kills = self._count()
        if kills != self._kills:
            self._kills, self._seen = kills, time.monotonic()

    def killed_lately(self) -> bool:
        """Whether that was in the last MEMORY_SECONDS: what ends now, ends for want of memory."""
        self.look()
        return time.monotonic() - self._seen < MEMORY_SECONDS

    def _count(self) -> int:
        try:
            lines = (self._group / "memory.events").read_text(encoding="ascii").splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
