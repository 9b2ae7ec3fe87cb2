"""Broker agents that say what a test wants, in an AgentFarm that is the real one in all else."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from x2gobroker.agents.base import UNREACHABLE, BrokerAgent, Reply
from x2gobroker.agents.farm import AgentFarm
from x2gobroker.agents.rules import SSH, AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.model.hosts import Endpoint

RULES = AgentRules(SSH, "x2gobroker", "/usr/lib/x2go/x2gobroker-agent", Path("/nonexistent"), "RejectPolicy", "", 2.0)


COOKIE = "c00c1e00" * 4


def session_line(
    server: str, user: str = "anna", state: str = "S", age: int = 600, display: int = 50, kind: str = "DKDE"
) -> str:
    """A line of x2golistsessions; its session began `age` seconds ago by a clock that stands at 1,700,000,000."""
    name = f"{user}-{display}-{1_700_000_000 - age}_st{kind}_dp24"
    begun = "2026-01-01T10:00:00"
    client = f"{COOKIE}|192.0.2.9|30001|30002"
    return f"4711|{name}|{display}|{server}|{state}|{begun}|{client}|{begun}|{user}|{age}|30003|-1|-1"


@dataclass
class FakeAgents(BrokerAgent):
    """All agents of a farm; what each says is by its server's key."""

    sessions: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, Mapping[str, int | None]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        with self._lock:
            self.asked.append((server.key, words[1]))
        time.sleep(self.delays.get(server.key, 0))
        if server.key in self.broken:
            raise AgentError("as the test wants it", self.broken[server.key] or UNREACHABLE)
        lines = ["OK"]
        if words[1] == "listsessions":
            lines += self.sessions.get(server.key, [])
        elif words[1] == "getservers":
            counts = self.counts.get(server.key, {})
            lines += [name if count is None else f"{name} {count}" for name, count in counts.items()]
        return Reply("\n".join([*lines, ""]).encode(), b"", 0)

    def tasks_of(self, key: str) -> list[str]:
        """What this agent was asked."""
        return [task for asked, task in self.asked if asked == key]


class FakeFarm(AgentFarm):
    """A farm all agents of which are fake ones."""

    def __init__(self, agents: FakeAgents) -> None:
        super().__init__()
        self._fake = agents

    def agent(self, mode: str) -> BrokerAgent:
        """The fake agents, in whatever mode."""
        return self._fake
