"""`x2gobroker remote check-proxy`: whether the web server in front passes all on that the portal needs.

It asks as a browser does, and opens a websocket with a token that is none: the service answers in VNC's own words, so
that answer has come all the way. Another websocket, whose token is in the state store, tells more (`remote_trial.py`).
"""

from __future__ import annotations

import argparse
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from x2gobroker.cli.common import add_config_options, check_made, check_usable, source_of
from x2gobroker.cli.remote.trial import Finding, try_connection
from x2gobroker.cli.remote.web import SERVED_PATH
from x2gobroker.errors import BrokerError, ConfigurationError
from x2gobroker.logs import field
from x2gobroker.remote.rfb import OUR_VERSION
from x2gobroker.remote.service import PROTOCOL, TOKEN_PREFIX
from x2gobroker.remote.told import TOO_MANY, WRONG_PAGE, WRONG_WAY
from x2gobroker.remote.trial import CHECK_PROTOCOL, MOST_SECONDS
from x2gobroker.services import Services
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store import ProxyChecks

SECONDS = 15.0
LARGEST_PAGE = 1 << 20
NO_TOKEN = "0" * 40
ROOT = re.compile(r"(https?)://([^/\s\"'<>]+)([^\s\"'<>]*?)/(?:plain|pubkeys)/")
SCHEMES = {"https": "wss", "http": "ws"}


