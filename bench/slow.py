"""Clients that take their time: how long others wait at the daemon, and how long one of them holds a desktop's loop."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bench.data import config_text, profiles_text
from bench.plan import Plan, progress
from bench.world import THREADS, WORKERS
from tests.support.our_broker import OurBroker
from tests.support.slow_clients import SlowClients
from tests.support.tls import Certificates, make_certificates
from x2gobroker.remote.clipboard import NO_CLIPBOARD
from x2gobroker.remote.patient import PatientConnection
from x2gobroker.remote.relay import Browser, Carrier, Server, relay

ASKED = 200
SLOW = 300
HALF_OPEN = 150
FRAGMENTS = 300
INIT = struct.pack(">HH", 8, 4) + bytes(16) + struct.pack(">I", 0)


@dataclass
class Waits:
    """Seconds that `/health` takes, sorted, by what is beside it; and the longest turns of the loop, in seconds."""

    health: dict[str, list[float]] = field(default_factory=dict)
    turns: dict[str, float] = field(default_factory=dict)


def measure(_plan: Plan) -> Waits:
    """Both."""
    found = Waits()
    with tempfile.TemporaryDirectory() as folder:
        certificates = make_certificates(Path(folder))
        env = {
            "X2GOBROKER_WORKERS": str(WORKERS),
            "X2GOBROKER_THREADS": str(THREADS),
            "X2GOBROKER_SSL_CERTFILE": str(certificates.certificate),
            "X2GOBROKER_SSL_KEYFILE": str(certificates.key),
        }
        with OurBroker(config_text(static=True, mechanism="none"), profiles_text(10), env=env) as broker:
            ask = _asker(broker.port, certificates)
            context = ssl.create_default_context(cafile=str(certificates.authority))
            progress("slow: health alone")
            found.health["nothing"] = _times(ask)
            progress(f"slow: health beside {SLOW} slow requests and {HALF_OPEN} half-open TLS connections")
            third = SLOW // 3
            with (
                SlowClients(broker.port, third, "header", context),
                SlowClients(broker.port, third, "body", context),
                SlowClients(broker.port, SLOW - 2 * third, "silence", context),
                SlowClients(broker.port, HALF_OPEN, "half-handshake"),
            ):
                found.health[f"{SLOW} slow requests, {HALF_OPEN} half-open TLS connections"] = _times(ask)
    progress("slow: fragments of a viewer")
    found.turns["nothing"] = asyncio.run(_longest_turn(0))
    found.turns[f"{FRAGMENTS} fragments of 1 byte of a long message"] = asyncio.run(_longest_turn(FRAGMENTS))
    return found


def _asker(port: int, certificates: Certificates) -> Callable[[], None]:
    context = ssl.create_default_context(cafile=str(certificates.authority))

    def ask() -> None:
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
        connection.request("GET", "/health")
        if connection.getresponse().status != 200:
            raise RuntimeError("/health does not answer 200")
        connection.close()

    return ask


def _times(ask: Callable[[], None]) -> list[float]:
    """Each on a connection of its own."""
    times: list[float] = []
    for _ in range(ASKED):
        Plan.clock(ask, times)
    return sorted(times)


async def _longest_turn(fragments: int) -> float:
    """The processor's time of the longest turn of the loop that carries a viewer."""
    ours, theirs = socket.socketpair()
    theirs.send(INIT)

    async def handle(websocket: ServerConnection) -> None:
        given = (Browser(websocket), Server(ours), Carrier(), True, lambda: None)
        await relay(*given, name="desk", clipboard=NO_CLIPBOARD, is_guest=True)

    async with serve(handle, "127.0.0.1", 0, compression=None, create_connection=PatientConnection) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", compression=None) as browser:
            await browser.recv()
            await browser.send(struct.pack(">BxxxI", 6, 60_000))
            longest = 0.0
            for _ in range(max(100, fragments)):
                if fragments:
                    await browser.send(b"x")
                begin = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - begin)
            browser.transport.abort()
    for end in (ours, theirs):
        end.close()
    return longest


def report(found: Waits) -> str:
    """The tables."""
    lines = [
        "### Others meanwhile",
        "",
        f"`/health` of the daemon, with TLS, {WORKERS} workers of {THREADS} threads; {ASKED} requests, each on a new "
        "connection. The slow clients send a byte a second.",
        "",
        "| beside | p50 / p99 ms | longest ms |",
        "|---|---:|---:|",
    ]
    for what, times in found.health.items():
        middle, late = times[len(times) // 2], times[int(len(times) * 0.99) - 1]
        lines.append(f"| {what} | {middle * 1000:.1f} / {late * 1000:.1f} | {times[-1] * 1000:.1f} |")
    lines += ["", "### The loop of the desktops", "", "| what a viewer sends | longest turn ms |", "|---|---:|"]
    lines += [f"| {what} | {seconds * 1000:.2f} |" for what, seconds in found.turns.items()]
    return "\n".join(lines) + "\n"
