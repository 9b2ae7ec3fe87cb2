"""TCP connections to many hosts at the same time: names are resolved in threads, the rest is one loop without them.

The resolver has no deadline of its own, and a server may never answer: so neither holds up what is asked for beside it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from x2gobroker.model.hosts import ascii_name, is_ip_address

MOST_RESOLVERS = 64
MOST_ADDRESSES = 4  # of one host
CROWDED_SECONDS = 0.05  # how often to look for a free resolver

Tag = TypeVar("Tag", bound=Hashable)
Address = tuple[socket.AddressFamily, Any]

_resolvers = threading.BoundedSemaphore(MOST_RESOLVERS)


def _forget_resolvers() -> None:
    global _resolvers
    _resolvers = threading.BoundedSemaphore(MOST_RESOLVERS)


os.register_at_fork(after_in_child=_forget_resolvers)


def look_up(host: str, port: int) -> list[Address]:
    """The addresses of a host; may take as long as the resolver does. Raises OSError."""
    try:
        found = socket.getaddrinfo(ascii_name(host), port, type=socket.SOCK_STREAM)
    except (UnicodeError, OverflowError):
        raise socket.gaierror(socket.EAI_NONAME, "this can be no name or port of a host") from None
    return [(family, address) for family, _, _, _, address in found]


@dataclass
class _Host(Generic[Tag]):
    """What is under way for one host: addresses that are not tried yet, sockets that are on their way."""

    tag: Tag
    host: str
    port: int
    addresses: deque[Address] = field(default_factory=deque)
    open: int = 0
    due: float = 0.0
    is_resolved: bool = False
    error: OSError = field(default_factory=lambda: OSError(errno.EHOSTUNREACH, "the name has no address"))


class Dial(Generic[Tag]):
    """Connects to hosts, each known by a tag of the caller's; use it in a `with` block, which closes what is left.

    `stagger` is how many seconds lie between attempts at two addresses of one host; 0 tries all of them at once.
    `connecting_since` is when the first server was asked (by time.monotonic()), None while names are being resolved.
    """

    def __init__(self, stagger: float = 0.0) -> None:
        self._stagger = stagger
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._answers: queue.SimpleQueue[tuple[_Host[Tag], list[Address] | OSError]] = queue.SimpleQueue()
        self._unresolved: deque[_Host[Tag]] = deque()
        self._hosts: list[_Host[Tag]] = []
        self._lock = threading.Lock()
        self._ringers = 1  # this object, and the threads that may ring the bell
        self.connecting_since: float | None = None

    def __enter__(self) -> Dial[Tag]:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._ring_no_more()

    def _ring_no_more(self) -> None:
        """A resolver's thread may outlive the rest: the last who may ring the bell closes its end."""
        with self._lock:
            self._ringers -= 1
            if not self._ringers:
                self._ringer.close()

    def begin(self, tag: Tag, host: str, port: int) -> None:
        """Begin to connect to a host."""
        one = _Host(tag, host, port)
        if is_ip_address(host):
            try:
                self._resolved(one, look_up(host, port))
            except OSError as error:
                self._resolved(one, error)
        else:
            self._unresolved.append(one)
            self._resolve()
        self._hosts.append(one)

    def _resolve(self) -> None:
        """Give names to threads, as far as there may be more of them."""
        pool = _resolvers
        while self._unresolved and pool.acquire(blocking=False):
            one = self._unresolved.popleft()
            with self._lock:
                self._ringers += 1
            try:
                threading.Thread(target=self._ask, args=(one, pool), name="ssh-resolver", daemon=True).start()
            except RuntimeError as error:  # as many threads as the system allows
                pool.release()
                self._ring_no_more()
                self._answers.put((one, OSError(errno.EAGAIN, f"the name cannot be resolved: {error}")))

    def _ask(self, one: _Host[Tag], pool: threading.BoundedSemaphore) -> None:
        """In a thread of its own."""
        try:
            self._answers.put((one, look_up(one.host, one.port)))
        except OSError as error:
            self._answers.put((one, error))
        finally:
            pool.release()
        with contextlib.suppress(OSError):  # nobody listens any more, or the bell has rung often enough
            self._ringer.send(b"!")
        self._ring_no_more()

    def wait(self, seconds: float) -> list[tuple[Tag, socket.socket | OSError]]:
        """What has come of it, within `seconds`: connected sockets, which are the caller's then; hosts that failed."""
        end = time.monotonic() + seconds
        done: list[tuple[Tag, socket.socket | OSError]] = []
        while not done:
            now = time.monotonic()
            self._go_on(now)
            done += self._failed()
            if done:
                break
            moments = [one.due for one in self._hosts if one.addresses]
            moments += [now + CROWDED_SECONDS] if self._unresolved else []
            ready = self._selector.select(max(0.0, min([end, *moments]) - now))
            for key, _ in ready:
                done += self._take(key)
            if not ready and time.monotonic() >= end:
                break
        return done

    def _go_on(self, now: float) -> None:
        """Take over what was resolved, and begin the attempts that are due."""
        self._resolve()
        with contextlib.suppress(queue.Empty):
            while True:
                self._resolved(*self._answers.get_nowait())
        for one in self._hosts:
            while one.addresses and (one.due <= now or not one.open):
                if self._attempt(one, *one.addresses.popleft()):
                    one.due = now + self._stagger

    @staticmethod
    def _resolved(one: _Host[Tag], answer: list[Address] | OSError) -> None:
        one.is_resolved = True
        if isinstance(answer, OSError):
            one.error = answer
        else:
            one.addresses.extend(answer[:MOST_ADDRESSES])

    def _attempt(self, one: _Host[Tag], family: socket.AddressFamily, address: Any) -> bool:
        """Whether a connection is on its way. What fails at once would look connected to the selector."""
        connection: socket.socket | None = None
        try:
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.setblocking(False)
            number = connection.connect_ex(address)
            if number not in (0, errno.EINPROGRESS):
                raise OSError(number, os.strerror(number))
        except OSError as error:
            one.error = error
            if connection is not None:
                connection.close()
            return False
        self._selector.register(connection, selectors.EVENT_WRITE, one)
        one.open += 1
        if self.connecting_since is None:
            self.connecting_since = time.monotonic()
        return True

    def _take(self, key: selectors.SelectorKey) -> list[tuple[Tag, socket.socket | OSError]]:
        """A bell that has rung, or a connection that came about or did not."""
        attempt = key.fileobj
        if key.data is None or not isinstance(attempt, socket.socket):
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(4096)
            return []
        one: _Host[Tag] = key.data
        self._selector.unregister(attempt)
        one.open -= 1
        number = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            attempt.close()
            one.error = OSError(number, os.strerror(number))
            return []
        self._forget(one)
        return [(one.tag, attempt)]

    def _failed(self) -> list[tuple[Tag, socket.socket | OSError]]:
        """The hosts of which nothing is to be hoped any more."""
        over = [one for one in self._hosts if one.is_resolved and not one.addresses and not one.open]
        for one in over:
            self._hosts.remove(one)
        return [(one.tag, one.error) for one in over]

    def _forget(self, one: _Host[Tag]) -> None:
        """A host is reached: its other connections are not needed."""
        if one in self._hosts:
            self._hosts.remove(one)
        for key in [key for key in self._selector.get_map().values() if key.data is one]:
            self._selector.unregister(key.fileobj)
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
