"""Text files that administrators write: marks and line ends of their editors are no part of the text."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

from x2gobroker.errors import ConfigurationError

MAX_FILE_SIZE = 64 * 1024 * 1024
OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class TextFileError(ConfigurationError):
    """A file that cannot be read as text: `reason` says why, `line` where (0: the file as a whole)."""

    def __init__(self, path: Path | str, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")
        self.path = str(path)
        self.line = line
        self.reason = reason


def read_text(path: Path, limit: int = MAX_FILE_SIZE) -> str:
    """The text of one file in UTF-8, every line ending in a line feed; at most `limit` bytes.

    A byte order mark is left out. CR and CR LF end a line, too, and nothing else does. Raises TextFileError for a
    file that cannot be read, is too large, is not UTF-8 or holds NUL bytes; OSError never.
    """
    return decode_text(read_bytes(path, limit), path)


def read_bytes(path: Path, limit: int = MAX_FILE_SIZE) -> bytes:
    """The bytes of one file. Raises TextFileError; never waits for somebody to write into a pipe."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, "rb") as stream:
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                raise TextFileError(path, 0, "is a pipe and no file")
            data = stream.read(limit + 1)
    except OSError as error:
        raise TextFileError(path, 0, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TextFileError(path, 0, "cannot be read: this is no path") from error
    if len(data) > limit:
        raise TextFileError(path, 0, f"is larger than {limit} bytes")
    return data


def decode_text(data: bytes, path: Path | str) -> str:
    """The text of a file's bytes, as `read_text` gives it. Raises TextFileError."""
    for mark, name in OTHER_MARKS:
        if data.startswith(mark):
            raise TextFileError(path, 0, f"is {name} text; save the file in UTF-8")
    if b"\0" in data:
        raise TextFileError(path, _line_at(data, data.index(b"\0")), "holds a NUL byte; save the file as UTF-8 text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextFileError(path, _line_at(data, error.start), "is not UTF-8 text; save the file in UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_at(data: bytes, position: int) -> int:
    before = data[:position].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1
