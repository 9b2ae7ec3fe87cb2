"""What a server is asked: who is there and how busy it is, or how busy only where its agent can tell no more."""

from __future__ import annotations

import time
from collections.abc import Callable

from x2gobroker.agents.base import REFUSED, BrokerAgent
from x2gobroker.errors import AgentError
from x2gobroker.loadchecker.targets import Target
from x2gobroker.model.load import LoadReport
from x2gobroker.model.server_report import ServerReport

WITHOUT_SECONDS = 600.0  # until an agent that told no sessions is asked for them again: it may be a newer one


class Asking:
    """Asks the servers of one load checker. Safe for threads. `agent_of` gives the agents of a query mode."""

    def __init__(self, agent_of: Callable[[str], BrokerAgent]) -> None:
        self._agent_of = agent_of
        self._without: dict[str, float] = {}  # which agents tell no sessions, and until when that is taken for granted

    def ask(self, target: Target) -> LoadReport | ServerReport:
        """Ask one server. Raises AgentError."""
        agent, server, rules = self._agent_of(target.rules.mode), target.endpoint, target.rules
        if self._without.get(server.key, 0.0) > time.monotonic():
            return agent.check_load(server, rules)
        try:
            report = agent.report(server, rules)
        except AgentError as error:
            if error.reason != REFUSED:
                raise
            load = agent.check_load(server, rules)
            self._without[server.key] = time.monotonic() + WITHOUT_SECONDS
            return load
        self._without.pop(server.key, None)
        return report
