"""The daemon's door: where a request ends, however it is cut; and who makes way for whom."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.gate import Connection, Door, Limits, door
from x2gobroker.gate.connection import Phase
from x2gobroker.gate.framing import Framing

SMALL = Limits(head_bytes=2000, body_bytes=5000)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\nhello world"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"
TRAILED = b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ: \r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REQUESTS = (GET, POST, CHUNKED, TRAILED)


def cut(data: st.DataObject, stream: bytes) -> Iterator[bytes]:
    """The stream in pieces of any size."""
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        yield stream[:size]
        stream = stream[size:]


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=5), st.data())
def test_requests_end_where_they_end_however_they_are_cut(sent: list[bytes], data: st.DataObject) -> None:
    held, found, framing = bytearray(), [], Framing(SMALL)
    for piece in cut(data, b"".join(sent)):
        held += piece
        while held and framing.look(held):
            assert not framing.refusal
            assert not framing.is_last
            found.append(bytes(held[: framing.end]))
            del held[: framing.end]
            framing = Framing(SMALL)
    assert found == sent


@given(st.binary(max_size=300), st.data())
def test_nonsense_is_given_on_refused_or_waited_for(sent: bytes, data: st.DataObject) -> None:
    held, framing = bytearray(), Framing(SMALL)
    for piece in cut(data, sent):
        held += piece
        if framing.look(held):
            assert framing.refusal or framing.end <= len(held)
            return


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: +5",
        b"Content-Length: 5, 5",
        b"Content-Length : 5\r\nContent-Length: 6",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Content-Length: 5001",
    ],
)
def test_what_can_be_read_in_two_ways_is_the_last_of_its_connection(head: bytes) -> None:
    framing = Framing(SMALL)
    begin = b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n"
    assert framing.look(bytearray(begin + b"hello" + GET))
    assert framing.is_last
    assert framing.end == len(begin)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 3000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 3000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1389\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 1100, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 3000, 431),
    ],
)
def test_what_is_too_long_is_refused(sent: bytes, status: int) -> None:
    framing = Framing(SMALL)
    assert framing.look(bytearray(sent))
    assert framing.refusal == status


def test_a_large_body_in_small_pieces_is_read_once() -> None:
    """Work by the byte, not by the byte times what is held."""
    limits = Limits()
    begin = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    held, framing = bytearray(begin), Framing(limits)
    began = time.process_time()
    for _ in range(40_000):
        held += b"1\r\na\r\n"
        assert not framing.look(held)
    assert time.process_time() - began < 2.0


class World:
    """A door on a free port; requests are kept, and answered when a test says so."""

    def __init__(self, limits: Limits, exempt: bool) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.asked: list[tuple[Connection, bytes, bool]] = []
        self.door = Door([self.listener], limits, lambda *asked: self.asked.append(asked), lambda _address: exempt)
        self.clients: list[socket.socket] = []

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A client that has sent this."""
        client = socket.create_connection(self.listener.getsockname(), 5)
        client.sendall(sent)
        self.clients.append(client)
        self.turn()
        return client

    def turn(self, seconds: float = 0.05) -> None:
        """Let the door work for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.door.turn(0.01)

    def close(self) -> None:
        self.door.close()
        self.listener.close()
        for client in self.clients:
            client.close()


def is_open(client: socket.socket) -> bool:
    client.settimeout(0.05)
    try:
        return client.recv(10) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A door that allows four connections of an address, and eight in all."""
    made = World(Limits(per_address=4, connections=8), exempt=getattr(request, "param", False))
    yield made
    made.close()


def test_of_one_address_the_slowest_makes_way_for_the_next(world: World) -> None:
    clients = [world.connect(b"GET / HT") for _ in range(6)]
    assert [is_open(client) for client in clients] == [False, False, True, True, True, True]
    world.connect(GET)
    assert [request for _, request, _ in world.asked] == [GET]


def kept(world: World) -> socket.socket:
    """A client that has had an answer, and keeps its connection."""
    client = world.connect(GET)
    world.door.answered(world.asked[-1][0], OK, keep=True)
    world.turn()
    assert client.recv(len(OK)) == OK
    return client


