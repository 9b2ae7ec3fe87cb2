"""Marks of wrong passwords that no two passwords share: of fifty guesses, two real ones are alike now and then."""

from __future__ import annotations

import pytest


def distinct_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, marks are of two bytes as ever, and differ where passwords do."""
    known: dict[tuple[bytes, str], int] = {}

    def mark_of(salt: bytes, password: str) -> bytes:
        return known.setdefault((salt, password), len(known)).to_bytes(2, "big")

    monkeypatch.setattr("x2gobroker.store.penalties.mark_of", mark_of)
