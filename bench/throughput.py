"""Requests per second and latencies of the three tasks, by number of profiles and of groups on the system."""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import dataclass, field

from bench.data import Accounts, config_text, profiles_text
from bench.load import TASKS, Answer, Figures, ask, check, form, wrk
from bench.plan import Plan, progress
from bench.world import PLAIN, Constant, Ours, Reference, Server, Setup

WARMING = 24  # connections
SLOW = 0.5  # seconds: a task slower than this is measured by single requests, not by wrk


@dataclass(frozen=True)
class Case:
    """One row of the tables."""

    task: str
    profiles: int
    groups: int


@dataclass
class Rounds:
    """The figures of one program for one case, a measurement per round."""

    figures: list[Figures] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(one.rate for one in self.figures)

    @property
    def processor(self) -> float:
        return statistics.median(one.processor for one in self.figures)

    @property
    def p50(self) -> float:
        return statistics.median(one.p50 for one in self.figures)

    @property
    def p99(self) -> float:
        return statistics.median(one.p99 for one in self.figures)


@dataclass(frozen=True)
class OverTime:
    """The reference did not answer one request within this time."""

    seconds: float


@dataclass
class Throughput:
    """All figures; those of one round were taken one right after the other."""

    cases: list[Case]
    constant: dict[Case, Rounds] = field(default_factory=dict)  # those measured right before ours
    ours: dict[Case, Rounds] = field(default_factory=dict)
    reference: dict[Case, Figures | OverTime] = field(default_factory=dict)

    def ratios(self, case: Case) -> list[float]:
        """Ours by the constant application, round by round."""
        pairs = zip(self.ours[case].figures, self.constant[case].figures, strict=True)
        return [ours.rate / constant.rate for ours, constant in pairs]

    def cost(self, case: Case, base: Case) -> list[float]:
        """How much dearer `case` is than `base` in processor time, round by round."""
        pairs = zip(self.ours[case].figures, self.ours[base].figures, strict=True)
        return [here.processor / there.processor for here, there in pairs]


def static_setup(accounts: Accounts, profiles: int) -> Setup:
    """A broker whose authids stay the same, so that one of them serves for the whole load."""
    return Setup(accounts, profiles_text(profiles), config_text(static=True))


def log_in(server: Server, timeout: float = 20.0) -> str:
    """The authid of USER after a login by password."""
    return ask(server.port, PLAIN, form("", password="x"), timeout).authid


def measure(plan: Plan) -> Throughput:
    """Everything of this module: ours beside the constant application first, then the reference."""
    cases = [Case(task, size, groups) for task in TASKS for groups in plan.groups for size in plan.sizes]
    result = Throughput(cases)
    with contextlib.ExitStack() as stack:
        constant = stack.enter_context(Constant())
        brokers: dict[tuple[int, int], tuple[Server, str]] = {}
        for size in plan.sizes:
            for groups in plan.groups:
                server = stack.enter_context(Ours(static_setup(plan.accounts[groups], size)))
                brokers[size, groups] = (server, log_in(server))
        for task in TASKS:
            _measure_ours(plan, task, result, constant, brokers)
    for groups in plan.groups if "reference" in plan.parts else ():
        for size in plan.sizes:
            if plan.quick and (size, groups) == (max(plan.sizes), max(plan.groups)):
                continue  # the slowest of all
            _measure_reference(plan, size, groups, result)
    return result


def warm(server: Server, task: str, body: str) -> Answer:
    """A right answer, after enough connections that every worker has read its files."""
    for _ in range(WARMING):
        answer = check(task, ask(server.port, PLAIN, body))
    return answer


def _measure_ours(
    plan: Plan, task: str, result: Throughput, constant: Server, brokers: dict[tuple[int, int], tuple[Server, str]]
) -> None:
    """Interleave the constant application (every third turn) and our brokers: a busy moment of the machine hits all."""
    plain = ask(constant.port, PLAIN, form(task))
    cases = {case: brokers[case.profiles, case.groups] for case in result.cases if case.task == task}
    bodies = {case: form(task, authid=authid) for case, (_, authid) in cases.items()}
    answers = {case: warm(server, task, bodies[case]) for case, (server, _) in cases.items()}
    for turn in range(plan.rounds):
        progress(f"{task}, round {turn + 1} of {plan.rounds}")
        for number, (case, (server, _)) in enumerate(cases.items()):
            if number % 2 == 0:
                yardstick = wrk(constant, form(task), plan.duration, plain)
            result.constant.setdefault(case, Rounds()).figures.append(yardstick)
            figures = wrk(server, bodies[case], plan.duration, answers[case])
            result.ours.setdefault(case, Rounds()).figures.append(figures)


def _measure_reference(plan: Plan, size: int, groups: int, result: Throughput) -> None:
    """The same for the reference, each task bounded: it can take minutes for one answer."""
    progress(f"reference, {size} profiles, {groups} groups")
    for case in (case for case in result.cases if (case.profiles, case.groups) == (size, groups)):
        # a new one for each task: one that is busy with a request that was given up would hold up the next
        with Reference(static_setup(plan.accounts[groups], size)) as server:
            result.reference[case] = _reference_task(plan, server, case.task)


def _reference_task(plan: Plan, server: Server, task: str) -> Figures | OverTime:
    body = form(task, authid=log_in(server))
    times: list[float] = []
    try:
        answer = plan.clock(lambda: check(task, ask(server.port, PLAIN, body, plan.patience)), times)
    except TimeoutError:
        server.kill()
        return OverTime(plan.patience)
    if times[0] < SLOW:
        return wrk(server, body, plan.duration, answer)
    while sum(times) < plan.duration:
        plan.clock(lambda: check(task, ask(server.port, PLAIN, body, plan.patience)), times)
    middle = statistics.median(times) * 1000
    return Figures(len(times) / sum(times), middle, max(times) * 1000, len(times))
