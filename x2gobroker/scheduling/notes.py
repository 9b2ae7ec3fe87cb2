"""What a choice is told by others, and lets them know: the inventory, which is a room of its own, beside this one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from sqlalchemy import Connection

from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import Beforehand
from x2gobroker.model.sessions import Listing
from x2gobroker.store.reservations import Claim


class Notes(Protocol):
    """Who knows of sessions before anybody is asked, and is told where users were sent and what agents said of them.

    `user` is the account on servers.
    """

    def known(
        self, connection: Connection, user: str, keys: Collection[str], rule: float, wants_counts: bool
    ) -> Beforehand:
        """What is known of the sessions of a user on these servers. `rule`: the option `sessions-known-for`."""

    def placed(
        self, connection: Connection, user: str, claim: Claim, server: Endpoint, now: float, heard: Listing
    ) -> None:
        """A user was sent to this server for a new session; within the transaction that reserves the place."""

    def listed(self, user: str, heard: Listing) -> None:
        """Agents have listed the sessions of a user. Raises StoreError."""
