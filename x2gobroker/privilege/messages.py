"""The grammar of what an unprivileged process may tell a privileged one: checked here, on the privileged side.

A message is one JSON object. Each kind of message is a `Form`: the fields that it has, all of them and no others, and
what each may hold. What does not fit is no message, whoever sent it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from x2gobroker.errors import BrokerError

KIND = "do"
LARGEST_MESSAGE = 1 << 16


class MessageError(BrokerError):
    """A message that does not follow the grammar. The text names the field, never its value."""


@dataclass(frozen=True)
class Text:
    """A text of at most `most` characters that `pattern` matches as a whole."""

    most: int
    pattern: re.Pattern[str]

    def fits(self, value: object) -> bool:
        """Whether the value is one of these."""
        return isinstance(value, str) and len(value) <= self.most and self.pattern.fullmatch(value) is not None


@dataclass(frozen=True)
class Number:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def fits(self, value: object) -> bool:
        """Whether the value is one of these; True and False are none."""
        return type(value) is int and self.least <= value <= self.most


@dataclass(frozen=True)
class Flag:
    """True or False."""

    def fits(self, value: object) -> bool:
        """Whether the value is one of these."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class OneOf:
    """One of these words."""

    words: frozenset[str]

    def fits(self, value: object) -> bool:
        """Whether the value is one of these."""
        return isinstance(value, str) and value in self.words


Part = Text | Number | Flag | OneOf
Form = Mapping[str, Part]


def read_message(data: bytes, forms: Mapping[str, Form], largest: int = LARGEST_MESSAGE) -> dict[str, Any]:
    """The fields of a message, its kind under `do` included. Raises MessageError for anything that fits no form."""
    if len(data) > largest:
        raise MessageError(f"a message of more than {largest} bytes")
    try:
        found = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise MessageError("a message that is no JSON") from None
    kind = found.get(KIND) if isinstance(found, dict) else None
    form = forms.get(kind) if isinstance(kind, str) else None
    if form is None:
        raise MessageError("a message of no known kind")
    if found.keys() != form.keys() | {KIND}:
        raise MessageError(f"a message {kind!r} with other fields than it has")
    for name, part in form.items():
        if not part.fits(found[name]):
            raise MessageError(f"the field {name} of a message {kind!r} does not hold what it may")
    return dict(found)


def write_message(kind: str, fields: Mapping[str, object], forms: Mapping[str, Form]) -> bytes:
    """A message in bytes. Raises MessageError for one that `read_message` would refuse: a fault on our own side."""
    data = json.dumps({KIND: kind, **fields}).encode()
    read_message(data, forms)
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: of two values, nobody should have to know which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found
