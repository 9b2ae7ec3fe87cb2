"""The broker's side of the authentication service, against small peers that say what a test wants."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from x2gobroker.authservice.client import AuthServiceClient, Sign, sign_of_life
from x2gobroker.authservice.protocol import HELLO, LENGTH, decode_body, encode_frame, frame_length
from x2gobroker.errors import AuthMechanismError

PASSWORD = "Not-for-messages"
JOIN_SECONDS = 10.0
Script = Callable[[socket.socket], None]


def read(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = peer.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


def read_line(peer: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = peer.recv(1)
        if not piece:
            break
        line += piece
    return line


class Peer:
    """Serves each connection with a script, one after the other; remembers the lines and requests it got."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.got: list[object] = []
        self.script: Script = lambda _peer: None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            with peer:
                peer.settimeout(JOIN_SECONDS)
                first = peer.recv(1, socket.MSG_PEEK)
                if first == b"!":
                    return
                try:
                    self.script(peer)
                except (BrokenPipeError, ConnectionResetError):
                    continue

    def answers(self, data: bytes) -> Script:
        """Greets in frames and answers every request with these bytes."""

        def script(peer: socket.socket) -> None:
            self.got.append(read_line(peer))
            peer.sendall(HELLO)
            self.got.append(decode_body(read(peer, frame_length(read(peer, LENGTH.size)))))
            peer.sendall(data)

        return script

    def lines_only(self, answer: bytes, to_hello: bytes = b"") -> Script:
        """The reference's: ends the connection, or says something else, for what is no request."""

        def script(peer: socket.socket) -> None:
            line = read_line(peer)
            self.got.append(line)
            peer.sendall(to_hello if line == HELLO else answer)

        return script

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self.path))
            last.sendall(b"!")
            self._thread.join(JOIN_SECONDS)
        self._listener.close()
        assert not self._thread.is_alive()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    """A peer at a socket of its own."""
    made = Peer(tmp_path / "s")
    yield made
    made.close()


@pytest.fixture
def client(peer: Peer) -> AuthServiceClient:
    """The client of that socket."""
    return AuthServiceClient(peer.path, deadline=1.0)


def test_the_newer_form_is_used_where_it_is_spoken(peer: Peer, client: AuthServiceClient) -> None:
    peer.script = peer.answers(encode_frame({"result": "ok"}))
    assert client.authenticate("x", "anna", PASSWORD, "123456", "192.0.2.1").granted
    request = {"op": "authenticate", "service": "x", "user": "anna", "password": PASSWORD}
    assert peer.got == [HELLO, {**request, "address": "192.0.2.1", "code": "123456"}]


def test_a_refusal_has_its_reason_and_its_delay(peer: Peer, client: AuthServiceClient) -> None:
    peer.script = peer.answers(encode_frame({"result": "refused", "reason": "no", "delay_ms": 1900}))
    answer = client.authenticate("x", "anna", PASSWORD)
    assert (answer.granted, answer.reason, answer.delay_ms) == (False, "PAM: no", 1900)


@pytest.mark.parametrize("result", ["busy", "timeout", "failed"])
def test_what_is_no_verdict_is_no_refusal(peer: Peer, client: AuthServiceClient, result: str) -> None:
    peer.script = peer.answers(encode_frame({"result": result, "reason": "because"}))
    with pytest.raises(AuthMechanismError, match=f"{result}: because"):
        client.authenticate("x", "anna", PASSWORD)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        LENGTH.pack(100) + b"{}",
        LENGTH.pack(0xFFFFFFFF),
        LENGTH.pack(0),
        LENGTH.pack(2) + b"[]",
        LENGTH.pack(1) + b"\xff",
        encode_frame({}),
        encode_frame({"result": "granted"}),
        encode_frame({"result": ["ok"]}),
        encode_frame({"result": "prompt"}),
        b"ok\nok\nok\nok\n",
    ],
)
def test_anything_but_a_clear_yes_lets_nobody_in(peer: Peer, client: AuthServiceClient, data: bytes) -> None:
    peer.script = peer.answers(data)
    with pytest.raises(AuthMechanismError) as error:
        client.authenticate("x", "anna", PASSWORD)
    assert str(peer.path) in str(error.value)
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize("to_hello", [b"", b"bad\n", b"fail\n", b"x2gobroker-auth 2\n"])
def test_the_older_form_is_used_where_the_newer_is_not_spoken(
    peer: Peer, client: AuthServiceClient, to_hello: bytes
) -> None:
    peer.script = peer.lines_only(b"ok\n", to_hello)
    assert client.authenticate("x", "anna", PASSWORD).granted
    assert client.authenticate("x", "anna", PASSWORD).granted
    line = f"anna\r{PASSWORD}\rx\n".encode()
    assert peer.got == [HELLO, line, line], "it is remembered what the service speaks"


