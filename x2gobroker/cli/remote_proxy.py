"""`x2gobroker remote check-proxy`: whether the web server in front passes all on that the portal needs.

It asks as a browser does, and opens a websocket with a token that is none: the service answers in VNC's own words, so
that answer has come all the way.
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

from x2gobroker.cli.common import add_config_options, check_usable, source_of
from x2gobroker.cli.remote_web import SERVED_PATH
from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import field
from x2gobroker.remote.rfb import OUR_VERSION
from x2gobroker.remote.service import PROTOCOL, TOKEN_PREFIX
from x2gobroker.remote.told import TOO_MANY, WRONG_PAGE, WRONG_WAY
from x2gobroker.settings import GLOBAL, Settings

SECONDS = 15.0
LARGEST_PAGE = 1 << 20
NO_TOKEN = "0" * 40
ROOT = re.compile(r"(https?)://([^/\s\"'<>]+)(?:[^\s\"'<>]*)/plain/")
SCHEMES = {"https": "wss", "http": "ws"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `fault`: what is wrong with it, and what to do."""

    what: str
    fault: str = ""


def add_to(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this action."""
    parser = actions.add_parser(
        "check-proxy",
        help="try whether the web server passes on all that the portal needs",
        description="Asks for the portal at its address as a browser does, through the web server in front: TLS, the "
        "pages, what the broker takes for its own address, and websockets up to x2gobroker-remote. Nobody is signed "
        "in, and no desktop is started. How long the web server lets a quiet connection live is not looked at.",
    )
    add_config_options(parser)
    parser.add_argument("url", metavar="URL", help="the broker's address for browsers: https://broker.example.org")
    parser.add_argument("--ca", metavar="FILE", help="certificates of the authority to believe, in PEM form")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look, and say what was found; 1 where something is wrong. Raises ConfigurationError."""
    settings = check_usable(source_of(options))
    found = list(look(settings, base_of(options.url), tls_of(options.ca)))
    for finding in found:
        print(f"{'FAULT' if finding.fault else 'ok':6} {finding.what}")
        if finding.fault:
            print(f"       {finding.fault}")
    return 1 if any(finding.fault for finding in found) else 0


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


def look(settings: Settings, base: str, tls: ssl.SSLContext) -> Iterator[Finding]:
    """All that can be seen from here, one after the other."""
    if urlsplit(base).scheme == "http":
        yield Finding("TLS", "the address has http://: desktops need https://, except on this very machine")
    fault, _page = _get(urljoin(base, "portal/sign-in"), tls)
    yield Finding("the portal's sign-in page", fault)
    if fault:
        return
    fault, page = _get(base, tls)
    yield Finding("the address that the broker takes for its own", fault or _address_fault(page, base))
    yield _websocket(settings, base, tls)


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
    return ""


def _websocket(settings: Settings, base: str, tls: ssl.SSLContext) -> Finding:
    parts = urlsplit(base)
    url = urljoin(base, settings.text(GLOBAL, "remote-websocket-url") or parts.path.rstrip("/") + SERVED_PATH)
    target = urlsplit(url)
    url = target._replace(scheme=SCHEMES.get(target.scheme, target.scheme)).geturl()
    what = f"websockets at {url}"
    try:
        with connect(
            url,
            origin=Origin(f"{parts.scheme}://{parts.netloc}"),
            subprotocols=[Subprotocol(PROTOCOL), Subprotocol(TOKEN_PREFIX + NO_TOKEN)],
            ssl=tls if url.startswith("wss:") else None,
            compression=None,
            open_timeout=SECONDS,
            proxy=None,
        ) as opened:
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
