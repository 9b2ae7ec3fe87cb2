"""The base class of scripts."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from x2gobroker.remote.script import RemoteServiceScript


@pytest.fixture
def script() -> RemoteServiceScript:
    """A script as a service would hold it."""
    return RemoteServiceScript("Desk", count=3, index=2, common_options={"a": 1})


def test_what_scripts_find(script: RemoteServiceScript) -> None:
    assert (script._name, script._count, script._index) == ("Desk", 3, 2)
    assert script._common_options == {"a": 1}
    assert (script._hostname, script._port) == ("localhost", 0)
    assert repr(script) == "<RemoteServiceScript 'Desk' 2 of 3>"
    assert RemoteServiceScript()._common_options == {}


def test_start_notes_what_it_is_for(script: RemoteServiceScript) -> None:
    assert script.start("t1", timestamp=5.0, options={"username": "ann"}) is True
    assert (script._token, script._timestamp, script._options) == ("t1", 5.0, {"username": "ann"})
    before = time.time()
    assert script.start("t2") is True
    assert before <= script._timestamp <= time.time()
    assert script.stop() is True
    assert script._token == ""


def test_no_password_is_shown(script: RemoteServiceScript) -> None:
    script.set_password("pa55word")
    assert script._password == "pa55word"
    assert "pa55word" not in repr(script)
    script.set_password(None)
    assert script._password is None


@pytest.mark.parametrize(("host", "port"), [("", 1), ("h" * 256, 1), ("a\nb", 1), ("h", 0), ("h", 65536), ("h", "x")])
def test_what_is_no_address(script: RemoteServiceScript, host: str, port: int) -> None:
    with pytest.raises(ValueError):
        script.set_host_port(host, port)


@pytest.mark.parametrize("path", ["", "vnc", "/" + "p" * 107, "/a\0b"])
def test_what_is_no_socket(script: RemoteServiceScript, path: str) -> None:
    with pytest.raises(ValueError, match="Unix socket"):
        script.set_unix_socket(path)


def test_the_last_target_counts(script: RemoteServiceScript) -> None:
    script.set_host_port("n8", 5901)
    assert (script._hostname, script._port, script._unix_socket) == ("n8", 5901, "")
    script.set_unix_socket("/run/vnc")
    assert (script._port, script._unix_socket) == (0, "/run/vnc")
    script.set_host_port("n8", 5902)
    assert (script._port, script._unix_socket) == (5902, "")


def connections_to(listening: socket.socket) -> int:
    """How many connections wait to be accepted."""
    listening.setblocking(False)
    found = 0
    try:
        while True:
            listening.accept()[0].close()
            found += 1
    except BlockingIOError:
        return found


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_poll_looks_whether_a_port_is_listened_on(
    script: RemoteServiceScript, family: socket.AddressFamily, host: str
) -> None:
    assert not script.poll()
    with socket.socket(family) as listening:
        listening.bind((host, 0))
        script.set_host_port(host, listening.getsockname()[1])
        assert not script.poll()
        listening.listen()
        assert script.poll()
        assert connections_to(listening) == 0
        script.set_host_port("localhost", listening.getsockname()[1])
        assert script.poll()
    assert not script.poll()


def test_poll_looks_whether_a_socket_is_listened_on(script: RemoteServiceScript, tmp_path: Path) -> None:
    path = tmp_path / "a b"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        script.set_unix_socket(path)
        assert not script.poll()
        listening.listen()
        assert script.poll()
        assert connections_to(listening) == 0
    assert path.exists()
    assert not script.poll()


def test_poll_connects_to_other_hosts(script: RemoteServiceScript, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], seconds: float) -> socket.socket:
        asked.append(address)
        assert 0 < seconds < 10
        if address[1] == 1:
            raise TimeoutError
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    script.set_host_port("n8", 1)
    assert not script.poll()
    script.set_host_port("n8", 2)
    assert script.poll()
    assert asked == [("n8", 1), ("n8", 2)]


def test_progress_is_words_on_one_line(script: RemoteServiceScript) -> None:
    script.progress("nobody listens")
    heard: list[str] = []
    script._listener = heard.append
    script.progress("one\ntwo\x1b[0m" + "x" * 300)
    assert heard == [("one two [0m" + "x" * 300)[:200]]


def test_there_is_no_folder_without_a_service(script: RemoteServiceScript) -> None:
    with pytest.raises(RuntimeError, match="was not loaded by the service"):
        _ = script.state_folder
