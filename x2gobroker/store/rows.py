"""Rows that are written whether or not there is one already, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that may have an ON CONFLICT clause, of the connection's dialect."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """The same of a dialect by its name, for statements that are made once; the other dialect is not even loaded."""
    if dialect == "postgresql":
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
