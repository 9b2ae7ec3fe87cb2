"""What `check-proxy` makes of the service's answer, and of a connection that lives or does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from x2gobroker.cli.remote.trial import Finding, Seen, address_finding, try_connection

HERE, SERVER, INSIDE = "192.0.2.7", "192.0.2.80", "10.0.0.80"


@pytest.mark.parametrize(
    ("seen", "outcome", "words"),
    [
        (Seen("127.0.0.1", HERE, True), "ok", ""),
        (Seen("", HERE, True), "ok", ""),
        (Seen(INSIDE, "198.51.100.4", True), "ok", ""),  # addresses are translated before the web server
        (Seen(HERE, HERE, False), "ok", ""),  # there is no web server
        (Seen(f"::ffff:{HERE}", HERE, False), "ok", ""),
        (Seen("127.0.0.1", "unknown", True), "FAULT", "cannot be read"),
        (Seen("", "unknown", True), "FAULT", "cannot be read"),
        (Seen(INSIDE, INSIDE, True), "FAULT", "does not send X-Forwarded-For"),
        (Seen(HERE, HERE, True), "?", "the web server's address as well"),
        (Seen(SERVER, SERVER, False), "FAULT", f"put {SERVER} into remote-proxies and trusted-proxies"),
        (Seen(INSIDE, INSIDE, False), "?", f"here it is {HERE}"),
    ],
)
def test_the_address_of_browsers(seen: Seen, outcome: str, words: str) -> None:
    first, *more = address_finding(seen, HERE, SERVER).lines()
    assert first.split()[0] == outcome
    assert f"{seen.address} for this machine" in first
    assert words in "".join(more)
    assert bool(more) == bool(words)


@pytest.mark.parametrize(
    "said", ["", "[]", "{}", '{"peer": 1, "address": "a", "by_proxy": true}', '{"peer": "a", "address": "b"}', b"\xff"]
)
def test_an_answer_that_is_none(said: str | bytes) -> None:
    with pytest.raises(ValueError):
        Seen.read(said)


def findings(work: Callable[[ServerConnection], None], seconds: float) -> list[Finding]:
    """What comes of a connection to a service that does this once its answer was read."""
    read = threading.Event()

    def answer(websocket: ServerConnection) -> None:
        websocket.send(json.dumps({"peer": "127.0.0.1", "address": "127.0.0.1", "by_proxy": False}))
        read.wait(60)
        work(websocket)

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
            found = try_connection(lambda: connect(url, proxy=None), seconds)
            first = next(found)
            read.set()
            return [first, *found]
        finally:
            server.shutdown()
            thread.join()


def stay(websocket: ServerConnection) -> None:
    """Until the other one goes."""
    for _ in websocket:
        pass


def test_a_connection_that_lives() -> None:
    found = findings(stay, 0.5)
    assert [finding.fault + finding.unsure for finding in found] == ["", ""]
    assert found[1].what == "a connection on which nothing moves for 0.5 s"


@pytest.mark.parametrize("end", [ServerConnection.close, lambda websocket: websocket.socket.shutdown(2)])
def test_a_connection_that_is_ended(end: Callable[[ServerConnection], None]) -> None:
    """By a word, or by none."""
    found = findings(end, 600)
    assert "it was ended after " in found[1].fault


def test_nobody_waits_who_has_not_asked_for_it() -> None:
    assert len(findings(stay, 0)) == 1
