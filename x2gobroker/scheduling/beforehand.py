"""Whom a choice asks, by what is known of sessions beforehand and by what the load checker found."""

from __future__ import annotations

from collections.abc import Mapping

from x2gobroker.agents.base import HOST_KEY, LOGIN
from x2gobroker.agents.rules import AgentRules
from x2gobroker.model.inventory import Beforehand
from x2gobroker.scheduling.survey import one_knows_all
from x2gobroker.store import ServerLoad

Keys = frozenset[str]


def to_ask(before: Beforehand, every: Keys, dead: Keys, rules: AgentRules) -> Keys:
    """The keys of those of `every` server whose agents are asked for sessions; `dead` are those that were found down.

    Who is down is not asked, unless nothing at all is known. Where one knows all, the others are asked in its place,
    and two of them: no single one that is broken keeps the others from telling.
    """
    ask = every if before.ask and one_knows_all(rules) else before.ask
    return ask - dead or (every if before.ask == every else frozenset())


def untried(before: Beforehand, every: Keys, dead: Keys, rules: AgentRules) -> Keys:
    """The keys of servers that count as up without a try of their ports."""
    any_tells = one_knows_all(rules)
    if rules.proxy:
        # only the proxy may reach their ports: those count whose agents are not asked, as they are known
        return (before.watched | (every - before.ask) | (before.homes if any_tells else frozenset())) - dead
    # a shared database lists the sessions of a server that has died as well
    return before.watched - dead - (before.ask if any_tells else frozenset())


def doubted(before: Beforehand, dead: Mapping[str, ServerLoad], rules: AgentRules) -> Keys:
    """The keys of those `dead` servers where the user has a session: perhaps no more than their agents are broken.

    Behind a proxy nobody can try their ports: those are doubted that have let the load checker connect.
    """
    return frozenset(key for key in before.homes & dead.keys() if not rules.proxy or _has_answered(dead[key]))


def _has_answered(load: ServerLoad) -> bool:
    return load.state in (HOST_KEY, LOGIN)
