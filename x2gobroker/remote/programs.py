"""The processes of one desktop, as seen by the one that keeps it: started, watched, and ended. For `keeper.py`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from x2gobroker.remote.hold import Cgroup, children_of, kill_children
from x2gobroker.remote.lastwords import how_ended, meaning_of
from x2gobroker.remote.limits import MEMORY_SECONDS, MemoryWatch
from x2gobroker.remote.login import Login

PR_SET_PDEATHSIG = 1
LARGEST_LOG = 1 << 18
TERM_SECONDS = 3.0
DRAIN_SECONDS = 0.5
Plan = dict[str, Any]

_prctl = ctypes.CDLL(None, use_errno=True).prctl


class NoDesktopError(Exception):
    """The desktop does not come up; the text says why. `told` is for the user, where there is more to say than that."""

    def __init__(self, text: str, told: str = "") -> None:
        super().__init__(text)
        self.told = told


class Programs:
    """Them. `plan` is that of the keeper. `cgroup` holds them, where there is one; else, where `is_first`, the PID
    namespace does. `ending` is set when one of `main` has ended.
    """

    def __init__(self, plan: Plan, cgroup: Cgroup | None, is_first: bool) -> None:
        self.plan = plan
        self.cgroup = cgroup
        self.is_first = is_first
        self.login: Login | None = None
        self.memory: MemoryWatch | None = None
        self.selector = selectors.DefaultSelector()
        self.main: dict[int, str] = {}  # with which the desktop ends, and what they are
        self.connections: set[int] = set()
        self.ending = False
        self.ended = ""  # what has ended by itself, and how
        self._outputs: set[int] = set()
        self._logged = 0
        self._log = os.open(
            os.path.join(plan["folder"], "log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )

    def spawn(self, words: list[str], last_breath: bool, **more: Any) -> int:
        """Start a command as the user; its output goes to the log. Gives its process ID. Raises NoDesktopError."""
        readable, writable = os.pipe2(os.O_CLOEXEC)
        streams = {"stdin": subprocess.DEVNULL, "stdout": writable, "stderr": writable, **more}
        try:
            made = subprocess.Popen(
                words,
                env=self.plan["environment"],
                start_new_session=True,
                preexec_fn=lambda: self.prepare(last_breath),
                **streams,
            )
        except (OSError, subprocess.SubprocessError) as error:
            os.close(readable)
            raise NoDesktopError(
                f"{words[0]} cannot be started: {getattr(error, 'strerror', None) or error}"
            ) from error
        finally:
            os.close(writable)
        made.returncode = 0  # reaped by `reap`, like all others
        os.set_blocking(readable, False)
        self._outputs.add(readable)
        self.selector.register(readable, selectors.EVENT_READ, self.take_output)
        return made.pid

    def prepare(self, last_breath: bool) -> None:
        """In the new process: hold it, and become the user: root may not be able to reach a home folder. With
        `last_breath`, it is ended when this process dies.
        """
        if self.memory is not None:
            self.memory.spare_no_longer()
        if self.cgroup is not None:
            self.cgroup.enter()
        if user := self.plan["user"]:
            os.setgroups(user["groups"])
            if self.login is not None:
                self.login.prepare()
            os.setresgid(user["gid"], user["gid"], user["gid"])
            os.setresuid(user["uid"], user["uid"], user["uid"])
        if last_breath:
            _prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        with contextlib.suppress(OSError):
            os.chdir(self.plan["environment"]["HOME"])

    def take_output(self, number: int) -> None:
        """Move output of a program to the log, up to a limit; what comes behind it is dropped."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(number, 65536)
            if not data:
                self.selector.unregister(number)
                self._outputs.discard(number)
                os.close(number)
            elif self._logged < LARGEST_LOG:
                with contextlib.suppress(OSError):  # a full disk takes the log, not the desktop
                    os.write(self._log, data[: LARGEST_LOG - self._logged])
                self._logged += len(data)

    def turn(self, seconds: float) -> None:
        """Do what is to be done now, and wait at most so long for the next thing."""
        for key, _ in self.selector.select(max(0.0, min(seconds, MEMORY_SECONDS) if self.memory else seconds)):
            key.data(key.fd)
        if self.memory is not None:
            self.memory.look()
        self.reap()

    def reap(self) -> bool:
        """Take note of the processes that ended; whether there are any others."""
        with contextlib.suppress(ChildProcessError):
            while True:
                number, status = os.waitpid(-1, os.WNOHANG)
                if not number:
                    return True
                self.connections.discard(number)
                what = self.main.pop(number, "")
                if what and not self.ending:
                    self.ended = f"{what} has ended{how_ended(status)}"
                self.ending = self.ending or bool(what)
        return False

    def note(self, line: str) -> None:
        """Put a line of ours into the log of the desktop. A full disk takes the line only."""
        with contextlib.suppress(OSError):
            os.write(self._log, f"{line}\n".encode("utf-8", "replace"))

    def last_words(self) -> str:
        """The last lines that the programs wrote, for the administrator's log."""
        end = time.monotonic() + DRAIN_SECONDS
        while self._outputs and time.monotonic() < end:  # what has just ended may have written more than was read
            self.turn(0.02)
        with open(os.path.join(self.plan["folder"], "log"), "rb") as stream:
            text = stream.read(LARGEST_LOG).decode("utf-8", "replace")
        words = meaning_of(text)
        return f": {words}" if words else ""

    def end_all(self) -> None:
        """Kill what is left, by what holds it."""
        if self.cgroup is not None:
            self.cgroup.end()
        elif self.is_first:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)  # all in the namespace but ourselves
        else:
            kill_children()
        self.end_those(signal.SIGKILL, lambda _child: True)

    def end_those(self, number: signal.Signals, chosen: Callable[[int], bool]) -> None:
        """Send a signal to the processes that are chosen, and wait until they are gone, or have had their time."""
        end = time.monotonic() + TERM_SECONDS
        told: set[int] = set()
        while left := [child for child in children_of(os.getpid()) if chosen(child)]:
            for child in left:
                if number == signal.SIGKILL or child not in told:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, number)
                    told.add(child)
            if time.monotonic() > end:  # what was killed and is not gone waits for a disk, perhaps for ever
                break
            self.turn(0.02)
