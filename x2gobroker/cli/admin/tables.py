"""What several commands print: tables, and lengths of time."""

from __future__ import annotations

from collections.abc import Collection, Sequence

GAP = "  "
MINUTE, HOUR, DAY = 60, 3600, 86400


def age(seconds: float) -> str:
    """A length of time in one number: `12 s`, `4 min`, `3 h`, `2 d`."""
    seconds = max(0.0, seconds)
    for unit, name, limit in ((1, "s", 100), (MINUTE, "min", 100 * MINUTE), (HOUR, "h", 48 * HOUR)):
        if seconds < limit:
            return f"{int(seconds / unit)} {name}"
    return f"{int(seconds / DAY)} d"


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str]) -> list[str]:
    """A table with its head; the columns of `right` are numbers, and stand to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    return [
        GAP.join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
