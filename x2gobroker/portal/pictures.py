"""Pictures that administrators put on pages: read with bounds, and served so that they can do nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from flask import Response

from x2gobroker.errors import ConfigurationError
from x2gobroker.settings.watch import identity

KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
# a picture cannot do anything, not even one that is opened by itself
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
SVG_WITHIN = 4096  # bytes, in which an SVG file has its first element


class PictureError(ConfigurationError):
    """A file that is no picture for a page. The text says why, without its name."""


def read_picture(path: Path, largest: int) -> bytes:
    """The bytes of a picture, at most `largest`. Raises PictureError; never waits for somebody to write into a pipe."""
    if path.suffix not in KINDS:
        raise PictureError(f"is none of {', '.join(sorted(KINDS))}, by its name")
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise PictureError("is no file")
            data = stream.read(largest + 1)
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}") from error
    if len(data) > largest:
        raise PictureError(f"is larger than {largest >> 10} KiB")
    if not _is_of(path.suffix, data):
        raise PictureError(f"is no {KINDS[path.suffix].partition('/')[2]} picture")
    return data


def _is_of(suffix: str, data: bytes) -> bool:
    """Whether the first bytes are those of such a picture: browsers that are told otherwise show nothing."""
    match suffix:
        case ".png":
            return data.startswith(b"\x89PNG\r\n\x1a\n")
        case ".webp":
            return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
        case ".svg":
            return b"<svg" in data[:SVG_WITHIN]
        case _:
            return data.startswith(b"\xff\xd8\xff")


def version_of(path: Path) -> str:
    """What the address of a picture ends in, so that browsers may keep it; empty where there is no file."""
    seen = identity(path)
    return "" if seen is None else hashlib.sha256(repr((path, seen)).encode()).hexdigest()[:12]


def send_picture(path: Path, largest: int, cache: str) -> Response:
    """The answer with a picture, and its `Cache-Control`. Raises PictureError."""
    response = Response(read_picture(path, largest), content_type=KINDS[path.suffix])
    response.headers["Cache-Control"] = cache
    response.headers["Content-Security-Policy"] = POLICY
    return response
