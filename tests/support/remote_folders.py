"""Folders and stores as x2gobroker-remote has them, for tests of its parts."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import URL

from x2gobroker.store import Store


@contextlib.contextmanager
def passable_folder(prefix: str = "x2gt-") -> Iterator[Path]:
    """A folder of root's that everybody goes through and nobody else looks into: one for folders of users."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextlib.contextmanager
def store_in(folder: Path) -> Iterator[Store]:
    """An empty store in this folder."""
    made = Store(URL.create("sqlite", database=str(folder / "store.sqlite")))
    try:
        yield made
    finally:
        made.close()
