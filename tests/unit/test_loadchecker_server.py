"""The load checker's socket: clients that ask, that ask badly, that send nothing, and too many of them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.support.processes import wait_until
from x2gobroker.errors import StoreError
from x2gobroker.loadchecker import server as under_test
from x2gobroker.loadchecker.server import LoadSocket
from x2gobroker.loadchecker.targets import Watched
from x2gobroker.model.load import LoadReport
from x2gobroker.store import Store
from x2gobroker.store.loads import Loads, ServerLoad

FACTOR = b"160000"
WATCHED = Watched({}, {("inifile", "both"): (("ts1", "ts1:22"), ("ts2", "ts2:22"))}, (), (), 300.0)


class Service:
    """A socket that is served, and a store behind it."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "socket")
        self.loads = Loads(Store(URL.create("sqlite", database=str(folder / "state" / "store.sqlite"))))
        self.broken = False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(100)
        LoadSocket(self.listener, lambda: WATCHED, self.keep).start()
        now = time.time()
        self.loads.put([ServerLoad("ts1:22", "ts1", "ok", LoadReport(100, 16000, 4, 2500), now, now, 0.1)])

    def keep(self) -> Loads:
        if self.broken:
            raise StoreError("it is full")
        return self.loads

    def client(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(self.path)
        return client

    def said(self, *sent: bytes) -> bytes:
        """What a client gets that sends these pieces and no more."""
        with self.client() as client:
            for piece in sent:
                client.sendall(piece)
                time.sleep(0.02)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(4096), b""))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own."""
    made = Service(tmp_path)
    yield made
    made.listener.close()
    made.loads.store.close()


def test_queries_are_answered(service: Service) -> None:
    assert service.said(b"inifile\rboth\rts1\n") == FACTOR
    assert service.said(b"inifile\rboth\rts2\n") == b"LOAD-UNAVAILABLE"
    assert service.said(b"inifile\rboth\r\n") == b"ts1:160000\nts2:LOAD-UNAVAILABLE\n"
    assert service.said(b"inifile\rnone\r\n") == b"\n"


def test_queries_may_come_in_pieces_and_together(service: Service) -> None:
    assert service.said(b"inifile\rbo", b"th\rts", b"1\n") == FACTOR
    assert service.said(b"inifile\rboth\rts1\ninifile\rboth\rts2\n") == FACTOR + b"\nLOAD-UNAVAILABLE"
    # two that come one after the other are answered so; where they arrive together, as above
    apart = service.said(b"inifile\rboth\rts1\n", b"inifile\rboth\rts1\n")
    assert apart in (FACTOR + FACTOR, FACTOR + b"\n" + FACTOR)


def test_a_client_that_goes_in_mid_query_gets_nothing(service: Service) -> None:
    assert service.said(b"inifile\rboth") == b""


@pytest.mark.parametrize("sent", [b"garbage\n", b"\xff\r\xff\r\n", b"a\rb\rc\rd\n", b"x" * 5000, b"x" * 2000 + b"\n"])
def test_what_is_no_query_ends_the_connection(service: Service, sent: bytes, said: pytest.LogCaptureFixture) -> None:
    with service.client() as client:
        client.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    wait_until(lambda: "a client sends what is no query" in said.text, "the line in the log", 5)
    assert service.said(b"inifile\rboth\rts1\n") == FACTOR


def test_a_client_that_sends_nothing_is_ended(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "IDLE_SECONDS", 0.2)
    with service.client() as client:
        assert client.recv(100) == b""


def test_a_client_that_does_not_read_is_ended(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "IDLE_SECONDS", 0.2)
    with service.client() as client, pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError)):
        for _ in range(10000):
            client.sendall(b"inifile\rboth\r\n" * 100)


def test_a_client_cannot_stay_for_ever(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MOST_QUERIES", 3)
    with service.client() as client:
        for _ in range(3):
            client.sendall(b"inifile\rboth\rts1\n")
            assert client.recv(100) == FACTOR
        assert client.recv(100) == b""


def test_too_many_clients_are_refused_and_others_come_later(service: Service, said: pytest.LogCaptureFixture) -> None:
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(service.client()) for _ in range(under_test.MOST_CLIENTS)]
        for client in clients:
            client.sendall(b"inifile\rboth\rts1\n")
            assert client.recv(100) == FACTOR
        with service.client() as refused, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            assert refused.recv(100) == b""
        assert "more than 64 clients" in said.text

    def free() -> bool:
        with contextlib.suppress(OSError):
            return service.said(b"inifile\rboth\rts1\n") == FACTOR
        return False

    wait_until(free, "a free place", 5)


def test_clients_are_answered_again_after_a_moment_without_threads(
    service: Service, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than there are places: each failure gives back its place."""
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if thread.name == "load checker's client":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(under_test, "PAUSE_SECONDS", 0.001)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", limited)
        for _ in range(under_test.MOST_CLIENTS + 1):
            with service.client() as client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                assert client.recv(100) == b""
    assert "the load checker's socket: can't start new thread" in said.text
    assert service.said(b"inifile\rboth\rts1\n") == FACTOR


def test_a_store_that_fails_is_load_that_is_not_available(service: Service, said: pytest.LogCaptureFixture) -> None:
    service.broken = True
    assert service.said(b"inifile\rboth\rts1\n") == b"LOAD-UNAVAILABLE"
    assert service.said(b"inifile\rboth\r\n") == b"ts1:LOAD-UNAVAILABLE\nts2:LOAD-UNAVAILABLE\n"
    assert "could not be answered: it is full" in said.text
    service.broken = False
    assert service.said(b"inifile\rboth\rts1\n") == FACTOR