@pytest.mark.parametrize("answer", [b"", b"o", b"ok", b"OK\n", b"okay\n", b"yes\n", b" ok\n", b"\n", b"x" * 500])
def test_no_line_but_ok_lets_anybody_in(peer: Peer, client: AuthServiceClient, answer: bytes) -> None:
    peer.script = peer.lines_only(answer)
    with pytest.raises(AuthMechanismError):
        client.authenticate("x", "anna", PASSWORD)


def test_a_fail_in_the_older_form_is_a_refusal(peer: Peer, client: AuthServiceClient) -> None:
    peer.script = peer.lines_only(b"fail\n")
    assert not client.authenticate("x", "anna", PASSWORD).granted


@pytest.mark.parametrize(("user", "password"), [("a\rb", "c"), ("a\nb", "c"), ("a", "b\rc"), ("a", "b\nc")])
def test_line_ends_are_never_sent_in_the_older_form(
    peer: Peer, client: AuthServiceClient, user: str, password: str
) -> None:
    peer.script = peer.lines_only(b"ok\n")
    with pytest.raises(AuthMechanismError, match="takes no line ends"):
        client.authenticate("x", user, password)
    assert peer.got == [HELLO]


def test_codes_and_new_passwords_are_never_sent_in_the_older_form(peer: Peer, client: AuthServiceClient) -> None:
    peer.script = peer.lines_only(b"ok\n")
    with pytest.raises(AuthMechanismError, match="only checks passwords"):
        client.authenticate("x", "anna", PASSWORD, "123456")
    with pytest.raises(AuthMechanismError, match="only checks passwords"):
        client.change_password("x", "anna", PASSWORD, "new")
    assert set(map(str, peer.got)) == {str(HELLO)}


def test_a_service_that_says_nothing_is_not_waited_for_longer_than_the_deadline(
    peer: Peer, client: AuthServiceClient
) -> None:
    def silent(raw: socket.socket) -> None:
        read_line(raw)
        read(raw, 1)

    peer.script = silent
    began = time.monotonic()
    with pytest.raises(AuthMechanismError, match="no answer within 1 s"):
        client.authenticate("x", "anna", PASSWORD)
    assert 0.9 < time.monotonic() - began < 20


def test_a_service_that_drips_is_not_waited_for_longer_either(peer: Peer, client: AuthServiceClient) -> None:
    def drip(raw: socket.socket) -> None:
        peer.answers(LENGTH.pack(1000))(raw)
        for _ in range(300):
            raw.sendall(b" ")
            time.sleep(0.1)

    peer.script = drip
    began = time.monotonic()
    with pytest.raises(AuthMechanismError, match="no answer within 1 s"):
        client.authenticate("x", "anna", PASSWORD)
    assert time.monotonic() - began < 20


def test_no_socket_and_nobody_behind_it_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(AuthMechanismError, match="start x2gobroker-authservice"):
        AuthServiceClient(path).authenticate("x", "anna", PASSWORD)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(AuthMechanismError, match="start x2gobroker-authservice"):
        AuthServiceClient(path).authenticate("x", "anna", PASSWORD)


def test_a_full_queue_of_connections_is_waited_for_up_to_the_deadline(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        with pytest.raises(AuthMechanismError, match=r"no answer within 0\.5 s"):
            AuthServiceClient(path, 0.5).authenticate("x", "anna", PASSWORD)


@pytest.mark.parametrize("password", ["x" * 20000, "\udcff", "☃" * 1024])
def test_a_password_that_cannot_be_sent_lets_nobody_in(peer: Peer, client: AuthServiceClient, password: str) -> None:
    peer.script = peer.lines_only(b"fail\n")
    try:
        granted = client.authenticate("x", "anna", password).granted
    except AuthMechanismError:
        granted = False
    assert not granted


@pytest.mark.parametrize("says", [HELLO, b"", b"x2gobroker-auth 2\n"])
def test_a_sign_of_life(peer: Peer, says: bytes) -> None:
    peer.script = peer.lines_only(b"", says)
    assert sign_of_life(peer.path, 5.0) is Sign.HERE
    assert peer.got == [HELLO], "it is asked nothing"


def test_no_sign_of_life(tmp_path: Path) -> None:
    assert sign_of_life(tmp_path / "none", 5.0) is None
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(tmp_path / "frozen"))
        assert sign_of_life(tmp_path / "frozen", 5.0) is None, "nobody listens"
        frozen.listen()
        assert sign_of_life(tmp_path / "frozen", 0.2) is None
