"""The portal's page of a user's sessions; X2Go Servers are told of by the test (real ones: tests/integration)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.web.conftest import PASSWORD
from tests.web.portal import Browser, PortalBench
from x2gobroker.errors import SessionError, StoreError
from x2gobroker.inventory.happenings import Told
from x2gobroker.inventory.reads import Reads
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import SelectionNotes
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.inventory import WATCH
from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.server_report import SeenSession
from x2gobroker.portal import mysessions, x2go_sessions
from x2gobroker.settings import Settings
from x2gobroker.store.loads import Loads, ServerLoad
from x2gobroker.store.remote_desktops import BROKEN, RESERVED_SECONDS, RUNNING
from x2gobroker.user_sessions import FoundSessions, UserLogin, UserSession
from x2gobroker.user_sessions.values import GONE, HOST_KEY, LOGIN, REFUSED, TIMEOUT, UNREACHABLE

WITH_SERVERS = "/portal/sessions?servers=1"
NAME = "anna-50-1795167317_stDXFCE_dp24"
TS01 = Host("ts01", "192.0.2.10", 22)
PROFILES = """
[DEFAULT]
user = BROKER_USER

[desk]
name = A desk
host = ts01 (192.0.2.10), ts02 (192.0.2.11:2022)

[lab]
name = Lab
host = ts02 (192.0.2.11:2022), ts03

[fixed]
name = Shared account
user = guest
host = ts09

[rdp]
name = Windows
host = ts08
directrdp = true

