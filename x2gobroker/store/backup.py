"""A backup of the store: all its rows at one moment, as a file that is the same whatever database they come from.

The file is a SQLite database with the tables of `tables.py` and its siblings, `APPLICATION_ID` as its application id,
and the number of the schema (https://www.sqlite.org/fileformat2.html, 1.3). So it is restored into SQLite as into
PostgreSQL, by this release or a later one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, StaticPool, Table, create_engine, delete, func, insert, select

from x2gobroker.errors import StoreError
from x2gobroker.store.database import Store
from x2gobroker.store.schema import STORE_SCHEMA, TooNewError, bring_up, newest
from x2gobroker.store.tables import METADATA

APPLICATION_ID = 0x78326762
HEADER = b"SQLite format 3\0"
CHUNK = 1000
SIGN_INS = frozenset(("authids", "portal_sessions", "remote_tokens", "remote_shares", "attempts"))
# what brokers and load checkers write at their start and by themselves
MADE_ANEW = frozenset((STORE_SCHEMA.name, "locks", "server_loads", "server_sessions", "servers_heard", "load_checkers"))


def backup(store: Store) -> bytes:
    """All rows of the store at one moment, also while brokers work. Raises StoreError."""
    if store.standing().number > newest():
        raise StoreError(
            f"the state store {store.place} belongs to a later release, of which this one knows a part only; "
            "make the backup with that release"
        )
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as memory:
        memory.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        engine = _engine(memory)
        METADATA.create_all(engine)
        with engine.begin() as copy, store.snapshot() as connection:
            for table in METADATA.sorted_tables:
                _copy(connection, copy, table, table.c.keys())
        return memory.serialize()


def restore(store: Store, data: bytes, replace: bool = False, sign_ins: bool = True) -> dict[str, int]:
    """Put the rows of a backup in the place of all that the store has; how many each table got.

    It is done in one transaction. `sign_ins`: also who was signed in then. Raises StoreError for what is no backup or
    one of a later release, and for a store that has rows already, unless `replace`.
    """
    with _opened(data) as saved, store.begin() as connection:
        if not replace and _is_used(connection):
            raise StoreError(f"the state store {store.place} is in use already; --replace forgets what it has")
        done: dict[str, int] = {}
        for table in METADATA.sorted_tables:
            if table is STORE_SCHEMA:
                continue
            connection.execute(delete(table))
            if sign_ins or table.name not in SIGN_INS:
                # the database counts these by itself, from where it stands
                counted = table.autoincrement_column
                names = [column.name for column in table.columns if counted is None or column.name != counted.name]
                done[table.name] = _copy(saved, connection, table, names)
        return done


def counts(store: Store) -> dict[str, int]:
    """How many rows each table of the store has. Raises StoreError."""
    with store.snapshot() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in METADATA.sorted_tables
            if table is not STORE_SCHEMA
        }


@contextmanager
def _opened(data: bytes) -> Iterator[Connection]:
    """The rows of a backup, brought up to this program's schema. Raises StoreError."""
    if not data.startswith(HEADER):
        raise StoreError("this is no backup of a state store; x2gobroker store backup makes one")
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as memory:
        try:
            memory.deserialize(data)
            memory.execute("PRAGMA trusted_schema = OFF")
            _check(memory)
            engine = _engine(memory)
            bring_up(engine)
        except TooNewError as error:
            raise StoreError(f"the backup cannot be restored: {error}") from None
        except sqlite3.Error as error:
            raise StoreError(f"this is no backup of a state store, or it is damaged: {error}") from None
        with engine.connect() as connection:
            yield connection


def _check(memory: sqlite3.Connection) -> None:
    """Raises StoreError for a database that is no backup, or has more than tables and their indexes."""
    if memory.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise StoreError("this is no backup of a state store; x2gobroker store backup makes one")
    found = memory.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise StoreError("the backup is damaged")
    for kind, table in memory.execute("SELECT type, tbl_name FROM sqlite_master"):
        if kind not in ("table", "index") or table not in METADATA.tables:
            raise StoreError(f"the backup is damaged: it has a {kind} {table}")


def _engine(memory: sqlite3.Connection) -> Engine:
    return create_engine("sqlite://", creator=lambda: memory, poolclass=StaticPool)


def _is_used(connection: Connection) -> bool:
    """Whether the store has anything that does not come back by itself."""
    tables = (table for table in METADATA.sorted_tables if table.name not in MADE_ANEW)
    return any(connection.execute(select(table).limit(1)).first() for table in tables)


def _copy(source: Connection, target: Connection, table: Table, names: list[str]) -> int:
    """Copy these columns of all rows; how many there were."""
    copied = 0
    found = source.execution_options(yield_per=CHUNK).execute(select(*(table.c[name] for name in names)))
    for rows in found.mappings().partitions():
        many: list[dict[str, Any]] = [dict(row) for row in rows]
        target.execute(insert(table), many)
        copied += len(many)
    return copied
