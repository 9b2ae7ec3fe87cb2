"""What a wanted deviation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.compat.meaning import Meaning
from tests.compat.runner import Exchange

Rewrite = Callable[[Exchange, Meaning], Meaning]


@dataclass(frozen=True)
class Deviation:
    """One wanted deviation. Without `rewrite`, scenarios with a repaired configuration show it."""

    id: str
    title: str
    reference: str
    ours: str
    why: str
    faults: tuple[str, ...] = ()
    rewrite: Rewrite | None = None
