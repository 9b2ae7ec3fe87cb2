"""Where the documentation is, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root() -> Path:
    """The folder of the source."""
    return ROOT


@pytest.fixture
def page(root: Path) -> Callable[[str], str]:
    """The text of a page of docs/reference."""

    def read(name: str) -> str:
        return (root / "docs/reference" / name).read_text(encoding="utf-8")

    return read
