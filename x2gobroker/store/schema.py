"""The schema of the store: its number, the steps from one number to the next, and tables that are missing.

A step is made once, by whichever program first opens a store of an older number, in one transaction with the number.
Whatever a step does, `works_from` says which programs can go on with the store: those of the same farm that have not
been upgraded yet, or the one that an administrator goes back to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Engine, Integer, String, Table, func, inspect, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from x2gobroker import __version__
from x2gobroker.store.remote_tables import REMOTE_SHARES, REMOTE_TOKENS
from x2gobroker.store.rows import put
from x2gobroker.store.tables import METADATA

CREATE_TURNS = 3
CREATING = 0x78326762  # of PostgreSQL's advisory locks, that of whoever changes tables
FIRST = 1  # 1.0.0a1, which wrote no number

STORE_SCHEMA = Table(
    "store_schema",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("works_from", Integer, nullable=False),
    Column("program", String, nullable=False),
)


class TooNewError(Exception):
    """A program of a later release has changed the store in a way that this one does not know."""


@dataclass(frozen=True)
class Step:
    """The way to the schema `number` from the one before. New tables need no `change`: they are made in any case.

    `works_from`: the least number that a program may know, and still work with this schema.
    """

    number: int
    what: str
    works_from: int
    change: Callable[[Connection], None] | None = None


@dataclass(frozen=True)
class Standing:
    """What a store says of itself. `number` 0: it is empty."""

    number: int
    works_from: int
    program: str = ""


def _forget_desktop_passwords(connection: Connection) -> None:
    """1.0.0a1 kept VNC passwords of desktops. The column stays for it; nothing reads or writes it any more."""
    columns = {column["name"] for column in inspect(connection).get_columns("remote_slots")}
    if "password" in columns:
        connection.execute(text("UPDATE remote_slots SET password = NULL"))


def _tie_tokens_and_bound_links(connection: Connection) -> None:
    """Programs of before write nothing there: their tokens belong to no sign-in, their links have no end."""
    added = (REMOTE_TOKENS.c.sign_in, REMOTE_TOKENS.c.idle, REMOTE_SHARES.c.ends, REMOTE_SHARES.c.works)
    for column in added:
        table = column.table.name
        if column.name not in {known["name"] for known in inspect(connection).get_columns(table)}:
            kind = column.type.compile(connection.dialect)
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column.name} {kind}"))


STEPS: tuple[Step, ...] = (
    Step(FIRST, "the tables of 1.0.0a1", FIRST),
    Step(
        2,
        "locked users, passwords under way, origins of sessions; no passwords of desktops",
        1,
        _forget_desktop_passwords,
    ),
    Step(3, "sign-ins that tokens of desktops belong to, links with an end", 1, _tie_tokens_and_bound_links),
    Step(4, "sessions on X2Go Servers, and how these servers are heard", 1),
    Step(5, "load checkers that share the servers", 1),
    Step(6, "how desktops in the browser have ended", 1),
)


def newest() -> int:
    """The number of the schema that this program makes."""
    return STEPS[-1].number


def steps_after(number: int) -> tuple[Step, ...]:
    """The steps that a store of this number still has to make."""
    return tuple(step for step in STEPS if step.number > number)


def standing_of(engine: Engine) -> Standing:
    """What the store says of itself. Nothing is changed."""
    tables = set(inspect(engine).get_table_names())
    if STORE_SCHEMA.name in tables:
        with engine.connect() as connection:
            row = connection.execute(select(STORE_SCHEMA)).first()
        if row is not None:
            return Standing(row.number, row.works_from, row.program)
    return Standing(FIRST, FIRST, "1.0.0a1") if tables & set(METADATA.tables) - {STORE_SCHEMA.name} else Standing(0, 0)


def steps_from(standing: Standing) -> tuple[Step, ...]:
    """What is to be done to a store that is not empty. Raises TooNewError."""
    if standing.works_from > newest():
        raise TooNewError(
            f"it was made by x2gobroker {standing.program} (schema {standing.number}), and this is {__version__} "
            f"(schema {newest()}): install that release, or restore a backup of before with x2gobroker store restore"
        )
    return steps_after(standing.number)


def bring_up(engine: Engine) -> None:
    """Bring a store up to this program's schema, and make what is missing of the tables.

    Brokers that start at the same moment do not get into each other's way. Nothing is said to the database where there
    is nothing to do: in PostgreSQL, CREATE INDEX IF NOT EXISTS waits for all who write to the table, and they may wait
    for it. Raises TooNewError, and SQLAlchemyError for what the database does not do.
    """
    standing = standing_of(engine)
    if not steps_from(standing) and (standing.number > newest() or not _missing(engine)):
        return
    with _one_at_a_time(engine):
        standing = standing_of(engine)  # another one may have been quicker
        steps = steps_from(standing)
        if steps:
            _make(engine, [CreateTable(STORE_SCHEMA, if_not_exists=True)])
            _go(engine, steps, is_empty=standing.number == 0)
        if standing.number <= newest():
            for _turn in range(CREATE_TURNS):
                if not (statements := _missing(engine)):
                    break
                _make(engine, statements)


def _go(engine: Engine, steps: tuple[Step, ...], is_empty: bool) -> None:
    """Make the steps, and write the number of the last one: all of it or nothing. An empty store needs no changes."""
    last = steps[-1]
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # its driver begins none before a change of tables
        for step in steps:
            if step.change is not None and not is_empty:
                step.change(connection)
        row = {"id": 1, "number": last.number, "works_from": last.works_from, "program": __version__}
        put(connection, STORE_SCHEMA, row)


def _make(engine: Engine, statements: list[ExecutableDDLElement]) -> None:
    for turn in range(CREATE_TURNS):
        try:
            for statement in statements:
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
