"""Servers that hang, talk without end, stop in the middle or never take anything: all of it ends, soon and cheaply."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.accounts import account_with_home
from tests.support.sshd import Sshd, children_of, sshd
from x2gobroker.errors import SshError
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.connect import connect
from x2gobroker.ssh.execute import execute
from x2gobroker.ssh.failures import ConnectionBroken, SshTimeout
from x2gobroker.ssh.keys import generate_key
from x2gobroker.ssh.routes import AUTO_ADD, Login, Route, Trust

SOON = 1.0
LATE = 2.5
Behaviour = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def listening(behave: Behaviour) -> Iterator[int]:
    """A port where every connection is treated so; its number."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            connection.settimeout(10)
            behave(connection, stop)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join(15)


def silent(_connection: socket.socket, stop: threading.Event) -> None:
    stop.wait(30)


def endless_line(connection: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        connection.sendall(b"x" * 65536)


def endless_lines(connection: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        connection.sendall(b"hello\r\n" * 9000)


def dripping(connection: socket.socket, stop: threading.Event) -> None:
    while not stop.wait(0.05):
        connection.sendall(b"x\r\n")


def only_a_greeting(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"SSH-2.0-x\r\n")
    stop.wait(30)


def huge_packet(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"SSH-2.0-x\r\n\x7f\xff\xff\xf4\x04")
    endless_line(connection, stop)


def hang_up(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(b"SSH-2.0-x\r\n")


def other_protocol(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    stop.wait(30)


def no_new_threads(before: int) -> None:
    end = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < end, threading.enumerate()
        time.sleep(0.02)


@pytest.mark.parametrize(
    "behave",
    [silent, endless_line, endless_lines, dripping, only_a_greeting, huge_packet, hang_up, other_protocol],
)
def test_connecting_ends_in_time_and_leaves_nothing_behind(tmp_path: Path, behave: Behaviour) -> None:
    with listening(behave) as port:
        before = threading.active_count()
        route = Route(Endpoint("bad", "127.0.0.1", port), Login("x", password="p"), Trust((tmp_path / "k",), AUTO_ADD))
        tracemalloc.start()
        begun = time.monotonic()
        with pytest.raises((SshTimeout, ConnectionBroken)) as failure:
            connect(route, SOON)
        took = time.monotonic() - begun
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert took < LATE
        assert peak < 20_000_000
        assert "\n" not in str(failure.value)
        # the server's own thread for this connection ends later
        no_new_threads(before + 1)


def test_many_connections_to_a_hanging_server_end_together(tmp_path: Path) -> None:
    with listening(silent) as port:
        route = Route(Endpoint("bad", "127.0.0.1", port), Login("x"), Trust((tmp_path / "k",)))

        def attempt() -> None:
            with pytest.raises(SshTimeout):
                connect(route, SOON)

        threads = [threading.Thread(target=attempt) for _ in range(30)]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert time.monotonic() - begun < 5


class Stubborn(paramiko.ServerInterface):
    """Lets everybody in, takes every command, and then does as it was told."""

    def __init__(self, answers: bool) -> None:
        self.answers = answers
        self.asked = threading.Event()

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.asked.set()
        if not self.answers:
            time.sleep(LATE * 2)
        return True


def stubborn(answers: bool, window: int, flood: bool = False) -> Behaviour:
    key = paramiko.RSAKey.generate(2048)

    def behave(connection: socket.socket, stop: threading.Event) -> None:
        transport = paramiko.Transport(connection, default_window_size=window)
        transport.add_server_key(key)
        server = Stubborn(answers)
        transport.start_server(server=server)
        channel = transport.accept(10)
        server.asked.wait(10)
        while flood and channel is not None and not stop.is_set():
            message = paramiko.Message()  # with no regard for the window
            message.add_byte(bytes([94]))
            message.add_int(channel.remote_chanid)
            message.add_string(bytes(30_000))
            transport._send_message(message)  # type: ignore[attr-defined]
        stop.wait(30)
        transport.close()

    return behave


@pytest.mark.parametrize(
    ("behave", "data"),
    [
        (stubborn(answers=False, window=1 << 20), b""),
        (stubborn(answers=True, window=1 << 20), b""),
        (stubborn(answers=True, window=4096), bytes(10_000_000)),
    ],
    ids=["never answers the request", "never ends", "never opens its window"],
)
def test_a_command_on_a_stubborn_server_ends_at_its_deadline(tmp_path: Path, behave: Behaviour, data: bytes) -> None:
    with listening(behave) as port:
        route = Route(Endpoint("bad", "127.0.0.1", port), Login("x", password="p"), Trust((tmp_path / "k",), AUTO_ADD))
        with connect(route, 10) as transport:
            begun = time.monotonic()
            with pytest.raises(SshTimeout):
                execute(transport, "true", SOON, input=data)
            assert time.monotonic() - begun < LATE


def test_a_server_that_floods_is_cut_off(tmp_path: Path) -> None:
    with listening(stubborn(answers=True, window=1 << 20, flood=True)) as port:
        route = Route(Endpoint("bad", "127.0.0.1", port), Login("x", password="p"), Trust((tmp_path / "k",), AUTO_ADD))
        with connect(route, 10) as transport:
            begun = time.monotonic()
            with pytest.raises(SshError):
                execute(transport, "true", 5, max_bytes=1_000_000)
            assert time.monotonic() - begun < 6


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[tuple[Sshd, Route]]:
    """A server and the way to it; the test stops the server's processes."""
    key = generate_key("ed25519")
    with account_with_home("not-used-1") as user:
        authorized = {user.name: key.public.line()}
        with sshd(tmp_path / "sshd", authorized=authorized, kinds=("ed25519",)) as server:
            endpoint = Endpoint("srv", "127.0.0.1", server.port)
            yield server, Route(endpoint, Login(user.name, private_key=key.private), Trust((tmp_path / "k",), AUTO_ADD))


def freeze(server: Sshd) -> None:
    for pid in children_of(server.pid):
        with contextlib.suppress(ProcessLookupError):  # one that only helped with the login may have ended
            os.kill(pid, signal.SIGSTOP)


def test_a_server_that_stops_in_mid_command(frozen: tuple[Sshd, Route]) -> None:
    server, route = frozen
    with connect(route, 10) as transport:
        threading.Timer(0.3, freeze, (server,)).start()
        begun = time.monotonic()
        with pytest.raises(SshTimeout):
            execute(transport, "while :; do echo x; sleep 0.05; done", SOON)
        assert time.monotonic() - begun < LATE
        begun = time.monotonic()
        with pytest.raises((SshTimeout, ConnectionBroken)):
            execute(transport, "true", SOON)
        assert time.monotonic() - begun < LATE


def test_a_server_that_stops_reading_while_much_is_sent(frozen: tuple[Sshd, Route]) -> None:
    server, route = frozen
    with connect(route, 10) as transport:
        freeze(server)
        begun = time.monotonic()
        with pytest.raises((SshTimeout, ConnectionBroken)):
            execute(transport, "cat", SOON, input=bytes(50_000_000))
        assert time.monotonic() - begun < LATE


def test_a_login_that_takes_too_long(frozen: tuple[Sshd, Route]) -> None:
    server, route = frozen
    os.kill(server.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(SshTimeout):
            connect(route, SOON)
        assert time.monotonic() - begun < LATE
    finally:
        os.kill(server.pid, signal.SIGCONT)
