"""The figures of agent calls and of selections of servers as markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.agents import AGENTS, OURS_WARM, AgentCalls
from bench.load import percentile
from bench.report import MISSING, number, table
from bench.selects import NO_KEY, Case, Selects, cases
from bench.sites import DEBIAN, OURS, TRIVIAL

WANTED_CALL = "< 5"
WANTED_P95 = "p95 < 50 and the agent's own work"
BROKERS = {OURS: "ours", DEBIAN: "reference"}


def calls(result: AgentCalls) -> str:
    """Calls by agent and way, and what they are compared with ours."""
    rows = []
    for kind, ways in result.times.items():
        base = statistics.median(ways[OURS_WARM])
        for way, times in ways.items():
            wanted = WANTED_CALL if (kind, way) == (TRIVIAL, OURS_WARM) else ""
            ratio = f"{statistics.median(times) / base:.1f}"
            rows.append((f"{AGENTS[kind]}: {way}", str(len(times)), *_two(times), wanted, ratio))
    return "\n\n".join(
        [
            "### One call of a broker agent",
            "`ping` over a real sshd on loopback (ms). The trivial agent is a forced command `echo OK`, so that the "
            "way to the agent is measured, and not what it does; the others are real agents. All "
            "ways are taken in turns.",
            table(("agent and way", "calls", "median", "p95", "wanted", "times as long as ours"), rows),
        ]
    )


def selects(result: Selects) -> str:
    """Requests by case, for each broker and agent."""
    rows = [_select_row(result, case, kind) for kind in (TRIVIAL, OURS) for case in cases()]
    text = [
        "### selectsession with agents",
        "One request after the other, each on a connection of its own, with an authid that a login gave; medians and "
        f"95th percentiles in ms. Wanted of ours: {WANTED_P95}. With “broker's key” the broker makes an RSA pair, with "
        "“client's key” the client has sent a public key; there are pauses between the former. Real agents: ours with "
        "ours, the reference's with the reference's; all servers are this one machine.",
        table(("", "ours, p50 / p95", "reference, p50 / p95", "times as long"), (row for row in rows if row)),
    ]
    if result.alone:
        alone = ", ".join(
            f"{BROKERS[kind]} {statistics.median(times) * 1000:.0f}" for kind, times in result.alone.items()
        )
        text.append(
            f"The agent's own work: `listsessions` alone, without SSH, takes (ms, median): {alone}. It runs the "
            "`x2golistsessions` of X2Go Server. Of three servers all agents run at once, and share the processors here."
        )
    return "\n\n".join(text)


def _select_row(result: Selects, case: Case, kind: str) -> tuple[str, ...] | None:
    ours = result.times.get((OURS, kind), {}).get(case)
    theirs = result.times.get((DEBIAN, TRIVIAL if kind == TRIVIAL else DEBIAN), {}).get(case)
    if ours is None:
        return None
    servers = f"{case.servers} server{'' if case.servers == 1 else 's'}"
    what = f"{'trivial agent' if kind == TRIVIAL else 'real agents'}, {servers}, {_key(case)}"
    if theirs is None:
        return what, " / ".join(_two(ours)), MISSING, MISSING
    return what, " / ".join(_two(ours)), " / ".join(_two(theirs)), f"{_ratio(theirs, ours):.1f}"


def _key(case: Case) -> str:
    return case.key if case.key == NO_KEY else f"autologin, {case.key}"


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    return statistics.median(theirs) / statistics.median(ours)


def _two(times: Sequence[float]) -> tuple[str, str]:
    """Median and 95th percentile in milliseconds."""
    return number(statistics.median(times) * 1000), number(percentile(sorted(times), 0.95) * 1000)
