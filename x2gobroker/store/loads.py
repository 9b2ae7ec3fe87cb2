"""What the load checker found out about X2Go Servers: one row for each SSH server, the last good report in it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, delete, or_, select

from x2gobroker.model.inventory import CLOCK_SECONDS
from x2gobroker.model.load import LoadReport
from x2gobroker.store.database import Store
from x2gobroker.store.rows import upsert
from x2gobroker.store.server_tables import SERVER_LOADS, lock

LOCK = "loads"
OK = "ok"
# reasons that speak of the server, not of one answer: the same words as agents.base.SERVER_TROUBLE
TROUBLE = ("unreachable", "timeout", "host-key", "login")
FRESH_INTERVALS = 3
MOST_KEYS = 500  # in one statement
T = SERVER_LOADS.c


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
        """The report, unless it is older than three intervals of the load checker, or from a clock that was ahead."""
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
        A stored one of a moment still to come is no reason to: some clock was ahead. `now` is seconds since the epoch,
        by default the present.
        """
        by_key = {row.key: row for row in rows}
        if not by_key:
            return
        latest = (time.time() if now is None else now) + CLOCK_SECONDS
        with self.store.begin() as connection:
            lock(connection, LOCK)
            for row in by_key.values():
                values = _values(row)
                statement = upsert(connection, SERVER_LOADS).values(answered=row.answered, **values)
                names = {*values, "answered"} if row.report is not None else values.keys()
                changed = {name: statement.excluded[name] for name in names if name != "key"}
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=[T.key],
                        set_=changed,
                        where=or_(T.asked <= statement.excluded.asked, T.asked > latest),
                    )
                )

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
            query = select(SERVER_LOADS).where(T.key.in_(wanted[begin : begin + MOST_KEYS]))
            found.update((row.key, _read(row)) for row in connection.execute(query))
        return found

    def all(self) -> list[ServerLoad]:
        """What is known of all servers, by name."""
        with self.store.begin() as connection:
            return [_read(row) for row in connection.execute(select(SERVER_LOADS).order_by(T.name, T.key))]

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


def _values(row: ServerLoad) -> dict[str, object]:
    values: dict[str, object] = {
        "key": row.key,
        "name": row.name,
        "state": row.state,
        "asked": row.asked,
        "took": row.took,
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


def _read(row: Row[tuple[object, ...]]) -> ServerLoad:
    report = None
    if row.load is not None:
        report = LoadReport(row.load, row.memory, row.cpus, row.cpu_mhz, row.sessions)
    return ServerLoad(row.key, row.name, row.state, report, row.asked, row.answered, row.took)
