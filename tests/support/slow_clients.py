"""Clients that take their time: each holds a connection to a server, and goes on as slowly as it likes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from types import TracebackType

POST = (
    b"POST /json/inifile/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 100000\r\n\r\nuser="
)
KINDS = {
    "silence": b"",
    "header": b"POST /json/inifile/ HTTP/1.1\r\nHost: x\r\nX-A: ",
    "body": POST,
    "chunks": POST.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked")[:-5] + b"fff\r\nuser=",
    "continue": POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
    "half-handshake": b"\x16",
}
DRIP_SECONDS = 1.0


class SlowClients:
    """So many connections to a port of the loopback, which begin as `kind` says and then send a byte a second each."""

    def __init__(self, port: int, count: int, kind: str, tls: ssl.SSLContext | None = None) -> None:
        self._stop = threading.Event()
        self._tls = tls
        self.sockets = [self._begin(port, KINDS[kind]) for _ in range(count)]
        self._drips = kind not in ("silence", "half-handshake")
        self._thread = threading.Thread(target=self._drip, daemon=True)

    def _begin(self, port: int, begin: bytes) -> socket.socket:
        made: socket.socket = socket.create_connection(("127.0.0.1", port), 20)
        if self._tls is not None and begin != KINDS["half-handshake"]:
            made = self._tls.wrap_socket(made, server_hostname="localhost")
        with contextlib.suppress(OSError):
            made.sendall(begin)
        return made

    def _drip(self) -> None:
        while self._drips and not self._stop.wait(DRIP_SECONDS):
            for one in self.sockets:
                with contextlib.suppress(OSError):
                    one.send(b"a")

    def open_ones(self) -> int:
        """How many of them the server has not ended."""
        return sum(not is_ended(one) for one in self.sockets)

    def wait_ended(self, seconds: float) -> float:
        """Wait until the server has ended all of them; how long that took. Fails after `seconds`."""
        began = time.monotonic()
        while self.open_ones():
            assert time.monotonic() - began < seconds, f"{self.open_ones()} are still open"
            time.sleep(0.1)
        return time.monotonic() - began

    def __enter__(self) -> SlowClients:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)
        for one in self.sockets:
            one.close()


def is_ended(one: socket.socket) -> bool:
    """Whether the other side has ended this connection; what it has sent is thrown away."""
    one.settimeout(0.001)
    try:
        while one.recv(65536):
            pass
        return True
    except (TimeoutError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
