"""What is known of sessions beforehand: logins ask nobody they need not, and a broken agent is said to the user."""

from __future__ import annotations

import json
import pwd
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy.engine import URL

from tests.unit.fake_farm import FakeAgents, session_line
from tests.unit.inventory_values import name_of, seen
from tests.web.conftest import HASHED, PASSWORD, Bench
from x2gobroker.agents.base import REFUSED, UNREACHABLE
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.errors import StoreError
from x2gobroker.inventory.events import STATES
from x2gobroker.inventory.happenings import Said, Told
from x2gobroker.inventory.reads import Places, Reads
from x2gobroker.inventory.record import Inventory
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import EXPECTED, REPORT, WATCH
from x2gobroker.model.sessions import parse_session
from x2gobroker.store import Store
from x2gobroker.store.database import FILE_NAME

Make = Callable[..., Bench]
TS01, TS02 = Endpoint("ts01.example.org", "192.0.2.10"), Endpoint("ts02.example.org", "192.0.2.11")
PROFILES = "[desk]\nhost = ts01.example.org (192.0.2.10), ts02.example.org (192.0.2.11)\n"
CONFIG = "default-agent-query-mode = SSH\ndefault-portscan-x2goservers = false\n"
TOLD = (
    "You have a session on ts01.example.org, and the broker cannot ask that server about it at present. "
    "Try again in a minute, or contact your administrator"
)


class Site:
    """A broker with two servers, whose agents are the test's own, and what the load checker has heard of them."""

    def __init__(self, bench: Bench, agents: FakeAgents) -> None:
        self.bench = bench
        self.agents = agents
        store = Store(URL.create("sqlite", database=str(bench.folder / "state" / FILE_NAME)))
        self.inventory = Inventory(store)

    def hear(self, server: Endpoint, *users: str, state: str = "R", ago: float = 3.0, how: str = WATCH) -> None:
        """The load checker has heard the sessions of a server."""
        moment = time.time() - ago
        sessions = tuple(seen(user, state=state, since=moment, server="ts01") for user in users)
        self.inventory.take([(server, Told(moment, moment, sessions, how))])

    def listed(self, user: str = "anna") -> list[str]:
        """The lines about sessions in a list of profiles."""
        text = self.bench.post(task="listsessions", user=user, password=PASSWORD).text
        told = ("status", "running", "suspended")
        return sorted(line for line in text.splitlines() if line.partition("=")[0] in told)

    def selected(self, user: str = "anna") -> str:
        """What a client gets for the profile."""
        return str(self.bench.post(task="selectsession", sid="desk", user=user, password=PASSWORD).text)

    def admit(self, user: str) -> None:
        """A password for a user of this name, who may be the same as one of another name."""
        write_user(self.bench.folder / "users", user, HASHED)

    def asked(self) -> list[str]:
        """The servers that were asked for sessions."""
        return sorted(key for key, task in self.agents.asked if task == "listsessions")


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> FakeAgents:
    """The agents of all servers."""
    made = FakeAgents()
    monkeypatch.setattr("x2gobroker.agents.farm._made", lambda _name: made)
    return made


@pytest.fixture
def make(broker_with: Make, agents: FakeAgents) -> Callable[[str], Site]:
    """Makes a site with further options."""

    def made(more: str = "") -> Site:
        bench = broker_with(CONFIG + more)
        bench.write("profiles.conf", PROFILES)
        bench.post(task="listsessions", user="nobody-else", password=PASSWORD)  # makes the store
        agents.asked.clear()
        return Site(bench, agents)

    return made


def test_servers_that_are_watched_are_not_asked_for_a_list(make: Callable[[str], Site]) -> None:
    site = make("")
    site.hear(TS01, "anna", state="S")
    site.hear(TS02)
    assert site.listed() == ["status=S", "suspended=1"]
    assert site.listed("bert") == []
    assert site.asked() == []


def test_a_session_counts_for_the_profile_that_it_was_begun_from(make: Callable[[str], Site]) -> None:
    """Another profile with the same servers could resume it, but does not count it."""
    site = make("")
    site.bench.write("profiles.conf", f"{PROFILES}{PROFILES.replace('desk', 'other')}")
    site.hear(TS01, ago=6.0)
    site.hear(TS02, ago=6.0)
    server = TS01 if "SERVER:192.0.2.10" in site.selected() else TS02
    assert site.listed() == []
    site.hear(server, "anna", ago=0.0)
    assert site.listed() == ["running=1", "status=R", "status=R"]


