"""What the load checker found out about X2Go Servers: one row for each SSH server, the last good report in it."""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, or_, select

from x2gobroker.model.inventory import AHEAD_SECONDS, CLOCK_SECONDS
from x2gobroker.model.load import LoadReport
from x2gobroker.store.database import Store
from x2gobroker.store.rows import insert_of
from x2gobroker.store.server_tables import SERVER_LOADS, lock

LOCK = "loads"
OK = "ok"
# reasons that speak of the server, not of one answer: the same words as agents.base.SERVER_TROUBLE
TROUBLE = ("unreachable", "timeout", "host-key", "login")
FRESH_INTERVALS = 3
MOST_KEYS = 500  # in one statement
T = SERVER_LOADS.c
# made once: every login reads these, of hundreds of servers maybe
_REPORT = (T.load, T.memory, T.cpus, T.cpu_mhz, T.sessions)
_COLUMNS = (T.key, T.name, T.state, T.asked, T.answered, T.took, *_REPORT)
_SOME = select(*_COLUMNS).where(T.key.in_(bindparam("keys", expanding=True)))
_ALL = select(*_COLUMNS).order_by(T.name, T.key)


@dataclass(frozen=True)
class ServerLoad:
    """What is known of one server; `key` is that of its Endpoint.

    `state` is `ok` or the reason why the last question failed. `asked` and `answered` are seconds since the epoch:
    of the last question, and of the last good report (0.0: never). `took` is how many seconds the last answer took.
    """

    key: str
    name: str
    state: str
    report: LoadReport | None
    asked: float
    answered: float
    took: float

    def fresh_report(self, interval: float, now: float) -> LoadReport | None:
        """The report, unless it is older than three intervals of the load checker, or from a clock that was ahead.

        That may be ahead by as much as CLOCK_SECONDS, which is more than counts for sessions: a report only ranks
        servers. Without it, nobody would know of loads and dead servers as soon as two hosts differ by seconds.
        """
        return self.report if now - FRESH_INTERVALS * interval < self.answered <= now + CLOCK_SECONDS else None

    def was_asked_of_late(self, interval: float, now: float) -> bool:
        """Whether the load checker has asked it within three of its intervals, and not by a clock that was ahead."""
        return now - FRESH_INTERVALS * interval < self.asked <= now + CLOCK_SECONDS

    def is_dead(self, interval: float, now: float) -> bool:
        """Whether the load checker found of late that the server does not answer it."""
        return self.state in TROUBLE and self.was_asked_of_late(interval, now)


class Loads:
    """The loads of one store. All methods raise StoreError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, rows: Iterable[ServerLoad], now: float | None = None) -> None:
        """Write what was found out. A row without a report leaves the last good one and its time as they are.

        Answers may come late and from several load checkers: one that was asked for before the stored one is dropped.
        A stored one of a moment still to come is no reason to: some clock was ahead, and who takes over from that host
        is believed at once. `now` is seconds since the epoch, by default the present.
        """
        by_key = {row.key: row for row in rows}
        if not by_key:
            return
        latest = (time.time() if now is None else now) + AHEAD_SECONDS
        with self.store.begin() as connection:
            lock(connection, LOCK)
            for has_report in (True, False):
                values = [_values(row, latest) for row in by_key.values() if (row.report is not None) is has_report]
                if values:
                    connection.execute(_put(connection.dialect.name, has_report), values)

    def of(self, keys: Collection[str]) -> dict[str, ServerLoad]:
        """What is known of these servers, by key; those that were never asked are left out."""
        if not keys:
            return {}
        with self.store.begin() as connection:
            return self.read(connection, keys)

    @staticmethod
    def read(connection: Connection, keys: Collection[str]) -> dict[str, ServerLoad]:
        """The same in a transaction that has begun. Raises SQLAlchemyError, of which its end makes a StoreError."""
        wanted = list(keys)
        found: dict[str, ServerLoad] = {}
        for begin in range(0, len(wanted), MOST_KEYS):
            portion = {"keys": wanted[begin : begin + MOST_KEYS]}
            found.update((row[0], _read(row)) for row in connection.execute(_SOME, portion).all())
        return found

    def all(self) -> list[ServerLoad]:
        """What is known of all servers, by name."""
        with self.store.begin() as connection:
            return [_read(row) for row in connection.execute(_ALL).all()]

    def known_dead(self, keys: Collection[str], interval: float, now: float | None = None) -> frozenset[str]:
        """The keys of those servers that did not answer the load checker of late; `interval` is its own, in seconds."""
        moment = time.time() if now is None else now
        return frozenset(key for key, load in self.of(keys).items() if load.is_dead(interval, moment))

    def forget(self, keys: Collection[str] = (), asked_before: float = 0.0) -> int:
        """Drop these servers, and those that were last asked before a moment; how many that were."""
        conditions: list[ColumnElement[bool]] = [T.asked < asked_before]
        wanted = list(keys)
        conditions += [T.key.in_(wanted[begin : begin + MOST_KEYS]) for begin in range(0, len(wanted), MOST_KEYS)]
        with self.store.begin() as connection:
            return len(connection.execute(delete(SERVER_LOADS).where(or_(*conditions)).returning(T.key)).all())


@functools.cache
def _put(dialect: str, has_report: bool) -> Any:
    """What writes a row, unless what is there was asked for later, but no later than `latest`."""
    columns = [column for column in _COLUMNS if has_report or column not in _REPORT]
    statement = insert_of(dialect, SERVER_LOADS).values({column.name: bindparam(column.name) for column in columns})
    told = {column.name for column in columns} - ({"key"} if has_report else {"key", "answered"})
    return statement.on_conflict_do_update(
        index_elements=[T.key],
        set_={name: statement.excluded[name] for name in told},
        where=or_(T.asked <= statement.excluded.asked, T.asked > bindparam("latest")),
    )


def _values(row: ServerLoad, latest: float) -> dict[str, object]:
    values: dict[str, object] = {
        "key": row.key,
        "name": row.name,
        "state": row.state,
        "asked": row.asked,
        "answered": row.answered,
        "took": row.took,
        "latest": latest,
    }
    report = row.report
    if report is not None:
        values |= {
            "load": report.load,
            "memory": report.memory,
            "cpus": report.cpus,
            "cpu_mhz": report.cpu_mhz,
            "sessions": report.sessions,
        }
    return values


def _read(row: Sequence[Any]) -> ServerLoad:
    key, name, state, asked, answered, took, load, memory, cpus, cpu_mhz, sessions = row
    report = None if load is None else LoadReport(load, memory, cpus, cpu_mhz, sessions)
    return ServerLoad(key, name, state, report, asked, answered, took)
