"""File systems in memory for the folders of users, as large as those of systemd-logind. Of the standard library only.

What a user writes there takes nothing from /run, which is everybody's. Each is known by its source, a random word of
ours that proc(5) mountinfo shows: numbers of devices and inodes are soon another one's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from pathlib import Path
from typing import NamedTuple

from x2gobroker.remote.hold import MS_NODEV, MS_NOSUID, MS_REC

PROC = Path("/proc")
KIND = "tmpfs"
PART = 10  # of the memory, as RuntimeDirectorySize= of logind.conf(5) has it
BYTES_FOR_INODE = 4096  # as RuntimeDirectoryInodesMax= has it
MS_BIND, MS_SHARED = 0x1000, 0x100000
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OCTAL = re.compile(rb"\\([0-3][0-7]{2})")  # a blank and the like in proc(5) mountinfo

_libc = ctypes.CDLL(None, use_errno=True)


class Mount(NamedTuple):
    """One line of proc(5) mountinfo. `shared`: others see what is mounted below it."""

    number: int
    place: bytes
    shared: bool
    kind: str
    source: str


NOT_KNOWN = Mount(-1, b"", False, "", "")


def mounts(proc: Path = PROC) -> list[Mount]:
    """What is mounted where this process is. Raises OSError."""
    found = []
    # in the paths of users' mounts, only blanks, tabs and line feeds are escaped
    for line in (proc / "self/mountinfo").read_bytes().removesuffix(b"\n").split(b"\n"):
        words, _, behind = line.partition(b" - ")
        number, _parent, _device, _root, place, _options, *more = words.split(b" ")
        kind, source, *_ = [*map(os.fsdecode, behind.split(b" ")), "", ""]
        shared = any(word.startswith(b"shared:") for word in more)
        place = OCTAL.sub(lambda octal: bytes([int(octal[1], 8)]), place)
        found.append(Mount(int(number), place, shared, kind, source))
    return found


def mount_of(folder: int) -> Mount:
    """The mount that an open folder is on. Raises OSError."""
    text = Path(f"/proc/self/fdinfo/{folder}").read_text(encoding="ascii")
    number = int(text.partition("mnt_id:")[2].split()[0])
    return next((mount for mount in mounts() if mount.number == number), NOT_KNOWN)


def is_ours(folder: int, source: str) -> bool:
    """Whether an open folder is on the file system in memory with this source. Raises OSError."""
    mount = mount_of(folder)
    return bool(source) and (mount.kind, mount.source) == (KIND, source)


def new_source() -> str:
    """A source that no other one has."""
    return f"x2gobroker-{os.urandom(8).hex()}"


def mount_for(folder: int, source: str, uid: int, gid: int) -> None:
    """Mount a new file system in memory over an open folder: its user's alone, with mode 0700. Raises OSError."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // PART
    options = f"mode=0700,uid={uid},gid={gid},size={size},nr_inodes={size // BYTES_FOR_INODE}"
    _mount(source.encode("ascii"), _place(folder), KIND.encode("ascii"), MS_NOSUID | MS_NODEV, options.encode("ascii"))


def unmount(above: int, name: str) -> None:
    """Unmount what is mounted over a folder in an open one, also while somebody uses it. Raises OSError."""
    _check(_libc.umount2(_place(above) + b"/" + os.fsencode(name), MNT_DETACH | UMOUNT_NOFOLLOW))


def uncover(above: int, name: str) -> None:
    """Unmount what a user has mounted over the own folder itself, by FUSE: root could not even open that.

    Raises OSError.
    """
    for _ in range(16):
        with contextlib.closing(_Opened(above, name)) as folder:
            if not mount_of(folder.number).kind.startswith("fuse"):
                return
        unmount(above, name)


def share(folder: Path) -> None:
    """Have everybody see what is mounted below a folder, in other mount namespaces as well that begin from now on.

    On hosts with systemd that is so anyway. Raises OSError.
    """
    with contextlib.closing(_Opened(None, str(folder))) as opened:
        if mount_of(opened.number).shared:
            return
        place = _place(opened.number)
        _mount(place, place, None, MS_BIND | MS_REC, None)
    _mount(None, os.fsencode(folder), None, MS_SHARED, None)


class _Opened:
    """A folder, opened for its place only: that also works where its file system lets nobody in."""

    def __init__(self, above: int | None, name: str) -> None:
        self.number = os.open(name, PLACE, dir_fd=above)

    def close(self) -> None:
        """Close it."""
        os.close(self.number)


def _place(folder: int) -> bytes:
    """A name of an open folder that nobody can lead elsewhere."""
    return f"/proc/self/fd/{folder}".encode("ascii")


def _mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    """mount(2). Raises OSError."""
    _check(_libc.mount(source, target, kind, ctypes.c_ulong(flags), options))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
