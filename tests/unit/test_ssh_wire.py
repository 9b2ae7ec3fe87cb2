"""The wire of an SSH connection: it sleeps, wakes at once for data and for its end, and writes as long as it may."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import paramiko
import pytest

from x2gobroker.ssh import wire as module
from x2gobroker.ssh.connect import _OurTransport
from x2gobroker.ssh.failures import why_ended
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, in shorter time."""
    monkeypatch.setattr(module, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(module, "OUTAGE_SECONDS", 2.0)
    monkeypatch.setattr(module, "LATE_SECONDS", 0.1)


def fill(wire: Wire) -> None:
    """Until the kernel takes no more."""
    while True:
        try:
            wire.inner.send(bytes(4096))
        except TimeoutError:
            return


def gives_up_after(wire: Wire) -> float:
    began = time.monotonic()
    with pytest.raises(ConnectionAbortedError, match="does not read"):
        wire.send(b"x")
    return time.monotonic() - began


@pytest.mark.usefixtures("quick")
def test_a_short_outage_ends_no_connection(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    wire.logged_in()
    fill(wire)
    timer = threading.Timer(1.0, theirs.recv, [1 << 20])
    timer.start()
    assert wire.send(b"x") == 1
    timer.join()


@pytest.mark.usefixtures("quick")
def test_who_never_reads_ends_the_connection_in_time(pair: tuple[Wire, socket.socket]) -> None:
    """Quickly before the login, and for whoever has a deadline."""
    wire, _ = pair
    fill(wire)
    assert 0.3 <= gives_up_after(wire) < 1.5


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("seconds", "least", "most"), [(0.1, 0.1, 0.3), (50.0, 0.3, 1.5), (None, 2.0, 4.0)])
def test_a_deadline_counts_for_its_own_thread(
    pair: tuple[Wire, socket.socket], seconds: float | None, least: float, most: float
) -> None:
    wire, _ = pair
    wire.logged_in()
    fill(wire)
    if seconds is None:
        assert least <= gives_up_after(wire) < most
        return
    with wire.deadline(time.monotonic() + seconds):
        assert least <= gives_up_after(wire) < most + 0.2


@pytest.mark.usefixtures("quick")
def test_who_waits_behind_a_writer_past_its_deadline_is_held_up_no_longer(pair: tuple[Wire, socket.socket]) -> None:
    """A server that does not read must hold up no login."""
    wire, _ = pair
    wire.logged_in()
    fill(wire)
    done = threading.Event()

    def wait() -> None:
        with wire.deadline(time.monotonic() + 0.5):
            done.wait(20)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert 0.4 < gives_up_after(wire) < 1.6
    done.set()
    waiting.join()


@pytest.mark.usefixtures("quick")
def test_bytes_that_flow_are_progress(pair: tuple[Wire, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """Although Linux lets nobody write until a third of the buffer is free."""
    wire, _ = pair
    wire.logged_in()
    fill(wire)
    flowing = iter(range(1000, 0, -1))
    end = time.monotonic() + 1.0
    monkeypatch.setattr(wire, "_queued", lambda: next(flowing) if time.monotonic() < end else 0)
    with wire.deadline(time.monotonic() + 50):
        assert 1.2 <= gives_up_after(wire) < 2.5


@pytest.mark.usefixtures("quick")
def test_the_kernel_says_what_the_other_side_has_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    with ours, theirs:
        wire = Wire(ours)
        wire.settimeout(SHORT)
        fill(wire)
        before = wire._queued()
        theirs.recv(1 << 20, socket.MSG_WAITALL)
        assert before > 0
        assert wire._queued() < before


def test_it_is_said_who_has_ended_the_connection(pair: tuple[Wire, socket.socket], quick: None) -> None:
    """Not the server, when it is we who give up."""
    wire, theirs = pair
    transport = _OurTransport(wire, None)
    assert why_ended(transport) == "the server ended it"
    fill(wire)
    gives_up_after(wire)
    assert "does" in why_ended(transport)
    assert "read" in why_ended(transport)
    theirs.setblocking(False)
    with pytest.raises(OSError):
        wire.send(b"more behind half a packet")


def test_how_long_a_thread_waits_for_new_keys(pair: tuple[Wire, socket.socket]) -> None:
    wire, _ = pair
    transport: paramiko.Transport = _OurTransport(wire, None)
    assert transport.clear_to_send_timeout == module.STALL_SECONDS
    wire.logged_in()
    assert transport.clear_to_send_timeout == module.OUTAGE_SECONDS
    with wire.deadline(time.monotonic() + 20):
        assert 15 < transport.clear_to_send_timeout <= 20
