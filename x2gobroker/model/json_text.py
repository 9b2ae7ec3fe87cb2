"""JSON that somebody else wrote: read with bounds, so that no text of any form is more than an error."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

MOST_DEPTH = 32
OPEN = (b"[", b"{")
BRACKET = re.compile(rb"[\[\]{}]")
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class JsonError(ValueError):
    """It is no JSON, or more of it than is taken. The text holds nothing of what was read."""


def read_json(data: bytes | bytearray | memoryview | str, most_bytes: int, most_depth: int = MOST_DEPTH) -> Any:
    """The value of a JSON text in UTF-8. Raises JsonError.

    Also for what Python's reader takes or ends at, and JSON is not or nobody means: NaN, numbers of thousands of
    digits, halves of characters, and lists within lists without end.
    """
    try:
        text = data if isinstance(data, str) else bytes(data).decode("utf-8")
        raw = text.encode("utf-8")
    except UnicodeError:
        raise JsonError("it is no UTF-8 text") from None
    if len(raw) > most_bytes:
        raise JsonError(f"it has more than {most_bytes} bytes")
    if _depth(raw) > most_depth:
        raise JsonError(f"it is nested more than {most_depth} deep")
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise JsonError("it holds half a character") from None
    except (ValueError, RecursionError):
        raise JsonError("it is no JSON") from None
    return value


def read_object(data: bytes | bytearray | memoryview | str, most_bytes: int) -> dict[str, Any]:
    """The same, for what has to be an object. Raises JsonError."""
    value = read_json(data, most_bytes)
    if not isinstance(value, dict):
        raise JsonError("it is no JSON object")
    return value


def _depth(raw: bytes) -> int:
    """How deep lists and objects are nested at most; at least that, in a text that is no JSON."""
    depth, deepest = 0, 0
    for bracket in BRACKET.findall(STRING.sub(b"", raw)):
        depth += 1 if bracket in OPEN else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse(_name: str) -> NoReturn:
    raise ValueError("no number of JSON")
