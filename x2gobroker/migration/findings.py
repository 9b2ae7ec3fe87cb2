"""What is said of a site: one thing each, whom it concerns, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing about a site.

    `who`: whom it concerns; `text`: what is so; `advice`: what to do, empty where there is nothing to do. A finding
    that `blocks` has to be dealt with by hand before; `step` is the step that deals with it.
    """

    id: str
    text: str
    who: str = ""
    advice: str = ""
    blocks: bool = False
    step: str = ""


def several(names: tuple[str, ...] | list[str], most: int = 6) -> str:
    """Names in one text, of which a long list is cut."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
