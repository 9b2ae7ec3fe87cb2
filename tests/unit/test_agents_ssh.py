"""Query mode SSH: the command line that is sent, the way there, and what trouble of SSH means."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.agents.answers import LARGEST_ANSWER
from x2gobroker.agents.base import HOST_KEY, LOGIN, NONSENSE, REFUSED, TIMEOUT, UNREACHABLE
from x2gobroker.agents.rules import SSH, AgentRules
from x2gobroker.agents.ssh import SYSTEM_KNOWN_HOSTS, SshAgent, route_to
from x2gobroker.errors import AgentError, SshError
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.execute import Executed
from x2gobroker.ssh.failures import ConnectionBroken, HostKeyRefused, LoginRefused, SshTimeout, Unreachable
from x2gobroker.ssh.pool import SshPool
from x2gobroker.ssh.routes import Route

SERVER = Endpoint("ts01", "192.0.2.1", 2222)
COMMAND = "/usr/lib/x2go/x2gobroker-agent"
RULES = AgentRules(SSH, "x2gobroker", COMMAND, Path("/keys"), "RejectPolicy", "", 5.0)


class Wire:
    """Takes the place of the pool: keeps what it is asked, and answers or fails."""

    def __init__(self) -> None:
        self.asked: list[tuple[Route, str, float, int]] = []
        self.failure: SshError | None = None

    def execute(self, route: Route, command: str, seconds: float, max_bytes: int = 0) -> Executed:
        self.asked.append((route, command, seconds, max_bytes))
        if self.failure is not None:
            raise self.failure
        return Executed(b"OK\n", b"", 0)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    monkeypatch.setattr(SshPool, "execute", lambda _self, *words, **more: made.execute(*words, **more))
    return made


def test_one_command_line_goes_to_the_server_within_the_deadline(wire: Wire) -> None:
    SshAgent().ask(SERVER, RULES, "anna", "listsessions")
    ((route, command, seconds, max_bytes),) = wire.asked
    assert command == f"{COMMAND} anna listsessions"
    assert (route.endpoint, route.login.user, route.login.keys_folder) == (SERVER, "x2gobroker", Path("/keys"))
    assert route.trust.files == (Path("/keys/known_hosts"), SYSTEM_KNOWN_HOSTS)
    assert (route.trust.policy, route.proxy) == ("RejectPolicy", None)
    assert 0 < seconds <= 5
    assert max_bytes == LARGEST_ANSWER


def test_a_key_line_is_quoted_so_that_its_quotes_arrive(wire: Wire) -> None:
    line = 'no-user-rc,expiry-time="20261201" ssh-rsa AAAA+/= x2gobroker-anna'
    SshAgent().add_auth_key(SERVER, RULES, "anna", line, "%h/.x2go/authorized_keys", 60)
    assert wire.asked[0][1] == f"{COMMAND} anna addauthkey '{line}' %h/.x2go/authorized_keys 60"


@SOME
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=";"), min_size=1), min_size=1))
def test_any_words_arrive_as_they_are_and_without_a_semicolon(words: list[str]) -> None:
    wire, agent = Wire(), SshAgent()
    agent._pool = wire  # type: ignore[assignment]
    words = [word.lstrip("-") or "x" for word in words]
    agent.ask(SERVER, RULES, "anna", "ping", *words)
    command = wire.asked[0][1]
    assert shlex.split(command) == [COMMAND, "anna", "ping", *words]
    assert ";" not in command


@pytest.mark.parametrize("words", [("a;b", "ping"), ("anna", "ping;id"), ("anna", "addauthkey", "k;", "f")])
def test_a_semicolon_is_refused(wire: Wire, words: tuple[str, ...]) -> None:
    with pytest.raises(AgentError, match="semicolon") as caught:
        SshAgent().ask(SERVER, RULES, *words)
    assert caught.value.reason == REFUSED
    assert not wire.asked


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Unreachable("x"), UNREACHABLE),
        (SshTimeout("x"), TIMEOUT),
        (LoginRefused("x"), LOGIN),
        (ConnectionBroken("x"), UNREACHABLE),
        (SshError("too much"), NONSENSE),
    ],
)
def test_trouble_of_ssh_becomes_a_reason(wire: Wire, failure: SshError, reason: str) -> None:
    wire.failure = failure
    with pytest.raises(AgentError) as caught:
        SshAgent().ping(SERVER, RULES)
    assert caught.value.reason == reason
    assert caught.value.__cause__ is failure


def test_every_kind_of_ssh_failure_has_a_reason(wire: Wire) -> None:
    reasons = {kind.reason for kind in (Unreachable, SshTimeout, HostKeyRefused, LoginRefused, ConnectionBroken)}
    assert reasons == {"unreachable", "timeout", "host-key", "login", "broken"}
    assert HostKeyRefused.reason == HOST_KEY


@pytest.mark.parametrize(
    ("proxy", "user", "address", "port"),
    [
        ("jump.example.org", "x2gobroker", "jump.example.org", 22),
        ("jump:2222", "x2gobroker", "jump", 2222),
        ("anna@jump", "anna", "jump", 22),
        ("anna@192.0.2.9:22022", "anna", "192.0.2.9", 22022),
        ("[2001:db8::1]:2222", "x2gobroker", "2001:db8::1", 2222),
        ("a@b@jump", "a@b", "jump", 22),
    ],
)
def test_the_way_may_lead_through_a_proxy(proxy: str, user: str, address: str, port: int) -> None:
    way = route_to(SERVER, replace(RULES, proxy=proxy)).proxy
    assert way is not None
    assert (way.login.user, way.endpoint.address, way.endpoint.port) == (user, address, port)
    assert way.trust.policy == "RejectPolicy"


@pytest.mark.parametrize("proxy", ["@jump", "anna@", "jump:", "jump:0", "anna@:22", "jump:99999", "a b", "2222"])
def test_a_proxy_that_is_written_wrongly_is_a_refusal_that_says_how(wire: Wire, proxy: str) -> None:
    with pytest.raises(AgentError, match=r"\[user@\]host\[:port\]") as caught:
        SshAgent().ping(SERVER, replace(RULES, proxy=proxy))
    assert caught.value.reason == REFUSED
    assert not wire.asked
