"""Tables of what is known of sessions on X2Go Servers: see `model/inventory.py` for what the columns mean."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, String, Table

from x2gobroker.store.tables import METADATA

SERVERS_HEARD = Table(
    "servers_heard",
    METADATA,
    Column("key", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("how", String, nullable=False),
    Column("asked", Float, nullable=False),
    Column("heard", Float, nullable=False),
    Column("known", Float, nullable=False),
    Column("silent_since", Float, nullable=False),
    Column("trouble", String, nullable=False),
)

# the primary key is the index of what is read by server
SERVER_SESSIONS = Table(
    "server_sessions",
    METADATA,
    Column("server", String, primary_key=True),
    Column("username", String, primary_key=True),
    Column("session", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("told", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("source", String, nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("client", String, nullable=False),
    Column("display", Integer, nullable=False),
    Column("backend", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("until", Float, nullable=False),
    Index("ix_server_sessions_username", "username"),
)

LOAD_CHECKERS = Table(
    "load_checkers",
    METADATA,
    Column("name", String, primary_key=True),
    Column("servers", String, nullable=False),
    Column("beat", Float, nullable=False),
)
