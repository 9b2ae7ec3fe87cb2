"""Kerberos tickets of users who have signed in at the portal, kept for their desktops, in a folder of root's in /run.

The worker process that has asked PAM puts them there, and the process that keeps a desktop looks there. One for each
user ID: the newest. What a login has got waits under a name of its own first, until the broker says that its user was
let in for good; else it is forgotten. A file is one line of JSON, and behind it the bytes of a cache of the type FILE,
or none, where somebody else (SSSD) keeps the cache and only its name is known. Of the standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x2gobroker.authservice.ccache import LARGEST_CACHE, CacheError, Ticket, read_ticket
from x2gobroker.privilege.folders import SafeFolder, own_folder, safe_folder

FOLDER = Path("/run/x2gobroker-tickets")
ON = "on"  # a file that is there while the service keeps tickets
HANDLE = re.compile(r"[0-9a-f]{32}")
OF_USER = re.compile(r"[1-9][0-9]{0,9}")
WAITING = re.compile(r"waiting-[0-9a-f]{32}")
WAITING_SECONDS = 120.0
LONGEST_LINE = 2048
LARGEST_NOTE = LONGEST_LINE + LARGEST_CACHE
LONGEST_LIFE = 30 * 86400.0
MODE = 0o600
# the forms of krb5_cc_resolve(3) that a user's programs can use; others are of one process (MEMORY) or of Windows (API)
CACHE_NAME = re.compile(
    r"(?:FILE:|DIR::?)(?P<path>/[!-.0-~][!-~]{0,399})|KEYRING:[A-Za-z0-9_.:@-]{1,200}|KCM:[A-Za-z0-9_.:@-]{0,200}"
)
FILE = "FILE:"


class CacheNameError(ValueError):
    """What names no cache of tickets that a desktop could use."""


def cache_name(text: str) -> str:
    """The name of a cache with its type, as PAM or a note has it in KRB5CCNAME. Raises CacheNameError."""
    name = f"{FILE}{text}" if text.startswith("/") else text
    found = CACHE_NAME.fullmatch(name)
    if found is None or (found["path"] and os.path.normpath(found["path"]) != found["path"]):
        raise CacheNameError("it is not of the form FILE:/path, DIR:/path, KEYRING:name or KCM:name")
    return name


@dataclass(frozen=True)
class Kept:
    """What is kept for a user. `cache` names the cache that somebody else keeps; where it is empty, `data` is one.

    `until` is when it is forgotten, seconds since the epoch.
    """

    uid: int
    cache: str
    data: bytes
    until: float

    @property
    def ticket(self) -> Ticket | None:
        """What `data` says; None where the cache is somebody else's."""
        return read_ticket(self.data) if self.data else None

    def note(self) -> bytes:
        """As it stands in a file."""
        line = json.dumps({"uid": self.uid, "cache": self.cache, "until": self.until})
        return line.encode("ascii") + b"\n" + self.data

    @classmethod
    def read(cls, note: bytes) -> Kept:
        """The reverse. Raises CacheError for anything else."""
        line, is_there, data = note.partition(b"\n")
        try:
            found: Any = json.loads(line) if is_there and len(line) <= LONGEST_LINE else None
            uid, cache, until = found["uid"], found["cache"], found["until"]
            if type(uid) is not int or uid <= 0 or type(cache) is not str or type(until) not in (int, float):
                raise TypeError
            if not 0 <= until < 1 << 40 or bool(cache) == bool(data) or (cache and cache_name(cache) != cache):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise CacheError("it is no note of a ticket") from None
        if data:
            read_ticket(data)
        return cls(uid, cache, data, float(until))


class Tickets:
    """The folder. All methods raise OSError, and TrustError of `privilege` where others could write there."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def is_on(self) -> bool:
        """Whether the service keeps tickets at all."""
        return (self.folder / ON).exists()

    def switch(self, on: bool) -> None:
        """Begin to keep tickets, in an orderly folder; or forget all, where there are any."""
        if not on and not self.folder.exists():
            return
        with safe_folder(self.folder, os.geteuid(), os.getegid()):
            pass  # made, and ours alone
        with self._opened() as folder:
            if on:
                folder.write(ON, b"", MODE)
                self._sweep(folder, time.time())
                return
            folder.remove(ON)
            for name in folder.names():
                if OF_USER.fullmatch(name) or WAITING.fullmatch(name):
                    folder.remove(name)

    def put(self, kept: Kept, now: float) -> str:
        """Keep what a login has got, until `accept` or for WAITING_SECONDS; the handle for that."""
        handle = os.urandom(16).hex()
        with self._opened() as folder:
            self._sweep(folder, now)
            folder.write(f"waiting-{handle}", kept.note(), MODE)
        return handle

    def accept(self, handle: str, uid: int, seconds: float, now: float) -> bool:
        """Keep it for this user for so many seconds at most, in the place of an older one; False where it is not there,
        or another user's.
        """
        if not HANDLE.fullmatch(handle):
            return False
        name = f"waiting-{handle}"
        with self._opened() as folder:
            self._sweep(folder, now)
            kept = _kept(folder, name)
            if kept is None or kept.uid != uid:
                return False
            until = min(kept.until, now + min(max(seconds, 0.0), LONGEST_LIFE))
            folder.write(str(uid), Kept(uid, kept.cache, kept.data, until).note(), MODE)
            folder.remove(name)
        return True

    def forget(self, uid: int, older: float, now: float) -> None:
        """Keep nothing for this user, unless it was put there less than `older` seconds ago."""
        with self._opened() as folder, contextlib.suppress(FileNotFoundError):
            if older <= 0 or folder.age(str(uid), now) >= older:
                folder.remove(str(uid))

    def find(self, uid: int, now: float) -> Kept | None:
        """What is kept for a user and not over."""
        if not self.is_on():
            return None
        with self._opened() as folder:
            kept = _kept(folder, str(uid))
        return kept if kept is not None and kept.uid == uid and kept.until > now else None

    def mark(self, uid: int) -> tuple[int, int] | None:
        """What tells the present note of a user from one before and behind it; None where there is none."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(self.folder / str(uid), follow_symlinks=False)
            return status.st_ino, status.st_mtime_ns
        return None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[SafeFolder]:
        with own_folder(self.folder) as folder, folder.locked():
            yield folder

    def _sweep(self, folder: SafeFolder, now: float) -> None:
        """Forget what is over, and what is no note."""
        for name in folder.names():
            if not OF_USER.fullmatch(name) and not WAITING.fullmatch(name):
                continue
            kept = _kept(folder, name)
            if kept is None or kept.until <= now or (not name.isdigit() and folder.age(name, now) > WAITING_SECONDS):
                folder.remove(name)


def _kept(folder: SafeFolder, name: str) -> Kept | None:
    data = folder.read(name, LARGEST_NOTE)
    try:
        return None if data is None else Kept.read(data)
    except CacheError:  # of another version of this program
        return None
