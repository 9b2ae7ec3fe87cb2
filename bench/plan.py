"""What one run measures, and for how long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bench.data import Accounts

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """The choices of the command line."""

    sizes: tuple[int, ...]
    groups: tuple[int, ...]
    duration: int  # seconds of each load
    rounds: int
    patience: float  # seconds after which a request to the reference is given up
    parts: tuple[str, ...]
    quick: bool = False
    accounts: dict[int, Accounts] = field(default_factory=dict)

    @staticmethod
    def clock(send: Callable[[], T], times: list[float]) -> T:
        """Do `send` and note how long it took."""
        begin = time.monotonic()
        result = send()
        times.append(time.monotonic() - begin)
        return result


def progress(text: str) -> None:
    """Say on stderr what is going on; stdout is for the tables."""
    sys.stderr.write(f"... {text}\n")
