"""`UserSessions` without a server: secrets, what is refused beforehand, many servers at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.unit.configured import Files
from x2gobroker.errors import SessionError
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.settings import Settings
from x2gobroker.user_sessions import FoundSessions, UserLogin, UserSession, UserSessions, WaitingSession, sessions

NAME = "anna-50-1795167317_stRxterm_dp24"
LOGIN = UserLogin("anna", "Geheim3s")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a broker that asks no agents."""
    files = Files(tmp_path, ({"X2GOBROKER_SSH_FOLDER": str(tmp_path / "ssh")},))
    files.write_defaults("")
    return files.write("[global]\ndefault-agent-query-mode = NONE\n")


def profile(hosts: str, **options: str) -> SessionProfile:
    """A session profile with these hosts."""
    return build_profile("desk", {"host": hosts, **options}, {}, lambda _option, _message: None)


def session(host: Host, state: str = "S", age: int = 5) -> UserSession:
    """A session on a host."""
    return UserSession(f"anna-50-{1795167317 - age}_stDXFCE_dp24", host, state, "D", 50, age, "", "")


def test_secrets_are_not_shown() -> None:
    login = UserLogin("anna", "Geheim3s", "KEY", "Losung")
    assert repr(login) == "UserLogin(account='anna')"
    waiting = WaitingSession(NAME, Host("ts01"), Endpoint("ts01", "ts01"), 50, 30001, 30002, 30003, "c00c1e")
    assert "c00c1e" not in repr(waiting)


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (UserLogin("anna"), "neither a password nor a key"),
        (UserLogin("", "x"), "neither a password nor a key"),
        (UserLogin("anna", private_key="rubbish"), "private key"),
    ],
)
def test_logins_that_cannot_work_are_not_tried(settings: Settings, login: UserLogin, said: str) -> None:
    with pytest.raises(SessionError, match=said) as caught:
        UserSessions("inifile").find(settings, profile("ts01"), login)
    assert caught.value.reason == "login"


def test_servers_and_names_are_checked_before_anything_is_asked(settings: Settings) -> None:
    users = UserSessions("inifile")
    with pytest.raises(SessionError) as caught:
        users.terminate(settings, profile("ts01"), LOGIN, "ts02", NAME)
    assert caught.value.reason == "unknown-server"
    with pytest.raises(SessionError) as caught:
        users.suspend(settings, profile("ts01"), LOGIN, "ts01", "x; reboot")
    assert caught.value.reason == "gone"


def test_a_proxy_that_is_written_wrongly(settings: Settings) -> None:
    with pytest.raises(SessionError, match=r"write \[user@\]host\[:port\]") as caught:
        UserSessions("inifile").find(settings, profile("ts01", **{"broker-agent-ssh-proxy": "gate:x"}), LOGIN)
    assert caught.value.reason == "refused"


def test_suspended_sessions_come_first_and_then_the_youngest(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = {"ts01": [("R", 1), ("S", 90)], "ts02": [("S", 8)]}
    monkeypatch.setattr(
        sessions, "_asked", lambda host, *_: [session(host, state, age) for state, age in lists[host.name]]
    )
    found = UserSessions("inifile").find(settings, profile("ts01, ts02"), LOGIN)
    assert [(each.host.name, each.state, each.age) for each in found.sessions] == [
        ("ts02", "S", 8),
        ("ts01", "S", 90),
        ("ts01", "R", 1),
    ]


def test_the_same_server_is_asked_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(host: Host, *_: object) -> list[UserSession]:
        asked.append(host.name)
        return []

    monkeypatch.setattr(sessions, "_asked", ask)
    found = UserSessions("inifile").find(settings, profile("ts01 (192.0.2.1), ts02 (192.0.2.1), ts03"), LOGIN)
    assert (sorted(asked), found) == (["ts01", "ts03"], FoundSessions((), {}))


def test_two_servers_of_one_name_are_both_heard(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a test farm behind one address: they differ by their ports only."""
    late = threading.Event()

    def ask(host: Host, *_: object) -> list[UserSession]:
        if host.port == 2223:
            late.wait(0.2)  # so that the other one has answered before
        return [session(host, age=host.port or 0)]

    monkeypatch.setattr(sessions, "_asked", ask)
    found = UserSessions("inifile").find(settings, profile("ts01:2222, ts01:2223"), LOGIN)
    assert sorted(each.host.port or 0 for each in found.sessions) == [2222, 2223]


def test_all_servers_at_once_and_late_ones_are_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    together, free = threading.Barrier(sessions.MOST_AT_ONCE), threading.Event()

    def ask(host: Host, *_: object) -> list[UserSession]:
        together.wait(10)
        if host.name == "ts00":
            free.wait(10)
        return [session(host)]

    monkeypatch.setattr(sessions, "_asked", ask)
    hosts = ", ".join(f"ts{number:02}" for number in range(sessions.MOST_AT_ONCE))
    begun = time.monotonic()
    found = UserSessions("inifile", list_seconds=1.0).find(settings, profile(hosts), LOGIN)
    free.set()
    assert time.monotonic() - begun < 5.0
    assert len(found.sessions) == sessions.MOST_AT_ONCE - 1
    assert {host.name: error.reason for host, error in found.failed.items()} == {"ts00": "timeout"}
