"""What the broker's side makes of agents that fail, over a real sshd: each fixture, and what is then known and said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.agents import (
    AgentHost,
    BrokerSide,
    DeadAgent,
    KilledMidTask,
    LyingAgent,
    NoisyAgent,
    SlowAgent,
    UnknownHostKey,
    WrongHostKey,
    broker_side,
    session_line,
)
from tests.support.processes import wait_until
from x2gobroker.agents.base import HOST_KEY, LEFT_OUT, LOGIN, NONSENSE, REFUSED, TIMEOUT, UNREACHABLE, BrokerAgent
from x2gobroker.agents.farm import AgentFarm, Findings
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.logs import LOGGERS
from x2gobroker.model.hosts import Endpoint

USER = "anna"
KEY = 'no-user-rc,expiry-time="20991231" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI= x2gobroker-anna'


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerSide]:
    """The account and the key of the broker."""
    with broker_side(tmp_path_factory.mktemp("broker") / "ssh") as made:
        yield made


@pytest.fixture
def farm() -> Iterator[AgentFarm]:
    """A farm with connections of its own."""
    made = AgentFarm()
    yield made
    made.close()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What the broker's loggers say."""
    for logger in LOGGERS:
        monkeypatch.setattr(logger, "propagate", True)
        caplog.set_level("DEBUG", logger.name)
    return caplog


@pytest.fixture
def good(side: BrokerSide, tmp_path: Path) -> Iterator[AgentHost]:
    """A host beside the failing ones, on which the user has a session."""
    with AgentHost(side, tmp_path, "ts-good", [session_line(USER, "ts-good", 60, "S")]) as host:
        yield host


def find(farm: AgentFarm, rules: AgentRules, *hosts: AgentHost | DeadAgent) -> Findings:
    return farm.sessions_of([host.endpoint for host in hosts], rules, USER)


def warm(farm: AgentFarm, side: BrokerSide, *hosts: AgentHost) -> None:
    """Connect, so that what is measured afterwards does not hang upon how busy this machine is."""
    for host in hosts:
        farm.agent("SSH").ping(host.endpoint, side.rules(timeout=30.0))


def reasons(found: Findings) -> list[str]:
    return [error.reason for error in found.failed.values()]


def failure(call: Callable[[], object]) -> AgentError:
    with pytest.raises(AgentError) as caught:
        call()
    return caught.value


def test_an_agent_that_works_does_every_task(side: BrokerSide, farm: AgentFarm, good: AgentHost) -> None:
    rules, server, agent = side.rules(), good.endpoint, farm.agent("SSH")
    agent.ping(server, rules)
    assert [session.server for session in agent.list_sessions(server, rules, USER)] == ["ts-good"]
    assert agent.list_sessions(server, rules, "nobody-here") == []
    assert agent.get_servers(server, rules, USER) == {"ts-good": 1}
    assert agent.find_busy_servers(server, rules, USER) == {"ts-good": 100}
    assert agent.check_load(server, rules).sessions == 1
    assert "listsessions" in agent.available_tasks(server, rules)
    agent.add_auth_key(server, rules, USER, KEY, "%h/.x2go/authorized_keys", 60)
    agent.del_auth_key(server, rules, USER, KEY, "%h/.x2go/authorized_keys")
    assert good.asked()[-2] == (f"/usr/lib/x2go/x2gobroker-agent {USER} addauthkey '{KEY}' %h/.x2go/authorized_keys 60")


def test_what_a_shell_would_read_arrives_as_it_is(side: BrokerSide, farm: AgentFarm, good: AgentHost) -> None:
    odd = "a'b\"c$HOME`id`|&<>()*?#~\\é"
    assert farm.agent("SSH").list_sessions(good.endpoint, side.rules(), odd) == []
    assert good.asked() == ["/usr/lib/x2go/x2gobroker-agent '" + odd.replace("'", "'\"'\"'") + "' listsessions"]


def test_a_semicolon_is_never_sent(side: BrokerSide, farm: AgentFarm, good: AgentHost) -> None:
    error = failure(lambda: farm.agent("SSH").list_sessions(good.endpoint, side.rules(), "anna;id"))
    assert error.reason == REFUSED
    assert not good.asked()


# ---------------------------------------------------------------- DeadAgent