def test_a_selection_asks_only_where_the_user_has_a_session(make: Callable[[str], Site]) -> None:
    site = make("")
    site.hear(TS01, "anna")
    site.hear(TS02)
    site.agents.sessions[TS01.key] = [session_line("ts01", "anna")]
    assert "SESSION_INFO:" in site.selected()
    assert site.asked() == [TS01.key]
    assert "SESSION_INFO:" not in site.selected("bert")
    assert site.asked() == [TS01.key]


def test_who_was_just_sent_somewhere_may_have_begun_a_session_there(make: Callable[[str], Site]) -> None:
    site = make("")
    site.hear(TS01)
    site.hear(TS02)
    server = site.selected().partition("SERVER:")[2].partition(":")[0]
    assert site.asked() == []
    site.selected()
    assert site.asked() == [f"{server}:22"]


def test_a_session_that_moved_elsewhere_is_found_there(make: Callable[[str], Site]) -> None:
    """It was suspended at one server when the list was made, and runs at another one when the user selects."""
    site = make("")
    site.hear(TS01, "anna", state="S")
    site.hear(TS02)
    assert site.listed() == ["status=S", "suspended=1"]
    site.hear(TS01, ago=1.0)
    site.hear(TS02, "anna", ago=1.0)
    site.agents.sessions[TS02.key] = [session_line("192.0.2.11", "anna", "R")]
    assert "SERVER:192.0.2.11:22\nSESSION_INFO:" in site.selected()
    assert site.asked() == [TS02.key]


def test_servers_that_nobody_watches_are_asked(make: Callable[[str], Site]) -> None:
    site = make("")
    site.hear(TS01)
    site.hear(TS02, how=REPORT)
    site.agents.sessions[TS02.key] = [session_line("192.0.2.11", "anna")]
    assert site.listed() == ["status=S", "suspended=1"]
    assert site.asked() == [TS02.key]


def test_a_watch_that_was_not_heard_for_long_does_not_count(make: Callable[[str], Site]) -> None:
    site = make("")
    site.hear(TS01, ago=30.0)
    site.hear(TS02, ago=300.0)
    site.listed()
    assert site.asked() == [TS01.key, TS02.key]


@pytest.mark.parametrize(("seconds", "asked"), [(60, [TS01.key]), (600, []), (0, [TS01.key, TS02.key])])
def test_reports_count_for_as_long_as_the_option_says(
    make: Callable[[str], Site], seconds: int, asked: list[str]
) -> None:
    site = make(f"sessions-known-for = {seconds}\n")
    site.hear(TS01, how=REPORT, ago=300.0)
    site.hear(TS02, how=REPORT, ago=20.0)
    site.listed()
    site.selected("bert")
    assert site.asked() == sorted([*asked, *asked])


