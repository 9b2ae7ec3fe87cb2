"""What a login costs: first contacts by password, and listings in a chain of authids that change every time."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.data import config_text, profiles_text
from bench.load import TASKS, Figures, ask, chains, check, form, wrk
from bench.plan import Plan, progress
from bench.world import PLAIN, Constant, Ours, Reference, Server, Setup

CHAIN = "chain of listsessions"


@dataclass
class Logins:
    """Figures by program and number of profiles, each with a measurement per task and one of the chains."""

    figures: dict[tuple[str, int], dict[str, Figures]] = field(default_factory=dict)


def measure(plan: Plan) -> Logins:
    """Our broker with all sizes; the reference with the smallest only, as its listings hide everything else."""
    result = Logins()
    with Constant() as constant:
        progress("logins: constant application")
        plain = ask(constant.port, PLAIN, form("testcon"))
        figures = wrk(constant.port, PLAIN, form("testcon"), plan.duration, plain)
        result.figures[constant.name, 0] = dict.fromkeys(TASKS, figures)
    groups = plan.accounts[min(plan.groups)]
    smallest = min(plan.sizes)
    for size in plan.sizes:
        for kind in (Ours, Reference) if size == smallest and "reference" in plan.parts else (Ours,):
            with kind(Setup(groups, profiles_text(size), config_text(static=False))) as server:
                progress(f"logins: {server.name}, {size} profiles")
                result.figures[server.name, size] = _measure(plan, server)
    return result


def _measure(plan: Plan, server: Server) -> dict[str, Figures]:
    measured = {}
    for task in TASKS:
        body = form(task, password="x")
        answer = check(task, ask(server.port, PLAIN, body))
        measured[task] = wrk(server.port, PLAIN, body, plan.duration, answer)
    measured[CHAIN] = chains(server.port, PLAIN, plan.duration)
    return measured
