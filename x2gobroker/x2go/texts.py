"""Texts from elsewhere, made fit for messages and logs."""

from __future__ import annotations


def printable(text: str, limit: int = 255) -> str:
    """`text` as one line of at most `limit` characters, with nothing in it that steers a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]
