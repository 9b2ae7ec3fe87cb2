"""X2Go Servers as far as autologin is concerned: broker agents with authorized_keys files in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from x2gobroker.agents.base import REFUSED, TIMEOUT, UNREACHABLE, BrokerAgent, Reply
from x2gobroker.agents.breaker import CircuitBreaker
from x2gobroker.agents.farm import AgentFarm
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.public_key import parse_public_key

RULES = AgentRules("SSH", "x2gobroker", "/usr/lib/x2go/x2gobroker-agent", Path("/nowhere"), "RejectPolicy", "", 2)

Place = tuple[str, str, str]


@dataclass
class KeyServers(BrokerAgent):
    """Behaves like the agents of many servers. `down`, `refusing`, `half` and `slow` hold keys of endpoints."""

    files: dict[Place, list[str]] = field(default_factory=dict)
    calls: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    rules: list[AgentRules] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    half: set[str] = field(default_factory=set)  # does it, then gives no answer
    stuck: set[str] = field(default_factory=set)  # users whose files no server can change in time
    slow: dict[str, float] = field(default_factory=dict)
    before_call: Callable[[str], object] = lambda _key: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        self.before_call(server.key)
        with self.lock:
            self.calls.append((server.key, words))
            self.rules.append(rules)
        time.sleep(self.slow.get(server.key, 0))
        if server.key in self.down:
            raise AgentError(f"{server.key} does not answer", UNREACHABLE)
        if server.key in self.refusing:
            raise AgentError(f"{server.key} says no", REFUSED)
        user, task, line, keys_file = words[:4]
        if user in self.stuck:
            raise AgentError(f"{server.key}: no answer in time", TIMEOUT)
        key = parse_public_key(line)
        with self.lock:
            lines = self.files.setdefault((server.key, user, keys_file), [])
            if task == "addauthkey":
                lines.append(line)
            else:
                lines[:] = [kept for kept in lines if parse_public_key(kept) != key]
        if server.key in self.half:
            raise AgentError(f"{server.key}: no whole answer", TIMEOUT)
        return Reply(b"OK\n", b"", 0)

    def keys_on(self, server: str) -> list[str]:
        """All lines of all files of a server."""
        with self.lock:
            return [line for (key, _, _), lines in self.files.items() for line in lines if key == server]

    def tasks(self, server: str) -> list[str]:
        """What a server was asked to do."""
        with self.lock:
            return [words[1] for key, words in self.calls if key == server]


class FarmOf(AgentFarm):
    """A farm in which every query mode is the same agent."""

    def __init__(self, agent: BrokerAgent, breaker: CircuitBreaker | None = None) -> None:
        super().__init__(breaker)
        self._only = agent

    def agent(self, mode: str) -> BrokerAgent:
        """The agent, whatever the mode."""
        return self._only