@pytest.mark.parametrize(("how", "reason"), [("refusing", UNREACHABLE), ("silent", TIMEOUT), ("black-hole", TIMEOUT)])
def test_a_dead_agent_costs_at_most_the_deadline_and_is_then_left_out(
    how: str, reason: str, side: BrokerSide, farm: AgentFarm, good: AgentHost, said: pytest.LogCaptureFixture
) -> None:
    rules = side.rules(timeout=1.0)
    warm(farm, side, good)
    with DeadAgent(how) as dead:
        for _ in range(3):
            begun = time.monotonic()
            found = find(farm, rules, dead, good)
            assert time.monotonic() - begun < rules.timeout + 0.5
            assert [session.server for session in found.sessions] == ["ts-good"]
            assert reasons(found) == [reason]
        begun = time.monotonic()
        found = find(farm, rules, dead, good)
        assert time.monotonic() - begun < rules.timeout / 2, "it is not asked any more"
        assert reasons(found) == [LEFT_OUT]
    lines = [record.getMessage() for record in said.records if record.levelname == "WARNING"]
    assert len(lines) == 3
    assert all(dead.endpoint.key in line and reason in line for line in lines)
    assert "left out for" in lines[2]


def test_a_server_that_comes_back_is_used_again(side: BrokerSide, farm: AgentFarm, good: AgentHost) -> None:
    rules = side.rules(timeout=3.0)
    assert good.sshd is not None
    assert find(farm, rules, good).sessions
    good.sshd.stop()
    assert reasons(find(farm, rules, good)) == [UNREACHABLE]
    good.sshd.start()
    assert find(farm, rules, good).sessions


# ---------------------------------------------------------------- SlowAgent


def test_a_slow_agent_costs_the_deadline_and_not_more(
    side: BrokerSide, farm: AgentFarm, good: AgentHost, tmp_path: Path
) -> None:
    rules = side.rules(timeout=1.0)
    warm(farm, side, good)
    with SlowAgent(side, tmp_path, "ts-slow") as slow:
        begun = time.monotonic()
        found = find(farm, rules, slow, good)
        assert 0.9 < time.monotonic() - begun < rules.timeout + 0.5
        assert reasons(found) == [TIMEOUT]
        assert [session.server for session in found.sessions] == ["ts-good"]


def test_an_agent_that_is_slow_but_in_time_is_waited_for(side: BrokerSide, farm: AgentFarm, tmp_path: Path) -> None:
    slow = SlowAgent(side, tmp_path, "ts-slow", [session_line(USER, "ts-slow")])
    slow.seconds = 0.5
    with slow:
        assert [session.server for session in find(farm, side.rules(), slow).sessions] == ["ts-slow"]


