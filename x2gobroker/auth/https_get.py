"""The auth mechanism `https_get`: asks a web server for a page that needs HTTP Basic authentication.

A 200 means that the password is right (as in the reference); any other answer that it is not.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator

from x2gobroker import __version__
from x2gobroker.auth.base import AuthMechanism, Credentials, Verdict, granted, refused
from x2gobroker.errors import AuthMechanismError
from x2gobroker.settings import Settings

READY_FOR_SECONDS = 10.0  # for which a web server that shook hands is not asked again whether it would


@contextlib.contextmanager
def _deadline(connection: http.client.HTTPSConnection) -> Iterator[http.client.HTTPSConnection]:
    """A connection that is cut when its timeout is over, however little by little the server answers.

    Raises TimeoutError at the end of the block when it was cut: half an answer is none.
    """
    connection.connect()
    cut = threading.Event()

    def cut_off() -> None:
        cut.set()
        with contextlib.suppress(OSError):  # it has just ended by itself
            connection.sock.shutdown(socket.SHUT_RDWR)

    watchdog = threading.Timer(connection.timeout or 0, cut_off)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield connection
    finally:
        watchdog.cancel()
        connection.close()
    if cut.is_set():
        raise TimeoutError(errno.ETIMEDOUT, "no whole answer in time")


class HttpsGetMechanism(AuthMechanism):
    """Checks passwords by fetching `https://host:port/path` with them. Certificates are always verified."""

    vouches = "password"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._shook_hands: tuple[Settings, float] | None = None

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        if ":" in credentials.user:
            reason = "HTTP Basic authentication knows no user name with a colon"
            return refused(credentials.user, reason, looked=False)
        status = self._status(settings, credentials)
        if status in (401, 403):
            return refused(credentials.user, f"the web server answered {status}")
        if status != 200:
            raise AuthMechanismError(f"the web server answered {status}, neither 200 nor 401; check host and path")
        return granted(credentials.user, "the web server answered 200")

    def _status(self, settings: Settings, credentials: Credentials) -> int:
        host, port = settings.text(self.section, "host"), settings.integer(self.section, "port")
        token = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode("ascii")
        headers = {"Authorization": f"Basic {token}", "User-Agent": f"x2gobroker/{__version__}", "Connection": "close"}
        timeout = settings.integer(self.section, "timeout")
        sent = False
        try:
            context = self._context(settings)
            with _deadline(http.client.HTTPSConnection(host, port, timeout=timeout, context=context)) as connection:
                sent = True
                connection.request("GET", settings.text(self.section, "path"), headers=headers)
                return connection.getresponse().status
        except ssl.SSLCertVerificationError as error:
            raise AuthMechanismError(
                f"the certificate of {host}:{port} is not trusted ({error.verify_message}); set ca-file", looked=False
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise AuthMechanismError(f"{host}:{port} cannot be asked: {reason}", looked=sent) from None

    def _context(self, settings: Settings) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=settings.text(self.section, "ca-file") or None)

    def is_ready(self, settings: Settings, seconds: float) -> bool:
        """Whether the web server shakes hands, with a certificate that is trusted; a yes counts for READY_FOR_SECONDS.

        It is sent no request: one without a password, or with a wrong one, would be a failed login there, and might get
        the broker's address banned.
        """
        known, now = self._shook_hands, time.monotonic()
        if known is not None and known[0] is settings and now - known[1] < READY_FOR_SECONDS:
            return True
        host, port = settings.text(self.section, "host"), settings.integer(self.section, "port")
        try:
            with (
                socket.create_connection((host, port), timeout=seconds) as raw,
                self._context(settings).wrap_socket(raw, server_hostname=host),
            ):
                self._shook_hands = settings, now
        except (OSError, ValueError):
            return False
        return True
