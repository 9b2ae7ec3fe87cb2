"""Query mode NONE: there are no broker agents."""

from __future__ import annotations

from typing import NoReturn

from x2gobroker.agents.base import REFUSED, BrokerAgent
from x2gobroker.agents.rules import AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.model.hosts import Endpoint


class NoneAgent(BrokerAgent):
    """Refuses every task."""

    def _call(self, server: Endpoint, rules: AgentRules, words: tuple[str, ...], seconds: float) -> NoReturn:
        raise AgentError(
            "broker agents are off: the agent query mode is NONE (agent-query-mode, default-agent-query-mode)", REFUSED
        )
