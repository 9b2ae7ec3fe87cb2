"""Control sessions of the X2Go library, for tests, and the session database under them."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.accounts import Account
from tests.support.processes import wait_until
from tests.support.sshd import Sshd
from tests.support.x2go_server import DATABASE
from x2gobroker.x2go.control import X2GoControlSession


@contextlib.contextmanager
def control_session(daemon: Sshd, user: Account) -> Iterator[X2GoControlSession]:
    """A control session of this user's, connected with the password, with client folders of its own."""
    with tempfile.TemporaryDirectory(prefix="x2go-control-") as name:
        folder = Path(name)
        known = folder / "known_hosts"
        known.write_text(daemon.host_key_lines("127.0.0.1"), encoding="ascii")
        control = X2GoControlSession(
            known_hosts=str(known),
            client_rootdir=str(folder / "client"),
            sessions_rootdir=str(folder / "sessions"),
            ssh_rootdir=str(folder / "ssh"),
        )
        try:
            assert control.connect("127.0.0.1", daemon.port, user.name, user.password)
            yield control
        finally:
            control.disconnect()


def asks_in_full(control: X2GoControlSession) -> bool:
    """List sessions; whether the server was asked for all of the list, and not only for changes."""
    before = control._queries._listing
    control.list_sessions()
    return control._queries._listing is not before


def settle(control: X2GoControlSession) -> None:
    """Wait until nothing changes on the server any more, so that the control session only asks for changes."""

    def settled() -> bool:
        control.list_sessions(refresh=True)
        return control._queries._listing is not None and control._queries._listing.is_fresh()

    wait_until(settled, "a settled list of sessions")


def change_database(statement: str, *values: object) -> None:
    """Change the server's session database by hand."""
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as database, database:
        database.execute(statement, values)


@contextlib.contextmanager
def locked_database() -> Iterator[None]:
    """Nobody else can read or write the session database for the length of a `with` block."""
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=20, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            database.execute("ROLLBACK")
