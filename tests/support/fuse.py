"""/dev/fuse for the users of a test: a machine without udev gives it to root only."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

DEVICE = Path("/dev/fuse")


@contextlib.contextmanager
def fuse_for_all() -> Iterator[None]:
    """Every account can mount with FUSE, for the length of a `with` block. Needs root where that is not so already."""
    assert DEVICE.is_char_device(), "sharing folders needs /dev/fuse: load the kernel module fuse"
    before = stat.S_IMODE(DEVICE.stat().st_mode)
    if before & 0o666 == 0o666:
        yield
        return
    DEVICE.chmod(0o666)
    try:
        yield
    finally:
        DEVICE.chmod(before)


def sshfs_mounts(below: str) -> list[str]:
    """Places below a folder where sshfs is mounted."""
    lines = [line.split(" ") for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    return [words[1] for words in lines if words[2] == "fuse.sshfs" and words[1].startswith(below)]