def test_a_broken_agent_where_the_user_has_a_session_is_said_to_the_user_and_the_log(
    make: Callable[[str], Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make("")
    site.hear(TS01, "anna")
    site.hear(TS02)
    site.agents.broken[TS01.key] = REFUSED
    fields = {"task": "selectsession", "sid": "desk", "user": "anna", "password": PASSWORD}
    answer = site.bench.post(**fields)
    assert (answer.status, answer.text) == (f"503 {TOLD}", f"{TOLD}.\n")
    assert "user=anna has a session on ts01.example.org[192.0.2.10:22], which cannot be resumed: refused" in caplog.text
    assert name_of("anna") not in caplog.text
    answer = site.bench.post("/json/inifile/", **fields)
    assert (answer.status_int, json.loads(answer.text)["reason"]) == (503, TOLD)
    assert "SERVER:" in site.selected("bert"), "others are served"
    site.agents.broken.clear()
    site.agents.sessions[TS01.key] = [session_line("ts01", "anna")]
    assert "SESSION_INFO:" in site.selected()


def test_an_authid_is_not_spent_by_an_answer_that_says_not_now(make: Callable[[str], Site]) -> None:
    site = make("")
    site.hear(TS01, "anna")
    site.hear(TS02)
    listed = site.bench.post(task="listsessions", user="anna", password=PASSWORD).text
    authid = listed.partition("AUTHID:")[2].partition("\n")[0]
    site.agents.broken[TS01.key] = REFUSED
    shown = {"task": "selectsession", "sid": "desk", "user": "anna", "authid": authid}
    assert site.bench.post(**shown).status_int == 503
    site.agents.broken.clear()
    site.agents.sessions[TS01.key] = [session_line("ts01", "anna")]
    assert "SESSION_INFO:" in site.bench.post(**shown).text


@pytest.mark.parametrize(
    ("event", "ago", "status"),
    [("ALIVE", 60.0, 503), ("FINISHED", 60.0, 200), ("TERMINATING", 60.0, 200), ("ALIVE", 90000.0, 200)],
)
def test_an_agent_that_never_works_keeps_nobody_out_for_good(
    make: Callable[[str], Site], event: str, ago: float, status: int
) -> None:
    """Only clients have spoken of the session: what they have left may have ended, and so may what is a day old."""
    site = make("")
    site.hear(TS02)
    site.agents.broken[TS01.key] = REFUSED
    begun = time.time() - ago
    for moment, what in ((begun, "ALIVE"), (begun + 20, event)):
        said = Said(moment, "anna", name_of("anna"), STATES[what])
        site.inventory.take([(TS01, said)])
    assert site.bench.post(task="selectsession", sid="desk", user="anna", password=PASSWORD).status_int == status


def known(site: Site) -> list[tuple[str, str]]:
    """Server and state of each session that is there."""
    found = Reads(site.inventory.store).everywhere()
    return [(one.server.key, one.session.state) for one in found if one.session.state != EXPECTED]


def test_a_session_on_a_server_that_was_renamed_is_listed_and_resumed_and_goes_on(make: Callable[[str], Site]) -> None:
    """The profile has the server by the name that it had before."""
    site = make("")
    session = parse_session(session_line("new", "anna", "R"))
    told = replace(seen("anna", server="new"), name=session.name)
    moment = time.time() - 3
    site.inventory.take([(TS01, Told(moment, moment, (told,), WATCH))])
    site.hear(TS02)
    site.agents.sessions[TS01.key] = [session_line("new", "anna", "R")]
    for _ in range(2):
        assert site.listed() == ["running=1", "status=R"]
        assert "SERVER:192.0.2.10:22\nSESSION_INFO:" in site.selected()
    assert known(site) == [(TS01.key, "R")]


@pytest.mark.parametrize("name", ["ts01", "ts01.example.org"])
def test_of_two_servers_of_one_name_the_one_with_the_session_has_it_in_lists_and_selections(
    make: Callable[[str], Site], name: str
) -> None:
    site = make("")
    site.bench.write("profiles.conf", "[desk]\nhost = ts01.example.org (192.0.2.10), ts01.example.org (192.0.2.11)\n")
    site.agents.sessions[TS02.key] = [session_line(name, "anna")]
    assert site.listed() == ["status=S", "suspended=1"]
    for _ in range(2):
        assert known(site) == [(TS02.key, "S")]
        assert "SERVER:192.0.2.11:22\nSESSION_INFO:" in site.selected()


def test_a_list_that_an_agent_gives_under_an_unknown_name_ends_nothing(
    make: Callable[[str], Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make("")
    site.hear(TS01, "anna", how=REPORT)
    site.hear(TS02)
    site.agents.sessions[TS01.key] = [session_line("new", "anna")]
    with caplog.at_level("INFO", "broker"):
        assert site.listed() == []
    assert known(site) == [(TS01.key, "R")]
    assert "of user=anna is not listed: it is not clear which server calls itself new" in caplog.text


def test_lists_ask_all_servers_where_what_is_known_cannot_be_read(
    make: Callable[[str], Site], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The store fails in the midst of a request."""
    site = make("")
    site.hear(TS01)
    site.hear(TS02)
    site.agents.sessions[TS01.key] = [session_line("ts01", "anna")]

    def broken(*_arguments: object) -> Places:
        raise StoreError("it hangs")

    monkeypatch.setattr("x2gobroker.placement.known_places", broken)
    assert site.listed() == ["status=S", "suspended=1"]
    assert site.asked() == [TS01.key, TS02.key]
    assert "listing profiles without what is known of sessions: it hangs" in caplog.text


def test_a_broken_agent_keeps_no_session_out_of_lists_where_others_know_it(make: Callable[[str], Site]) -> None:
    """One session database: what is not known of ts01 is asked of any server."""
    site = make("default-shared-session-database = true\n")
    site.hear(TS02)
    site.agents.broken[TS01.key] = REFUSED
    site.agents.sessions[TS02.key] = [session_line("ts01", "anna")]
    assert site.listed() == ["status=S", "suspended=1"]


@pytest.mark.parametrize("shared", [False, True])
def test_what_clients_reported_counts_for_profiles_none_of_whose_servers_was_heard(
    make: Callable[[str], Site], shared: bool
) -> None:
    """With one session database, any server that answers has said what there is to say."""
    site = make(f"client-events = true\nclient-live-event = 0\ndefault-shared-session-database = {shared}\n")
    site.bench.write(
        "profiles.conf", "[desk]\nhost = ts01.example.org (192.0.2.10)\n[lab]\nhost = ts02.example.org (192.0.2.11)\n"
    )
    site.agents.broken = {TS01.key: UNREACHABLE, TS02.key: UNREACHABLE}
    asked = {"user": "anna", "password": PASSWORD}
    site.bench.post(task="selectsession", sid="lab", **asked)
    told = {"event": "CONNECTED", "server": "192.0.2.11", "login": "anna", "elapsed": "1", "display": ":50"}
    site.bench.post(task="clientevent", sid="anna-50-4102444800_stDXFCE_dp24", **asked, **told)
    assert site.listed() == ["running=1"]
    site.hear(TS01, ago=0.0)
    assert site.listed() == ["running=1"], "ts01 is watched, and nobody heard ts02"
    site.agents.broken = {TS02.key: UNREACHABLE}
    site.inventory.take([(TS01, Told(time.time(), time.time(), (), REPORT))])
    assert site.listed() == ([] if shared else ["running=1"]), "ts01 has answered just now"
    site.hear(TS02, ago=0.0)
    assert site.listed() == [], "ts02 is watched, and has no session"


OTHER_NAMES = ("Anna", "EXAMPLE\\anna", "anna@example.org")


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that knows anna by other names as well."""
    anna = pwd.struct_passwd(("anna", "x", 7000, 7000, "", "/home/anna", "/bin/sh"))
    monkeypatch.setattr("pwd.getpwnam", dict.fromkeys(("anna", *OTHER_NAMES), anna).__getitem__)


@pytest.mark.parametrize("user", OTHER_NAMES)
@pytest.mark.usefixtures("directory")
def test_by_whichever_name_of_the_account_a_user_logs_in_the_session_is_found(
    make: Callable[[str], Site], user: str
) -> None:
    site = make("")
    site.admit(user)
    site.hear(TS01, "anna", state="S")
    site.hear(TS02)
    site.agents.sessions[TS01.key] = [session_line("ts01", "anna")]
    assert site.listed(user) == ["status=S", "suspended=1"]
    assert "SESSION_INFO:" in site.selected(user)
    assert site.asked() == [TS01.key]


@pytest.mark.parametrize("user", OTHER_NAMES)
def test_where_the_broker_does_not_know_what_servers_call_an_account_their_agents_are_asked(
    make: Callable[[str], Site], user: str
) -> None:
    """The servers know Anna as `anna`: that nothing is known of `Anna` does not say that she has no session."""
    site = make("")
    site.admit(user)
    site.hear(TS01, "anna", state="S")
    site.hear(TS02)
    site.agents.sessions[TS01.key] = [session_line("ts01", "anna")]
    assert "SESSION_INFO:" in site.selected(user)
    assert site.asked() == [TS01.key, TS02.key]


@pytest.mark.usefixtures("directory")
def test_a_client_may_log_in_at_the_server_by_any_name_of_the_account(make: Callable[[str], Site]) -> None:
    """PyHoca says by which name it will; any other one is somebody else's, whose sessions nobody is told."""
    site = make("")
    site.admit("EXAMPLE\\anna")
    site.hear(TS01, "anna", state="S")
    site.hear(TS02)
    site.agents.sessions[TS01.key] = [session_line("ts01", "anna")]
    asked = {"user": "EXAMPLE\\anna", "password": PASSWORD, "task": "selectsession", "sid": "desk"}
    assert "SESSION_INFO:" in site.bench.post(login="anna", **asked).text
    assert "SESSION_INFO:" not in site.bench.post(login="bert", **asked).text


@pytest.mark.usefixtures("directory")
def test_what_a_client_reports_is_of_the_account(make: Callable[[str], Site]) -> None:
    site = make("client-events = true\n")
    site.admit("EXAMPLE\\anna")
    site.hear(TS01, ago=6.0)
    site.hear(TS02, ago=6.0)
    asked = {"user": "EXAMPLE\\anna", "password": PASSWORD}
    server = TS01 if "SERVER:192.0.2.10" in site.selected(asked["user"]) else TS02
    told = {"event": "CONNECTED", "server": server.address, "login": "anna", "elapsed": "1", "display": ":50"}
    site.bench.post(task="clientevent", sid="anna-50-4102444800_stDXFCE_dp24", **asked, **told)
    assert site.listed("anna") == ["running=1", "status=R"]
