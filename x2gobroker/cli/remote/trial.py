"""The part of `x2gobroker remote check-proxy` that needs the state store: what the service sees of who connects, and
how long the web server lets a quiet connection live.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from x2gobroker.logs import field
from x2gobroker.model.acl import parse_client
from x2gobroker.model.forwarded import UNKNOWN_ADDRESS

PONG_SECONDS = 15.0
Opening = Callable[[], AbstractContextManager[ClientConnection]]
OTHER_PLACE = "nothing is to be seen of that from here; try from another machine, with this configuration"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `fault`: what is wrong with it, and what to do; `unsure`: why nobody can say."""

    what: str
    fault: str = ""
    unsure: str = ""

    def lines(self) -> Iterator[str]:
        """As it is printed."""
        yield f"{'FAULT' if self.fault else '?' if self.unsure else 'ok':6} {self.what}"
        if self.fault or self.unsure:
            yield f"       {self.fault or self.unsure}"


@dataclass(frozen=True)
class Seen:
    """What the service says: who connects to it (empty: a Unix socket), for whom, and whether it believes that one."""

    peer: str
    address: str
    by_proxy: bool

    @classmethod
    def read(cls, said: str | bytes) -> Seen:
        """Raises ValueError for what is no such answer."""
        found = json.loads(said)
        if not isinstance(found, dict):
            raise ValueError("no object")
        peer, address, by_proxy = found.get("peer"), found.get("address"), found.get("by_proxy")
        if not isinstance(peer, str) or not isinstance(address, str) or not isinstance(by_proxy, bool):
            raise ValueError("something is missing")
        return cls(peer, address, by_proxy)


def address_finding(seen: Seen, here: str, there: str) -> Finding:
    """`here` is the address of this end, `there` the one that leads to the web server."""
    what = f"the address of browsers, as x2gobroker-remote sees it: {field(seen.address)} for this machine"
    here, there, peer = _plain(here), _plain(there), _plain(seen.peer)
    if seen.address == UNKNOWN_ADDRESS:
        return Finding(
            what,
            "the web server does not say it in X-Forwarded-For, or in a way that cannot be read: print-config prints "
            "what to tell it, and the log of the service says what came",
        )
    if seen.address != peer or (seen.address == here and not seen.by_proxy):
        return Finding(what)
    if seen.by_proxy and here == peer:
        return Finding(what, unsure=f"{here} is the web server's address as well: {OTHER_PLACE}")
    if seen.by_proxy:
        return Finding(what, "the web server does not send X-Forwarded-For: print-config prints what to tell it")
    if peer == there:
        return Finding(what, f"that is the web server itself: put {peer} into remote-proxies and trusted-proxies")
    return Finding(
        what,
        unsure=f"here it is {here}: if {field(seen.address)} is the web server's, put that into remote-proxies and "
        "trusted-proxies; else something in between translates addresses, and all is well",
    )


def _plain(address: str) -> str:
    known = parse_client(address)
    return str(known) if known is not None else address


def try_connection(opening: Opening, seconds: float) -> Iterator[Finding]:
    """What a connection of its own brings to light. Raises what opening one raises, and ValueError, TimeoutError."""
    with opening() as opened:
        here, there = str(opened.local_address[0]), str(opened.remote_address[0])  # while it is connected
        yield address_finding(Seen.read(opened.recv(timeout=PONG_SECONDS)), here, there)
        if seconds:
            yield _quiet(opened, seconds)


def _quiet(opened: ClientConnection, seconds: float) -> Finding:
    what = f"a connection on which nothing moves for {seconds:g} s"
    began = time.monotonic()
    try:
        try:
            opened.recv(timeout=seconds)
        except TimeoutError:
            if opened.ping().wait(PONG_SECONDS):
                return Finding(what)
            return Finding(what, f"nothing comes through any more after {seconds:g} s, and nobody has said so")
    except ConnectionClosed:
        pass
    ended = time.monotonic() - began
    return Finding(what, f"it was ended after {ended:.0f} s: have the web server, and all before it, wait for longer")
