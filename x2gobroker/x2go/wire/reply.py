"""What a command on an X2Go Server has said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    """What a command printed on its two streams, and its exit status; None where a signal ended it."""

    output: str
    errors: str
    status: int | None
