"""One running desktop in the memory of the service: its connections, its worker, and when it is to end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from x2gobroker.remote.types import SessionType
from x2gobroker.remote.workers import Worker
from x2gobroker.store import SignInTie, Slot, Why

ABSOLUTE, IDLE, GRACE = Why.ABSOLUTE, Why.IDLE, Why.GRACE
DEFAULT_STOP_SECONDS = 20


class Connection(Protocol):
    """A connection of a browser, as far as desktops care."""

    share: bytes | None
    sign_in: SignInTie | None  # with which it ends
    last_input: float  # when its own user last did something, seconds of the epoch

    def cut(self, why: str) -> None:
        """End it, without waiting; the browser is told why."""


@dataclass(eq=False)
class Desktop:
    """What the service knows of one slot that is in use. Times are seconds of the epoch."""

    slot: Slot
    kind: SessionType | None
    worker: Worker | None = None
    connections: set[Connection] = field(default_factory=set)
    beside: set[Connection] = field(default_factory=set)  # for files and sound; they do not keep it running
    running: bool = False
    started: float = 0.0
    last_seen: float = field(default_factory=time.time)  # when its user was last connected
    last_input: float = field(default_factory=time.time)
    starting: asyncio.Task[None] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Task[None] | None = None
    written: tuple[object, ...] = ()
    written_at: float = 0.0
    broken_since: float | None = None
    began: bool = False  # whether its script may have begun to start it; if not, nothing runs
    fault: str = ""  # for the user
    why: Why = Why.UNKNOWN  # it is being stopped
    password: str | None = field(
        default=None, repr=False
    )  # of its VNC server, as its worker said at the last connection
    looked_after: bool = False
    unsure: bool = False

    def touch(self) -> None:
        """The user has done something."""
        self.last_input = time.time()

    def enter(self, connection: Connection) -> None:
        """A connection begins."""
        self.connections.add(connection)
        if connection.share is None:
            self.last_seen = time.time()
            self.touch()

    def leave(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if connection.share is None:
            self.last_seen = time.time()

    def cut(self, why: str) -> None:
        """End all of them, those for files and sound, too; browsers are told why."""
        for connection in self.links:
            connection.cut(why)

    @property
    def links(self) -> list[Connection]:
        """All connections, those for files and sound, too."""
        return [*self.connections, *self.beside]

    @property
    def watched(self) -> bool:
        """Whether somebody is connected who has it, and is no guest with a link."""
        return any(connection.share is None for connection in self.connections)

    @property
    def stop_seconds(self) -> int:
        """How long its script may take to stop."""
        return self.kind.stop_seconds if self.kind else DEFAULT_STOP_SECONDS

    def limit(self, why: Why) -> float | None:
        """How many seconds the limit is that has ended it; None for all other reasons."""
        if self.kind is None:
            return None
        kind = self.kind
        limits = {ABSOLUTE: kind.absolute_minutes * 60.0, IDLE: kind.idle_minutes * 60.0, GRACE: kind.grace_seconds}
        return limits.get(why)

    def end(self) -> tuple[float, Why] | None:
        """When it is to end as things stand, and by which limit; None: never."""
        if self.kind is None:
            return None
        limits = []
        if self.kind.absolute_minutes:
            limits.append((self.started + self.kind.absolute_minutes * 60, ABSOLUTE))
        if self.kind.idle_minutes:
            limits.append((self.last_input + self.kind.idle_minutes * 60, IDLE))
        if not self.watched:
            limits.append((self.last_seen + self.kind.grace_seconds, GRACE))
        return min(limits, default=None)
