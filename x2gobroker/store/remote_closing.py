"""Whether there are new desktops in the browser: an administrator may close them, for all brokers of the store."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from x2gobroker.errors import BrokerError
from x2gobroker.store.remote_tables import REMOTE_CLOSED


@dataclass(frozen=True)
class Closing:
    """No new desktops `since` then (seconds of the epoch); who has closed them, and why, which users are told."""

    by: str
    reason: str
    since: float


class DesktopsClosedError(BrokerError):
    """There are no new desktops at present; `closing` says why."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(f"no new desktops: closed by {closing.by}" + (f": {closing.reason}" if closing.reason else ""))
        self.closing = closing


def read_closing(connection: Connection) -> Closing | None:
    """The closing, in a transaction that has begun; None while there are new desktops. Raises SQLAlchemyError."""
    columns = REMOTE_CLOSED.c
    row = connection.execute(select(columns.by, columns.reason, columns.since)).first()
    return None if row is None else Closing(*row)
