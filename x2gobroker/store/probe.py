"""Whether the store does all that a login asks of it: it takes a row, and has every table with every column."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from x2gobroker.store import sqlite_file
from x2gobroker.store.database import Store
from x2gobroker.store.server_tables import lock
from x2gobroker.store.tables import METADATA

LOCK = "health"


def probe(store: Store) -> None:
    """Try it. Raises StoreError."""
    if store.url.get_backend_name() == "sqlite":
        sqlite_file.check(Path(store.url.database or ""))
    with store.begin() as connection:
        lock(connection, LOCK)
        for table in METADATA.sorted_tables:
            connection.execute(select(*table.c).limit(1)).first()
