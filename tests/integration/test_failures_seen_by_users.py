"""What users see when X2Go Servers fail: every kind of failure, asked as X2Go Client and PyHoca ask the real broker."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.agents import (
    AgentHost,
    BrokerSide,
    DeadAgent,
    KilledMidTask,
    LyingAgent,
    NoisyAgent,
    SlowAgent,
    WrongHostKey,
    broker_side,
    session_line,
)
from tests.support.failing_servers import (
    KilledAddingAKey,
    Listing,
    PyHoca,
    RealAgent,
    Server,
    Site,
    X2GoClient,
    agent_for,
    frozen,
    full_disk,
    site_of,
)
from tests.support.processes import wait_until

USER = "anna"
TIMEOUT = 2  # seconds that an agent may take
LITTLE = 4.0  # seconds that a busy machine may add
QUICK = 1.8
CLIENTS = (X2GoClient, PyHoca)


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerSide]:
    """The account and the key of the broker."""
    with broker_side(tmp_path_factory.mktemp("broker") / "ssh") as made:
        yield made


@pytest.fixture(scope="module")
def the_site(side: BrokerSide) -> Iterator[Site]:
    """One broker for all tests; each has servers of its own."""
    with site_of(side, USER, "bert") as made:
        yield made


@pytest.fixture
def site(the_site: Site) -> Iterator[Site]:
    """The broker, and a look at its log when all is over: nothing secret may have got there."""
    the_site.log_before = len(the_site.broker.log())
    yield the_site
    the_site.configure()
    log = "\n".join(the_site.log())
    for secret in ("c00c1e", "PRIVATE KEY", "BEGIN", "Traceback"):
        assert secret not in log


@pytest.fixture
def good(site: Site, side: BrokerSide, tmp_path: Path) -> Iterator[AgentHost]:
    """A host beside the failing ones, on which the user has a suspended session."""
    with AgentHost(side, tmp_path, "ts-good", [session_line(USER, "ts-good", 60, "S")]) as host:
        # connected beforehand: what is measured is not how busy this machine is
        site.configure(timeout=20)
        site.offer(desk=(host,))
        assert X2GoClient(site.broker, USER).listing().profiles["desk"]["status"] == "S"
        site.configure(TIMEOUT)
        yield host


@dataclass(frozen=True)
class Failure:
    """One way to fail: `said` is the reason in the log; `yes`: its agent says OK to a key all the same."""

    make: Callable[[BrokerSide, Path], Server]
    said: str
    yes: bool = False


def dead(how: str) -> Callable[[BrokerSide, Path], Server]:
    return lambda _side, _folder: DeadAgent(how, "ts-bad")


def bad(kind: type[AgentHost], **how: str) -> Callable[[BrokerSide, Path], Server]:
    def make(side: BrokerSide, folder: Path) -> Server:
        host = kind(side, folder, "ts-bad")
        for name, value in how.items():
            setattr(host, name, value)
        return host

    return make


FAILURES = {
    "DeadAgent-refusing": Failure(dead("refusing"), "unreachable"),
    "DeadAgent-silent": Failure(dead("silent"), "timeout"),
    "DeadAgent-black-hole": Failure(dead("black-hole"), "timeout"),
    "SlowAgent": Failure(bad(SlowAgent), "timeout"),
    "WrongHostKey": Failure(bad(WrongHostKey), "host-key"),
    "LyingAgent-others": Failure(bad(LyingAgent, lie="others-sessions"), "nonsense", yes=True),
    "LyingAgent-endless": Failure(bad(LyingAgent, lie="endless"), "nonsense"),
    "NoisyAgent-half-line": Failure(bad(NoisyAgent, noise="half-line"), "nonsense"),
    "NoisyAgent-no-ok": Failure(bad(NoisyAgent, noise="no-ok"), "nonsense"),
    "NoisyAgent-binary": Failure(bad(NoisyAgent, noise="binary"), "nonsense"),
    "NoisyAgent-silence": Failure(bad(NoisyAgent, noise="silence"), "refused"),
    "KilledMidTask-agent": Failure(bad(KilledMidTask, victim="agent"), "nonsense"),
    "KilledMidTask-connection": Failure(bad(KilledMidTask, victim="connection"), "unreachable"),
}


@pytest.fixture(params=FAILURES)
def failure(request: pytest.FixtureRequest) -> Failure:
    """Each of them."""
    return FAILURES[request.param]


def check_listing(listing: Listing) -> dict[str, object]:
    """The profile is there, and in time; its options."""
    assert listing.seconds < TIMEOUT + LITTLE
    return listing.profiles["desk"]


def test_beside_a_good_server_users_find_their_session_and_start_new_ones(
    failure: Failure, site: Site, side: BrokerSide, good: AgentHost, tmp_path: Path
) -> None:
    with failure.make(side, tmp_path) as host:
        site.offer(desk=(host, good))
        client, pyhoca = X2GoClient(site.broker, USER), PyHoca(site.broker, USER)
        options = check_listing(client.listing())
        assert (options["status"], options["host"]) == ("S", "ts-good")
        (line,) = site.complaints(host.endpoint.key)
        assert f"X2Go Server {host.endpoint.key}: {failure.said}: " in line
        assert check_listing(pyhoca.listing())["host"] == ["ts-good"]
        for selected in (client.select(), pyhoca.select()):
            assert selected.seconds < TIMEOUT + LITTLE
            assert (selected.server, selected.port) == ("127.0.0.1", good.port)
            (session,) = selected.sessions
            assert session.split("|")[1].startswith(f"{USER}-60-")
            assert selected.key, "the good server's agent said OK"
        good.set_sessions([])
        selected = client.select()
        assert selected.seconds < TIMEOUT + LITTLE
        assert (selected.port, selected.sessions) == (good.port, [])


def test_where_it_is_the_only_server_users_are_sent_there_and_asked_for_their_password(
    failure: Failure, site: Site, side: BrokerSide, tmp_path: Path
) -> None:
    site.configure(TIMEOUT)
    with failure.make(side, tmp_path) as host:
        site.offer(desk=(host,))
        client, pyhoca = X2GoClient(site.broker, USER), PyHoca(site.broker, USER)
        assert "status" not in check_listing(client.listing())
        for selected in (client.select(), pyhoca.select()):
            assert selected.seconds < TIMEOUT + LITTLE
            assert (selected.server, selected.port, selected.sessions) == ("127.0.0.1", host.port, [])
            assert bool(selected.key) == failure.yes
        no = site.complaints("session profile [desk]: no autologin for anna", "asks for the account's password")
        assert len(no) == (0 if failure.yes else 2)
        if failure.said == "timeout":
            assert f"no answer in time from {host.endpoint.key}; " in no[0], "users do not wait for it twice"
        elif not failure.yes:
            assert site.complaints(f"autologin account=anna: no key on {host.endpoint.key}: ")


@pytest.mark.parametrize(("noise", "harmless"), [("banner", True), ("binary-banner", True), ("stderr", False)])
def test_noise_before_an_answer_does_no_harm_and_a_complaint_gets_no_key(
    noise: str, harmless: bool, site: Site, side: BrokerSide, tmp_path: Path
) -> None:
    host = NoisyAgent(side, tmp_path, "ts-noisy", [session_line(USER, "ts-noisy")])
    host.noise = noise
    with host:
        site.offer(desk=(host,))
        client = X2GoClient(site.broker, USER)
        assert check_listing(client.listing())["status"] == "R"
        selected = client.select()
        assert (selected.port, len(selected.sessions), bool(selected.key)) == (host.port, 1, harmless)
        assert bool(site.complaints("no autologin for anna")) != harmless


class Forger(AgentHost):
    """LyingAgent that tries to write more than a session into the broker's answer."""

    def body(self) -> str:
        """Lines that say OK, with one right session between the forged ones."""
        mine = session_line(USER, self.name)
        evil = "SERVER:evil.example.net:22"
        forged = [mine.replace("c00c1e", f"{sign}{evil}{sign}", 1) for sign in ("\r", "\x0b", "\x85", "\u2028", "\x00")]
        forged += [mine.replace("-50-", "-51-").replace(self.name, "evil.example.net"), f"{evil}|{mine}"]
        forged += [session_line("root", self.name), f"SESSION_INFO:{mine}", evil, mine.replace("|R|", "|evil|")]
        self._data("lies").write_bytes("".join(f"{line}\n" for line in ["OK", *forged, mine]).encode())
        return 'cat "$0.lies"\n'


