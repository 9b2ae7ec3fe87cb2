"""The tables of logins, and where all tables are registered."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table

METADATA = MetaData()

AUTHIDS = Table(
    "authids",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("username", String, nullable=False),
    Column("realm", String, nullable=False),
    Column("address", String, nullable=False),
    Column("login_time", Float, nullable=False),
    Column("expires", Float, nullable=False, index=True),
    Column("spent_at", Float),
)

CLIENT_EVENTS = Table(
    "client_events",
    METADATA,
    Column("username", String, primary_key=True),
    Column("session", String, primary_key=True),
    Column("event", String, nullable=False),
    Column("login", String, nullable=False),
    Column("server", String, nullable=False),
    Column("client", String, nullable=False),
    Column("address", String, nullable=False),
    Column("command", String, nullable=False),
    Column("display", String, nullable=False),
    Column("started", String, nullable=False),
    Column("elapsed", Integer, nullable=False),
    Column("version", String, nullable=False),
    Column("system", String, nullable=False),
    Column("reported", Float, nullable=False, index=True),
)

TOTP = Table(
    "totp",
    METADATA,
    Column("username", String, primary_key=True),
    Column("secret", String, nullable=False),
    Column("enrolled", Float, nullable=False),
    Column("last_step", BigInteger, nullable=False),
)

PENALTIES = Table(
    "penalties",
    METADATA,
    Column("realm", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("block", String, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last", Float, nullable=False, index=True),
    Column("not_before", Float, nullable=False),
    Column("banned_until", Float, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("mark", LargeBinary),
)

# passwords that are being checked: `held` where it could not be told whether they were right
ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("place", String, primary_key=True),
    Column("realm", String, nullable=False),
    Column("account", String, nullable=False),
    Column("block", String, nullable=False, index=True),
    Column("mark", LargeBinary, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("expires", Float, nullable=False, index=True),
)
