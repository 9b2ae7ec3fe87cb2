"""Which X2Go Servers are asked for a user's sessions, how, and what becomes of their answers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import wait_until
from tests.unit.configured import Files
from x2gobroker.errors import SessionError
from x2gobroker.model.hosts import Host
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.portal import x2go_sessions
from x2gobroker.portal.x2go_sessions import MOST_REFUSED, REFUSED_SECONDS, Found, RefusedLogins, find_sessions
from x2gobroker.settings import Settings
from x2gobroker.user_sessions import FoundSessions, UserLogin, UserSession
from x2gobroker.user_sessions.values import LOGIN, REFUSED, TIMEOUT

ANNA = UserLogin("anna", "secret")


def profile(profile_id: str, host: str, **options: str) -> SessionProfile:
    """A profile on these servers."""
    texts = {"user": "BROKER_USER", "host": host, **{name.replace("_", "-"): text for name, text in options.items()}}
    return build_profile(profile_id, texts, {}, lambda _option, _message: None)


def session(name: str, host: Host, state: str = "R", age: int = 10) -> UserSession:
    """A session on a server."""
    return UserSession(name, host, state, "D", 50, age, "", "")


class Servers:
    """Notes what UserSessions.find is asked, and answers for each server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
        self.settings = settings
        self.asked: list[tuple[tuple[str, str, int | None], ...]] = []
        self.seconds: list[float] = []
        self.answers: dict[str, UserSession | SessionError] = {}
        self.raises: SessionError | None = None
        self.meet: threading.Barrier | None = None
        self.refused = RefusedLogins()
        monkeypatch.setattr(x2go_sessions, "UserSessions", self._make)

    def _make(self, backend: str, list_seconds: float) -> Servers:
        assert backend == "inifile"
        self.seconds.append(list_seconds)
        return self

    def find(self, _settings: Settings, profile: SessionProfile, login: UserLogin) -> FoundSessions:
        """As UserSessions.find."""
        assert login == ANNA
        self.asked.append(tuple((host.name, host.target, host.port) for host in profile.hosts))
        if self.meet is not None:
            self.meet.wait(10)
        if self.raises is not None:
            raise self.raises
        mine = {host: self.answers[host.name] for host in profile.hosts if host.name in self.answers}
        found = tuple(answer for answer in mine.values() if isinstance(answer, UserSession))
        return FoundSessions(found, {host: answer for host, answer in mine.items() if isinstance(answer, SessionError)})

    def ask(self, *profiles: SessionProfile, login: UserLogin = ANNA, seconds: float = 6.0) -> Found:
        """Find the sessions of these profiles."""
        return find_sessions(self.settings, "inifile", profiles, login, seconds, self.refused)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, files: Files) -> Servers:
    """Servers that have no sessions."""
    return Servers(monkeypatch, files.write("[global]\n"))


def test_a_server_of_several_profiles_is_asked_once_by_its_own_port(servers: Servers) -> None:
    servers.ask(profile("a", "ts1 (192.0.2.1), ts2", sshport="2022"), profile("b", "other (192.0.2.1:2022), ts2"))
    assert servers.asked == [(("ts1", "192.0.2.1", 2022), ("ts2", "ts2", 2022), ("ts2", "ts2", 22))]


def test_servers_that_are_reached_in_different_ways_are_asked_at_the_same_time(servers: Servers) -> None:
    servers.meet = threading.Barrier(3)
    servers.ask(
        profile("a", "ts1"),
        profile("b", "ts2", broker_agent_ssh_proxy="x@jump.example"),
        profile("c", "ts3", broker_agent_hostkey_policy="AutoAddPolicy"),
        profile("d", "ts4"),
    )
    assert sorted(servers.asked) == [
        (("ts1", "ts1", 22), ("ts4", "ts4", 22)),
        (("ts2", "ts2", 22),),
        (("ts3", "ts3", 22),),
    ]
    assert all(5.0 < seconds <= 6.0 for seconds in servers.seconds)


