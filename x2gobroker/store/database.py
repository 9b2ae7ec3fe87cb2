"""The database: SQLite in a folder of the broker's own, or whatever `database-url` names."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from x2gobroker.errors import StoreError
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store import sqlite_file
from x2gobroker.store.breaker import Breaker
from x2gobroker.store.patience import be_patient, connect_options
from x2gobroker.store.schema import Standing, TooNewError, bring_up, standing_of
from x2gobroker.store.shown import shown_url, without_secrets

FILE_NAME = "x2gobroker.sqlite"
BUSY_SECONDS = 5


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
        with self._guarded(), self._opened().begin() as connection:
            yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the whole store, to read only. Raises StoreError."""
        with self._guarded(), self._opened().connect() as connection:
            if self._is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def standing(self) -> Standing:
        """What a store that is there says of its schema; it is not brought up. Raises StoreError."""
        with self._guarded():
            engine = self._connected()
            try:
                return standing_of(engine)
            finally:
                engine.dispose()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Errors of the database become StoreErrors, and its silence holds up few."""
        try:
            token = self._breaker.enter()
        except TimeoutError as error:
            raise StoreError(f"the state store {self.place} fails: {error}") from None
        failure = ""
        try:
            yield
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
    def _path(self) -> Path:
        return Path(self.url.database or "")

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
        engine = self._connected()
        try:
            with self._turn(engine):
                bring_up(engine)
        except TooNewError as error:
            raise StoreError(f"the state store {self.place} cannot be used: {error}") from None
        return engine

    @contextlib.contextmanager
    def _turn(self, engine: Engine) -> Iterator[None]:
        """One process at a time, where the database does not see to that itself."""
        if not self._is_sqlite:
            yield
            return
        with sqlite_file.turn(self._path):
            sqlite_file.begin_log(engine)
            yield

    def _connected(self) -> Engine:
        try:
            if self._is_sqlite:
                return self._of_file()
            engine = create_engine(
                self.url, pool_pre_ping=True, pool_timeout=BUSY_SECONDS, connect_args=self._deadlines()
            )
        except (NoSuchModuleError, ImportError):
            raise StoreError(
                f"no driver for {self.url.get_backend_name()} is installed; pip install 'x2gobroker[postgresql]'"
            ) from None
        if self._is_postgresql:
            be_patient(engine)
        return engine

    def _of_file(self) -> Engine:
        self._make_file(self._path)
        engine = create_engine(self.url, pool_timeout=BUSY_SECONDS, connect_args={"timeout": sqlite_file.BUSY_SECONDS})
        event.listen(engine, "connect", sqlite_file.prepare)
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