def test_forged_lines_and_sessions_of_others_reach_nobody(site: Site, side: BrokerSide, tmp_path: Path) -> None:
    with Forger(side, tmp_path, "ts-forger") as host:
        site.offer(desk=(host,))
        for client in [who(site.broker, USER) for who in CLIENTS]:
            assert check_listing(client.listing())
            selected = client.select()
            assert (selected.server, selected.port) == ("127.0.0.1", host.port)
            wanted = session_line(USER, "127.0.0.1", state="S")
            assert selected.sessions == [wanted]
        assert site.complaints(f"agent on {host.endpoint.key}: listsessions has", "lines that cannot be")
        assert not site.complaints("evil")


def test_a_slow_server_holds_up_nobody_elses_login(
    site: Site, side: BrokerSide, good: AgentHost, tmp_path: Path
) -> None:
    """The listing gives up earlier than a selection does; both are waited for by those who want this server only."""
    site.configure(timeout=4)
    with SlowAgent(side, tmp_path, "ts-slow") as slow, ThreadPoolExecutor(8) as threads:
        site.offer(desk_for_anna=(slow, good), healthy=(good,))
        bert = X2GoClient(site.broker, "bert")
        assert list(bert.listing().profiles) == ["healthy"]
        clients = [X2GoClient(site.broker, USER) for _ in range(8)]
        listings = [threads.submit(client.listing) for client in clients[:2]]
        selections = [threads.submit(client.select) for client in clients[2:]]
        wait_until(lambda: len(slow.asked()) >= 8, "all of them asking the slow server")
        quick = [bert.listing().seconds, *(who(site.broker, "bert").select("healthy").seconds for who in CLIENTS)]
        assert max(quick) < QUICK
        assert not any(future.done() for future in selections)
        assert all(future.result().seconds < 2 + LITTLE for future in listings)
        for selected in [future.result() for future in selections]:
            assert selected.seconds < 4 + LITTLE
            assert (selected.port, len(selected.sessions)) == (good.port, 1)


