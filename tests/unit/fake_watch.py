"""Agents that can be watched, and say what a test wants."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

from x2gobroker.agents.base import AgentStream, BrokerAgent, Reply
from x2gobroker.agents.rules import AgentRules
from x2gobroker.loadchecker.targets import Target
from x2gobroker.model.hosts import Endpoint

RULES = AgentRules("SSH", "x2gobroker", "/agent", Path("/nonexistent"), "RejectPolicy", "", 5.0)
TS01 = Target(Endpoint("ts01", "10.0.0.1"), RULES)
KEY = TS01.endpoint.key
FIGURES = "memAvail:16000\nmyMemAvail:16000\nnumCPU:4\ntypeCPU:2500\nloadavgXX:100\nnumSessions:0\n"
REPORT = f"OK\nserver:ts01\ntime:1800000000\n{FIGURES}leftOut:0\n".encode()
ALIVE = b"alive:1800000001|memAvail:16000|myMemAvail:16000|numCPU:4|typeCPU:2500|loadavgXX:100|numSessions:0\n"


class Stream(AgentStream):
    """What the test lets an agent say; bytes, an exception, or nothing for its end."""

    def __init__(self) -> None:
        self.says: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self.closed = threading.Event()
        self.seconds = 0.0

    def receive(self, seconds: float) -> bytes:
        self.seconds = seconds
        said = self.says.get(timeout=30)
        if isinstance(said, Exception):
            raise said
        return said

    def complaint(self) -> str:
        return "it fell asleep"

    def stop(self) -> None:
        self.says.put(b"")

    def close(self) -> None:
        self.closed.set()


class Agent(BrokerAgent):
    """Agents whose streams are the test's own."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.fails: Exception | None = None
        self.asked: list[tuple[str, ...]] = []

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> Reply:
        raise NotImplementedError

    def _listen(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> AgentStream:
        self.asked.append(words)
        if self.fails is not None:
            raise self.fails
        self.streams.append(Stream())
        return self.streams[-1]
