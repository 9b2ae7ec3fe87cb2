"""The limits of a wire, over real sockets."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from x2gobroker.ssh.wire import BEFORE_LOGIN_BYTES, LONGEST_READ, Wire


@pytest.fixture
def pair() -> Iterator[tuple[Wire, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.1)
        yield Wire(ours), theirs


def flood(wire: Wire, other: socket.socket, wanted: int) -> int:
    """Let `wanted` bytes come; how many came."""
    other.settimeout(1)
    came = 0
    while came < wanted:
        other.sendall(bytes(32768))
        came += len(wire.recv(32768))
    return came


def test_only_so_much_may_come_before_the_login(pair: tuple[Wire, socket.socket]) -> None:
    with pytest.raises(ConnectionAbortedError, match="before the login"):
        flood(*pair, BEFORE_LOGIN_BYTES * 2)


def test_after_the_login_any_amount_may_come(pair: tuple[Wire, socket.socket]) -> None:
    pair[0].logged_in()
    assert flood(*pair, BEFORE_LOGIN_BYTES * 3) >= BEFORE_LOGIN_BYTES * 3


def test_no_packet_is_too_long(pair: tuple[Wire, socket.socket]) -> None:
    with pytest.raises(ConnectionAbortedError, match="too long"):
        pair[0].recv(LONGEST_READ + 1)


def test_writing_to_somebody_who_never_reads_ends_at_the_deadline(pair: tuple[Wire, socket.socket]) -> None:
    wire, begun = pair[0], time.monotonic()
    with wire.deadline(begun + 0.5), pytest.raises(ConnectionAbortedError, match="does not read"):
        while True:
            wire.send(bytes(65536))
    assert 0.4 < time.monotonic() - begun < 2


def test_a_deadline_that_has_passed_leaves_a_moment_to_say_goodbye(pair: tuple[Wire, socket.socket]) -> None:
    with pair[0].deadline(time.monotonic() - 1):
        assert pair[0].send(b"bye") == 3


def test_a_forked_child_can_neither_write_nor_hold_the_parents_sockets(pair: tuple[Wire, socket.socket]) -> None:
    wire, other = pair
    child = os.fork()
    if not child:
        status = 1
        try:
            wire.send(b"from the child")
        except OSError:
            status = 0
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    wire.send(b"from the parent")
    assert other.recv(100) == b"from the parent"


def test_the_connection_ends_with_the_parent_although_a_child_lives_on(pair: tuple[Wire, socket.socket]) -> None:
    wire, other = pair
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        os.read(read, 1)  # lives until the parent is done
        os._exit(0)
    os.close(read)
    wire.close()
    other.settimeout(5)
    assert other.recv(1) == b""
    os.close(write)
    os.waitpid(child, 0)
