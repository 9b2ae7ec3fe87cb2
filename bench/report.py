"""The figures as markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.data import VISIBLE
from bench.footprint import Footprint
from bench.load import TASKS, Figures
from bench.logins import CHAIN, Logins
from bench.neighbours import REFERENCE_PROFILES, Neighbours
from bench.throughput import Case, OverTime, Rounds, Throughput

BEGIN = "<!-- figures: begin (written by python -m bench) -->"
END = "<!-- figures: end -->"
WANTED = {"testcon": 0.4, "listsessions": 0.25, "selectsession": 0.4}
WANTED_AT = 1000
THROUGHPUT_HEAD = (
    *("task, profiles, groups", "ours /s", "p50 / p99", "µs", "constant /s", "µs", "ours : constant", "wanted"),
    *("reference /s", "p50 / p99", "ours : reference"),
)
MISSING = "–"


def number(value: float) -> str:
    """A figure with about three digits, whatever its size."""
    if round(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table; every column but the first is right-aligned."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _latency(one: Figures | Rounds) -> str:
    return f"{number(one.p50)} / {number(one.p99)}"


def _spread(ratios: Sequence[float]) -> str:
    middle = f"{statistics.median(ratios):.2f}"
    return middle if len(ratios) == 1 else f"{middle} ({min(ratios):.2f}–{max(ratios):.2f})"


def throughput(result: Throughput) -> str:
    """The main table, what growth costs, and the groups."""
    return "\n\n".join(
        [
            "### Requests per second",
            f"Static authid; the user may see {VISIBLE} of the profiles. p50 / p99 in ms; µs: processor time of the "
            "server for one request. The ratio to the constant application is the median of the rounds "
            "(smallest–largest).",
            table(
                THROUGHPUT_HEAD,
                (_main_row(result, case) for case in result.cases),
            ),
            "### What more profiles and more groups cost",
            "How many times the processor time a request takes, compared with the first row (1 = the same); wanted: at "
            "most 1.3 from 10 to 5,000 profiles, and no difference by groups.",
            _growth(result),
        ]
    )


def _main_row(result: Throughput, case: Case) -> tuple[str, ...]:
    ours, constant = result.ours[case], result.constant[case]
    wanted = f"≥ {WANTED[case.task]}" if case.profiles == WANTED_AT else ""
    return (
        f"{case.task}, {case.profiles:,}, {case.groups:,}",
        number(ours.rate),
        _latency(ours),
        number(ours.processor),
        number(constant.rate),
        number(constant.processor),
        _spread(result.ratios(case)),
        wanted,
        *_reference_columns(result.reference.get(case), ours.rate),
    )


def _reference_columns(figures: Figures | OverTime | None, ours: float) -> tuple[str, str, str]:
    if figures is None:
        return MISSING, MISSING, MISSING
    if isinstance(figures, OverTime):
        return f"< {number(1 / figures.seconds)}", f"over {figures.seconds:g} s", f"> {number(ours * figures.seconds)}"
    return number(figures.rate), _latency(figures), number(ours / figures.rate)


def _growth(result: Throughput) -> str:
    groups = sorted({case.groups for case in result.cases})
    sizes = sorted({case.profiles for case in result.cases})
    rows = []
    for size in sizes:
        for count in groups:
            costs = [result.cost(Case(task, size, count), Case(task, sizes[0], groups[0])) for task in TASKS]
            rows.append((f"{size:,} profiles, {count:,} groups", *(_spread(cost) for cost in costs)))
    return table(("", *TASKS), rows)


def logins(result: Logins) -> str:
    """First contacts and chains."""
    kinds = (*TASKS, CHAIN)
    rows = [("constant", *(_load(result.constant.get(kind)) for kind in kinds))]
    for size in sorted({size for size, _ in result.ours}):
        cells = []
        for kind in kinds:
            ratio = f": {_spread(result.ratios(size, kind))}" if kind in result.constant else ""
            cells.append(_load(result.ours[size, kind]) + ratio)
        rows.append((f"ours, {size:,} profiles", *cells))
    if result.reference is not None:
        size, measured = result.reference
        rows.append((f"reference, {size:,} profiles", *(_load(measured[kind]) for kind in kinds)))
    return "\n\n".join(
        [
            "### Logins",
            "Requests per second (p50 / p99 in ms): ratio to the constant application. First contacts: user and "
            "password every time, which makes a new authid every time (testcon makes none in our broker). Chain: 4 "
            "connections, each listing with the authid of the answer before; sent by Python, so only comparable "
            "with one another.",
            table(("", *(f"first contact, {task}" for task in TASKS), CHAIN), rows),
            "Users whom a worker has not met yet, one request at a time, each user listing twice (ms, median). All "
            "other loads on this page are those of one user.",
            table(
                ("", "first listing", "next listing"),
                (
                    (f"ours, {count:,} groups", *(f"{value * 1000:.2f}" for value in pair))
                    for count, pair in result.newcomers.items()
                ),
            ),
        ]
    )


def _load(one: Figures | Rounds | None) -> str:
    return MISSING if one is None else f"{number(one.rate)} ({_latency(one)})"


def neighbours(result: Neighbours) -> str:
    """Slow requests beside fast ones."""
    rows = [
        (what, number(one.rate), _latency(one), number(one.worst), f"{slow:.2f} s" if slow else MISSING)
        for what, one, slow in result.rows
    ]
    text = [
        "### Slow requests beside fast ones",
        "testcon on 4 connections, while others are under way in the same daemon.",
        table(("beside", "testcon /s", "p50 / p99 ms", "longest ms", "slowest of the others"), rows),
    ]
    if result.reference is not None:
        alone, beside, listing = result.reference
        text.append(
            f"Reference with {REFERENCE_PROFILES:,} profiles: one testcon takes {alone:.3f} s, but {beside:.2f} s "
            f"while one listing ({listing:.2f} s) is made."
        )
    return "\n\n".join(text)


def footprint(result: Footprint) -> str:
    """Start-up, edits and memory."""
    starts = (
        (
            f"{one.name}, {one.profiles:,} profiles" if one.profiles else one.name,
            f"{one.first_answer:.2f}",
            MISSING if one.first_listing is None else f"{one.first_listing:.2f}",
        )
        for one in result.starts
    )
    edits = (
        (f"ours, {size:,} profiles", f"{statistics.median(times):.2f}", f"{max(times):.2f}")
        for size, times in result.edits.items()
    )
    memories = (
        (
            f"{one.name}, {one.profiles:,} profiles" if one.profiles else one.name,
            _megabytes(one.loaded),
            _megabytes(one.edited),
            _megabytes(one.master),
        )
        for one in result.memory
    )
    return "\n\n".join(
        [
            "### Start-up",
            "Seconds from the start of the program, median of 5; wanted: the first answer within 1 s.",
            table(("", "first answer", "first listing"), starts),
            "### After an edit of the profiles file",
            "Seconds that the first listing after it takes, as the worker reads the file anew.",
            table(("", "median", "most"), edits),
            "### Memory",
            "Megabytes, resident (proportional share), of the largest worker; wanted: under 70.",
            table(("", "worker, after a load", "after edits under load", "parent process"), memories),
        ]
    )


def _megabytes(value: tuple[float, float] | None) -> str:
    return MISSING if value is None else f"{value[0]:.0f} ({value[1]:.0f})"


def write_into(path: Path, text: str, section: str = "figures") -> None:
    """Replace what stands between the two marker lines of a section of a page."""
    first, last = BEGIN.replace("figures", section, 1), END.replace("figures", section, 1)
    before, begin, rest = path.read_text(encoding="utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise SystemExit(f"{path} has no lines {first!r} and {last!r}")
    path.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}", encoding="utf-8")
