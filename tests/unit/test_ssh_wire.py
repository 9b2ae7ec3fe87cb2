"""The wire of an SSH connection that is logged in and idle: it sleeps, and wakes at once for data and for its end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from x2gobroker.ssh.wire import BEFORE_LOGIN_BYTES, IDLE_SECONDS, LONGEST_READ, Wire

SHORT = 0.001


@pytest.fixture
def pair() -> Iterator[tuple[Wire, socket.socket]]:
    """A wire with the short timeout that paramiko sets, and the other side."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(ours)
        wire.settimeout(SHORT)
        yield wire, theirs


def test_before_the_login_the_timeout_counts(pair: tuple[Wire, socket.socket]) -> None:
    """Deadlines of the handshake depend on it."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        pair[0].recv(10)
    assert time.monotonic() - began < IDLE_SECONDS


def test_an_idle_wire_sleeps_longer_than_the_timeout(pair: tuple[Wire, socket.socket]) -> None:
    """And gives up in the end: paramiko sends its keepalives then."""
    wire, _ = pair
    wire.logged_in()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.recv(10)
    assert time.monotonic() - began >= 0.9 * IDLE_SECONDS


def test_what_comes_meanwhile_is_read(pair: tuple[Wire, socket.socket]) -> None:
    """Later than the timeout that paramiko has set."""
    wire, theirs = pair
    wire.logged_in()
    timer = threading.Timer(0.1, theirs.sendall, [b"late"])
    timer.start()
    assert wire.recv(10) == b"late"
    timer.join()


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_the_end_wakes_the_reader(pair: tuple[Wire, socket.socket], side: str) -> None:
    """Whichever side ends it."""
    wire, theirs = pair
    wire.logged_in()
    ended = threading.Event()

    def read() -> None:
        try:
            assert wire.recv(10) == b""
        except TimeoutError:
            return
        except OSError:
            pass  # closed under its hands, which is an end as well
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.05)  # so that it sleeps already, most of the time
    (wire if side == "ours" else theirs).close()
    reader.join(10)
    assert ended.is_set()


class _LogsInMeanwhile(bytes):
    """Bytes during whose count the login comes about, in the other thread so to speak."""

    wire: Wire

    def __len__(self) -> int:
        self.wire.logged_in()
        return super().__len__()


class _Socket:
    """Has one such piece first, and then as much as is asked for."""

    def __init__(self) -> None:
        self.first: _LogsInMeanwhile | None = _LogsInMeanwhile(b"x")

    def recv(self, count: int) -> bytes:
        first, self.first = self.first, None
        return first if first is not None else bytes(count)


def test_a_login_that_comes_about_while_something_is_read_lifts_the_limit() -> None:
    """OpenSSH sends its host keys right behind the login: one thread counts bytes, the other lifts the limit."""
    inner = _Socket()
    wire = Wire(inner)  # type: ignore[arg-type]  # what Wire needs of a channel
    assert inner.first is not None
    inner.first.wire = wire
    wire.recv(1)
    for _ in range(2 * BEFORE_LOGIN_BYTES // LONGEST_READ):
        wire.recv(LONGEST_READ)


def test_before_the_login_the_amount_is_limited() -> None:
    """A server that is not logged in to sends key exchanges and a banner."""
    inner = _Socket()
    inner.first = None
    wire = Wire(inner)  # type: ignore[arg-type]
    with pytest.raises(ConnectionAbortedError):
        for _ in range(2 * BEFORE_LOGIN_BYTES // LONGEST_READ):
            wire.recv(LONGEST_READ)
