"""When a desktop is to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.remote_folders import store_in
from x2gobroker.remote.desktop import Desktop
from x2gobroker.remote.types import SessionType
from x2gobroker.store import RemoteDesktops, SignInTie, Slot


class Connection:
    """A browser; with `share` one that came by a link."""

    def __init__(self, share: bytes | None = None) -> None:
        self.share = share
        self.sign_in: SignInTie | None = None
        self.last_input = 0.0

    def cut(self, why: str) -> None:
        """Not called here."""


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    """A slot of somebody."""
    with store_in(tmp_path) as store:
        made = RemoteDesktops(store).reserve("KDE", 1, "anna", {}, "")
    assert made is not None
    return made


def running(slot: Slot, idle: int = 0, absolute: int = 0, grace: int = 900) -> Desktop:
    """A desktop that has started at 1000, and seen the user at 2000, who did something at 1500."""
    kind = SessionType(
        "KDE", "kde.py", 1, {}, Path(), idle_minutes=idle, absolute_minutes=absolute, grace_seconds=grace
    )
    return Desktop(slot, kind, running=True, started=1000.0, last_seen=2000.0, last_input=1500.0)


def test_without_a_connection_the_grace_time_counts(slot: Slot) -> None:
    assert running(slot, grace=60).end() == (2060.0, "grace")
    assert running(slot, grace=0).end() == (2000.0, "grace")


def test_whoever_looks_on_does_not_keep_a_desktop(slot: Slot) -> None:
    desktop, guest = running(slot), Connection(b"link")
    desktop.enter(guest)
    assert desktop.end() == (2900.0, "grace")
    desktop.leave(guest)
    assert desktop.end() == (2900.0, "grace")
    assert desktop.last_input == 1500.0


def test_the_grace_time_begins_when_its_user_leaves_whoever_else_looks_on(slot: Slot) -> None:
    desktop, user, guest = running(slot), Connection(), Connection(b"link")
    desktop.enter(user)
    desktop.enter(guest)
    assert desktop.end() is None
    desktop.leave(user)
    left = desktop.last_seen
    assert left > 2000.0
    desktop.leave(guest)
    assert desktop.end() == (left + 900, "grace")


def test_the_limit_that_comes_first_counts(slot: Slot) -> None:
    assert running(slot, idle=5).end() == (1800.0, "idle")
    assert running(slot, absolute=10).end() == (1600.0, "absolute")
    assert running(slot, idle=1, absolute=10).end() == (1560.0, "idle")


def test_a_connected_user_is_only_bound_by_limits(slot: Slot) -> None:
    desktop, connection = running(slot), Connection()
    desktop.enter(connection)
    assert desktop.end() is None
    desktop.leave(connection)
    assert desktop.end() == (desktop.last_seen + 900, "grace")


def test_what_the_user_does_puts_the_idle_limit_off(slot: Slot) -> None:
    desktop = running(slot, idle=5)
    desktop.touch()
    assert desktop.end() == (2900.0, "grace")
    desktop.enter(Connection())
    assert desktop.end() == (desktop.last_input + 300, "idle")


def test_a_session_type_that_is_gone_sets_no_limit(slot: Slot) -> None:
    assert Desktop(slot, None, running=True).end() is None
