"""What holds the processes of one desktop together, so that none of them outlives it. Of the standard library only.

A control group (cgroups(7), version 2) is best: the kernel kills whatever is in it, at once. Where there is none that
we can write to, the desktop gets a PID namespace whose first process keeps it: with that one, the kernel ends all
others. Both need root's rights. Without them only the parent's view of its children is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_REC, MS_PRIVATE = 0x4000, 0x40000
END_SECONDS = 5.0
CGROUP, NAMESPACE = "cgroup", "namespace"
HOLDS = (CGROUP, NAMESPACE)

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Cgroup:
    """A control group of a desktop's own. `path` is its folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, name: str) -> Cgroup | None:
        """A new one below that of this process; None where that cannot be had."""
        above = own_cgroup()
        if above is None or os.geteuid() != 0:
            return None
        made = cls(above / f"x2gobroker-{name}")
        try:
            made.path.mkdir()
            if not (made.path / "cgroup.kill").exists():  # Linux before 5.14
                made.path.rmdir()
                return None
        except OSError:
            return None
        return made

    def enter(self) -> None:
        """Put this process into it. Raises OSError."""
        (self.path / "cgroup.procs").write_text("0", encoding="ascii")

    def end(self) -> bool:
        """Kill all that is in it, and remove it; whether all was killed.

        What waits for a disk, or for a file system of its user's own, is killed and not gone: nobody waits for that.
        """
        limit, killed = time.monotonic() + END_SECONDS, False
        while self.path.is_dir():
            try:
                (self.path / "cgroup.kill").write_text("1", encoding="ascii")
                killed = True
                self.path.rmdir()
            except FileNotFoundError:
                break
            except OSError:  # the last ones are on their way
                if time.monotonic() > limit:
                    return killed
                time.sleep(0.01)
        return True


def own_cgroup(proc: Path = Path("/proc")) -> Path | None:
    """The folder of this process's control group of version 2; None where there is none, or it is not mounted."""
    found = _hierarchy(proc)
    return None if found is None else found[0] / found[1]


def cgroup_root(proc: Path = Path("/proc")) -> Path | None:
    """The folder of the topmost group that can be seen from there; None as above."""
    found = _hierarchy(proc)
    return None if found is None else found[0]


def _hierarchy(proc: Path) -> tuple[Path, Path] | None:
    """Where the groups of version 2 are mounted, and which one below that is this process's."""
    try:
        own, mounts = (_kernel_lines(proc / "self" / name) for name in ("cgroup", "mountinfo"))
    except OSError:
        return None
    within = next((Path(line.removeprefix("0::")) for line in own if line.startswith("0::/")), None)
    if within is None or ".." in within.parts:
        return None
    for line in mounts:
        words = line.split(" ")
        if words[words.index("-") + 1] == "cgroup2" and within.is_relative_to(words[3]):
            return Path(words[4]), within.relative_to(words[3])
    return None


def _kernel_lines(path: Path) -> list[str]:
    """The lines of a file of proc(5). In the paths of users' mounts, only blanks, tabs and line feeds are escaped."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return text.removesuffix("\n").split("\n") if text else []


def own_stat() -> str:
    """The line of proc(5) stat about this process, as whoever mounted /proc numbers it."""
    return Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")


def fork_into_namespace() -> str:
    """Go on in a new process, the first one of a new PID namespace, with a /proc of its own; this one ends.

    Gives the new process's `own_stat` outside of its namespace. Empty: there can be none, and this process goes on.
    """
    readable, writable = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(readable)
            _check(_libc.unshare(CLONE_NEWPID))
            if os.fork():
                os._exit(0)
            stat = own_stat()
            _mount_proc()
            os.write(writable, b"1")
            os.close(writable)
            return stat
        except OSError:
            os._exit(1)
    os.close(writable)
    worked = os.read(readable, 1)
    os.close(readable)
    os.waitpid(pid, 0)
    if worked:
        os._exit(0)
    return ""


def _mount_proc() -> None:
    """Only /proc is another one in there: all other mounts come and go as they do outside."""
    _check(_libc.unshare(CLONE_NEWNS))
    _check(_libc.mount(None, b"/proc", None, MS_REC | MS_PRIVATE, None))
    _check(_libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None))


def children_of(root: int) -> list[int]:
    """All descendants of a process, by proc(5), without zombies."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stream:
                    words = stream.read().rpartition(")")[2].split()
                if words[0] not in ("Z", "X"):
                    parents[int(name)] = int(words[1])
    found: list[int] = []
    known = {root}
    while fresh := [number for number, parent in parents.items() if parent in known and number not in known]:
        known.update(fresh)
        found += fresh
    return found


def kill_children() -> None:
    """Kill the direct children of this process as fast as they are seen: those of a subreaper are all there are.

    A process that forks and ends, over and over, is met in the end.
    """
    place = f"/proc/self/task/{os.getpid()}/children"
    for _ in range(500):
        try:
            with open(place, encoding="ascii") as stream:
                children = stream.read().split()
        except OSError:  # a kernel without it
            return
        if not children:
            return
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(child), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
