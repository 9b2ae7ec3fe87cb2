"""What a web server that passes requests on says of the client, and what of it counts: the only place that reads it.

Headers are whatever the client or the web server has written. They count where the connection comes from a trusted
web server, and of each only the last entry: those before it are what the client itself may have sent. A trusted web
server that says something which cannot be read makes the client one of no address, and never one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from x2gobroker.model.acl import Address, Network, parse_client

# where an address is expected, and no address for every rule: client rules let nobody in by it, deny lists match
UNKNOWN_ADDRESS = "unknown"
SCHEMES = ("http", "https")
HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")
BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\](?::\d{1,5})?")
FOR, PROTO, FORWARDED_HOST = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"
# a trusted web server that says for whom it asks in one of these only, says it where nobody can rely on it
OTHER_WORDS = (
    *("Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP"),
    *("X-Forwarded", "Forwarded-For", "X-Original-Forwarded-For", "X-Original-For", "X-Remote-IP", "X-Remote-Addr"),
    *("Client-IP", "Proxy-Client-IP", "WL-Proxy-Client-IP", "Fastly-Client-IP", "Fly-Client-IP", "X-Azure-ClientIP"),
    *("X-Envoy-External-Address", "X-ProxyUser-IP"),
)
# what nobody sends who asks for himself: with one of these, somebody else asks, and is not named
PASSED_ON = (
    *(PROTO, FORWARDED_HOST, "Via", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Ssl"),
    *("X-Forwarded-Protocol", "X-Forwarded-Scheme", "X-Forwarded-By", "X-Forwarded-User", "X-Forwarded-Path"),
    *("X-Forwarded-Uri", "X-Forwarded-Method", "X-Scheme", "X-Url-Scheme", "X-Script-Name", "Front-End-Https"),
    *("X-Original-Host", "X-Original-Url", "X-Rewrite-Url"),
)
# what no part of the broker may read from a client's header, in the form of a WSGI environment
FORGEABLE = frozenset(
    f"HTTP_{name.upper().replace('-', '_')}"
    for name in (
        *(FOR, *OTHER_WORDS, *PASSED_ON),
        *("Script-Name", "Path-Info", "Remote-User", "Remote-Addr", "Auth-Type"),
    )
)

Values = Callable[[str], Iterable[str]]


@dataclass(frozen=True)
class Asked:
    """Who asks, and for what address, once it is clear whose word counts.

    `address` is the client's, in the one form that is compared and stored; UNKNOWN_ADDRESS where a trusted web server
    says what cannot be read, and then `fault` says what that is; empty where nobody says anything. `by_proxy`: it is a
    trusted web server that asks. `scheme` and `host` (with a port, if one was asked for) are what the browser shows.
    """

    address: str
    by_proxy: bool
    scheme: str
    host: str
    fault: str = ""


def read_asked(peer: str, values: Values, proxies: Iterable[Network], scheme: str, host: str) -> Asked:
    """What is known of a client. `values(name)` are the values of a header, in their order; names as above.

    `peer` is who connects, empty for a Unix socket, which is trusted; `scheme` and `host` are those of the connection.
    """
    known = parse_client(peer)
    trusted = not peer or (known is not None and any(known.version == one.version and known in one for one in proxies))
    own = str(known) if known is not None else peer or UNKNOWN_ADDRESS
    if not trusted:
        return Asked(own, False, scheme, host)
    said_scheme = _last(values(PROTO)).lower()
    said_host = _last(values(FORWARDED_HOST))
    scheme = said_scheme if said_scheme in SCHEMES else scheme
    host = said_host if HOST.fullmatch(said_host) else host
    told = list(values(FOR))
    if told:
        client = parse_entry(_last(told))
        if client is not None:
            return Asked(str(client), True, scheme, host)
        return Asked(UNKNOWN_ADDRESS, True, scheme, host, f"{FOR}: {_last(told)}")
    for name in (*OTHER_WORDS, *PASSED_ON):
        for value in values(name):
            return Asked(UNKNOWN_ADDRESS, True, scheme, host, f"{name}: {value}, and no {FOR}")
    return Asked(own, True, scheme, host)


def parse_entry(text: str) -> Address | None:
    """The address in an entry of X-Forwarded-For: bare, with a port, in brackets, in quotes; None for anything else."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    found = WITH_PORT.fullmatch(text) or BRACKETS.fullmatch(text)
    return parse_client(found[1] if found else text)


def _last(values: Iterable[str]) -> str:
    """The last entry of a header; empty where there is none, or it is empty."""
    entries = [entry.strip() for value in values for entry in value.split(",")]
    return entries[-1] if entries else ""
