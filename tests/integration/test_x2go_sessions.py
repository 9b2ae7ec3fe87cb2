"""The library on a real X2Go Server and a real screen: sessions from their start to their end."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desktop import Desktop
from tests.support.processes import wait_until
from tests.support.shown_session import (
    client,
    command_lines,
    no_window,
    resumed,
    size_of,
    started,
    window,
)
from tests.support.x2go_server import X2GoServer, x2go_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server with one user."""
    with x2go_server(tmp_path_factory.mktemp("x2go-sessions")) as running:
        yield running


def test_an_application_from_its_start_to_its_end(
    server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[0]
    empty = screen.signature()
    with client(server, user, screen, monkeypatch) as control:
        terminal = started(control, cmd="xterm -title works")
        name, info = terminal.get_session_name(), terminal.get_session_info()
        assert (terminal.get_session_type(), terminal.ok(), terminal.is_running()) == ("R", True, True)
        window(screen, f"{user.name}@")  # the shell gives the terminal its title
        assert screen.signature() != empty
        assert server.agent_state(user, name) == "RUNNING"
        assert terminal.set_keyboard("de", "nodeadkeys")
        assert info.cookie not in command_lines()
        container = Path(info.local_container)
        assert stat.S_IMODE(container.stat().st_mode) == 0o700
        assert info.cookie not in "".join(file.read_text("utf-8", "replace") for file in container.iterdir())

        assert terminal.suspend()
        assert server.states(user) == {name: "S"}
        assert (terminal.ok(), terminal.is_suspended(), control.associated_terminals) == (False, True, {})
        no_window(screen, f"{user.name}@")

        again = resumed(control, name, geometry="1000x700")
        window(screen, f"{user.name}@")
        assert again.ok()
        assert control.is_running(name)
        assert again.terminate()
        wait_until(lambda: server.states(user) == {}, "the session being forgotten")
        assert control.has_terminated(name)
        assert not container.exists()
        no_window(screen, f"{user.name}@")


def test_a_desktop_in_two_sizes_taken_over_by_another_client(
    server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[0]
    with (
        client(server, user, screen, monkeypatch) as first,
        client(server, user, screen, monkeypatch) as second,
    ):
        mine = started(first, cmd="openbox-session", geometry="640x480")
        name = mine.get_session_name()
        assert mine.is_desktop_session()
        number = window(screen, f"X2GO-{name}")
        wait_until(lambda: size_of(screen, number) == (640, 480), "a window of 640x480")

        theirs = resumed(second, name, geometry="800x600")
        wait_until(lambda: not mine.ok(), "the end of the first client's proxy")
        number = window(screen, f"X2GO-{name}")
        wait_until(lambda: size_of(screen, number) == (800, 600), "a window of 800x600")
        assert theirs.ok()
        assert first.is_alive()
        assert second.is_alive()

        back = resumed(first, name)
        wait_until(lambda: not theirs.ok(), "the end of the second client's proxy")
        assert back.ok()
        assert first.is_alive()
        itself = resumed(first, name)  # from this very connection
        assert itself.ok()
        assert first.is_alive()
        assert not back.ok()
        assert second.terminate(name)
        wait_until(lambda: not itself.ok(), "the end of the session at its client")
        assert first.has_terminated(name)


def test_published_applications(
    server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user = server.users[0]
    with client(server, user, screen, monkeypatch) as control:
        terminal = started(control, published_applications=True, cmd="")
        assert terminal.is_pubapp_session()
        assert terminal.is_published_applications_provider()
        terminal.exec_published_application("xterm -name 'a; touch evil' -e sh -c 'cat >\"$HOME/typed\"' %U")
        number = window(screen, "sh")
        assert not (user.home / "evil").exists()
        screen.xdotool("windowactivate", "--sync", number)
        screen.type("hello")
        screen.key("Return")
        wait_until(lambda: (user.home / "typed").read_text() == "hello\n", "typed words at the application")
        control.clean_sessions()
        assert control.is_running(terminal.get_session_name())
        control.clean_sessions(published_applications=True)
        wait_until(lambda: server.states(user) == {}, "the session being forgotten")


def test_a_command_that_the_server_does_not_have(
    server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Session:
        def __init__(self) -> None:
            self.client_instance = self
            self.told: list[str] = []

        def HOOK_no_such_command(self, cmd: str, profile_name: str, session_name: str) -> None:
            self.told.append(cmd)

    session = Session()
    with client(server, server.users[0], screen, monkeypatch) as control:
        for command in ("no-such-command -x", "/usr/bin/no-such-command", "/etc/passwd", "cd"):
            assert control.start(cmd=command, session_instance=session) is None
            assert "no such command" in control.last_failure
            assert session.told.pop() == command
        assert control.start(cmd="xterm *") is None
        assert "* ?" in control.last_failure
        server.wait_for_no_session(server.users[0])


def test_sessions_are_suspended_when_their_client_leaves(
    server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[0]
    with client(server, user, screen, monkeypatch) as control:
        name = started(control, cmd="xterm").get_session_name()
        window(screen, f"{user.name}@")
        assert control.disconnect()
        assert server.states(user) == {name: "S"}
    with client(server, user, screen, monkeypatch) as control:
        assert control.suspend(name)  # it is
        assert not control.suspend(name.replace(user.name, "nobody"))
        assert not control.terminate(name.replace(user.name, "nobody"))
        assert not control.terminate("no; name")
        assert control.terminate(name)
        assert control.resume(name) is None
        assert "does not list" in control.last_failure
