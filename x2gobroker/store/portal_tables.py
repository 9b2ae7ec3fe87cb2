"""The table of those who are signed in at the portal."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, LargeBinary, String, Table

from x2gobroker.store.tables import METADATA

PORTAL_SESSIONS = Table(
    "portal_sessions",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("username", String, nullable=False, index=True),
    Column("backend", String, nullable=False),
    Column("address", String, nullable=False),
    Column("vouched", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("ends", Float, nullable=False, index=True),
    Column("checked", Float, nullable=False),
    Column("sealed", LargeBinary),
)
