"""Sound of real sessions on a real X2Go Server, played by a real PulseAudio of the client."""

from __future__ import annotations

import base64
import contextlib
import copy
import math
import os
import signal
import socket
import struct
import traceback
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Account
from tests.support.desktop import Desktop
from tests.support.leftovers import nothing_left
from tests.support.processes import free_port, wait_until
from tests.support.pulseaudio import RATE, SoundServer, environment, sound_account, sound_server
from tests.support.shown_session import client, resumed, started, window
from tests.support.x2go_server import X2GoServer, x2go_server
from x2gobroker.x2go.errors import X2GoException, X2GoRevFwTunnelException
from x2gobroker.x2go.session import X2GoSession
from x2gobroker.x2go.sound import pulse
from x2gobroker.x2go.sound.playing import Sound
from x2gobroker.x2go.terminal import X2GoTerminalSession

LOUD = 20000
TONE_SECONDS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server with two users."""
    with x2go_server(tmp_path_factory.mktemp("x2go-sound"), users=2) as running:
        yield running


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The user of the client: the library looks for the sound server where this user's programs would."""
    with sound_account() as account:
        for name in ("HOME", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, environment(account)[name])
        for name in ("PULSE_SERVER", "PULSE_COOKIE", "PULSE_RUNTIME_PATH", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name, raising=False)
        yield account


@pytest.fixture(scope="module")
def shown(server: X2GoServer, screen: Desktop) -> Iterator[X2GoTerminalSession]:
    """A session that several tests give a sound to."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        client(server, server.users[0], screen, monkeypatch) as control,
    ):
        yield started(control, cmd="xterm")


class Hooks:
    """Stands for a client, and notes the hooks of sound that are called."""

    def __init__(self) -> None:
        self.client_instance = self
        self.told: list[str] = []

    def HOOK_on_sound_tunnel_failed(self, profile_name: str, session_name: str) -> None:
        assert session_name
        self.told.append("no sound")

    def HOOK_pulseaudio_server_startup_failed(self) -> None:
        self.told.append("not started")

    def HOOK_pulseaudio_server_died(self) -> None:
        self.told.append("died")

    def HOOK_rforward_request_denied(self, server_port: int) -> None:
        assert server_port
        self.told.append("denied")


@contextlib.contextmanager
def sound_of(shown: X2GoTerminalSession, hooks: Hooks | None = None, **parameters: Any) -> Iterator[Sound]:
    """Sound for that session; in the end nothing of it may be left."""
    with nothing_left():
        sound = Sound(shown.control_session, shown.get_session_info(), client_instance=hooks, **parameters)
        try:
            yield sound
        finally:
            sound.stop()


def tone(user: Account) -> Path:
    """A file with a loud tone, in the user's home folder on the server."""
    path = user.home / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        samples = (int(30000 * math.sin(at * 2 * math.pi * 440 / RATE)) for at in range(RATE * TONE_SECONDS))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    path.chmod(0o644)
    return path


def ask(server: X2GoServer, terminal: X2GoTerminalSession) -> str:
    """What `pactl info` says on the server, in the environment that the session's commands get."""
    info = terminal.get_session_info()
    done = server.ssh(
        server.users[0], f"PULSE_CLIENTCONFIG={info.remote_container}/.pulse-client.conf timeout 20 pactl info"
    )
    return done.stdout + done.stderr


def playing(sounds: SoundServer) -> str:
    """What PulseAudio says of the programs that play."""
    return sounds.pactl("list", "sink-inputs")


