"""Tables about X2Go Servers: loads, reservations, drained servers, and the rows that transactions lock."""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, String, Table

from x2gobroker.store.rows import insert_of
from x2gobroker.store.tables import METADATA

SERVER_LOADS = Table(
    "server_loads",
    METADATA,
    Column("key", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("state", String, nullable=False),
    Column("asked", Float, nullable=False),
    Column("answered", Float, nullable=False),
    Column("took", Float, nullable=False),
    Column("load", BigInteger),
    Column("memory", BigInteger),
    Column("cpus", BigInteger),
    Column("cpu_mhz", BigInteger),
    Column("sessions", BigInteger),
)

RESERVATIONS = Table(
    "reservations",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("username", String, nullable=False),
    Column("backend", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("server", String, nullable=False),
    Column("name", String, nullable=False),
    Column("address", String, nullable=False),
    Column("made", Float, nullable=False),
    Column("expires", Float, nullable=False, index=True),
    Column("base", Integer, nullable=False),
    Column("began", Float),
    Column("session", String, nullable=False),
    Index("ix_reservations_server", "server", "expires"),
    Index("ix_reservations_username", "username"),
)

DRAINS = Table(
    "drains",
    METADATA,
    Column("name", String, primary_key=True),
    Column("by", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("since", Float, nullable=False),
)

LOCKS = Table(
    "locks",
    METADATA,
    Column("name", String, primary_key=True),
    Column("taken", Integer, nullable=False),
)


def lock(connection: Connection, name: str) -> None:
    """Let one transaction at a time go on that asks for this name; must be the transaction's first statement.

    It writes before it reads: SQLite fails a transaction at once that has read and then finds another writer, but lets
    one wait that begins with writing. PostgreSQL locks the row.
    """
    connection.execute(_lock(connection.dialect.name), {"name": name, "taken": 1})


@functools.cache
def _lock(dialect: str) -> Any:
    """Made once: to make a statement takes as long as to execute it."""
    changed = {"taken": 1 - LOCKS.c.taken}
    return insert_of(dialect, LOCKS).on_conflict_do_update(index_elements=[LOCKS.c.name], set_=changed)
