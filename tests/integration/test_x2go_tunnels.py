"""Tunnels through a real sshd: to a port of the server, and from one."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.processes import free_port, listens, wait_until
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.connect import connect
from x2gobroker.ssh.routes import Login, Route, Trust
from x2gobroker.x2go.connection.tunnels import LocalForward, ReverseForward, relay
from x2gobroker.x2go.errors import X2GoFwTunnelException, X2GoRevFwTunnelException

MIB = os.urandom(1 << 20)
ENOUGH = 20


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key for root."""
    path = tmp_path_factory.mktemp("key") / "key"
    make_key(path)
    return path


@pytest.fixture(scope="module")
def server(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd that forwards."""
    with server_for(key, tmp_path_factory.mktemp("sshd"), "AllowTcpForwarding yes") as running:
        yield running


def server_for(key: Path, folder: Path, config: str) -> contextlib.AbstractContextManager[Sshd]:
    return sshd(folder, authorized={"root": Path(f"{key}.pub").read_text()}, config=f"PermitRootLogin yes\n{config}\n")


def connected(server: Sshd, key: Path) -> paramiko.Transport:
    known = server.folder / "known_hosts"
    known.write_text(server.host_key_lines("127.0.0.1"))
    login = Login("root", private_key=key.read_text(encoding="ascii"))
    return connect(Route(Endpoint("127.0.0.1", "127.0.0.1", server.port), login, Trust((known,))), 20)


@pytest.fixture
def transport(server: Sshd, key: Path) -> Iterator[paramiko.Transport]:
    """A connection; no thread of a tunnel is left when it has ended."""
    connection = connected(server, key)
    yield connection
    connection.close()
    wait_until(lambda: not tunnel_threads(), "the end of all threads")


def tunnel_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("x2go-")]


class Counter:
    """A server that says how many bytes came, once they have ended; with a name of its own in front."""

    def __init__(self, name: str, family: int = socket.AF_INET, address: object = ("127.0.0.1", 0)) -> None:
        self.name = name
        self.taken: list[socket.socket] = []
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind(address)  # type: ignore[arg-type]
        self.listener.listen()
        self.address = self.listener.getsockname()
        threading.Thread(target=self._run, name=f"counter {name}", daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.taken.append(connection)
                threading.Thread(target=self._count, args=(connection,), daemon=True).start()

    def _count(self, connection: socket.socket) -> None:
        count = 0
        with contextlib.suppress(OSError), connection:
            while piece := connection.recv(65536):
                count += len(piece)
            connection.sendall(f"{self.name} {count}".encode())

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def counter() -> Iterator[Counter]:
    """One of them."""
    running = Counter("one")
    yield running
    running.close()


def reached(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, 20)


def said(connection: socket.socket, count: int = 0) -> bytes:
    """What comes back for so many MiB."""
    with connection:
        for _ in range(count):
            connection.sendall(MIB)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(100):
            answer += piece
        return answer


def test_many_connections_at_once_go_through(transport: paramiko.Transport, counter: Counter) -> None:
    tunnel = LocalForward(transport, counter.address)
    tunnel.start()
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: answers.append(said(reached(tunnel.address), ENOUGH)), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [b"one %d" % (ENOUGH << 20)] * 4
    wait_until(lambda: tunnel.connections == 0, "the end of the streams")
    tunnel.stop()
    with pytest.raises(OSError):
        reached(tunnel.address)


def test_stop_ends_what_goes_on(transport: paramiko.Transport, counter: Counter) -> None:
    there = LocalForward(transport, counter.address)
    there.start()
    back = ReverseForward(transport, 0, lambda channel: relay(channel, counter.address))
    back.start()
    open_ones = [reached(there.address), reached(("127.0.0.1", back.port))]
    wait_until(lambda: len(counter.taken) == 2, "both connections")
    for tunnel in (there, back):
        tunnel.stop()
        tunnel.stop()
    for connection in open_ones:
        with connection:
            # to its server the end is one as any other, and what it answers may come through before all is closed
            answer = connection.recv(100)
            assert answer in (b"", b"one 0")
            assert not answer or connection.recv(1) == b""
    assert tunnel_threads() == []
    wait_until(lambda: not listens(back.port), "the server listens no more")
    assert transport.is_active()


def test_one_side_may_end_before_the_other(transport: paramiko.Transport) -> None:
    """Whoever says that he is done still gets all of the answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    tunnel = LocalForward(transport, listener.getsockname())
    tunnel.start()
    with reached(tunnel.address) as ours:
        theirs, _ = listener.accept()
        with theirs:
            ours.sendall(b"question")
            ours.shutdown(socket.SHUT_WR)
            assert theirs.recv(100) == b"question"
            assert theirs.recv(100) == b""
            for _ in range(3):
                theirs.sendall(MIB)
        count = 0
        while piece := ours.recv(65536):
            count += len(piece)
        assert count == 3 << 20
    listener.close()
    tunnel.stop()


def test_the_server_may_begin_to_listen_later(transport: paramiko.Transport) -> None:
    port = free_port()
    tunnel = LocalForward(transport, ("127.0.0.1", port))
    tunnel.start()
    connection = reached(tunnel.address)
    late = Counter("late", address=("127.0.0.1", port))
    assert said(connection, 1) == b"late 1048576"
    tunnel.stop()
    late.close()


def test_nobody_listens_on_the_server(transport: paramiko.Transport) -> None:
    reasons: list[str] = []
    port = free_port()
    tunnel = LocalForward(transport, ("127.0.0.1", port), on_refused=reasons.append, patience=0.5)
    tunnel.start()
    with reached(tunnel.address) as connection:
        assert connection.recv(1) == b""
    wait_until(lambda: len(reasons) == 1, "the reason")
    assert f"port {port}" in reasons[0]
    tunnel.stop()


def test_a_port_that_is_taken_leads_to_the_next_one(transport: paramiko.Transport, counter: Counter) -> None:
    first = LocalForward(transport, counter.address)
    first.start()
    taken = first.address[1]
    second = LocalForward(transport, counter.address, local_port=taken)
    second.start()
    assert taken < second.address[1] <= taken + 100
    assert said(reached(second.address)) == b"one 0"
    with pytest.raises(X2GoFwTunnelException):
        second.start()
    first.stop()
    second.stop()


def test_tunnels_from_the_server_are_told_apart(
    transport: paramiko.Transport, counter: Counter, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    other = Counter("two", socket.AF_UNIX, path)
    wanted = free_port()
    first = ReverseForward(transport, wanted, lambda channel: relay(channel, counter.address))
    second = ReverseForward(transport, 0, lambda channel: relay(channel, path))
    first.start()
    second.start()
    assert first.port == wanted
    assert said(reached(("127.0.0.1", first.port)), 2) == b"one 2097152"
    assert said(reached(("127.0.0.1", second.port)), 2) == b"two 2097152"
    first.stop()
    assert said(reached(("127.0.0.1", second.port))) == b"two 0"
    again = ReverseForward(transport, wanted, lambda channel: relay(channel, path))
    again.start()
    assert said(reached(("127.0.0.1", wanted))) == b"two 0"
    other.close()
    assert said(reached(("127.0.0.1", wanted))) == b"", "nobody is there any more"
    second.stop()
    again.stop()


def test_a_port_that_the_server_does_not_give(transport: paramiko.Transport, counter: Counter) -> None:
    tunnel = ReverseForward(transport, counter.address[1], lambda channel: relay(channel, counter.address))
    with pytest.raises(X2GoRevFwTunnelException, match="refuses"):
        tunnel.start()
    tunnel.stop()


def test_a_server_that_forbids_tunnels(key: Path, counter: Counter, tmp_path: Path) -> None:
    reasons: list[str] = []
    with server_for(key, tmp_path, "AllowTcpForwarding no") as strict:
        connection = connected(strict, key)
        with pytest.raises(X2GoRevFwTunnelException, match="AllowTcpForwarding"):
            ReverseForward(connection, 0, lambda channel: relay(channel, counter.address)).start()
        tunnel = LocalForward(connection, counter.address, on_refused=reasons.append)
        tunnel.start()
        with reached(tunnel.address) as end:
            assert end.recv(1) == b""
        wait_until(lambda: len(reasons) == 1, "the reason, at once")
        assert "AllowTcpForwarding" in reasons[0]
        tunnel.stop()
        connection.close()
    wait_until(lambda: not tunnel_threads(), "the end of all threads")


@pytest.mark.parametrize("how", ["server", "client"])
def test_a_lost_connection_ends_all_streams(server: Sshd, key: Path, counter: Counter, how: str) -> None:
    connection = connected(server, key)
    there = LocalForward(connection, counter.address)
    there.start()
    back = ReverseForward(connection, 0, lambda channel: relay(channel, counter.address))
    back.start()
    open_ones = [reached(there.address), reached(("127.0.0.1", back.port))]
    wait_until(lambda: len(counter.taken) == 2, "both connections")
    end: Callable[[], None] = server.end_connections if how == "server" else connection.close
    end()
    for one in open_ones:
        with one:
            assert one.recv(1) == b""
    wait_until(lambda: there.connections == back.connections == 0, "the end of the streams")
    for refused in (LocalForward(connection, counter.address), ReverseForward(connection, 0, lambda _: None)):
        with pytest.raises((X2GoFwTunnelException, X2GoRevFwTunnelException), match="ended"):
            refused.start()
    there.stop()
    back.stop()
    connection.close()
    wait_until(lambda: not tunnel_threads(), "the end of all threads")
