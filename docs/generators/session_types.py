"""The tables of `reference/session-types.md`: the keys of a session type, from the parser's table."""

from __future__ import annotations

import json
from collections.abc import Iterable

from generators.common import cell
from x2gobroker.remote.keys import KEYS, OPTION_KEYS, Key, Shape


def allowed(key: Key) -> str:
    """The kind of value, and its limits."""
    if key.shape is Shape.INTEGER:
        return f"integer, {key.minimum} to {key.maximum}"
    return str(key.shape.value)


def table(keys: Iterable[Key]) -> list[str]:
    """Keys as a table."""
    lines = ["| Key | Value | Default | Meaning |", "| --- | --- | --- | --- |"]
    for key in keys:
        default = "must be given" if key.required else f"`{json.dumps(key.default)}`"
        lines.append(f"| `{key.name}` | {cell(allowed(key))} | {cell(default)} | {cell(key.help)} |")
    return lines


def session_type_tables() -> str:
    """The generated part of the page."""
    parts = (("Keys of a session type", KEYS), ("Options that the broker looks at", OPTION_KEYS))
    lines: list[str] = []
    for heading, keys in parts:
        lines += [f"## {heading}", "", *table(keys), ""]
    return "\n".join(lines)