def test_a_late_answer_is_noted_and_its_server_is_not_given_up(
    side: BrokerSide, farm: AgentFarm, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    slow = SlowAgent(side, tmp_path, "ts-slow")
    slow.seconds = 1.0

    def call(agent: BrokerAgent, server: Endpoint) -> object:
        return agent.list_sessions(server, side.rules(), USER)

    with slow:
        answers = farm.ask_all([slow.endpoint], side.rules(), call, seconds=0.5)
        assert [answer.reason for answer in answers.values() if isinstance(answer, AgentError)] == [TIMEOUT]
        wait_until(lambda: "came too late" in said.text, "the answer")


# ---------------------------------------------------------------- LyingAgent


def lying(side: BrokerSide, folder: Path, lie: str) -> LyingAgent:
    host = LyingAgent(side, folder, "ts-liar")
    host.lie = lie
    return host


def test_sessions_of_others_are_not_believed(
    side: BrokerSide, farm: AgentFarm, good: AgentHost, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    with lying(side, tmp_path, "others-sessions") as liar:
        found = find(farm, side.rules(), liar, good)
    assert reasons(found) == [NONSENSE]
    assert [session.server for session in found.sessions] == ["ts-good"]
    assert "belongs to somebody else" in said.text
    assert "c00c1e" not in said.text


def test_of_a_list_that_is_partly_a_lie_the_possible_part_counts(
    side: BrokerSide, farm: AgentFarm, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    with lying(side, tmp_path, "half-lies") as liar:
        found = find(farm, side.rules(), liar)
    assert [(session.user, session.server) for session in found.sessions] == [(USER, "ts-liar")]
    assert "has 1 lines that cannot be" in said.text


def test_a_session_elsewhere_is_handed_on_for_the_scheduler_to_judge(
    side: BrokerSide, farm: AgentFarm, tmp_path: Path
) -> None:
    with lying(side, tmp_path, "foreign-servers") as liar:
        assert [session.server for session in find(farm, side.rules(), liar).sessions] == ["evil.example.net"]


@pytest.mark.parametrize("lie", ["absurd-load", "forged-load"])
def test_absurd_loads_are_nonsense(side: BrokerSide, farm: AgentFarm, tmp_path: Path, lie: str) -> None:
    with lying(side, tmp_path, lie) as liar:
        error = failure(lambda: farm.agent("SSH").check_load(liar.endpoint, side.rules()))
    assert error.reason == NONSENSE
    assert "ts-liar" in str(error)


@pytest.mark.parametrize("lie", ["flood", "endless"])
def test_a_flood_is_cut_off(side: BrokerSide, farm: AgentFarm, good: AgentHost, tmp_path: Path, lie: str) -> None:
    with lying(side, tmp_path, lie) as liar:
        begun = time.monotonic()
        found = find(farm, side.rules(timeout=20.0), liar, good)
        assert time.monotonic() - begun < 10
        assert reasons(found) == [NONSENSE]
        assert [session.server for session in found.sessions] == ["ts-good"]
        assert liar.sshd is not None
        served = liar.sshd
        wait_until(lambda: b"yes" not in b"".join(command_lines(served.connections())), "the flood's end")


def command_lines(pids: list[int]) -> list[bytes]:
    return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if Path(f"/proc/{pid}/cmdline").exists()]


# ---------------------------------------------------------------- NoisyAgent


def noisy(side: BrokerSide, folder: Path, noise: str) -> NoisyAgent:
    host = NoisyAgent(side, folder, "ts-noisy", [session_line(USER, "ts-noisy")])
    host.noise = noise
    return host


@pytest.mark.parametrize("noise", ["banner", "binary-banner", "stderr"])
def test_noise_around_an_answer_is_put_up_with(side: BrokerSide, farm: AgentFarm, tmp_path: Path, noise: str) -> None:
    with noisy(side, tmp_path, noise) as host:
        found = find(farm, side.rules(), host)
        assert [session.server for session in found.sessions] == ["ts-noisy"]
        assert farm.agent("SSH").check_load(host.endpoint, side.rules()).cpus == 2


@pytest.mark.parametrize(
    ("noise", "reason", "words"),
    [
        ("banner-glued", NONSENSE, "without OK"),
        ("long-banner", NONSENSE, "without OK"),
        ("no-ok", NONSENSE, "without OK"),
        ("half-line", NONSENSE, "half a line"),
        ("no-final-newline", NONSENSE, "half a line"),
        ("binary", NONSENSE, "UTF-8"),
        ("silence", REFUSED, "does not know this task"),
    ],
)
def test_noise_in_an_answer_spoils_it(
    noise: str, reason: str, words: str, side: BrokerSide, farm: AgentFarm, tmp_path: Path
) -> None:
    with noisy(side, tmp_path, noise) as host:
        found = find(farm, side.rules(), host)
    assert reasons(found) == [reason]
    assert words in str(next(iter(found.failed.values())))
    assert not found.sessions


def test_stderr_fails_a_task_that_changes_something(side: BrokerSide, farm: AgentFarm, tmp_path: Path) -> None:
    with noisy(side, tmp_path, "stderr") as host:
        error = failure(
            lambda: farm.agent("SSH").add_auth_key(host.endpoint, side.rules(), USER, KEY, "%h/.x2go/keys", 60)
        )
    assert error.reason == REFUSED
    assert "Inappropriate ioctl" in str(error)


def test_a_start_up_file_that_prints_does_no_harm(side: BrokerSide, farm: AgentFarm, good: AgentHost) -> None:
    assert side.account.home is not None
    bashrc = side.account.home / ".bashrc"
    before = bashrc.read_bytes() if bashrc.exists() else b""
    bashrc.write_text("echo Welcome, $USER; echo OKAY; echo half a line >&2\n", encoding="utf-8")
    try:
        assert find(farm, side.rules(), good).sessions
    finally:
        bashrc.write_bytes(before)


# ---------------------------------------------------------------- host keys and logins


def test_a_wrong_host_key_is_refused_under_every_policy(side: BrokerSide, farm: AgentFarm, tmp_path: Path) -> None:
    with WrongHostKey(side, tmp_path, "ts-other") as host:
        for policy in ("RejectPolicy", "WarningPolicy", "AutoAddPolicy"):
            found = find(farm, side.rules(policy=policy), host)
            assert reasons(found) == [HOST_KEY]
        assert not host.asked()


def test_an_unknown_host_key_is_refused_with_advice(side: BrokerSide, farm: AgentFarm, tmp_path: Path) -> None:
    with UnknownHostKey(side, tmp_path, "ts-new") as host:
        (error,) = find(farm, side.rules(), host).failed.values()
        assert error.reason == HOST_KEY
        assert "x2gobroker-testagent" in str(error)
        assert find(farm, side.rules(policy="WarningPolicy"), host).answered == (host.endpoint,)


def test_a_key_that_is_not_let_in_is_told_with_advice(side: BrokerSide, farm: AgentFarm, good: AgentHost) -> None:
    assert good.sshd is not None
    good.sshd.authorize(side.account.name, "")
    (error,) = find(farm, side.rules(), good).failed.values()
    assert error.reason == LOGIN
    assert "authorized_keys" in str(error)


# ---------------------------------------------------------------- KilledMidTask


@pytest.mark.parametrize("victim", KilledMidTask.VICTIMS)
def test_half_an_answer_is_none(
    side: BrokerSide, farm: AgentFarm, good: AgentHost, tmp_path: Path, victim: str
) -> None:
    killed = KilledMidTask(side, tmp_path, "ts-killed")
    killed.victim = victim
    with killed:
        begun = time.monotonic()
        found = find(farm, side.rules(), killed, good)
        assert time.monotonic() - begun < 4
        assert reasons(found)[0] in (NONSENSE, UNREACHABLE)
        assert [session.server for session in found.sessions] == ["ts-good"]


def test_after_a_broken_connection_the_next_call_makes_a_new_one(
    side: BrokerSide, farm: AgentFarm, tmp_path: Path
) -> None:
    killed = KilledMidTask(side, tmp_path, "ts-killed")
    killed.victim = "connection"
    with killed:
        assert find(farm, side.rules(), killed).failed
        killed.victim = "agent"
        killed.write_script()
        assert reasons(find(farm, side.rules(), killed)) == [NONSENSE]


# ---------------------------------------------------------------- many at once


def test_a_farm_with_dead_slow_and_lying_servers_answers_within_the_deadline(
    side: BrokerSide, farm: AgentFarm, good: AgentHost, tmp_path: Path
) -> None:
    rules = side.rules(timeout=3.0)
    with (
        DeadAgent("refusing") as refusing,
        DeadAgent("silent") as silent,
        DeadAgent("black-hole") as hole,
        SlowAgent(side, tmp_path, "ts-slow") as slow,
        lying(side, tmp_path, "others-sessions") as liar,
        noisy(side, tmp_path, "half-line") as half,
    ):
        begun = time.monotonic()
        found = find(farm, rules, refusing, silent, hole, slow, liar, half, good)
        assert time.monotonic() - begun < rules.timeout + 0.5
    assert sorted(reasons(found)) == sorted([UNREACHABLE, TIMEOUT, TIMEOUT, TIMEOUT, NONSENSE, NONSENSE])
    assert [session.server for session in found.sessions] == ["ts-good"]


def test_a_shared_session_database_is_asked_past_dead_servers(
    side: BrokerSide, farm: AgentFarm, good: AgentHost
) -> None:
    rules = side.rules(timeout=4.0, shared_database=True)
    warm(farm, side, good)
    with DeadAgent("silent") as silent, DeadAgent("black-hole") as hole:
        begun = time.monotonic()
        found = find(farm, rules, silent, hole, good)
        assert time.monotonic() - begun < 3
    assert [session.server for session in found.sessions] == ["ts-good"]


def test_through_a_proxy_host(side: BrokerSide, farm: AgentFarm, good: AgentHost, tmp_path: Path) -> None:
    """The broker's key may be let in on the proxy host without a shell: only to go on from there."""
    with AgentHost(side, tmp_path, "proxy") as proxy:
        assert proxy.sshd is not None
        proxy.sshd.authorize(side.account.name, f'restrict,port-forwarding,command="/bin/false" {side.public_key}')
        rules = side.rules(proxy=f"127.0.0.1:{proxy.port}")
        assert [session.server for session in find(farm, rules, good).sessions] == ["ts-good"]
        assert f"user {side.account.name}" in proxy.sshd.log_text() or side.account.name in proxy.sshd.log_text()
        wrong = find(farm, side.rules(proxy="user@:22"), good)
        assert reasons(wrong) == [REFUSED]
