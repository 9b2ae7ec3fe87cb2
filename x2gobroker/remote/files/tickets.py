"""Tickets: for one plain request each, which carries what is in a file, beside the connection that has asked for it.

A ticket is good for what its connection is: the user, the desktop, the sign-in and the address are those of the
connection, and it ends with it. Only its hash is kept, and that is what is looked up, so the time that a look-up takes
says nothing about a ticket.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

SECONDS = 60.0
TICKET_BYTES = 32  # random


@dataclass(frozen=True)
class Offer:
    """What a request may carry: `way` is `upload` or `download`, `size` is in bytes, `name` is for the browser."""

    way: str
    name: str
    size: int


class Holder(Protocol):
    """A connection that tickets are for. `address`: the browser's."""

    @property
    def address(self) -> str:
        """As above."""


L = TypeVar("L", bound=Holder)


@dataclass(frozen=True)
class _Given(Generic[L]):
    link: L
    offer: Offer
    end: float


class Tickets(Generic[L]):
    """Those of one service: at most one for each connection."""

    def __init__(self) -> None:
        self._given: dict[bytes, _Given[L]] = {}
        self._of: dict[L, bytes] = {}

    def give(self, link: L, offer: Offer) -> str:
        """A ticket, for SECONDS from now on; an earlier one of this connection is no longer good."""
        self.drop(link)
        ticket = secrets.token_urlsafe(TICKET_BYTES)
        key = _key(ticket)
        self._given[key] = _Given(link, offer, time.monotonic() + SECONDS)
        self._of[link] = key
        return ticket

    def redeem(self, ticket: str, address: str) -> tuple[L, Offer] | None:
        """Whose it is, and for what; None where it is not good, or comes from another address. It is spent."""
        found = self._given.pop(_key(ticket), None)
        if found is None:
            return None
        del self._of[found.link]
        if time.monotonic() >= found.end or found.link.address != address:
            return None
        return found.link, found.offer

    def drop(self, link: L) -> None:
        """The ticket of this connection is no longer good."""
        key = self._of.pop(link, None)
        if key is not None:
            del self._given[key]


def _key(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
