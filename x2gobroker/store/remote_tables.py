"""Tables about desktops in the browser: their slots, how they have ended, the tokens that lead to them, links that
share them, and whether there are new ones.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, String, Table

from x2gobroker.store.tables import METADATA

REMOTE_SLOTS = Table(
    "remote_slots",
    METADATA,
    Column("type", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("username", String, nullable=False, index=True),
    Column("address", String, nullable=False),
    Column("state", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("reserved", Float, nullable=False),
    Column("started", Float),
    Column("node", String, nullable=False),
    Column("host", String, nullable=False),
    Column("port", Integer, nullable=False),
    Column("unix_path", String, nullable=False),
    Column("connections", Integer, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("last_input", Float, nullable=False),
    Column("ends", Float),
    Column("ends_why", String, nullable=False),
    Column("options", String, nullable=False),
    Column("progress", String, nullable=False),
    Column("note", String, nullable=False),
    Column("wanted", String, nullable=False),
)

# since schema 6: a row for each desktop that has ended of late, whoever has its slot now
REMOTE_ENDS = Table(
    "remote_ends",
    METADATA,
    Column("id", String, primary_key=True),
    Column("type", String, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("username", String, nullable=False, index=True),
    Column("started", Float),
    Column("ended", Float, nullable=False, index=True),
    Column("why", String, nullable=False),
    Column("seconds", Float),
    Column("note", String, nullable=False),
)

REMOTE_TOKENS = Table(
    "remote_tokens",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("slot", String, nullable=False, index=True),
    Column("username", String, nullable=False),
    Column("address", String, nullable=False),
    Column("view_only", Boolean, nullable=False),
    Column("share", LargeBinary),
    Column("expires", Float, nullable=False, index=True),
    # since schema 3
    Column("sign_in", LargeBinary),
    Column("idle", Float),
)

REMOTE_SHARES = Table(
    "remote_shares",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("slot", String, nullable=False, index=True),
    Column("made", Float, nullable=False),
    # since schema 3: until when it counts, None for as long as the desktop runs, and whether guests may work
    Column("ends", Float),
    Column("works", Boolean),
)

# one row, while there are no new desktops
REMOTE_CLOSED = Table(
    "remote_closed",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("by", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("since", Float, nullable=False),
)