def test_a_session_plays_on_the_client(
    server: X2GoServer, screen: Desktop, listener: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, hooks = server.users[1], Hooks()
    with client(server, user, screen, monkeypatch) as control:
        with sound_server(tmp_path, listener) as sounds:
            terminal = control.start(cmd=f"paplay {tone(user)}", link="lan", session_instance=hooks)
            assert terminal is not None, control.last_failure
            name, file = terminal.get_session_name(), f"{terminal.get_session_info().remote_container}/.pulse-cookie"
            terminal.start_sound()
            before = server.run(user, f"base64 -w0 {file}")
            assert sounds.loudest(0.1) == 0

            assert terminal.suspend()
            terminal = resumed(control, name, snd_system="pulse", session_instance=hooks)
            info = terminal.get_session_info()
            info.snd_port, right = server.port, info.snd_port  # taken, on the server
            with pytest.raises(X2GoRevFwTunnelException, match="refuses"):
                terminal.start_sound()
            assert hooks.told.pop() == "denied"
            info.snd_port = right
            terminal.start_sound()
            assert server.run(user, f"base64 -w0 {file}") != before

            assert terminal.run_command(f"paplay {tone(user)}") == ("", "")
            wait_until(lambda: "tone.wav" in playing(sounds), "the tone of the session at the client")
            assert f'application.process.user = "{user.name}"' in playing(sounds)
            wait_until(lambda: sounds.loudest(0.2) > LOUD, "a loud tone")
            wait_until(lambda: server.states(user) == {}, "the end of the session, whose command has ended")
            assert "tone.wav" not in playing(sounds)
        assert hooks.told == []


def test_the_public_api(
    server: X2GoServer, screen: Desktop, listener: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A desktop with sound, by nothing but X2GoSession: it plays, knows the display, and has a title."""
    user = server.users[1]
    for name, value in screen.environment.items():
        monkeypatch.setenv(name, value)
    folders: dict[str, Any] = {
        name: str(tmp_path / name) for name in ("client_rootdir", "sessions_rootdir", "ssh_rootdir")
    }
    known = str(server.folder / "known_hosts")
    with sound_server(tmp_path, listener) as sounds, nothing_left():
        session = X2GoSession(
            "127.0.0.1", server.port, known_hosts=known, cmd="openbox-session", session_type="desktop", **folders
        )
        session.connect(user.name, user.password)
        try:
            assert session.start()
            assert session.is_color_depth_ok()
            session.set_session_window_title("with sound")
            window(screen, f"X2GO-{session.session_name}: with sound")
            session.exec_published_application(f"paplay {tone(user)}")
            wait_until(lambda: sounds.loudest(0.2) > LOUD, "a loud tone")
            assert session.terminate()
        finally:
            session.disconnect()


def test_other_users_of_the_server_do_not_get_through(
    server: X2GoServer, shown: X2GoTerminalSession, listener: Account, tmp_path: Path
) -> None:
    user, other = server.users
    info = shown.get_session_info()
    with sound_server(tmp_path, listener) as sounds, sound_of(shown) as sound:
        sound.start()
        cookie = server.run(user, f"base64 -w0 {info.remote_container}/.pulse-cookie")
        own = pulse.own_cookie()
        assert own is not None
        assert base64.b64decode(cookie) not in (b"", own)
        (other.home / "cookie").write_bytes(own)
        (other.home / "cookie").chmod(0o644)
        address = f"tcp:127.0.0.1:{info.snd_port}"
        # even the user's own cookie does not open the tunnel; only that of the session does
        for variables in ("", "PULSE_COOKIE=/dev/zero ", f"PULSE_COOKIE={other.home}/cookie "):
            done = server.ssh(other, f"{variables}timeout 20 pactl -s {address} info")
            assert done.returncode != 0
            assert "User Name" not in done.stdout
        folder = server.run(user, f"readlink -f {info.remote_container}").strip()
        assert server.ssh(other, f"cat {folder}/.pulse-cookie").returncode != 0
        assert f"User Name: {listener.name}" in ask(server, shown)
        sound.stop()
        assert "refused" in ask(server, shown)
        assert playing(sounds) == ""


def test_a_sound_server_that_ends_and_comes_again(
    server: X2GoServer, shown: X2GoTerminalSession, listener: Account, tmp_path: Path
) -> None:
    hooks = Hooks()
    with sound_of(shown, hooks) as sound:
        with pytest.raises(X2GoException, match="has no sound: no sound server runs here"):
            sound.start()
        assert hooks.told == ["not started", "no sound"]
        hooks.told.clear()
        with sound_server(tmp_path, listener):
            sound.start()
            assert f"User Name: {listener.name}" in ask(server, shown)
        assert "Connection terminated" in ask(server, shown)
        assert hooks.told == ["died"]
        with sound_server(tmp_path, listener):
            assert f"User Name: {listener.name}" in ask(server, shown)


def test_a_chosen_port_of_the_sound_server(
    server: X2GoServer, shown: X2GoTerminalSession, listener: Account, tmp_path: Path
) -> None:
    port, hooks = free_port(), Hooks()
    module = f"module-native-protocol-tcp listen=127.0.0.1 port={port}"
    with sound_of(shown, hooks, snd_port=port) as sound:
        with sound_server(tmp_path, listener, module) as sounds:
            sounds.program.wait_for_port(port)
            sound.start()
            assert f"User Name: {listener.name}" in ask(server, shown)
            sound.stop()
        with pytest.raises(X2GoException, match=f"no sound server listens on port {port}"):
            sound.start()
        assert hooks.told == ["not started", "no sound"]


def test_a_server_that_cannot_do_sound(
    server: X2GoServer, shown: X2GoTerminalSession, listener: Account, tmp_path: Path
) -> None:
    hooks, info = Hooks(), copy.copy(shown.get_session_info())
    with sound_server(tmp_path, listener), sound_of(shown, hooks) as sound:
        sound.session_info = info
        info.snd_port = 0
        with pytest.raises(X2GoException, match="no free port"):
            sound.start()
        info.snd_port = shown.get_session_info().snd_port
        info.remote_container = "/nonexistent/it's $(touch evil)"
        with pytest.raises(X2GoException, match="cannot write what sound needs"):
            sound.start()
        assert hooks.told == ["no sound", "no sound"]
        info.remote_container = shown.get_session_info().remote_container
        sound.start()  # nothing of the attempts is in the way
        assert f"User Name: {listener.name}" in ask(server, shown)
    assert not (server.users[0].home / "evil").exists()


def test_a_sound_server_that_hangs_holds_up_nothing(
    server: X2GoServer, shown: X2GoTerminalSession, listener: Account, tmp_path: Path
) -> None:
    user = server.users[0]
    with sound_server(tmp_path, listener) as sounds, sound_of(shown) as sound:
        sound.start()
        conf = f"{shown.get_session_info().remote_container}/.pulse-client.conf"
        server.run(user, f"PULSE_CLIENTCONFIG={conf} setsid pacat --raw /dev/urandom >/dev/null 2>&1 & exit")
        wait_until(lambda: "pacat" in playing(sounds), "noise of the session at the client")
        os.kill(sounds.program.pid, signal.SIGSTOP)
        try:
            sound.stop()
        finally:
            os.kill(sounds.program.pid, signal.SIGCONT)


def test_other_sound_systems(server: X2GoServer, shown: X2GoTerminalSession, listener: Account) -> None:
    user, hooks = server.users[0], Hooks()
    for system in ("none", "arts"):
        with sound_of(shown, hooks, snd_system=system) as sound:
            sound.start()
            assert (sound.tunnel, hooks.told) == (None, [])
    port = free_port()
    with sound_of(shown, hooks, snd_system="esd", snd_port=port) as sound:
        with pytest.raises(X2GoException, match=r"\.esd_auth of EsounD cannot be read"):
            sound.start()
        (listener.home / ".esd_auth").write_bytes(b"0123456789abcdef")
        sound.start()
        assert (user.home / ".esd_auth").read_bytes() == b"0123456789abcdef"
        assert (user.home / ".esd_auth").stat().st_mode & 0o777 == 0o600
        with socket.create_server(("127.0.0.1", port)) as esd:
            esd.settimeout(10)
            place = ("127.0.0.1", shown.get_session_info().snd_port)
            with socket.create_connection(place, 10) as program:
                program.sendall(b"hello")
                connection, _ = esd.accept()
                with connection:
                    assert connection.recv(5) == b"hello"


def test_a_sound_server_is_started_for_its_user(listener: Account) -> None:
    """In a process of that user: for root, none is started."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            os.close(read)
            owner = listener.home.stat()
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)
            os.environ.update(environment(listener))
            os.chdir("/")
            said = f"{pulse.start_server()} {pulse.start_server()}"
        except BaseException:  # noqa: BLE001 - it must not come back into pytest
            said = traceback.format_exc()
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read(10000).decode()
    os.waitpid(child, 0)
    place = environment(listener)["XDG_RUNTIME_DIR"] + "/pulse/native"
    assert said == f"{place} {place}"
    cookie = pulse.own_cookie()
    assert cookie is not None