@pytest.mark.parametrize("option", [{"user": "guest"}, {"command": "SHADOW"}, {"directrdp": "true"}])
def test_other_accounts_and_what_is_no_x2go_are_left_out(servers: Servers, option: dict[str, str]) -> None:
    assert servers.ask(profile("a", "ts1", **option)) == Found()
    assert servers.asked == []


def test_suspended_sessions_come_first_then_the_youngest_with_a_profile_of_their_server(servers: Servers) -> None:
    one, two = profile("a", "ts1"), profile("b", "ts2, ts3")
    ages = {"ts1": ("R", 5), "ts2": ("R", 3), "ts3": ("S", 9)}
    servers.answers = {name: session(f"of-{name}", Host(name, "", 22), *values) for name, values in ages.items()}
    found = servers.ask(one, two).sessions
    assert [(each.session.name, each.profile.id) for each in found] == [
        ("of-ts3", "b"),
        ("of-ts2", "b"),
        ("of-ts1", "a"),
    ]


def test_reasons_with_all_their_servers(servers: Servers) -> None:
    servers.answers = {"ts2": SessionError("x", TIMEOUT), "ts1": SessionError("x", TIMEOUT)}
    assert servers.ask(profile("a", "ts2, ts1, ts3")).failed == {TIMEOUT: ("ts1", "ts2")}


def test_a_group_that_cannot_be_asked_at_all_spoils_no_other(servers: Servers) -> None:
    servers.raises = SessionError("bad proxy", REFUSED)
    assert servers.ask(profile("a", "ts1, ts2")).failed == {REFUSED: ("ts1", "ts2")}


def test_without_time_nobody_is_asked(servers: Servers) -> None:
    assert servers.ask(profile("a", "ts1"), seconds=0.0).failed == {TIMEOUT: ("ts1",)}
    assert servers.asked == []


def test_a_refused_password_is_not_tried_again_but_another_one_is(servers: Servers) -> None:
    servers.answers = {"ts1": SessionError("x", LOGIN)}
    assert servers.ask(profile("a", "ts1, ts2")).failed == {LOGIN: ("ts1",)}
    assert servers.ask(profile("a", "ts1, ts2")).failed == {LOGIN: ("ts1",)}
    assert servers.asked == [(("ts1", "ts1", 22), ("ts2", "ts2", 22)), (("ts2", "ts2", 22),)]
    now = time.monotonic()
    assert servers.refused.has("ts1:22", ANNA, now)
    assert not servers.refused.has("ts1:22", UserLogin("anna", "other"), now)
    assert not servers.refused.has("ts1:22", UserLogin("bert", "secret"), now)
    assert not servers.refused.has("ts1:22", ANNA, now + REFUSED_SECONDS)
    assert "secret" not in repr(vars(servers.refused))


def test_for_one_user_one_list_at_a_time(servers: Servers) -> None:
    servers.meet = threading.Barrier(2)
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(servers.ask, profile("a", "ts1"))
        wait_until(lambda: servers.meet is not None and servers.meet.n_waiting == 1, "the first one asking")
        second = threads.submit(servers.ask, profile("a", "ts2"), seconds=0.2)
        assert second.result(10).failed == {TIMEOUT: ("ts2",)}
        assert len(servers.asked) == 1
        servers.meet.wait(10)
        assert first.result(10) == Found()
    servers.meet = None
    assert servers.ask(profile("a", "ts2"), seconds=0.2) == Found()
    assert not x2go_sessions._TURNS


def test_what_is_known_of_refusals_is_limited() -> None:
    refused = RefusedLogins()
    for number in range(MOST_REFUSED + 5):
        refused.note(f"ts{number}", ANNA, 0.0)
    assert len(refused._known) == MOST_REFUSED
    refused.note("late", ANNA, REFUSED_SECONDS + 1.0)
    assert refused.has("late", ANNA, REFUSED_SECONDS + 2.0)
    assert len(refused._known) == 1
