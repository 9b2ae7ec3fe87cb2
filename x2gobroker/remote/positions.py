"""On which line each key of a JSON text stands; the `json` module does not say."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

SIGN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|\n')

Path = tuple[str | int, ...]


@dataclass
class Positions:
    """`lines` has the line of every key, counted from 1; `twice` the keys that stand twice."""

    lines: dict[Path, int] = field(default_factory=dict)
    twice: list[Path] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of a key, or of the nearest one around it; 0 for the whole text."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def positions(text: str) -> Positions:
    """The lines of the keys of a text that `json.loads` takes. What it gives for other texts means nothing."""
    found = Positions()
    line = 1
    path: list[str | int] = []
    last = ""
    for match in SIGN.finditer(text):
        sign = match[0]
        if sign == "\n":
            line += 1
        elif sign == "[":
            path.append(0)
        elif sign == "{":
            path.append("")
        elif sign in "}]":
            path = path[:-1]
        elif sign == "," and path and isinstance(path[-1], int):
            path[-1] += 1
        elif sign == ":" and path:
            path[-1] = json.loads(last)
            if tuple(path) in found.lines:
                found.twice.append(tuple(path))
            found.lines[tuple(path)] = line
        elif sign.startswith('"'):
            last = sign
    return found