def test_of_one_address_who_has_waited_longest_makes_way_not_who_was_first(world: World) -> None:
    busy = kept(world)
    silent = [world.connect(b"POST / HT") for _ in range(3)]
    busy.sendall(POST[:-5])  # has begun its next request this moment
    world.turn()
    world.connect()
    assert [is_open(client) for client in (busy, *silent)] == [True, False, True, True]


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "in half a header"])
def test_where_all_places_are_taken_who_has_waited_longest_makes_way(
    monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    monkeypatch.setattr(door, "PATIENCE_SECONDS", 0.0)
    world = World(Limits(connections=3), exempt=True)
    busy = kept(world)
    silent = [kept(world) if idle else world.connect(b"POST / HT") for _ in range(2)]
    if idle:
        busy.sendall(GET)
        world.turn()
        world.door.answered(world.asked[-1][0], OK, keep=True)
        world.turn()
        assert busy.recv(len(OK)) == OK
    else:
        busy.sendall(POST[:-5])
        world.turn()
    world.connect()
    assert [is_open(client) for client in (busy, *silent)] == [True, False, True]
    world.close()


def test_a_newcomer_costs_one_connection_at_most() -> None:
    world = World(Limits(connections=4), exempt=True)
    for _ in range(3):
        kept(world)
    kept(world)
    assert len(world.door) == 4, "the last free place costs nobody's"
    world.connect()
    assert len(world.door) == 4
    world.close()


@pytest.mark.parametrize("served", [0, 2])
def test_a_newcomer_costs_none_but_its_own_address_too_many(served: int) -> None:
    """All places are taken, and its address has more than its share: others do not make way for it."""
    world = World(Limits(connections=4, per_address=2), exempt=False)
    mine = [world.connect(GET if number < served else b"GET / HT") for number in range(2)]
    others = [Connection(socket.socket(), (block, 1), ("192.0.2.1", 1), block) for block in ("192.0.2.2", "192.0.2.3")]
    for other in others:
        other.phase, other.deadline = Phase.IDLE, float("inf")
        world.door._all[other] = None
        world.door._blocks[other.block] = {other: None}
    world.connect()
    assert len(world.door) == 4
    assert all(other in world.door._all for other in others)
    assert [is_open(client) for client in mine] == [served == 2, True]
    world.close()


def test_a_newcomer_costs_one_connection_where_no_more_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system says so before it looks whether anybody waits."""
    world = World(Limits(), exempt=True)
    for _ in range(4):
        kept(world)
    accept, most = socket.socket.accept, len(world.door)

    def full(listener: socket.socket) -> object:
        if len(world.door) >= most:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", full)
    world.connect()
    assert len(world.door) == most
    world.close()


def test_an_answer_that_comes_after_the_end_goes_nowhere() -> None:
    """The numbers of the door's files may be others' by then."""
    world = World(Limits(), exempt=True)
    world.connect(GET)
    ((connection, _, _),) = world.asked
    files = len(os.listdir("/proc/self/fd"))
    world.close()
    reader, writer = os.pipe2(os.O_NONBLOCK)
    taken = [os.dup(writer) for _ in range(files)]  # the door's numbers among them
    try:
        world.door.answered(connection, OK, keep=False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
    finally:
        for number in (reader, writer, *taken):
            os.close(number)


def test_credentials_in_several_lines_reach_the_broker_in_one(world: World) -> None:
    """As the one UCCS client that there is sends them; gunicorn refuses such a header."""
    world.connect(b"GET /uccs/inifile//api/5/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uYTpwdw==\n\r\n\r\n")
    (asked,) = world.asked
    assert asked[1].endswith(b"\r\nAuthorization: Basic YW5uYTpwdw==\r\n\r\n")


def test_requests_that_are_being_answered_are_never_ended_for_others(world: World) -> None:
    clients = [world.connect(GET) for _ in range(6)]
    assert [is_open(client) for client in clients] == [True, True, True, True, False, False]
    assert len(world.asked) == 4


@pytest.mark.parametrize("world", [True], indirect=True)
def test_an_exempt_address_has_what_all_have_together(world: World) -> None:
    clients = [world.connect(GET) for _ in range(8)]
    assert all(is_open(client) for client in clients)
    late = socket.create_connection(world.listener.getsockname(), 5)  # waits in the listener's queue
    world.clients.append(late)
    late.sendall(GET)
    world.turn()
    assert len(world.asked) == 8
    connection, _, _ = world.asked[0]
    world.door.answered(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep=False)
    world.turn(0.2)
    assert len(world.asked) == 9


def test_what_is_held_in_all_is_bounded() -> None:
    limits = Limits(held_bytes=200_000, body_bytes=100_000)
    world = World(limits, exempt=True)
    begin = b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + b"a" * 60_000
    clients = [world.connect(begin) for _ in range(6)]
    assert [is_open(client) for client in clients] == [False, False, False, True, True, True]
    world.close()


def test_deadlines_are_absolute() -> None:
    """A byte now and then prolongs nothing."""
    world = World(Limits(head_seconds=0.6, body_seconds=1.0), exempt=True)
    slow = {"head": world.connect(b"GET / H"), "body": world.connect(POST[:-5])}
    began = time.monotonic()
    ended: dict[str, float] = {}
    while len(ended) < 2 and time.monotonic() - began < 5:
        world.turn(0.1)
        for name, client in slow.items():
            if name not in ended:
                try:
                    client.send(b"x" if name == "head" else b"")
                    client.settimeout(0.001)
                    if b"408" in client.recv(100):
                        ended[name] = time.monotonic() - began
                except TimeoutError:
                    continue
    assert 0.5 < ended["head"] < 1.3
    assert 0.9 < ended["body"] < 1.8
    world.close()
