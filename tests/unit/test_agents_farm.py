"""Many agents at once: nobody waits for a dead one, what several say is put together, and the log says it once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from x2gobroker.agents.base import LEFT_OUT, NONSENSE, REFUSED, TIMEOUT, UNREACHABLE, BrokerAgent, Reply
from x2gobroker.agents.breaker import FAILURES, FIRST_PAUSE, CircuitBreaker
from x2gobroker.agents.farm import AgentFarm, own_endpoint
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.model.hosts import Endpoint

RULES = AgentRules("SSH", "x2gobroker", "/usr/lib/x2go/x2gobroker-agent", Path("/nonexistent"), "RejectPolicy", "", 0.6)
SHARED = replace(RULES, shared_database=True)
NEVER = 20.0


def line(server: str, number: int = 0, state: str = "R", user: str = "anna") -> str:
    name = f"{user}-{50 + number}-1795167317_stRxterm_dp24"
    moment = "2026-11-20T09:35:17"
    client = "c00c1e00c00c1e00|127.0.0.1|2|3"
    return f"1|{name}|{50 + number}|{server}|{state}|{moment}|{client}|{moment}|{user}|25|4|-1|-1"


class Farmland(BrokerAgent):
    """A query mode over servers that do as the test says: what they answer, after how many seconds."""

    def __init__(self) -> None:
        self.answers: dict[str, str | AgentError | Exception] = {}
        self.seconds: dict[str, float] = {}
        self.asked: list[str] = []
        self.release = threading.Event()
        self.closed = 0

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        self.asked.append(server.name)
        if delay := self.seconds.get(server.name):
            self.release.wait(delay)
        answer = self.answers.get(server.name, "")
        if isinstance(answer, Exception):
            raise answer
        return Reply(f"OK\n{answer}".encode(), b"", 0)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def land() -> Iterator[Farmland]:
    made = Farmland()
    yield made
    made.release.set()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def farm(land: Farmland, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentFarm]:
    monkeypatch.setattr("x2gobroker.agents.farm._made", lambda _mode: land)
    made = AgentFarm(CircuitBreaker(clock, lambda _low, _high: 1.0))
    yield made
    made.close()


def servers(count: int) -> list[Endpoint]:
    return [Endpoint(f"ts{number:02}", f"192.0.2.{number}", 22) for number in range(1, count + 1)]


def ping(rules: AgentRules = RULES) -> Callable[[BrokerAgent, Endpoint], str]:
    def call(agent: BrokerAgent, server: Endpoint) -> str:
        agent.ping(server, rules)
        return f"pong of {server.name}"

    return call


def reason(answer: object) -> str:
    assert isinstance(answer, AgentError), answer
    return answer.reason


def took(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def warnings(said: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in said.records if record.levelname == "WARNING"]


def test_all_servers_are_asked_at_the_same_time(farm: AgentFarm, land: Farmland) -> None:
    farmed = servers(30)
    land.seconds = {server.name: 0.2 for server in farmed}
    begun = time.monotonic()
    answers = farm.ask_all(farmed, replace(RULES, timeout=5.0), ping())
    assert time.monotonic() - begun < 5, "one after the other, they would take 6 s"
    assert answers == {server: f"pong of {server.name}" for server in farmed}


def test_a_dead_server_costs_at_most_the_deadline(farm: AgentFarm, land: Farmland) -> None:
    land.seconds["ts02"] = NEVER
    begun = time.monotonic()
    answers = farm.ask_all(servers(3), RULES, ping())
    assert RULES.timeout <= time.monotonic() - begun < NEVER / 2
    assert [answers[server] for server in servers(3)[::2]] == ["pong of ts01", "pong of ts03"]
    assert reason(answers[servers(3)[1]]) == TIMEOUT


def test_the_caller_may_set_another_deadline(farm: AgentFarm, land: Farmland) -> None:
    land.seconds["ts01"] = NEVER
    assert took(lambda: farm.ask_all(servers(1), RULES, ping(), seconds=0.1)) < 0.5


def test_a_late_answer_is_a_timeout_and_a_debug_line_and_brings_the_server_back(
    farm: AgentFarm, land: Farmland, said: pytest.LogCaptureFixture
) -> None:
    land.seconds["ts01"] = NEVER
    reasons = []
    while LEFT_OUT not in reasons:  # a question that a busy machine has not begun in time counts against nobody
        reasons.append(reason(farm.ask_all(servers(1), RULES, ping(), seconds=0.05)[servers(1)[0]]))
        assert len(reasons) < 100
    assert set(reasons[:-1]) == {TIMEOUT}
    assert len(reasons) > 3
    land.release.set()
    wait_until(lambda: "came too late" in said.text, "the debug line")
    wait_until(lambda: "answers again" in said.text, "the line that it is back")
    assert farm.ask_all(servers(1), RULES, ping()) == {servers(1)[0]: "pong of ts01"}


def test_known_dead_servers_are_not_asked(farm: AgentFarm, land: Farmland) -> None:
    one, two = servers(2)
    answers = farm.ask_all([one, two], RULES, ping(), known_dead={two.key})
    assert land.asked == ["ts01"]
    assert answers[one] == "pong of ts01"
    assert reason(answers[two]) == LEFT_OUT


def test_if_all_are_known_dead_all_are_asked(farm: AgentFarm) -> None:
    farmed = servers(2)
    answers = farm.ask_all(farmed, RULES, ping(), known_dead={server.key for server in farmed})
    assert list(answers.values()) == ["pong of ts01", "pong of ts02"]


def test_one_server_under_two_names_is_asked_once(farm: AgentFarm, land: Farmland) -> None:
    twins = [Endpoint("ts01", "192.0.2.1", 22), Endpoint("ts01.example.org", "192.0.2.1", 22)]
    answers = farm.ask_all(twins, RULES, ping())
    assert len(land.asked) == 1
    assert set(answers) == set(twins)


def test_nobody_to_ask_is_no_answer(farm: AgentFarm) -> None:
    assert farm.ask_all([], RULES, ping()) == {}
    assert farm.ask_any([], RULES, ping()) == {}
    assert farm.sessions_of([], RULES, "anna").sessions == []


def test_query_mode_none_refuses_at_once_and_quietly(farm: AgentFarm, said: pytest.LogCaptureFixture) -> None:
    off = replace(RULES, mode="NONE")
    answers = farm.ask_all(servers(2), off, ping(off))
    assert [reason(answer) for answer in answers.values()] == [REFUSED, REFUSED]
    assert farm.sessions_of(servers(2), off, "anna").sessions == []
    assert not warnings(said)


def test_query_mode_local_asks_this_machine_only(farm: AgentFarm, land: Farmland) -> None:
    local = replace(RULES, mode="LOCAL")
    land.answers[own_endpoint().name] = line(own_endpoint().name) + "\n"
    found = farm.sessions_of(servers(5), local, "anna")
    assert found.answered == (own_endpoint(),)
    assert len(found.sessions) == 1
    assert land.asked == [own_endpoint().name]


def test_a_mode_that_is_not_installed_is_a_refusal_with_advice() -> None:
    with pytest.raises(AgentError, match="smoke-signals") as caught:
        AgentFarm().agent("SMOKE-SIGNALS")
    assert caught.value.reason == REFUSED


def test_the_modes_of_the_project_are_installed() -> None:
    farm = AgentFarm()
    for mode, name in (("NONE", "NoneAgent"), ("LOCAL", "LocalAgent"), ("SSH", "SshAgent")):
        assert type(farm.agent(mode)).__name__ == name
        assert farm.agent(mode) is farm.agent(mode)
    farm.close()


def test_a_plug_in_that_raises_anything_is_contained(
    farm: AgentFarm, land: Farmland, said: pytest.LogCaptureFixture
) -> None:
    land.answers["ts01"] = RuntimeError("a bug")
    answers = farm.ask_all(servers(2), RULES, ping())
    assert reason(answers[servers(1)[0]]) == REFUSED
    assert answers[servers(2)[1]] == "pong of ts02"
    assert "a plug-in failed" in said.text


# ---------------------------------------------------------------- one answer is enough


def test_of_servers_that_know_the_same_two_are_asked(farm: AgentFarm, land: Farmland) -> None:
    answers = farm.ask_any(servers(10), SHARED, ping())
    assert 1 <= sum(isinstance(answer, str) for answer in answers.values()) <= 2
    assert len(land.asked) <= 2


def test_which_two_is_left_to_chance(farm: AgentFarm, land: Farmland) -> None:
    for _ in range(40):
        farm.ask_any(servers(6), SHARED, ping())
    assert len(set(land.asked)) == 6


def test_when_the_first_two_fail_the_others_are_asked_at_once(farm: AgentFarm, land: Farmland) -> None:
    farmed = servers(5)
    for server in farmed[:4]:
        land.answers[server.name] = AgentError("down", UNREACHABLE)
    begun = time.monotonic()
    answers = farm.ask_any(farmed, replace(SHARED, timeout=NEVER), ping())
    assert time.monotonic() - begun < NEVER / 2
    assert answers[farmed[4]] == "pong of ts05"


def test_when_the_first_two_hang_the_others_are_asked_before_the_deadline(farm: AgentFarm, land: Farmland) -> None:
    farmed = servers(3)
    land.seconds = {"ts01": NEVER, "ts02": NEVER}
    rules = replace(SHARED, timeout=4.0)
    for _ in range(4):
        begun = time.monotonic()
        answers = farm.ask_any(farmed, rules, ping())
        assert time.monotonic() - begun < 3.5
        assert answers[farmed[2]] == "pong of ts03"


def test_when_nobody_answers_all_failures_are_told(farm: AgentFarm, land: Farmland) -> None:
    farmed = servers(4)
    land.seconds = {server.name: NEVER for server in farmed}
    answers = farm.ask_any(farmed, SHARED, ping())
    assert [reason(answer) for answer in answers.values()] == [TIMEOUT] * 4


def test_servers_that_are_left_out_are_asked_last_and_keep_their_trial(
    farm: AgentFarm, land: Farmland, clock: Clock
) -> None:
    farmed = servers(6)
    land.answers = {"ts01": AgentError("down", UNREACHABLE)}
    for _ in range(3):
        farm.ask_all(farmed[:1], RULES, ping())
    land.asked.clear()
    for _ in range(20):
        farm.ask_any(farmed, SHARED, ping())
    assert "ts01" not in land.asked
    clock.now += FIRST_PAUSE
    land.answers.clear()
    for _ in range(20):
        farm.ask_any(farmed[1:], SHARED, ping())
    assert farm.ask_all(farmed[:1], RULES, ping()) == {farmed[0]: "pong of ts01"}


def test_more_than_one_answer_can_be_wanted(farm: AgentFarm) -> None:
    answers = farm.ask_any(servers(6), SHARED, ping(), enough=4)
    assert len([answer for answer in answers.values() if isinstance(answer, str)]) >= 4


# ---------------------------------------------------------------- what several say


def test_sessions_of_several_servers_are_put_together(farm: AgentFarm, land: Farmland) -> None:
    land.answers = {"ts01": line("ts01") + "\n", "ts02": line("ts02", 1, "S") + "\n"}
    land.answers["ts03"] = AgentError("no", UNREACHABLE)
    found = farm.sessions_of(servers(3), RULES, "anna")
    assert {(session.server, session.state) for session in found.sessions} == {("ts01", "R"), ("ts02", "S")}
    assert found.answered == tuple(servers(2))
    assert [reason(error) for error in found.failed.values()] == [UNREACHABLE]


def test_each_session_counts_once_as_its_own_server_tells_it(farm: AgentFarm, land: Farmland) -> None:
    land.answers = {"ts01": line("ts02", 1, "R") + "\n", "ts02": line("ts02", 1, "S") + "\n"}
    land.answers["ts03"] = line("ts02", 1, "R") + "\n"
    found = farm.sessions_of(servers(3), RULES, "anna")
    assert [(session.server, session.state) for session in found.sessions] == [("ts02", "S")]
    assert found.teller_of(found.sessions[0]) == servers(3)[1]


def test_of_what_was_asked_apart_each_session_counts_once(farm: AgentFarm, land: Farmland) -> None:
    land.answers = {"ts01": line("ts02", 1, "R") + "\n", "ts02": line("ts02", 1, "S") + "\n" + line("ts02", 2) + "\n"}
    land.answers["ts03"] = AgentError("no", UNREACHABLE)
    one, two, three = servers(3)
    both = farm.sessions_of([one], RULES, "anna").joined(farm.sessions_of([two, three], RULES, "anna"))
    assert [session.state for session in both.sessions] == ["R", "R"]
    assert [both.teller_of(session) for session in both.sessions] == [one, two]
    assert (both.answered, list(both.failed)) == ((one, two), [three])


def test_what_the_others_say_counts_when_a_server_is_down(farm: AgentFarm, land: Farmland) -> None:
    land.answers = {"ts01": line("ts02", 1, "R") + "\n", "ts02": AgentError("no", UNREACHABLE)}
    assert [session.server for session in farm.sessions_of(servers(2), RULES, "anna").sessions] == ["ts02"]


def test_one_name_on_two_servers_is_two_sessions(farm: AgentFarm, land: Farmland) -> None:
    land.answers = {"ts01": line("ts01") + "\n", "ts02": line("ts02") + "\n"}
    assert len(farm.sessions_of(servers(2), RULES, "anna").sessions) == 2


def test_a_shared_database_is_asked_through_any_server(farm: AgentFarm, land: Farmland) -> None:
    farmed = servers(8)
    land.answers = {server.name: line("ts05") + "\n" for server in farmed}
    found = farm.sessions_of(farmed, SHARED, "anna")
    assert [session.server for session in found.sessions] == ["ts05"]
    assert len(land.asked) <= 2


def test_counts_are_put_together_without_the_unknown(farm: AgentFarm, land: Farmland) -> None:
    land.answers = {"ts01": "ts01 3\nts02 99\n", "ts02": "ts02 4\nelsewhere 2\n", "ts03": "ts03"}
    land.answers["ts04"] = AgentError("no", UNREACHABLE)
    assert farm.counts_of(servers(4), RULES, "anna") == {"ts01": 3, "ts02": 4, "elsewhere": 2}


# ---------------------------------------------------------------- left out, and the log


def test_after_three_failures_a_server_is_left_out_and_after_a_pause_tried_again(
    farm: AgentFarm, land: Farmland, clock: Clock, said: pytest.LogCaptureFixture
) -> None:
    (server,) = servers(1)
    land.answers["ts01"] = AgentError("connection refused", UNREACHABLE)
    for _ in range(20):
        farm.ask_all([server], RULES, ping())
    assert len(land.asked) == 3
    assert reason(farm.ask_all([server], RULES, ping())[server]) == LEFT_OUT
    clock.now += FIRST_PAUSE
    del land.answers["ts01"]
    assert farm.ask_all([server], RULES, ping()) == {server: "pong of ts01"}
    assert warnings(said) == [
        "X2Go Server 192.0.2.1:22: unreachable: connection refused",
        "X2Go Server 192.0.2.1:22: unreachable: connection refused",
        "X2Go Server 192.0.2.1:22: left out for 10 s, after failures in a row; the last: "
        "unreachable: connection refused",
        "X2Go Server 192.0.2.1:22: its broker agent answers again",
    ]


def test_a_server_that_hangs_is_left_out_as_well(farm: AgentFarm, land: Farmland) -> None:
    land.seconds["ts01"] = NEVER
    for _ in range(3):
        farm.ask_all(servers(2), RULES, ping(), seconds=0.1)
    answers = farm.ask_all(servers(2), RULES, ping())
    assert land.asked.count("ts01") <= 3  # a thread of before may have come late to it, or not yet
    assert reason(answers[servers(1)[0]]) == LEFT_OUT


def test_many_requests_at_once_to_a_dead_server_leave_few_lines(
    farm: AgentFarm, land: Farmland, said: pytest.LogCaptureFixture
) -> None:
    land.answers["ts01"] = AgentError("connection refused", UNREACHABLE)
    threads = [threading.Thread(target=farm.ask_all, args=(servers(1), RULES, ping())) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 3 <= len(warnings(said)) <= 4


@pytest.mark.parametrize("why", [REFUSED, NONSENSE])
def test_the_same_trouble_of_a_server_that_answers_is_said_once_a_minute(
    farm: AgentFarm, land: Farmland, said: pytest.LogCaptureFixture, why: str
) -> None:
    land.answers["ts01"] = AgentError("no such user", why)
    for _ in range(10):
        assert reason(farm.ask_all(servers(1), RULES, ping())[servers(1)[0]]) == why
    assert len(warnings(said)) == 1


# ---------------------------------------------------------------- threads and processes


def test_more_servers_than_threads_wait_their_turn(land: Farmland, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("x2gobroker.agents.farm._made", lambda _mode: land)
    farm = AgentFarm(most_threads=4)
    farmed = servers(40)
    land.seconds = {server.name: 0.02 for server in farmed}
    before = threading.active_count()
    answers = farm.ask_all(farmed, replace(RULES, timeout=10.0), ping())
    assert threading.active_count() <= before + 4
    assert all(isinstance(answer, str) for answer in answers.values())
    farm.close()
    wait_until(lambda: threading.active_count() <= before, "the threads ending")


def test_what_could_not_begin_in_time_is_dropped(land: Farmland, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("x2gobroker.agents.farm._made", lambda _mode: land)
    farm = AgentFarm(most_threads=1)
    land.seconds["ts01"] = NEVER
    answers = farm.ask_all(servers(3), RULES, ping())
    assert [reason(answer) for answer in answers.values()] == [TIMEOUT] * 3
    land.release.set()
    wait_until(lambda: isinstance(farm.ask_all(servers(3)[1:2], RULES, ping())[servers(3)[1]], str), "a free thread")
    assert land.asked.count("ts03") == 0
    farm.close()


def test_a_server_that_was_not_asked_for_want_of_a_thread_is_not_held_to_be_in_trouble(
    land: Farmland, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("x2gobroker.agents.farm._made", lambda _mode: land)
    farm = AgentFarm(most_threads=1)
    slow, waiting = servers(2)
    land.seconds[slow.name] = NEVER
    for _ in range(FAILURES):
        answers = farm.ask_all([slow, waiting], replace(RULES, timeout=0.1), ping())
        assert reason(answers[waiting]) == TIMEOUT
    assert farm.breaker.allows(waiting.key)
    farm.close()


def test_a_farm_can_be_used_after_it_was_closed(farm: AgentFarm, land: Farmland) -> None:
    farm.ask_all(servers(2), RULES, ping())
    farm.close()
    assert land.closed == 1
    assert len(farm.ask_all(servers(2), RULES, ping())) == 2


def test_a_child_process_has_threads_of_its_own(farm: AgentFarm, land: Farmland) -> None:
    farm.ask_all(servers(4), RULES, ping())
    with farm._lock:  # as if another thread held it at that moment
        child = os.fork()
        if child == 0:  # pragma: no cover
            answers = farm.ask_all(servers(4), RULES, ping())
            os._exit(0 if all(isinstance(answer, str) for answer in answers.values()) else 1)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
        time.sleep(0.02)
    assert ended == (child, 0)
    assert len(farm.ask_all(servers(4), RULES, ping())) == 4
