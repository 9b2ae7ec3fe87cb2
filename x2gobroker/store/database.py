"""The database: SQLite in a folder of the broker's own, or whatever `database-url` names."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    inspect,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from x2gobroker.errors import StoreError
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store import sqlite_file
from x2gobroker.store.breaker import Breaker
from x2gobroker.store.patience import be_patient, connect_options
from x2gobroker.store.shown import shown_url, without_secrets

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

FILE_NAME = "x2gobroker.sqlite"
BUSY_SECONDS = 5
CREATE_TURNS = 3
CREATING = 0x78326762  # of PostgreSQL's advisory locks, that of whoever makes tables
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


def database_url(settings: Settings) -> URL:
    """The URL of the store. Raises StoreError, which never repeats the URL: it may hold a password."""
    text = settings.text(GLOBAL, "database-url").strip()
    if not text:
        return URL.create("sqlite", database=str(settings.path(GLOBAL, "cookie-directory") / FILE_NAME))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise StoreError("database-url is no URL; write postgresql://user:password@host/name") from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    return url


class Store:
    """One database with its tables, opened at first use and again after a fork.

    Safe for threads. Every use is one short transaction: `with store.begin() as connection`.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._breaker = Breaker()
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._pid = 0

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block. Raises StoreError with what to do.

        While the database hangs, it raises at once: see `breaker.py`.
        """
        try:
            token = self._breaker.enter()
        except TimeoutError as error:
            raise StoreError(f"the state store {self.place} fails: {error}") from None
        failure = ""
        try:
            with self._opened().begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            failure = self._reason(error)
            raise StoreError(f"the state store {self.place} fails: {failure}") from None
        except StoreError as error:
            failure = str(error)
            raise
        finally:
            self._breaker.leave(token, failure)

    @property
    def place(self) -> str:
        """Where the store is, without a password."""
        return shown_url(self.url)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose(close=self._pid == os.getpid())
                self._engine = None

    @property
    def _is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def _is_postgresql(self) -> bool:
        return self.url.get_backend_name() == "postgresql"

    def _opened(self) -> Engine:
        engine = self._engine
        if engine is not None and self._pid == os.getpid():
            return engine
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise StoreError(f"the state store {self.place} fails: it cannot be opened")
        try:
            if self._engine is None or self._pid != os.getpid():
                if self._engine is not None:
                    self._engine.dispose(close=False)  # they belong to the process this one was forked from
                self._engine, self._pid = self._open(), os.getpid()
            return self._engine
        finally:
            self._lock.release()

    def _open(self) -> Engine:
        try:
            return self._open_file(Path(self.url.database or "")) if self._is_sqlite else self._open_server()
        except (NoSuchModuleError, ImportError):
            raise StoreError(
                f"no driver for {self.url.get_backend_name()} is installed; pip install 'x2gobroker[postgresql]'"
            ) from None

    def _open_server(self) -> Engine:
        engine = create_engine(self.url, pool_pre_ping=True, pool_timeout=BUSY_SECONDS, connect_args=self._deadlines())
        if self._is_postgresql:
            be_patient(engine)
        create_tables(engine)
        return engine

    def _open_file(self, path: Path) -> Engine:
        self._make_file(path)
        engine = create_engine(self.url, pool_timeout=BUSY_SECONDS, connect_args={"timeout": sqlite_file.BUSY_SECONDS})
        event.listen(engine, "connect", sqlite_file.prepare)
        with sqlite_file.turn(path):
            sqlite_file.begin_log(engine)
            create_tables(engine)
        return engine

    def _make_file(self, path: Path) -> None:
        sqlite_file.make(path)

    def _deadlines(self) -> dict[str, Any]:
        return connect_options(self.url.query) if self._is_postgresql else {}

    def _reason(self, error: SQLAlchemyError) -> str:
        """The driver's own words: those of SQLAlchemy would repeat statements and values."""
        original = getattr(error, "orig", None)
        if original is None:
            return "too many wait for it" if isinstance(error, PoolTimeoutError) else type(error).__name__
        return without_secrets(str(original).strip().replace("\n", " "), self.url)


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that may have an ON CONFLICT clause, of the connection's dialect; the other one is not even loaded."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        return insert_postgresql(table)
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite(table)


def put(
    connection: Connection,
    table: Table,
    row: Mapping[str, object],
    when: Callable[[Any], ColumnElement[bool]] | None = None,
) -> bool:
    """Write a row in one statement, whether or not there is one with its primary key; False where it stays as it is.

    `when` is given the columns of the new row, and says under which condition it takes the place of the old one. To
    delete and insert, or to look and insert, fails in PostgreSQL when two do it at once.
    """
    statement = upsert(connection, table).values(**row)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in row if name not in keys}
    condition = None if when is None else when(statement.excluded)
    written = statement.on_conflict_do_update(index_elements=keys, set_=changed, where=condition)
    return connection.execute(written.returning(*table.primary_key)).first() is not None


def put_new(connection: Connection, table: Table, row: Mapping[str, object]) -> bool:
    """Write a row, unless there is one with its primary key; whether it was written."""
    statement = upsert(connection, table).values(**row).on_conflict_do_nothing()
    return connection.execute(statement.returning(*table.primary_key)).first() is not None


def create_tables(engine: Engine) -> None:
    """Make what is missing of the tables. Brokers that start at the same moment do not get into each other's way.

    Nothing is said to the database where nothing is missing: in PostgreSQL, CREATE INDEX IF NOT EXISTS waits for all
    who write to the table, and they may wait for it.
    """
    if not _missing(engine):
        return
    with _one_at_a_time(engine):
        for turn in range(CREATE_TURNS):
            try:
                for statement in _missing(engine):
                    with engine.begin() as connection:
                        connection.execute(statement)
                return
            except (IntegrityError, OperationalError, ProgrammingError):
                # a broker of before, which does not know of the lock, may make the same table
                if turn == CREATE_TURNS - 1:
                    raise


@contextlib.contextmanager
def _one_at_a_time(engine: Engine) -> Iterator[None]:
    """PostgreSQL: of two who create a table at once, both find it missing, and one of them fails. So they take turns.

    The lock is the connection's, outside of any transaction, so that it holds up nobody who reads or writes.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(select(func.pg_advisory_lock(CREATING)))
        try:
            yield
        finally:
            connection.execute(select(func.pg_advisory_unlock(CREATING)))


def _missing(engine: Engine) -> list[ExecutableDDLElement]:
    """The statements that make the tables and indexes which are not there."""
    there = inspect(engine)
    tables = set(there.get_table_names())
    indexes = {index["name"] for found in there.get_multi_indexes().values() for index in found}
    statements: list[ExecutableDDLElement] = []
    for table in METADATA.sorted_tables:
        if table.name not in tables:
            statements.append(CreateTable(table, if_not_exists=True))
        statements.extend(
            CreateIndex(index, if_not_exists=True) for index in table.indexes if str(index.name) not in indexes
        )
    return statements
