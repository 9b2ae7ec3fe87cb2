"""What a login costs: first contacts by password, and listings in a chain of authids that change every time."""

from __future__ import annotations

import contextlib
import functools
import statistics
from dataclasses import dataclass, field

from bench.data import NEWCOMERS, VISIBLE, config_text, profiles_text
from bench.load import TASKS, Connection, Figures, WrongAnswerError, ask, chains, check, form, wrk
from bench.plan import Plan, progress
from bench.throughput import Rounds, warm
from bench.world import PLAIN, Constant, Ours, Reference, Server, Setup

CHAIN = "chain of listsessions"


@dataclass
class Logins:
    """Figures by number of profiles and task (or CHAIN), a measurement per round; the reference has one only."""

    constant: dict[str, Rounds] = field(default_factory=dict)
    ours: dict[tuple[int, str], Rounds] = field(default_factory=dict)
    reference: tuple[int, dict[str, Figures]] | None = None
    newcomers: dict[int, tuple[float, float]] = field(default_factory=dict)  # by groups: first and next listing, s

    def ratios(self, size: int, task: str) -> list[float]:
        """Ours by the constant application, round by round."""
        pairs = zip(self.ours[size, task].figures, self.constant[task].figures, strict=True)
        return [ours.rate / constant.rate for ours, constant in pairs]


def measure(plan: Plan) -> Logins:
    """Our broker with all sizes; the reference with the smallest only, as its listings hide everything else."""
    result = Logins()
    groups = plan.accounts[min(plan.groups)]
    setups = {size: Setup(groups, profiles_text(size), config_text(static=False)) for size in plan.sizes}
    with contextlib.ExitStack() as stack:
        constant = stack.enter_context(Constant())
        brokers = {size: stack.enter_context(Ours(setup)) for size, setup in setups.items()}
        for task in TASKS:
            _measure_task(plan, task, result, constant, brokers)
        for size, server in brokers.items():
            progress(f"{CHAIN}, {size} profiles")
            result.ours[size, CHAIN] = Rounds([chains(server.port, PLAIN, plan.duration) for _ in range(plan.rounds)])
    if "reference" in plan.parts:
        smallest = min(plan.sizes)
        progress(f"logins: reference, {smallest} profiles")
        with Reference(setups[smallest]) as reference:
            measured = {task: _first_contacts(plan, reference, task) for task in TASKS}
            measured[CHAIN] = chains(reference.port, PLAIN, plan.duration)
        result.reference = smallest, measured
    for count in plan.groups:
        result.newcomers[count] = _newcomers(plan, count)
    return result


def _measure_task(plan: Plan, task: str, result: Logins, constant: Server, brokers: dict[int, Ours]) -> None:
    """Interleave the constant application and our brokers."""
    plain = ask(constant.port, PLAIN, form(task))
    body = form(task, password="x")
    for server in brokers.values():
        warm(server, task, body)
    for turn in range(plan.rounds):
        progress(f"logins: {task}, round {turn + 1} of {plan.rounds}")
        figures = wrk(constant, body, plan.duration, plain)
        result.constant.setdefault(task, Rounds()).figures.append(figures)
        for size, server in brokers.items():
            result.ours.setdefault((size, task), Rounds()).figures.append(_first_contacts(plan, server, task))


def _newcomers(plan: Plan, groups: int) -> tuple[float, float]:
    """The first listing of users whom a worker has not met, and their next one: medians, in seconds.

    All other loads here are of one user; what is remembered of a user shows only beside this.
    """
    progress(f"logins: newcomers, {groups} groups")
    setup = Setup(plan.accounts[groups], profiles_text(max(plan.sizes)), config_text(static=False))
    times: list[float] = []
    with Ours(setup) as server, Connection(server.port) as connection:  # one connection: one worker
        connection.post(PLAIN, form("listsessions", password="x"))
        for user in NEWCOMERS * 2:
            body = form("listsessions", user=user, password="x")
            answer = Plan.clock(functools.partial(connection.post, PLAIN, body), times)
            if answer.body.count("\n[") != VISIBLE:
                raise WrongAnswerError(f"{user}: {answer.body[:300]!r}")
    half = len(NEWCOMERS)
    return statistics.median(times[:half]), statistics.median(times[half:])


def _first_contacts(plan: Plan, server: Server, task: str) -> Figures:
    body = form(task, password="x")
    return wrk(server, body, plan.duration, check(task, ask(server.port, PLAIN, body)))
