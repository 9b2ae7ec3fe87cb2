"""The certificate, as it is on disk: one that was renewed counts without a restart."""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass
from typing import Protocol

from x2gobroker.logs import error_log

LOOK_SECONDS = 2.0
State = tuple[tuple[int, int, int, int], ...]


class Tls(Protocol):
    """What a connection needs to begin with TLS."""

    def current(self) -> ssl.SSLContext:
        """The context for the next connection."""


@dataclass(frozen=True)
class FixedTls:
    """TLS with a certificate whose key this process could not read again: root has read it. A restart renews it.

    `certificate` is the text of its file, as it was then.
    """

    context: ssl.SSLContext
    certificate: bytes

    def current(self) -> ssl.SSLContext:
        """The one context there is."""
        return self.context


def make_context(certificate: str, key: str) -> ssl.SSLContext:
    """A context for a server with these two files. Raises OSError or ssl.SSLError when they cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsContext:
    """The TLS settings of a server with these two files. Raises OSError or ssl.SSLError when they cannot be used.

    Processes that are forked begin with the last good ones of their parent, whatever has become of the files.
    """

    def __init__(self, certificate: str, key: str) -> None:
        self._files = (certificate, key)
        self._state = self._look()
        self._context = self._made()
        self._said: tuple[State | None, str] | None = None
        self._next_look = time.monotonic() + LOOK_SECONDS

    def current(self) -> ssl.SSLContext:
        """The context for the next connection; the one before, while a new certificate cannot be used."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._renew()
        return self._context

    def _renew(self) -> None:
        state = None
        try:
            state = self._look()
            if state != self._state:
                self._context = self._made()
                self._state = state  # not before: what failed is tried again, as the files need not change to be usable
            self._said = None
        except OSError as error:  # of TLS, too
            if self._said != (state, str(error)):
                self._said = state, str(error)
                error_log.error("the certificate %s cannot be read again: %s", self._files[0], error)

    def _look(self) -> State:
        found = [os.stat(path) for path in self._files]
        return tuple((status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for status in found)

    def _made(self) -> ssl.SSLContext:
        return make_context(*self._files)
