"""Who asks: read once for each request, before anything else sees it, and then taken out of the client's reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Request as HttpRequest

from x2gobroker.logs import SaidOnce, error_log, field
from x2gobroker.model.forwarded import FORGEABLE, Asked, read_asked
from x2gobroker.model.penalty import read_networks
from x2gobroker.settings import GLOBAL, Settings

KEY = "x2gobroker.asked"
Environ = dict[str, Any]


class AskedReader:
    """WSGI middleware: puts an `Asked` into the environment, and what it says where everybody looks.

    The headers that it was made from, and others that some software believes, are gone then: whatever comes after this
    can only see what the web server itself vouches for. `REMOTE_USER`, `SCRIPT_NAME` and the like are the web server's
    own variables, which no header can be, and stay; `daemon-path` goes from the path to `SCRIPT_NAME`.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], settings: Callable[[], Settings]) -> None:
        self._app = app
        self._settings = settings
        self._said = SaidOnce()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        asked = self._read(environ)
        for name in FORGEABLE & environ.keys():
            del environ[name]
        environ[KEY] = asked
        environ["wsgi.url_scheme"] = asked.scheme
        environ["HTTP_HOST"] = asked.host
        self._leave_path(environ)
        return self._app(environ, start_response)

    def _leave_path(self, environ: Environ) -> None:
        """The path that the web server in front has for the broker is part of the address, and of no route."""
        below = path_in_front(self._settings())
        path = str(environ.get("PATH_INFO", ""))
        if below and (path == below or path.startswith(f"{below}/")):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + below
            environ["PATH_INFO"] = path.removeprefix(below)

    def _read(self, environ: Environ) -> Asked:
        peer = str(environ.get("REMOTE_ADDR") or "")
        trusted = self._settings().value(GLOBAL, "trusted-proxies")
        proxies = read_networks(trusted)[0] if isinstance(trusted, tuple) else ()
        host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME', '')}:{environ.get('SERVER_PORT', '')}"

        def values(name: str) -> list[str]:
            value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
            return [] if value is None else [str(value)]

        # without an address of the peer nobody is trusted: over HTTP there always is one
        asked = read_asked(peer or "-", values, proxies, str(environ.get("wsgi.url_scheme", "http")), str(host))
        if asked.fault and self._said.is_new(peer):
            tell_fault(peer, asked)
        return asked if peer else Asked("", False, asked.scheme, asked.host)


def path_in_front(settings: Settings) -> str:
    """The path that the web server in front has for the daemon, by `daemon-path`: `/x2gobroker`; empty for the root."""
    path = settings.text(GLOBAL, "daemon-path").strip("/")
    return f"/{path}" if path else ""


def tell_fault(peer: str, asked: Asked) -> None:
    """Say in the log that a trusted web server does not name its clients in a way that can be read."""
    error_log.error(
        "the web server %s does not say for whom it asks in a way that can be read (%s): its clients have no address, "
        "and no rule on addresses lets them in; have it send X-Forwarded-For with the client's address",
        field(peer),
        field(asked.fault, 200),
    )


def asked_of(request: HttpRequest) -> Asked:
    """Who asks in this request. Raises KeyError where no AskedReader stands before the application."""
    found = request.environ[KEY]
    assert isinstance(found, Asked)  # noqa: S101 - for the type checker
    return found
