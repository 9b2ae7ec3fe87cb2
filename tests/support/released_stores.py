"""The stores that releases have made, each with a row in every table, as SQL of SQLite and of PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, MetaData

FOLDER = Path(__file__).resolve().parents[1] / "data" / "stores"


def releases() -> list[str]:
    """All releases that have made a store of another kind than the one before."""
    return sorted(path.name.removesuffix("-sqlite.sql") for path in FOLDER.glob("*-sqlite.sql"))


def fill(connection: Connection, release: str) -> dict[str, list[dict[str, object]]]:
    """Make the store of a release in an empty database; the rows of each table."""
    statements = (FOLDER / f"{release}-{connection.dialect.name}.sql").read_text().splitlines()
    for statement in statements:
        connection.exec_driver_sql(statement.rstrip(";"))
    return rows(connection)


def rows(connection: Connection) -> dict[str, list[dict[str, object]]]:
    """The rows of each table, with all columns that it has in the database."""
    there = MetaData()
    there.reflect(connection)
    return {
        name: [dict(row) for row in connection.execute(table.select()).mappings()]
        for name, table in there.tables.items()
    }
