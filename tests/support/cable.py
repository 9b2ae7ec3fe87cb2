"""The cable between a browser and a web server, which a test can pull out and plug in again."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator

from tests.support.processes import free_port

# the browser, as the web server sees it: another address than that of the web server itself
ADDRESS = "127.0.0.9"
CHUNK = 1 << 16
TURN_SECONDS = 0.2
STOP_SECONDS = 15.0


class Cable:
    """Carries TCP connections from a port of its own to another one on this host, in a thread.

    `rate`: how many bytes in a second, 0: as many as come. While it is `held`, it carries nothing, and cuts nothing.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.target = target
        self.rate = 0.0
        self.held = False
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._lock = threading.Lock()
        self._ends: dict[socket.socket, socket.socket] = {}
        self._plugged = True
        self._most: int | None = None  # bytes of one connection, one way, until that is held
        self._carried: dict[socket.socket, int] = {}
        self._held: set[socket.socket] = set()
        self._stopped = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"cable to {target}", daemon=True)
        self._thread.start()

    def pull(self) -> int:
        """Cut all connections, and let none come about; how many there were."""
        with self._lock:
            self._plugged, self._most = False, None
            cut = list(self._ends)
            for end in cut:
                self._drop(end)
        return len(cut) // 2

    def plug(self) -> None:
        """Let connections come about again, and carry on with those that are held."""
        with self._lock:
            self._plugged, self._most = True, None
            for end in self._held:
                self._selector.register(end, selectors.EVENT_READ)
            self._held.clear()

    def hold_after(self, count: int) -> None:
        """Hold each connection that carries so many bytes one way from now on, until this is pulled or plugged in.

        So a transfer is in its midst, however fast the machine; what is less goes on.
        """
        with self._lock:
            self._plugged, self._most = True, count
            self._carried.clear()

    @property
    def is_held(self) -> bool:
        """Whether a connection is held."""
        with self._lock:
            return bool(self._held)

    def close(self) -> None:
        """End it and its connections."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS)
        assert not self._thread.is_alive()
        self.pull()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            if self.held:
                self._stopped.wait(TURN_SECONDS)
                continue
            for key, _ in self._selector.select(TURN_SECONDS):
                end = key.fileobj
                assert isinstance(end, socket.socket)
                with self._lock:
                    if end is self._listener:
                        self._accept()
                    elif end in self._ends:
                        self._carry(end)

    def _accept(self) -> None:
        browser, _ = self._listener.accept()
        if not self._plugged:
            browser.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), STOP_SECONDS, (ADDRESS, 0))
        except OSError:
            browser.close()
            return
        for one, other in ((browser, server), (server, browser)):
            one.settimeout(STOP_SECONDS)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ends[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _carry(self, end: socket.socket) -> None:
        try:
            data = end.recv(CHUNK)
            if data:
                self._ends[end].sendall(data)
                self._carried[end] = self._carried.get(end, 0) + len(data)
                if self._most is not None and self._carried[end] >= self._most:
                    self._selector.unregister(end)
                    self._held.add(end)
                if self.rate:
                    time.sleep(len(data) / self.rate)
                return
        except OSError:
            data = b""
        self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        other = self._ends.pop(end, None)
        for one in filter(None, (end, other)):
            self._ends.pop(one, None)
            self._carried.pop(one, None)
            self._held.discard(one)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()


@contextlib.contextmanager
def cable(target: int) -> Iterator[Cable]:
    """A cable for the length of a `with` block."""
    made = Cable(target)
    try:
        yield made
    finally:
        made.close()
