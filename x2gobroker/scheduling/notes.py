"""What a choice lets others know: the inventory, which is a room of its own, beside this one."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.sessions import Listing
from x2gobroker.store.reservations import Claim


class Notes(Protocol):
    """Who is told where users were sent, and what agents said of their sessions. `user` is the account on servers."""

    def placed(
        self, connection: Connection, user: str, claim: Claim, server: Endpoint, now: float, heard: Listing
    ) -> None:
        """A user was sent to this server for a new session; within the transaction that reserves the place."""

    def listed(self, user: str, heard: Listing) -> None:
        """Agents have listed the sessions of a user. Raises StoreError."""
