"""The figures of the authentication service as markdown."""

from __future__ import annotations

import statistics

from bench.authservice import DIRECT, AuthFigures, Behind, Crowd
from bench.load import percentile
from bench.pam import SERVICE
from bench.report import MISSING, number, table

WANTED_BEHIND = "under 300"
WANTED_COST = "under 3"
WANTED_MEMORY = "under 150"
FEW = 20  # rounds below which a 99th percentile means nothing


def authservice(result: AuthFigures) -> str:
    """All tables of the section."""
    parts = [
        "### A right password behind wrong ones",
        "The wrong ones are begun 50 to 100 ms before the right one. Milliseconds that the right one took; wanted: "
        f"{WANTED_BEHIND} for 99 %.",
        table(
            ("", "wrong ones", "of them not answered yet", "rounds", "p50", "p99", "longest", "all answered"),
            (_behind(what, one) for what, one in result.behind.items()),
        ),
        *_per_wrong_one(result.behind.get("reference")),
        "### What the service costs",
        f"One right password after the other, each way in turn (ms, medians). Wanted: {WANTED_COST} more than the "
        "direct call. The second PAM service is `pam_permit.so` alone, which computes nothing.",
        table(("", "PAM as installed", "more than direct", "pam_permit", "more than direct"), _cost(result)),
    ]
    if result.crowd is not None:
        parts += ["### All at once", _crowd(result.crowd)]
    parts += [
        "### Requests of others meanwhile",
        "`testcon` of a backend that needs no password, one after the other with pauses, each on a connection of its "
        "own. Wanted: not slower than twice.",
        table(
            ("beside", "p50 ms", "p99 ms", "p50: times as long as beside nothing", "wrong ones answered /s"),
            (
                (what, number(one.p50), number(one.p99), _times(one.p50, result.others[0][1].p50), _rate(rate))
                for what, one, rate in result.others
            ),
        ),
    ]
    if result.reference_others is not None:
        alone, beside, wrong = result.reference_others
        parts.append(
            f"Reference: one such request takes {alone * 1000:.1f} ms, but {beside:.1f} s while {wrong} wrong "
            "passwords are checked."
        )
    return "\n\n".join(parts)


def _behind(what: str, one: Behind) -> tuple[str, ...]:
    times = sorted(one.times)
    return (
        what,
        str(one.wrong),
        number(statistics.median(one.ahead)),
        str(len(times)),
        _milliseconds(statistics.median(times)),
        _milliseconds(percentile(times, 0.99)) if len(times) >= FEW else MISSING,
        _milliseconds(times[-1]),
        _milliseconds(statistics.median(one.all_done)),
    )


def _per_wrong_one(reference: Behind | None) -> list[str]:
    """Whoever measured with fewer wrong ones sees what one of them costs, and need not believe a product."""
    if reference is None:
        return []
    waited = reference.times[0] / max(1, reference.ahead[0])
    return [f"The reference takes {waited:.2f} s for each wrong password that is ahead."]


def _cost(result: AuthFigures) -> list[tuple[str, ...]]:
    services = [SERVICE, *(name for name in result.cost if name != SERVICE)]
    rows = []
    for way in result.cost[SERVICE]:
        cells = []
        for service in services:
            times, direct = result.cost[service][way], result.cost[service][DIRECT]
            more = statistics.median(here - there for here, there in zip(times, direct, strict=True)) * 1000
            cells += [f"{statistics.median(times) * 1000:.1f}", MISSING if way == DIRECT else f"{more:.1f}"]
        rows.append((way, *cells))
    return rows


def _crowd(one: Crowd) -> str:
    return (
        f"{one.logins} logins at the same moment, half of them right: all were answered, none wrongly, in "
        f"{one.seconds:.1f} s. Service, spawner and workers ({one.processes} processes at most) together held at most "
        f"{one.most:.0f} MB (proportional share; {one.idle:.0f} MB at rest); wanted: {WANTED_MEMORY}."
    )


def _milliseconds(seconds: float) -> str:
    return number(seconds * 1000)


def _times(value: float, base: float) -> str:
    return f"{value / base:.1f}"


def _rate(value: float) -> str:
    return number(value) if value else MISSING