[secret]
name = Secret
host = ts07
acl-users-allow = bert
"""


def session(name: str = NAME, server: Host = TS01, state: str = "R") -> UserSession:
    """A session as a server tells of it."""
    kind = name.partition("_st")[2][:1]
    return UserSession(name, server, state, kind, 50, 7300, "2026-11-21T10:00:00", "2026-11-21T10:00:00")


@dataclass
class Servers:
    """What X2Go Servers say, and what they were asked."""

    sessions: list[UserSession] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    logins: list[UserLogin] = field(default_factory=list)
    done: list[tuple[str, ...]] = field(default_factory=list)
    refuses: str = ""

    def find(self, _settings: Settings, profile: SessionProfile, login: UserLogin) -> FoundSessions:
        """As UserSessions.find."""
        names = tuple(host.name for host in profile.hosts)
        self.asked.append(names)
        self.logins.append(login)
        found = tuple(one for one in self.sessions if one.host.name in names)
        return FoundSessions(
            found,
            {host: SessionError("x", self.failed[host.name]) for host in profile.hosts if host.name in self.failed},
        )

    def _act(self, what: str) -> Callable[..., None]:
        def act(_settings: Settings, profile: SessionProfile, login: UserLogin, server: str, name: str) -> None:
            self.logins.append(login)
            if self.refuses:
                raise SessionError("a text for the log", self.refuses)
            self.done.append((what, profile.id, server, name))

        return act

    @property
    def suspend(self) -> Callable[..., None]:
        """As UserSessions.suspend."""
        return self._act("suspend")

    @property
    def terminate(self) -> Callable[..., None]:
        """As UserSessions.terminate."""
        return self._act("terminate")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    """X2Go Servers without any session."""
    made = Servers()
    monkeypatch.setattr(x2go_sessions, "UserSessions", lambda _backend, list_seconds=0.0: made)
    monkeypatch.setattr(mysessions, "UserSessions", lambda _backend: made)
    x2go_sessions._REFUSED.forget()
    return made


@pytest.fixture
def portal(tmp_path: Path, servers: Servers) -> PortalBench:
    """A portal with session types, and profiles on several servers."""
    types = {"Desk": {"script": "tigervnc.py", "count": 3}, "Other": {"script": "tigervnc.py", "count": 3}}
    made = PortalBench(tmp_path, types=json.dumps(types))
    made.write("profiles.conf", PROFILES)
    return made


def act(browser: Browser, what: str, profile: str = "desk", server: str = "ts01", name: str = NAME) -> tuple[int, str]:
    """Suspend or terminate; the status, and where to or the text of the page."""
    answer = browser.post(f"/portal/x2go/{what}", profile=profile, server=server, name=name)
    return answer.status_int, answer.location or answer.text


# -- desktops in the browser -----------------------------------------------------------------------------------------


def test_ones_own_desktops_and_no_others(portal: PortalBench) -> None:
    for user, kind in (("anna", "Desk"), ("bert", "Other")):
        assert portal.desktops.reserve(kind, 3, user, {}, "")
    page = portal.signed_in().get(WITH_SERVERS).text
    assert ">Desk</h3>" in page
    assert ">Other</h3>" not in page
    assert "Starting" in page
    (mine,) = portal.desktops.of_user("anna")
    portal.desktops.change(mine.id, RUNNING, started=mine.since - 7300, ends=mine.since + 3000, connections=2)
    page = portal.signed_in().get(WITH_SERVERS).text
    assert "Running" in page
    assert "started 2 hours ago" in page
    assert re.search(r"ends in (49|50) minutes", page)
    assert "open in 2 windows" in page
    assert f'href="/portal/desktop/{mine.id}"' in page
    assert f'action="/portal/desktop/{mine.id}/stop"' in page
    portal.desktops.change(mine.id, BROKEN)
    page = portal.signed_in().get(WITH_SERVERS).text
    assert "Could not be stopped" in page
    assert f'href="/portal/desktop/{mine.id}"' not in page


def test_what_failed_and_what_was_never_used_is_no_session(portal: PortalBench) -> None:
    failed = portal.desktops.reserve("Desk", 3, "anna", {}, "")
    unused = portal.desktops.reserve("Other", 3, "anna", {}, "")
    assert failed
    assert unused
    portal.desktops.release(failed.id, "did not start")
    portal.desktops.change(unused.id, reserved=unused.reserved - RESERVED_SECONDS - 1)
    assert "You have no desktops in the browser" in portal.signed_in().get(WITH_SERVERS).text


# -- sessions on X2Go Servers ----------------------------------------------------------------------------------------


def test_each_server_of_the_users_own_profiles_is_asked_once(portal: PortalBench, servers: Servers) -> None:
    page = portal.signed_in().get(WITH_SERVERS)
    assert sorted(name for names in servers.asked for name in names) == ["ts01", "ts02", "ts03"]
    assert servers.logins[0] == UserLogin("anna", PASSWORD)
    assert PASSWORD not in page.text
    assert "You have no sessions on X2Go Servers" in page.text


def test_sessions_and_what_can_be_done_with_them(portal: PortalBench, servers: Servers) -> None:
    view = "anna-51-1795167318_stS0XSHADannaXSHADPP50_dp24"
    asleep = "anna-52-1795167319_stRxterm_dp24"
    servers.sessions = [
        session(),
        session(view, Host("ts02", "192.0.2.11", 2022)),
        session(asleep, Host("ts03", "", 22), "S"),
    ]
    anna = portal.signed_in()
    page = anna.get(WITH_SERVERS).text
    rows = re.findall(r'<h3 id="session-\d">(.*?)</li>', page, re.DOTALL)
    assert [row.partition("<")[0] for row in rows] == [
        "Application · ts03",
        "Desktop · ts01",
        "Desktop sharing · ts02",
    ]
    assert ["Resume<" in row for row in rows] == [True, False, False]
    assert ["/x2go/suspend" in row for row in rows] == [False, True, False]
    assert ["/x2go/terminate" in row for row in rows] == [True, True, True]
    assert "/portal/client?profile=lab&amp;server=ts03" in rows[0]
    assert "started 2 hours ago" in rows[0]
    assert "192.0.2.11\nsshport=2022" in anna.get("/portal/client-file?profile=desk&server=ts02").text.replace(
        "host=", ""
    )


@pytest.mark.parametrize("what", ["suspend", "terminate"])
def test_an_action_goes_to_the_server(portal: PortalBench, servers: Servers, what: str) -> None:
    assert act(portal.signed_in(), what) == (303, "/portal/sessions")
    assert servers.done == [(what, "desk", "ts01", NAME)]
    assert servers.logins == [UserLogin("anna", PASSWORD)]


@pytest.mark.parametrize(("what", "state"), [("suspend", "S"), ("terminate", "")])
@pytest.mark.usefixtures("servers")
def test_what_became_of_a_session_is_known_at_once(portal: PortalBench, what: str, state: str) -> None:
    now = time.time()
    own = SeenSession(NAME, "anna", 50, "R", now, "192.0.2.9", "ts01", (1, 2, 3))
    other = replace(own, user="bert", name=NAME.replace("anna", "bert"))
    inventory = Inventory(portal.desktops.store)
    inventory.take([(TS01.endpoint(22), Told(now - 5, now, (own, other)))])
    act(portal.signed_in(), what)
    act(portal.signed_in(), what, name=other.name)
    known = {one.session.user: one.session.state for one in Reads(inventory.store).everywhere()}
    assert known == ({"anna": state} if state else {}) | {"bert": "R"}


def test_an_action_that_cannot_be_noted_is_done(
    portal: PortalBench, servers: Servers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> None:
        raise StoreError("it is full")

    anna = portal.signed_in()
    monkeypatch.setattr(SelectionNotes, "acted", fail)
    assert act(anna, "terminate") == (303, "/portal/sessions")
    assert servers.done == [("terminate", "desk", "ts01", NAME)]
    assert "what became of a session is not noted: it is full" in caplog.text


@pytest.mark.parametrize("profile", ["secret", "nothing", "", "fixed", "rdp"])
def test_no_action_by_a_profile_that_is_not_the_users_own(portal: PortalBench, servers: Servers, profile: str) -> None:
    status, text = act(portal.signed_in(), "terminate", profile)
    assert status == 404
    assert "session no longer exists" in text
    assert servers.logins == []


@pytest.mark.parametrize(
    ("reason", "status", "text"),
    [
        (GONE, 404, "This session no longer exists"),
        (UNREACHABLE, 502, "cannot be reached"),
        (TIMEOUT, 502, "did not answer in time"),
        (HOST_KEY, 502, "does not know this server"),
        (LOGIN, 502, "does not accept the password"),
        (REFUSED, 502, "did not complete the request"),
    ],
)
def test_why_an_action_did_not_work(portal: PortalBench, servers: Servers, reason: str, status: int, text: str) -> None:
    servers.refuses = reason
    got, page = act(portal.signed_in(), "suspend")
    assert got == status
    assert text in page
    assert "a text for the log" not in page


def test_an_action_from_another_site_is_refused(portal: PortalBench, servers: Servers) -> None:
    anna = portal.signed_in()
    answer = anna.post(
        "/portal/x2go/terminate", {"Sec-Fetch-Site": "cross-site"}, profile="desk", server="ts01", name=NAME
    )
    assert answer.status_int == 403
    assert anna.get("/portal/x2go/terminate").status_int == 404
    assert servers.done == []


def test_servers_that_do_not_answer_are_named_with_the_reason(portal: PortalBench, servers: Servers) -> None:
    servers.sessions = [session()]
    servers.failed = {"ts02": TIMEOUT, "ts03": UNREACHABLE}
    page = portal.signed_in().get(WITH_SERVERS).text
    assert "<strong>ts02</strong>: The server did not answer in time" in page
    assert "<strong>ts03</strong>: The server cannot be reached" in page
    assert "Desktop · ts01" in page
    assert "You have no session" not in page


def test_a_server_that_refuses_the_password_is_left_alone(portal: PortalBench, servers: Servers) -> None:
    servers.failed = {"ts01": LOGIN}
    anna = portal.signed_in()
    for _ in range(3):
        assert "<strong>ts01</strong>: The server does not accept the password" in anna.get(WITH_SERVERS).text
    assert [name for names in servers.asked for name in names].count("ts01") == 1
    assert [name for names in servers.asked for name in names].count("ts02") == 3
    portal.signed_in("bert").get(WITH_SERVERS)
    assert [name for names in servers.asked for name in names].count("ts01") == 2


def test_without_a_password_no_server_is_asked(tmp_path: Path, servers: Servers) -> None:
    portal = PortalBench(tmp_path, "portal-keep-password = false")
    portal.write("profiles.conf", PROFILES)
    anna = portal.signed_in()
    assert "The portal does not have your password" in anna.get(WITH_SERVERS).text
    status, text = act(anna, "suspend")
    assert status == 409
    assert "The portal does not have your password" in text
    assert servers.logins == []


def test_no_passwords_are_tried_by_somebody_whom_nobody_has_checked(portal: PortalBench, servers: Servers) -> None:
    config = (portal.folder / "x2gobroker.conf").read_text()
    portal.write("x2gobroker.conf", config.replace("portal-backend = inifile", "portal-backend = zeroconf"))
    anna = portal.signed_in()
    assert anna.get(WITH_SERVERS).status_int == 200
    act(anna, "terminate")
    assert servers.logins == []


def test_without_profiles_there_is_no_word_of_servers(portal: PortalBench) -> None:
    portal.write("profiles.conf", "")
    assert "X2Go" not in portal.signed_in().get(WITH_SERVERS).text


def test_who_is_not_signed_in_sees_nothing(portal: PortalBench, servers: Servers) -> None:
    stranger = portal.browser()
    for path in ("/portal/sessions", "/portal/wait?type=Desk"):
        assert stranger.get(path).status_int == 303
    for path in ("/portal/start", "/portal/x2go/suspend", "/portal/x2go/terminate"):
        answer = stranger.post(path, type="Desk", profile="desk", server="ts01", name=NAME)
        assert (answer.status_int, answer.location) == (303, "/portal/sign-in?lost=1")
    assert servers.done == []
    assert portal.desktops.everything() == []
    assert (
        "so your last action was not carried out. Sign in and try again." in stranger.get("/portal/sign-in?lost=1").text
    )


def test_what_is_known_is_shown_before_any_server_is_asked(portal: PortalBench, servers: Servers) -> None:
    anna = portal.signed_in()
    page = anna.get("/portal/sessions").text
    assert servers.asked == []
    assert "You have no desktops in the browser" in page
    assert 'data-load="/portal/sessions/servers"' in page
    assert 'href="/portal/sessions?servers=1"' in page, "also without scripts"
    part = anna.get("/portal/sessions/servers").text
    assert servers.asked
    assert "<html" not in part
    assert "You have no sessions on X2Go Servers." in part
    assert portal.browser().get("/portal/sessions/servers").status_int == 303


def test_servers_that_are_watched_are_asked_only_where_the_user_has_a_session(
    portal: PortalBench, servers: Servers
) -> None:
    """And those that are down, by what was known of them last: nobody waits for one that has nothing."""
    inventory = portal.context.services.of(Inventory, portal.context.source.current())
    now = time.time()
    there = (SeenSession(NAME, "anna", 50, "R", now, "192.0.2.9", "ts01", (1, 2, 3)),)
    first, second, third = (
        Endpoint("ts01", "192.0.2.10"),
        Endpoint("ts02", "192.0.2.11", 2022),
        Endpoint("ts03", "ts03"),
    )
    browser = portal.signed_in()
    browser.get(WITH_SERVERS)
    assert sorted(name for names in servers.asked for name in names) == ["ts01", "ts02", "ts03"]
    servers.asked.clear()
    inventory.take([(first, Told(now, now, there, WATCH)), (second, Told(now, now, (), WATCH))])
    inventory.take([(third, Told(now - 900, now - 900, (), WATCH))])
    servers.sessions = [session()]
    assert NAME in browser.get(WITH_SERVERS).text
    assert sorted(name for names in servers.asked for name in names) == ["ts01", "ts03"]
    servers.asked.clear()
    loads = Loads(inventory.store)
    loads.put([ServerLoad(server.key, server.name, "timeout", None, now, 0.0, 5.0) for server in (first, third)])
    browser.get(WITH_SERVERS)
    assert servers.asked == [("ts01",)], "that of the user's session is tried, as far as is known"
