"""Sessions and clients that use scripted servers, and a client that notes its HOOKs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.x2go_scripted import ScriptedControl, ScriptedServer, ScriptedTerminal
from x2gobroker.x2go.client import X2GoClient
from x2gobroker.x2go.session import X2GoSession


class Noting:
    """Notes the HOOKs that are called, in `events`: their names, and the session's name where it is told."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("HOOK_"):
            return found

        def noted(*arguments: Any, **named: Any) -> Any:
            self.events.append((name.removeprefix("HOOK_"), str(named.get("session_name", ""))))
            return found(*arguments, **named)

        return noted

    @property
    def events(self) -> list[tuple[str, str]]:
        """What was called, in order."""
        noted: list[tuple[str, str]] = vars(self).setdefault("_events", [])
        return noted

    def happened(self) -> list[str]:
        """The names of the HOOKs that were called since the last time."""
        names = [name for name, _ in self.events]
        self.events.clear()
        return names


class NotingClient(Noting, X2GoClient):
    """A client whose HOOKs are noted."""


class NotingSession(Noting, X2GoSession):
    """A session whose HOOKs are noted."""


def scripted_session(host: str = "scripted", **parameters: Any) -> NotingSession:
    """A session for a scripted server, without folders and files."""
    return NotingSession(host, control_backend=ScriptedControl, **{"snd_system": "none", **parameters})


def connected_session(**parameters: Any) -> NotingSession:
    """A session that anna is logged in with."""
    session = scripted_session(**parameters)
    session.connect("anna", "pw")
    return session


def scripted_terminal(session: X2GoSession) -> ScriptedTerminal:
    """The scripted terminal session of a session."""
    terminal: Any = session.get_terminal_session()
    assert isinstance(terminal, ScriptedTerminal)
    return terminal


def scripted_control(session: X2GoSession) -> ScriptedControl:
    """The scripted control session of a session."""
    control: Any = session.get_control_session()
    assert isinstance(control, ScriptedControl)
    return control


def scripted_client(folder: Path, **parameters: Any) -> NotingClient:
    """A client for scripted servers, with its files in a folder of the test."""
    roots = {name: str(folder / name) for name in ("client_rootdir", "sessions_rootdir", "ssh_rootdir")}
    return NotingClient(control_backend=ScriptedControl, **{**roots, **parameters})


def new_server(host: str = "scripted", user: str = "anna") -> ScriptedServer:
    """A scripted server under this name, in place of an earlier one."""
    ScriptedControl.servers[host] = ScriptedServer(user)
    return ScriptedControl.servers[host]
