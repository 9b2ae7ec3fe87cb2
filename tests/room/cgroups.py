"""A cgroup for each room, so that a room has a hierarchy of its own and nothing of it outlives it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
PRIVATE = "ROOMS_MOUNTS"  # set: this process has mounts of its own
SECONDS = 10.0
CONTROLLERS = ("cpu", "memory", "pids")
# A shell goes into the group of its first argument and makes it the root of a hierarchy; it goes on as the rest, in a
# group below that, because only a group without processes of its own hands controllers down.
_ENTER = """\
echo 0 >"$1/cgroup.procs"
exec unshare --cgroup bash -c '
  mkdir "$1/tests"
  echo 0 >"$1/tests/cgroup.procs"
  for name in $(cat "$1/cgroup.controllers"); do
    echo "+$name" >"$1/cgroup.subtree_control" || echo "rooms: no controller $name" >&2
  done
  shift
  exec "$@"
' room "$@"
"""


def in_private_mounts(argv: Sequence[str]) -> None:
    """Go on with mounts of this process's own; called first of all. Does not return where it has none yet."""
    if os.environ.pop(PRIVATE, ""):
        return
    os.environ[PRIVATE] = "yes"
    os.execvp("unshare", ["unshare", "--mount", sys.executable, "-m", "tests.rooms", *argv])  # noqa: S606 - no shell


def mount_hierarchy() -> Path | None:
    """Mount cgroup2 in this process's own mounts; the group for rooms, None with a message where there can be none.

    The root of all, where this is not a container: it hands down controllers although it has processes.
    """
    faults = ""
    for kind in ("tmpfs", "cgroup2"):  # the kernel refuses a second cgroup2 in the very place of one
        argv = ["mount", "-t", kind, kind, str(MOUNTED)]
        faults += subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False).stderr
    own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::/")]
    if faults or not own:
        print(f"rooms: no cgroup v2 here, so systemd cannot be tested: {faults.strip()}", file=sys.stderr)
        return None
    if (MOUNTED / "cgroup.type").exists():  # the root of all has no type
        return MOUNTED / own[0].lstrip("/")
    for name in (MOUNTED / "cgroup.controllers").read_text().split():
        if name in CONTROLLERS:
            (MOUNTED / "cgroup.subtree_control").write_text(f"+{name}")
    return MOUNTED


@contextlib.contextmanager
def group(parent: Path | None, name: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """A new group below `parent`: the words before a command that runs in it, and its variables.

    All that is left in it is killed at the end.
    """
    if parent is None:
        yield [], {}
        return
    made = _place(parent, name)
    made.mkdir()
    try:
        yield ["bash", "-ec", _ENTER, "enter", str(made)], {"ROOM_CGROUP": "yes"}
    finally:
        _remove(made)


def processor_seconds(parent: Path | None, name: str) -> float:
    """What all that ran in a group has taken of processors; 0 where there are no groups."""
    if parent is None:
        return 0.0
    words = (_place(parent, name) / "cpu.stat").read_text().split()
    return int(words[words.index("usage_usec") + 1]) / 1e6


def _place(parent: Path, name: str) -> Path:
    return parent / f"x2gobroker-room-{os.getpid()}-{name}"


def _remove(made: Path) -> None:
    (made / "cgroup.kill").write_text("1")
    end = time.monotonic() + SECONDS
    while "populated 1" in (made / "cgroup.events").read_text():
        assert time.monotonic() < end, f"processes of {made} cannot be killed"
        time.sleep(0.02)
    for folder, _, _ in os.walk(made, topdown=False):
        Path(folder).rmdir()
