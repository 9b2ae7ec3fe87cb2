"""X displays, for `keeper.py`: which are taken, and the file with their cookie. Of the standard library only."""

from __future__ import annotations

import os
import struct

WILD = 0xFFFF  # FamilyWild of Xauth(3): an entry for every address
COOKIE = b"MIT-MAGIC-COOKIE-1"
ACL_VERSION = 2  # of acl(5), as the kernel has it: version, then tag, permissions and number of each entry
ACL_OWNER, ACL_USER, ACL_GROUP, ACL_MASK, ACL_OTHER = 1, 2, 4, 16, 32
NOBODY = 0xFFFFFFFF
USUAL_DISPLAYS = 100  # Xvnc looks for one below that when it is given a socket, whatever -displayfd says
MOST_DISPLAYS = 50000
DISPLAY_TRIES = 10


def xauthority(display: str, cookie: bytes) -> bytes:
    """An entry for the Xauthority file, as Xauth(3) has it: for any address, and for this display or (empty) all."""
    parts = (b"", display.encode("ascii"), COOKIE, cookie)
    return struct.pack(">H", WILD) + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def readable_by(uid: int) -> bytes:
    """The access control list of a file of ours that this user can read, and nobody else: acl(5)."""
    entries = [(ACL_OWNER, 6, NOBODY), (ACL_USER, 4, uid), (ACL_GROUP, 0, NOBODY), (ACL_MASK, 4, NOBODY)]
    entries.append((ACL_OTHER, 0, NOBODY))
    return struct.pack("<I", ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def display_is_taken(number: int) -> bool:
    """Whether an X server has this display, as far as files say."""
    return any(os.path.lexists(f"/tmp/.X{name}") for name in (f"{number}-lock", f"11-unix/X{number}"))  # noqa: S108


def display_words(first: int) -> list[str]:
    """What has to be said to Xvnc of its display: nothing, as long as one of the usual ones is free."""
    if not all(display_is_taken(number) for number in range(1, USUAL_DISPLAYS)):
        return []
    free = (number for number in range(first, MOST_DISPLAYS) if not display_is_taken(number))
    return [f":{next(free, MOST_DISPLAYS)}"]
