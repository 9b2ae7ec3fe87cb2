"""What the load checker asks a server, whose agent may be ours, an older one of ours, or Debian's."""

from __future__ import annotations

import pytest

from tests.unit.test_agents_base import RULES, SERVER
from tests.unit.test_agents_reports import FIGURES, REPORT, said
from x2gobroker.agents.base import REFUSED, UNREACHABLE, BrokerAgent, Reply
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.loadchecker import asking
from x2gobroker.loadchecker.asking import Asking
from x2gobroker.loadchecker.targets import Target
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.server_report import ServerReport

TARGET = Target(SERVER, RULES)


class Agent(BrokerAgent):
    """Knows some tasks."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.is_there = True

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        self.asked.append(words[1])
        if not self.is_there:
            raise AgentError("no connection", UNREACHABLE)
        if words[1] in self.answers:
            return Reply(b"OK\n" + self.answers[words[1]], b"", 0)
        return Reply(b"", b"unknown task", 1)


def test_an_agent_that_tells_sessions_is_asked_for_nothing_else() -> None:
    agent = Agent(report=said(*REPORT), checkload=said(*FIGURES))
    asking = Asking(lambda mode: agent)
    for _ in range(2):
        found = asking.ask(TARGET)
        assert isinstance(found, ServerReport)
        assert [one.user for one in found.sessions] == ["anna", "bert"]
    assert agent.asked == ["report", "report"]


def test_one_that_does_not_is_asked_for_its_load_and_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent(checkload=said(*FIGURES))
    made = Asking(lambda mode: agent)
    for _ in range(2):
        assert not isinstance(made.ask(TARGET), ServerReport)
    assert agent.asked == ["report", "checkload", "checkload"]
    monkeypatch.setattr(asking, "WITHOUT_SECONDS", 0.0)
    made = Asking(lambda mode: agent)
    made.ask(TARGET)
    agent.answers["report"] = said(*REPORT)
    assert isinstance(made.ask(TARGET), ServerReport)


def test_a_server_in_trouble_is_not_asked_twice() -> None:
    agent = Agent(report=said(*REPORT), checkload=said(*FIGURES))
    agent.is_there = False
    made = Asking(lambda mode: agent)
    with pytest.raises(AgentError) as caught:
        made.ask(TARGET)
    assert caught.value.reason == UNREACHABLE
    assert agent.asked == ["report"]


def test_an_agent_that_answers_neither_has_given_no_report() -> None:
    agent = Agent()
    made = Asking(lambda mode: agent)
    for _ in range(2):
        with pytest.raises(AgentError) as caught:
            made.ask(TARGET)
        assert caught.value.reason == REFUSED
    assert agent.asked == ["report", "checkload"] * 2
