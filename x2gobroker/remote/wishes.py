"""What others wish of the desktops of one service, as the store has it: that they stop, that connections end.

The portal, administrators and the clock of a sign-in all write into the store, and nobody else tells the service.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from x2gobroker.logs import broker_log
from x2gobroker.remote.desktop import Connection, Desktop
from x2gobroker.remote.stopping import name_of
from x2gobroker.remote.told import SIGNED_OUT
from x2gobroker.store import RemoteDesktops, SignInTie, Slot, Why
from x2gobroker.store.remote_desktops import ADMINISTRATOR, CUT, FAILED

SWEEP_SECONDS = 10.0  # how often the store is rid of what counts no longer

T = TypeVar("T")


class AskStore(Protocol):
    """Does something with the store, beside the event loop. Raises StoreError."""

    def __call__(self, work: Callable[[RemoteDesktops], T], /) -> Awaitable[T]:
        """What the work gives."""


class Stop(Protocol):
    """Stops a desktop, in the background."""

    def __call__(self, desktop: Desktop, why: Why, /, *, by: str) -> object:
        """`by`: which administrator wants it; empty for all others."""


def wish_of(slot: Slot | None) -> tuple[Why | None, str]:
    """Why a desktop is to be stopped, as its row says, and which administrator wants it; None for what goes on."""
    if slot is None:
        return Why.GIVEN_BACK, ""
    word, _, name = slot.wanted.partition(" ")
    if word == ADMINISTRATOR:
        return Why.ADMINISTRATOR, name
    return (Why.of(slot.wanted) if slot.wanted else None), ""


class Wishes:
    """Hears them, and does or has done what they say.

    `known` are the desktops of the service, which others change. `forget` is for a desktop that could not be stopped
    and whose place an administrator gave back: with the desktop, and by whom.
    """

    def __init__(
        self,
        known: Mapping[str, Desktop],
        ask_store: AskStore,
        node: str,
        stop: Stop,
        forget: Callable[[Desktop, str], None],
    ) -> None:
        self._known = known
        self._ask_store = ask_store
        self._node = node
        self._stop = stop
        self._forget = forget
        self._next_sweep = 0.0

    async def hear(self) -> None:
        """Once a second or so: see what is wanted now. Raises StoreError."""
        slots = {slot.id: slot for slot in await self._ask_store(lambda store: store.everything(self._node))}
        for desktop in list(self._known.values()):
            slot = slots.get(desktop.slot.id)
            if slot is not None and slot.wanted == CUT:
                await self._cut(desktop)
                continue
            why, by = wish_of(slot)
            if desktop.broken_since is not None:
                if slot is None or slot.state == FAILED:
                    self._forget(desktop, by)
            elif why is not None and (slot is not None or desktop.running):
                self._stop(desktop, why, by=by)
        await self._cut_guests()
        await self._cut_locked()
        await self._cut_signed_out()
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP_SECONDS
            await self._ask_store(lambda store: store.sweep())

    async def _cut(self, desktop: Desktop) -> None:
        """End its user's connections, as the portal wishes: whoever is still signed in comes back by itself."""
        await self._ask_store(lambda store: store.forget_cut(desktop.slot.id))
        own = [connection for connection in desktop.links if connection.share is None]
        broker_log.info("remote: %s: %d connections are cut: its user was signed out", name_of(desktop.slot), len(own))
        for connection in own:
            connection.cut(SIGNED_OUT)

    async def _cut_guests(self) -> None:
        """End the connections of guests whose link was taken back, or has expired."""
        guests: dict[str, list[Connection]] = {}
        for desktop in self._known.values():
            for connection in desktop.connections:
                if connection.share is not None:
                    guests.setdefault(desktop.slot.id, []).append(connection)
        valid = await self._ask_store(lambda store: store.shares(guests)) if guests else {}
        for connections in guests.values():
            for connection in connections:
                if connection.share not in valid:
                    connection.cut("the link was taken back")

    async def _cut_locked(self) -> None:
        """End all connections to desktops of users who are locked out, whenever they have come in."""
        seen = [desktop for desktop in self._known.values() if desktop.links]
        users = {desktop.slot.username for desktop in seen}
        locked = await self._ask_store(lambda store: store.locked(users)) if users else set()
        for desktop in seen:
            if desktop.slot.username in locked:
                broker_log.info("remote: %s is cut off: its user is locked out", name_of(desktop.slot))
                for connection in desktop.links:
                    connection.cut(SIGNED_OUT)

    async def _cut_signed_out(self) -> None:
        """End the connections whose sign-in at the portal has ended, by time or otherwise. Work at one keeps it."""
        tied = [c for desktop in self._known.values() for c in desktop.links if c.sign_in is not None]
        worked: dict[SignInTie, float] = {}
        for connection in tied:
            if connection.sign_in is not None:
                worked[connection.sign_in] = max(worked.get(connection.sign_in, 0.0), connection.last_input)
        going_on = await self._ask_store(lambda store: store.signed_in(worked)) if worked else set()
        for connection in tied:
            if connection.sign_in is not None and connection.sign_in.digest not in going_on:
                connection.cut(SIGNED_OUT)
