"""Names of files: as pages send them, as people see them, and those of files that are not whole yet."""

from __future__ import annotations

import hashlib
from urllib.parse import quote, unquote_to_bytes

from x2gobroker.remote.files.refusals import RefusedError

LONGEST = 255  # bytes; NAME_MAX of all common file systems
PARTIAL = b".x2goupload"
DIGEST_LETTERS = 16
LONGEST_SUFFIX = 16
PACKED = (b".tar",)  # what belongs to the suffix behind it: archive.tar.gz


def item_of(name: bytes) -> str:
    """A name of the file system, as messages have it."""
    return quote(name, safe="")


def names_of(path: str) -> list[bytes]:
    """The names in a path of a message. Raises RefusedError for what is no name in any folder."""
    return [_name_of(item) for item in path.split("/")] if path else []


def _name_of(item: str) -> bytes:
    name = unquote_to_bytes(item)
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > LONGEST:
        raise RefusedError("name")
    return name


def new_name(text: str) -> bytes:
    """The name of a file that comes. Raises RefusedError."""
    name = text.encode("utf-8", "surrogateescape")
    if name in (b".", b"..") or not name.strip() or len(name) > LONGEST or is_partial(name):
        raise RefusedError("name")
    return name


def shown(name: bytes) -> str:
    """A name as people see it. What is no UTF-8 in it, or has no look, is replaced."""
    text = name.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)[:LONGEST]


def partial_name(name: bytes, size: int, modified: int, owner: int) -> bytes:
    """Where an upload is kept until it is whole: the same one for the same file of the same user, and for no other."""
    told = b"\0".join((name, *(str(number).encode() for number in (size, modified, owner))))
    end = b"." + hashlib.sha256(told).hexdigest()[:DIGEST_LETTERS].encode() + PARTIAL
    return b"." + _cut(name, LONGEST - 1 - len(end)) + end


def is_partial(name: bytes) -> bool:
    """Whether a file of this name is an upload that is not whole yet."""
    return name.startswith(b".") and name.endswith(PARTIAL)


def numbered(name: bytes, number: int) -> bytes:
    """The name to take where there is a file of that name: `report (1).pdf`."""
    stem, suffix = _split(name)
    mark = f" ({number})".encode()
    return _cut(stem, LONGEST - len(suffix) - len(mark)) + mark + suffix


def _split(name: bytes) -> tuple[bytes, bytes]:
    stem, dot, suffix = name.rpartition(b".")
    if not stem or len(suffix) > LONGEST_SUFFIX:
        return name, b""
    for more in PACKED:
        if stem.endswith(more) and len(stem) > len(more):
            return stem[: -len(more)], more + dot + suffix
    return stem, dot + suffix


def _cut(name: bytes, most: int) -> bytes:
    """At most so many bytes, and no half character at the end where it is UTF-8."""
    if len(name) <= most:
        return name
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return name[:most]
    return name[:most].decode("utf-8", "ignore").encode()
