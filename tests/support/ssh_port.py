"""A stand-in for an X2Go Server's SSH port: it only notes which SSH clients came."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.support.processes import wait_until

BANNER = b"SSH-2.0-stand-in\r\n"
GREETING_DEADLINE = 10.0


class SshPort:
    """Listens on 127.0.0.1, greets like an SSH server, keeps each client's greeting, and hangs up."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.greetings: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the end of the test
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(GREETING_DEADLINE)
                connection.sendall(BANNER)
                line = connection.makefile("rb").readline(255)
                self.greetings.append(line.decode("latin-1").strip())

    def wait_for_client(self, software: str) -> None:
        """Wait until an SSH client whose greeting names `software` has been here."""
        wait_until(
            lambda: any(software in greeting for greeting in self.greetings),
            f"an SSH client of {software} at port {self.port}",
        )

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(GREETING_DEADLINE)


@contextlib.contextmanager
def ssh_port() -> Iterator[SshPort]:
    """A listening SshPort for the length of a `with` block."""
    port = SshPort()
    try:
        yield port
    finally:
        port.close()
