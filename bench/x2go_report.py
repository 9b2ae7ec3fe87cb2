"""The figures of the X2Go library as markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.load import percentile
from bench.report import MISSING, number, table
from bench.x2go import CONNECT, CONNECT_LIST, RESUME, START, SUSPEND, WARM, Watch, X2GoFigures
from bench.x2go_clients import REFERENCE
from bench.x2go_driver import OURS

WANTED = {CONNECT_LIST: 1, CONNECT: 1, START: 1, RESUME: 1, SUSPEND: 1, WARM: 5}
WANTED_CORE = "< 2"
NAMES = {OURS: "ours", REFERENCE: "Python X2Go"}


def report(result: X2GoFigures) -> str:
    """The calls, and what watching costs."""
    text = [
        "### The X2Go library",
        "The same calls of X2GoSession, in ms, ours and Python X2Go's in turn, each in a program and with a user of "
        "its own, on one X2Go Server. The session is an xterm. The ratio is that of the medians.",
        table(("", "times", "ours, p50 / p95", "Python X2Go, p50 / p95", "times as long", "wanted"), _calls(result)),
    ]
    untrue = ", ".join(f"{NAMES[name]} {count}" for name, count in result.untrue.items())
    if untrue:
        text.append(f"Not yet suspended when `suspend` returned True: {untrue}.")
    failed = ", ".join(f"{NAMES[name]} {count}" for name, count in result.failed.items())
    if failed:
        text.append(f"Sessions that did not come up, and were tried again, uncounted: {failed}.")
    means = {NAMES[name]: number(1000 * statistics.mean(times)) for name, times in result.server.items()}
    costs = ", ".join(f"{name} {mean}" for name, mean in means.items())
    text += [
        f"Processor time of the server for a list when nothing has changed (ms, mean): {costs}.",
        "### Sessions that are watched",
        "X2GoClient with a listing of each connection every 5 s: processor time, in % of one core. The server is the "
        "sshd with all that it runs, without the sessions themselves.",
        table(("", "seconds", "client, %", "wanted", "server, %"), map(_watch, result.watches)),
    ]
    return "\n\n".join(text)


def _calls(result: X2GoFigures) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for what, times in result.times.items():
        ours, theirs = times[OURS], times.get(REFERENCE)
        ratio = f"{statistics.median(theirs) / statistics.median(ours):.2f}" if theirs else MISSING
        wanted = f"≥ {WANTED[what]}" if what in WANTED else ""
        rows.append((what, str(len(ours)), _two(ours), _two(theirs) if theirs else MISSING, ratio, wanted))
    return rows


def _two(times: Sequence[float]) -> str:
    middle, high = statistics.median(times), percentile(sorted(times), 0.95)
    return f"{number(middle * 1000)} / {number(high * 1000)}"


def _watch(one: Watch) -> tuple[str, ...]:
    percent = [100 * used / one.seconds for used in (one.own, one.server)]
    wanted = WANTED_CORE if one.name == OURS else ""
    what = f"{NAMES[one.name]}: {one.sessions} {one.what}"
    return what, number(one.seconds), number(percent[0]), wanted, number(percent[1])
