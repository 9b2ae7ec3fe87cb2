"""Whether the store does all that a login asks of it: it takes a row, and has every table with every column."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import select

from x2gobroker.errors import StoreError
from x2gobroker.privilege import TrustError, check_place
from x2gobroker.store.database import METADATA, Store
from x2gobroker.store.server_tables import lock

LOCK = "health"
LEAST_FREE_BYTES = 1 << 20


def probe(store: Store) -> None:
    """Try it. Raises StoreError."""
    if store.url.get_backend_name() == "sqlite":
        _probe_file(Path(store.url.database or ""))
    with store.begin() as connection:
        lock(connection, LOCK)
        for table in METADATA.sorted_tables:
            connection.execute(select(*table.c).limit(1)).first()


def _probe_file(path: Path) -> None:
    """What processes that have the file open would notice late: that others can no longer open it, or write much."""
    try:
        check_place(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
        free = os.statvfs(path.parent)
    except TrustError as error:
        raise StoreError(f"root does not open the state store {path}: {error}") from None
    except FileNotFoundError as error:
        if path.parent.is_dir() or not path.parent.exists():
            return  # a store that is still to be made
        raise StoreError(f"the state store {path} fails: {error.strerror}") from None
    except OSError as error:
        raise StoreError(f"the state store {path} fails: {error.strerror}") from None
    if not os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        raise StoreError(f"the state store {path} fails: its folder cannot be written")
    if free.f_bavail * free.f_frsize < LEAST_FREE_BYTES:
        raise StoreError(f"the state store {path} fails: the disk is full")
