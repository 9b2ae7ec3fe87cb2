"""Sessions of the public API on a real X2Go Server, with files of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Account
from tests.support.desktop import Desktop
from tests.support.x2go_clients import NotingClient, NotingSession
from tests.support.x2go_server import X2GoServer


def roots(server: X2GoServer, folder: Path) -> dict[str, Any]:
    """Where a client keeps its files, and the host keys of the server in them."""
    known = folder / "ssh/known_hosts"
    known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    known.write_text(server.known_hosts(), encoding="ascii")
    names = {"client_rootdir": "client", "sessions_rootdir": "sessions", "ssh_rootdir": "ssh"}
    return {root: str(folder / name) for root, name in names.items()}


@contextlib.contextmanager
def real_session(
    server: X2GoServer,
    user: Account,
    screen: Desktop,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    **parameters: Any,
) -> Iterator[NotingSession]:
    """A connected session of a user's, without a client; disconnected at the end."""
    for name, value in screen.environment.items():
        monkeypatch.setenv(name, value)
    known = {**roots(server, folder), "known_hosts": str(folder / "ssh/known_hosts")}
    session = NotingSession(
        "127.0.0.1", server.port, **{"snd_system": "none", "kbtype": "null/null", **known, **parameters}
    )
    try:
        assert session.connect(user.name, user.password) is True
        yield session
    finally:
        session.disconnect()


@contextlib.contextmanager
def real_client(
    server: X2GoServer, screen: Desktop, folder: Path, monkeypatch: pytest.MonkeyPatch, **parameters: Any
) -> Iterator[NotingClient]:
    """A client with a profile for each user of the server, named by the user; closed at the end."""
    for name, value in screen.environment.items():
        monkeypatch.setenv(name, value)
    profiles = {
        f"id-{user.name}": {
            "name": user.name,
            "host": "127.0.0.1",
            "sshport": server.port,
            "user": user.name,
            "command": "xterm",
            "usekbd": False,
            "autologin": False,
        }
        for user in server.users
    }
    with NotingClient(session_profiles=profiles, **roots(server, folder), **parameters) as client:
        yield client
