"""A web server on loopback, with TLS, that knows one password and can misbehave on purpose."""

from __future__ import annotations

import base64
import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

USER, PASSWORD = "anna", "p:w é ☃"
PIECE_SECONDS = 0.3


class Handler(BaseHTTPRequestHandler):
    """Answers by path; `/auth` wants the right password by HTTP Basic authentication."""

    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        match self.path:
            case "/auth":
                self._answer(200 if self._is_right() else 401)
            case "/hang":
                self.server.stopping.wait(30)
            case "/drip":
                self._drip()
            case "/garbage":
                self.wfile.write(b"\x00\xff this is no answer\r\n\r\n")
            case path:
                self._answer(int(path.strip("/")))

    def _is_right(self) -> bool:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {expected}"

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Location", "/auth")
        self.end_headers()

    def _drip(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(10):
                if self.server.stopping.wait(PIECE_SECONDS):
                    return
                self.wfile.write(f"X-{number}: 1\r\n".encode())
            self.wfile.write(b"\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Listens on every loopback address, so that a name which the certificate lacks can be tried."""

    daemon_threads = True

    def __init__(self, certificate: Path | None = None, key: Path | None = None) -> None:
        super().__init__(("0.0.0.0", 0), Handler)
        self.stopping = threading.Event()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that break off are what some tests are about."""


@contextlib.contextmanager
def serving(certificate: Path | None = None, key: Path | None = None) -> Iterator[Server]:
    """Serve for the length of a `with` block."""
    server = Server(certificate, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