def test_a_server_that_hangs_costs_nothing_after_a_while_and_is_found_again(site: Site, good: AgentHost) -> None:
    site.offer(desk=(good,))
    client = X2GoClient(site.broker, USER)
    assert check_listing(client.listing())["status"] == "S"
    assert good.sshd is not None
    with frozen(good.sshd):
        for _ in range(3):
            assert "status" not in check_listing(client.listing())
        told, seconds = client.told_not_now()
        assert told.startswith("You have a session on ts-good, and the broker cannot ask that server about it"), told
        assert max(client.listing().seconds, seconds) < QUICK / 2
    lines = site.complaints(f"X2Go Server {good.endpoint.key}: ")
    assert ["timeout: " in line for line in lines] == [True] * 3
    assert "left out for" in lines[-1]
    wait_until(lambda: client.listing().profiles["desk"].get("status") == "S", "the server being asked again", 20)
    assert site.complaints(good.endpoint.key, "answers again")
    assert len(client.select().sessions) == 1


@pytest.fixture
def person(site: Site) -> Iterator[Account]:
    """Somebody with an account and a home folder on the servers."""
    with account_with_home(secrets.token_hex(8)) as made:
        site.add_user(made.name)
        yield made


def keys_of(person: Account) -> list[str]:
    path = person.home / ".x2go/authorized_keys"
    return [line for line in path.read_text().splitlines() if " " in line] if path.exists() else []


def real(kind: type[RealAgent], side: BrokerSide, folder: Path, stack: ExitStack) -> AgentHost:
    """A server with the project's own agent."""
    host = kind(side, folder, "ts-real")
    host.program = stack.enter_context(agent_for(side.account))
    return stack.enter_context(host)


def test_a_full_disk_on_the_server_gives_no_key_and_harms_no_file(
    site: Site, side: BrokerSide, person: Account, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        host = real(RealAgent, side, tmp_path, stack)
        filler = stack.enter_context(full_disk(person))
        site.offer(desk=(host,))
        client = X2GoClient(site.broker, person.name)
        assert "desk" in client.listing().profiles
        selected = client.select()
        assert (selected.port, selected.key, selected.sessions) == (host.port, "", [])
        assert len(site.complaints(f"no key on {host.endpoint.key}: refused: ", "No space left on device")) == 1
        assert len(site.complaints(f"no autologin for {person.name}", "asks for the account's password")) == 1
        assert keys_of(person) == []
        filler.unlink()
        assert client.select().key
        assert len(keys_of(person)) == 1


def test_a_key_that_may_have_been_put_is_not_given_away_and_is_taken_away(
    site: Site, side: BrokerSide, person: Account, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        host = real(KilledAddingAKey, side, tmp_path, stack)
        site.offer(desk=(host,))
        selected = X2GoClient(site.broker, person.name).select()
        assert (selected.port, selected.key) == (host.port, "")
        assert len(keys_of(person)) == 1, "it was put"
        assert len(site.complaints(f"no key on {host.endpoint.key}: unreachable: ")) == 1
        wait_until(lambda: not keys_of(person), "the key being taken away", 25)


def test_where_nobody_checks_who_users_are_there_are_no_keys(site: Site, good: AgentHost) -> None:
    site.configure(mechanism="none")
    site.offer(desk=(good,))
    for client in [who(site.broker, USER, "whatever") for who in CLIENTS]:
        check_listing(client.listing())
        selected = client.select()
        assert (selected.server, selected.port, selected.key) == ("127.0.0.1", good.port, "")
    lines = site.complaints(" - ERROR - ", "no autologin for anna", "does not check who its users are")
    assert len(lines) == 2
    assert not any("addauthkey" in command for command in good.asked())
