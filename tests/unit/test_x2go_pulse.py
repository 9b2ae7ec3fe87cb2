"""The first packet of PulseAudio's protocol, and where its server and its cookie are looked for."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.x2go.errors import X2GoException
from x2gobroker.x2go.sound import pulse

COOKIE = bytes(range(256))
OWN = b"\x42" * 256


def packet(cookie: bytes = COOKIE, version: int = 35, command: int = 8, channel: int = 0xFFFFFFFF) -> bytes:
    """A greeting as libpulse sends it."""
    body = struct.pack(">cIcIcIcI", b"L", command, b"L", 7, b"L", version, b"x", len(cookie)) + cookie
    return struct.pack(">IIIII", len(body), channel, 0, 0, 0) + body


def admitted(data: bytes, own: bytes | None = OWN) -> bytes:
    """What comes out of `admit` for what a program sent before it went away."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        return pulse.admit(cast(paramiko.Channel, ours), COOKIE, own)


def test_who_knows_the_cookie_gets_the_own_one_and_no_shared_memory() -> None:
    assert admitted(packet(version=0xC0000023)) == packet(OWN, version=0x23)
    assert admitted(packet(), None) == packet(bytes(256))


def test_only_the_first_packet_is_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(packet() + b"more")
        pulse.admit(cast(paramiko.Channel, ours), COOKIE, OWN)
        assert ours.recv(100) == b"more"


@pytest.mark.parametrize(
    "data",
    [
        packet(OWN),
        packet(bytes(256)),
        packet(COOKIE[:-1] + b"\0"),
        packet(COOKIE[:-1]),
        packet(COOKIE + b"x"),
        packet(b""),
        packet(command=9),
        packet(channel=0),
        packet().replace(b"x\0\0\1\0", b"y\0\0\1\0"),
        packet().replace(b"x\0\0\1\0", b"x\0\0\1\1"),
        packet().replace(struct.pack(">II", 0xFFFFFFFF, 0), struct.pack(">II", 0xFFFFFFFF, 1)),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xff" * 2000,
    ],
)
def test_strangers(data: bytes) -> None:
    with pytest.raises(pulse.StrangerException):
        admitted(data)


@given(st.integers(0, len(packet()) - 1), st.binary(max_size=400))
def test_nobody_else_gets_in(at: int, noise: bytes) -> None:
    with pytest.raises((pulse.StrangerException, OSError)):
        admitted(packet()[:at])
    if not noise.startswith(packet()):
        with pytest.raises((pulse.StrangerException, OSError)):
            admitted(noise)


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "GREETING_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(packet()[:100])
        with pytest.raises(TimeoutError):
            pulse.admit(cast(paramiko.Channel, ours), COOKIE, OWN)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/x/native", "/run/x/native"),
        ("unix:/run/x/native", "/run/x/native"),
        ("{0123abc}unix:/run/x/native", "/run/x/native"),
        ("tcp:desk.example.org", ("desk.example.org", 4713)),
        ("tcp:127.0.0.1:4800", ("127.0.0.1", 4800)),
        ("desk:4800", ("desk", 4800)),
        ("tcp6:[::1]:4800", ("::1", 4800)),
        ("[::1]", ("::1", 4713)),
        ("tcp:", None),
        ("a:b:c", None),
    ],
)
def test_addresses(text: str, address: Any) -> None:
    assert pulse._parsed(text) == address


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user without a sound server. The path is short: those of sockets have to be."""
    for name in ("PULSE_SERVER", "PULSE_COOKIE", "PULSE_RUNTIME_PATH", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="x2go-pulse-") as name:
        folder = Path(name)
        monkeypatch.setenv("HOME", name)
        (folder / ".config" / "pulse").mkdir(parents=True)
        yield folder


def test_the_server_is_where_libpulse_looks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "id").write_text("0123456789abcdef\n", encoding="ascii")
    monkeypatch.setattr(pulse, "MACHINE_IDS", (str(home / "none"), str(home / "id")))
    (home / "short").mkdir()
    (home / ".config" / "pulse" / "0123456789abcdef-runtime").symlink_to(home / "short")
    places = [home / "short" / "native", home / "xdg" / "pulse" / "native", home / "own" / "native", home / "socket"]
    variables = ["", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_SERVER"]
    values = ["", str(home / "xdg"), str(home / "own"), f"tcp:localhost:1 unix:{home / 'socket'}"]
    listeners = []
    try:
        for place, variable, value in zip(places, variables, values, strict=True):
            if variable:
                monkeypatch.setenv(variable, value)
            place.parent.mkdir(parents=True, exist_ok=True)
            listeners.append(socket.socket(socket.AF_UNIX))
            listeners[-1].bind(str(place))
            assert pulse.find_server() != str(place)  # nobody answers yet
            listeners[-1].listen()
            assert pulse.find_server() == str(place)
    finally:
        for listener in listeners:
            listener.close()


def test_a_folder_of_somebody_else_is_not_trusted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "id").write_text("0123456789abcdef\n", encoding="ascii")
    monkeypatch.setattr(pulse, "MACHINE_IDS", (str(home / "id"),))
    folder = home / "theirs"
    folder.mkdir()
    (home / ".config" / "pulse" / "0123456789abcdef-runtime").symlink_to(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "native"))
        listener.listen()
        assert pulse.find_server() == str(folder / "native")
        os.chown(folder, 65534, 65534)
        assert pulse.find_server() != str(folder / "native")


def test_a_chosen_port_is_the_only_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as usual, socket.create_server(("127.0.0.1", 0)) as chosen:
        usual.bind(str(home / "socket"))
        usual.listen()
        monkeypatch.setenv("PULSE_SERVER", str(home / "socket"))
        port = chosen.getsockname()[1]
        assert pulse.find_server(port) == ("127.0.0.1", port)
        chosen.close()
        assert pulse.find_server(port) is None


def test_cookies(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pulse.own_cookie() is None
    (home / ".pulse-cookie").write_bytes(b"1" * 256)
    assert pulse.own_cookie() == b"1" * 256
    (home / ".config" / "pulse" / "cookie").write_bytes(b"2" * 255)
    assert pulse.own_cookie() == b"1" * 256
    (home / ".config" / "pulse" / "cookie").write_bytes(b"2" * 256)
    assert pulse.own_cookie() == b"2" * 256
    (home / "mine").write_bytes(b"3" * 300)
    monkeypatch.setenv("PULSE_COOKIE", str(home / "mine"))
    assert pulse.own_cookie() == b"3" * 256


def test_no_server_is_started_where_that_cannot_work(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "PULSE_PORT", 1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(X2GoException, match="none is started for root"):
        pulse.start_server()
    monkeypatch.setattr(os, "geteuid", lambda: 65533)
    monkeypatch.setattr(pulse, "STARTING_SECONDS", 0.3)
    monkeypatch.setattr(pulse, "PROGRAM", str(home / "missing"))
    with pytest.raises(X2GoException, match="there is no pulseaudio"):
        pulse.start_server()
    monkeypatch.setattr(pulse, "PROGRAM", "false")
    with pytest.raises(X2GoException, match="ended with 1"):
        pulse.start_server()
    monkeypatch.setattr(pulse, "PROGRAM", "true")
    with pytest.raises(X2GoException, match="no sound server runs"):
        pulse.start_server()
    slow = home / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n", encoding="ascii")
    slow.chmod(0o755)
    monkeypatch.setattr(pulse, "PROGRAM", str(slow))
    with pytest.raises(X2GoException, match="does not work"):
        pulse.start_server()