def add_to(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this action."""
    parser = actions.add_parser(
        "check-proxy",
        help="check that the web server passes on everything that the portal needs",
        description="Requests the portal at its address as a browser does, through the web server in front, and "
        "checks TLS, the pages, what the broker takes for its own address, and websockets up to x2gobroker-remote. It "
        "signs nobody in and starts no desktop. Then the service says which address it sees for this machine; that, "
        "and --wait, need the state store that the service uses.",
    )
    add_config_options(parser)
    parser.add_argument("url", metavar="URL", help="the broker's address for browsers: https://broker.example.org")
    parser.add_argument("--ca", metavar="FILE", help="certificates of the authority to trust, in PEM form")
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="also leave a connection idle for this long, and check whether the web server ends it; 90 is more than "
        "the usual limit of 60 (default: no check)",
    )
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"it has to be between 0 and {MOST_SECONDS}")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Look, and say what was found; 1 where something is wrong. Raises ConfigurationError."""
    settings = check_usable(source_of(options))
    wrong = False
    for finding in look(settings, base_of(options.url), tls_of(options.ca), options.wait):
        wrong = wrong or bool(finding.fault)
        for line in finding.lines():
            print(line, flush=True)
    return 1 if wrong else 0


def base_of(url: str) -> str:
    """The broker's address, without the portal's path. Raises ConfigurationError."""
    parts = urlsplit(url.strip())
    if parts.scheme not in SCHEMES or not parts.hostname or "@" in parts.netloc:
        raise ConfigurationError(f"{field(url)} is no address of a web page; write https://broker.example.org")
    path = parts.path.rstrip("/").removesuffix("/portal")
    return f"{parts.scheme}://{parts.netloc}{path}/"


def tls_of(ca: str | None) -> ssl.SSLContext:
    """What certificates are believed. Raises ConfigurationError."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"--ca {field(ca or '')} cannot be used: {error}") from None


def look(settings: Settings, base: str, tls: ssl.SSLContext, seconds: float = 0.0) -> Iterator[Finding]:
    """All that can be seen from here, one after the other. `seconds`: for how long to leave a connection alone."""
    if urlsplit(base).scheme == "http":
        yield Finding("TLS", "the address has http://: desktops need https://, except on this very machine")
    fault, _page = _get(urljoin(base, "portal/sign-in"), tls)
    yield Finding("the portal's sign-in page", fault)
    if fault:
        return
    fault, page = _get(base, tls)
    yield Finding("the address that the broker takes for its own", fault or _address_fault(page, base))
    way = Way.of(settings, base, tls)
    finding = _websocket(way)
    yield finding
    if not finding.fault:
        yield from _trial(settings, way, seconds)


def _get(url: str, tls: ssl.SSLContext) -> tuple[str, str]:
    """What is wrong with a page, and the page."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS, context=tls) as answer:  # noqa: S310 - base_of has the scheme
            return "", answer.read(LARGEST_PAGE).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        error.close()
        hint = "is enable-portal on?" if error.code == 404 else "its log says why"
        return f"{url} answers {error.code}: {hint}", ""
    except urllib.error.URLError as error:
        return f"{url} cannot be reached: {error.reason}", ""
    except OSError as error:
        return f"{url} cannot be reached: {error}", ""


def _address_fault(page: str, base: str) -> str:
    """What the broker has wrong of its own address: then links and websockets lead elsewhere."""
    seen = ROOT.search(page)
    if seen is None:
        return ""  # no frontend that would tell
    parts = urlsplit(base)
    if seen[2] != parts.netloc:
        return f"the broker takes {field(seen[2])} for its name, and not {parts.netloc}: pass the header Host on"
    if seen[1] != parts.scheme:
        return (
            f"the broker takes {seen[1]}:// for its scheme: have the web server send X-Forwarded-Proto, and put its "
            "address into trusted-proxies"
        )
    if seen[3] != parts.path.rstrip("/"):
        here, there = parts.path.rstrip("/") or "/", seen[3] or "/"
        return (
            f"the broker takes {field(there)} for its path, and not {field(here)}: have the web server pass the path "
            f"on unchanged, and set daemon-path = {field(here)}"
        )
    return ""


@dataclass(frozen=True)
class Way:
    """How the portal's pages reach the service."""

    url: str
    origin: str
    tls: ssl.SSLContext

    @classmethod
    def of(cls, settings: Settings, base: str, tls: ssl.SSLContext) -> Way:
        """As the pages at `base` have it."""
        parts = urlsplit(base)
        url = urljoin(base, settings.text(GLOBAL, "remote-websocket-url") or parts.path.rstrip("/") + SERVED_PATH)
        target = urlsplit(url)
        url = target._replace(scheme=SCHEMES.get(target.scheme, target.scheme)).geturl()
        return cls(url, f"{parts.scheme}://{parts.netloc}", tls)

    def open(self, protocol: str, token: str) -> ClientConnection:
        """A connection. Raises WebSocketException, OSError."""
        return connect(
            self.url,
            origin=Origin(self.origin),
            subprotocols=[Subprotocol(protocol), Subprotocol(TOKEN_PREFIX + token)],
            ssl=self.tls if self.url.startswith("wss:") else None,
            compression=None,
            open_timeout=SECONDS,
            ping_interval=None,  # the service pings, as it does with desktops
            proxy=None,
        )


def _trial(settings: Settings, way: Way, seconds: float) -> Iterator[Finding]:
    """What needs a token that counts."""
    what = "the address of browsers, as x2gobroker-remote sees it"
    store = Services().store(settings)
    try:
        check_made(store)
        token = ProxyChecks(store).token()
    except BrokerError as error:
        yield Finding(what, unsure=f"not looked at: {error}")
        return
    finally:
        store.close()
    try:
        yield from try_connection(lambda: way.open(CHECK_PROTOCOL, token), seconds)
    except InvalidStatus as error:
        why = "it uses another state store, or is older than this program"
        status = error.response.status_code
        yield Finding(what, unsure=f"not looked at: the service answers {status}: {why}")
    except (WebSocketException, OSError, ValueError) as error:
        yield Finding(what, f"the service does not say: {error or type(error).__name__}")


def _websocket(way: Way) -> Finding:
    what = f"websockets at {way.url}"
    try:
        with way.open(PROTOCOL, NO_TOKEN) as opened:
            return Finding(what, _refusal_fault(_refusal(opened)))
    except InvalidStatus as error:
        return Finding(what, _status_fault(error.response.status_code, bytes(error.response.body or b"")))
    except (InvalidHandshake, InvalidMessage, WebSocketException) as error:
        return Finding(what, f"what answers is no websocket: {error}; print-config prints what to tell the web server")
    except (OSError, TimeoutError, socket.gaierror) as error:
        return Finding(what, f"it cannot be reached: {error}")


def _status_fault(status: int, body: bytes) -> str:
    if status == 404 and b"x2gobroker-remote" in body:
        return "the web server brings them to the broker: tell it what x2gobroker remote print-config prints"
    if status in (502, 503, 504):
        return f"the web server answers {status}: does x2gobroker-remote run, and where remote-listen says?"
    if status == 400:
        return "the web server drops Upgrade or Sec-WebSocket-Protocol: print-config prints what to tell it"
    return f"the web server answers {status}: print-config prints what to tell it"


def _refusal(opened: ClientConnection) -> str:
    """What the service says to somebody with a wrong token."""
    data = b""
    while len(data) < len(OUR_VERSION):
        data += _bytes(opened)
    opened.send(OUR_VERSION)
    while len(data) < len(OUR_VERSION) + 5:
        data += _bytes(opened)
    size = int.from_bytes(data[len(OUR_VERSION) + 1 : len(OUR_VERSION) + 5], "big")
    while len(data) < len(OUR_VERSION) + 5 + min(size, 1024):
        data += _bytes(opened)
    return data[len(OUR_VERSION) + 5 :].decode("utf-8", "replace")


def _bytes(opened: ClientConnection) -> bytes:
    found = opened.recv(timeout=SECONDS)
    return found if isinstance(found, bytes) else found.encode()


def _refusal_fault(said: str) -> str:
    if said == WRONG_WAY:
        return ""  # all the way to the service, which does not know the token
    if said == WRONG_PAGE:
        return "x2gobroker-remote takes the page for another site's: pass Host on, or set remote-origins"
    if said == TOO_MANY:
        return "x2gobroker-remote has too many connections: see remote-connections"
    return f"x2gobroker-remote says: {field(said, 200)}"
