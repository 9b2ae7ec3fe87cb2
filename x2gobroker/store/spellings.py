"""Whose a row is, in whatever spelling the user's name is written there: `Anna` on a phone is `anna` at a desk."""

from __future__ import annotations

import pwd
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from x2gobroker.model.accounts import account_name


def same_account(one: str, other: str) -> bool:
    """Whether two names are of one account. Spellings that many services take for the same are, unless this system has
    an account of each: what belongs to the one is not the other's then.
    """
    if one == other:
        return True
    if account_name(one) != account_name(other):
        return False
    first, second = _number(one), _number(other)
    return first is None or second is None or first == second


def is_of(connection: Connection, column: ColumnElement[Any], user: str) -> ColumnElement[bool]:
    """The condition for the rows that are a user's by the name in `column`, in a transaction that has begun."""
    written = connection.execute(select(column).distinct()).scalars()
    return column.in_([name for name in written if same_account(name, user)])


def _number(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError, OSError):  # no account of this system, or no possible name of one
        return None
