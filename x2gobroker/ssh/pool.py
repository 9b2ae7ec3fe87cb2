"""Connections that are kept: one for each server and user, shared by threads, closed when nobody needs them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.ssh.connect import connect
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.execute import MOST_BYTES, Executed, open_session, run
from x2gobroker.ssh.failures import NobodyAnswers, NoSession, SshTimeout
from x2gobroker.ssh.routes import Route
from x2gobroker.ssh.stream import CommandStream

IDLE_SECONDS = 1800.0  # a new connection costs both sides some 50 ms of work
TCP_SECONDS = 2.0  # for one lost packet; who does not answer by then is not there, however long a command may take
SESSIONS = 8  # sshd allows ten on one connection (MaxSessions)
CONNECTIONS = 4
SUSPECT_SECONDS = 5.0
SUSPECT_PATIENCE = 2.0
MOST_REFUSALS = 200
PAUSE_SECONDS = 0.02


@dataclass(eq=False)
class _Connection:
    """One connection. `busy` counts commands, `tunnels` the connections that go through it.

    `proven`: it has opened a session before, so that a refusal means that the server allows no more at a time.
    """

    route: Route
    transport: paramiko.Transport
    proxy: _Connection | None = None
    busy: int = 0
    tunnels: int = 0
    capacity: int = SESSIONS
    proven: bool = False
    refusals: int = 0
    last_used: float = field(default_factory=time.monotonic)
    retired: bool = False

    @property
    def is_usable(self) -> bool:
        return not self.retired and self.transport.is_active()

    @property
    def is_idle(self) -> bool:
        return not self.busy and not self.tunnels


@dataclass
class _Shelf:
    """What there is for one route. `attempts` counts what was tried: threads that wait for it share a failure."""

    connections: list[_Connection] = field(default_factory=list)
    connecting: bool = False
    waiting: int = 0
    attempts: int = 0
    failure: SshError | None = None

    @property
    def is_needed(self) -> bool:
        return bool(self.connections or self.connecting or self.waiting)


class SshPool:
    """Runs commands on kept connections; safe for threads. A forked child starts with none of the parent's."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._start_anew()
        _POOLS.add(self)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._reaping = threading.Condition(self._lock)
        self._shelves: dict[Route, _Shelf] = {}
        self._doomed: list[_Connection] = []
        self._reaper: threading.Thread | None = None

    def execute(
        self, route: Route, command: str, seconds: float, max_bytes: int = MOST_BYTES, input: bytes = b""
    ) -> Executed:
        """Run a command, connecting first where there is no connection. All of it within `seconds`.

        Raises what `connect` and `execute` raise. A command that was certainly not started, because a kept
        connection had ended, is tried once more on a new one; others never.
        """
        deadline = Deadline(seconds, f"{route.shown}: a command")
        connection, channel = self._session(route, deadline)
        try:
            return run(channel, command, deadline, max_bytes, input)
        except SshTimeout:
            # closing it makes the server clear up: what goes on there counts for its limits
            connection.retired = True
            raise
        finally:
            self._give_back(connection)

    def listen(self, route: Route, command: str, seconds: float) -> CommandStream:
        """Start a command that goes on saying things, within `seconds`; its connection is used until it is closed.

        Raises what `execute` raises.
        """
        deadline = Deadline(seconds, f"{route.shown}: starting a command")
        connection, channel = self._session(route, deadline)

        def freed(is_doubtful: bool) -> None:
            connection.retired |= is_doubtful
            self._give_back(connection)

        return CommandStream.begin(channel, command, deadline, freed)

    def close(self) -> None:
        """Close all connections, also those in use. The pool may be used again."""
        with self._locked():
            for shelf in self._shelves.values():
                for connection in shelf.connections:
                    connection.retired = True
                self._doomed += shelf.connections
                shelf.connections.clear()
            self._changed.notify_all()
            self._reaping.notify_all()

    def connections(self, route: Route) -> int:
        """How many connections there are for a route."""
        with self._lock:
            shelf = self._shelves.get(route)
            return len(shelf.connections) if shelf else 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock; behind it, what has to go is closed, because that may take a moment."""
        with self._lock:
            yield
            doomed, self._doomed = self._doomed, []
        for connection in doomed:
            connection.transport.close()

    def _session(self, route: Route, deadline: Deadline) -> tuple[_Connection, paramiko.Channel]:
        """A connection with an open channel for a command. Raises SshError."""
        failures = 0
        while True:
            connection, is_new = self._take(route, deadline)
            try:
                channel = open_session(connection.transport, _patience(connection, is_new, deadline))
                connection.proven = True
                return connection, channel
            except (NoSession, SshTimeout) as failure:
                if self._is_full(connection, failure):
                    continue
                connection.retired = True
                self._give_back(connection)
                failures += 1
                if is_new or failures > 1:
                    raise
            except BaseException:
                self._give_back(connection)
                raise

    def _is_full(self, connection: _Connection, failure: SshError) -> bool:
        """Whether a session was refused because there are too many: then it is tried again, with fewer, a bit later."""
        with self._lock:
            connection.refusals += 1
            if not isinstance(failure, NoSession) or not failure.busy or connection.refusals > MOST_REFUSALS:
                return False
            if connection.busy < 2 and not connection.proven:
                return False
            connection.capacity = max(1, min(connection.capacity, connection.busy - 1))
        self._give_back(connection)
        with self._lock:
            self._changed.wait(PAUSE_SECONDS)
        return True

    def _take(self, route: Route, deadline: Deadline, for_tunnel: bool = False) -> tuple[_Connection, bool]:
        """A usable connection, counted as used, and whether it is new. One thread connects, the others wait for it."""
        seen = -1
        with self._locked():
            shelf = self._shelves.setdefault(route, _Shelf())
            shelf.waiting += 1
            try:
                while True:
                    self._drop_unusable(shelf)
                    for connection in shelf.connections:
                        if for_tunnel or connection.busy < connection.capacity:
                            return _counted(connection, for_tunnel), False
                    if 0 <= seen < shelf.attempts and shelf.failure is not None:
                        raise shelf.failure
                    if not shelf.connecting and len(shelf.connections) < CONNECTIONS:
                        shelf.connecting = True
                        break
                    seen = shelf.attempts
                    if not self._changed.wait(deadline.left()):
                        raise deadline.passed()
            finally:
                shelf.waiting -= 1
                self._clear_away(route, shelf)
        return self._connect(route, shelf, deadline, for_tunnel), True

    def _connect(self, route: Route, shelf: _Shelf, deadline: Deadline, for_tunnel: bool) -> _Connection:
        """A new connection, counted as used. Waiting threads get its failure, unless only its deadline passed."""
        connection, failure = None, None
        try:
            connection = _counted(self._open(route, deadline), for_tunnel)
            return connection
        except SshError as error:
            own = isinstance(error, SshTimeout) and not isinstance(error, NobodyAnswers)
            failure = None if own else error
            raise
        finally:
            with self._locked():
                shelf.connecting = False
                shelf.attempts += 1
                shelf.failure = failure
                if connection is not None:
                    shelf.connections.append(connection)
                    self._need_reaper()
                self._clear_away(route, shelf)
                self._changed.notify_all()

    def _open(self, route: Route, deadline: Deadline) -> _Connection:
        if route.proxy is None:
            return _Connection(route, connect(route, deadline.left(), tcp_seconds=TCP_SECONDS))
        proxy, _ = self._take(route.proxy, deadline, for_tunnel=True)
        try:
            return _Connection(route, connect(route, deadline.left(), proxy.transport), proxy)
        except BaseException:
            self._give_back(proxy, tunnel=True)
            raise

    def _give_back(self, connection: _Connection, tunnel: bool = False) -> None:
        with self._locked():
            if tunnel:
                connection.tunnels -= 1
            else:
                connection.busy -= 1
            connection.last_used = time.monotonic()
            shelf = self._shelves.get(connection.route)
            if shelf is not None:
                self._drop_unusable(shelf)
                self._clear_away(connection.route, shelf)
            if connection.retired and connection.is_idle:
                self._doom(connection)
            self._changed.notify_all()

    def _clear_away(self, route: Route, shelf: _Shelf) -> None:
        if not shelf.is_needed and self._shelves.get(route) is shelf:
            del self._shelves[route]

    def _drop_unusable(self, shelf: _Shelf) -> None:
        """Take dead and retired connections off the shelf; whoever still uses a retired one goes on."""
        for connection in [each for each in shelf.connections if not each.is_usable]:
            shelf.connections.remove(connection)
            connection.retired = True
            if connection.is_idle or not connection.transport.is_active():
                self._doom(connection)

    def _doom(self, connection: _Connection) -> None:
        """Have a connection closed, which frees the one to its proxy."""
        self._doomed.append(connection)
        proxy, connection.proxy = connection.proxy, None
        if proxy is not None:
            proxy.tunnels -= 1
            proxy.last_used = time.monotonic()
            if proxy.retired and proxy.is_idle:
                self._doom(proxy)

    def _need_reaper(self) -> None:
        if self._reaper is None:
            self._reaper = threading.Thread(target=self._reap, name="ssh-pool", daemon=True)
            self._reaper.start()

    def _reap(self) -> None:
        """Close what is idle for long. The thread ends with the last connection."""
        while True:
            with self._locked():
                pause = self._retire_idle()
                if not self._shelves:
                    self._reaper = None
                    return
            with self._lock:
                if self._shelves:
                    self._reaping.wait(pause)

    def _retire_idle(self) -> float:
        """Retire what is idle for long; the seconds until the next may be."""
        now = time.monotonic()
        oldest = now
        for route, shelf in list(self._shelves.items()):
            for connection in shelf.connections:
                if connection.is_idle:
                    connection.retired |= now - connection.last_used >= self._idle_seconds
                    oldest = oldest if connection.retired else min(oldest, connection.last_used)
            self._drop_unusable(shelf)
            self._clear_away(route, shelf)
        return max(0.01, oldest + self._idle_seconds - now)


def _patience(connection: _Connection, is_new: bool, deadline: Deadline) -> float:
    """Seconds for opening a session; few where a firewall may have forgotten the connection."""
    left = deadline.left()
    if not is_new and time.monotonic() - connection.last_used > SUSPECT_SECONDS:
        return min(SUSPECT_PATIENCE, left / 2)
    return left


def _counted(connection: _Connection, for_tunnel: bool) -> _Connection:
    if for_tunnel:
        connection.tunnels += 1
    else:
        connection.busy += 1
    return connection


_POOLS: weakref.WeakSet[SshPool] = weakref.WeakSet()


def _start_anew_in_child() -> None:
    """A forked child has none of the parent's threads; whatever these connections were is left alone."""
    for pool in list(_POOLS):
        _LEFT_BEHIND.append(pool._shelves)
        pool._start_anew()


_LEFT_BEHIND: list[object] = []  # never collected: destructors of paramiko write to the connection
os.register_at_fork(after_in_child=_start_anew_in_child)
