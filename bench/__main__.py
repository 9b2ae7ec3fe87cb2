"""python -m bench: measure, print the tables, and with --output write them into a page."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import (
    agent_work,
    agents,
    agents_report,
    authservice,
    authservice_report,
    balance,
    beforehand,
    farm,
    farm_logins,
    files,
    footprint,
    guesses,
    keys,
    logins,
    neighbours,
    portal,
    remote,
    remote_report,
    report,
    selects,
    slow,
    throughput,
    units,
    x2go,
    x2go_report,
)
from bench.data import Accounts
from bench.plan import Plan, progress
from bench.world import PROGRAMS, REFERENCE, THREADS, WORKERS

PARTS: dict[str, Callable[[Plan], str]] = {
    "throughput": lambda plan: report.throughput(throughput.measure(plan)),
    "logins": lambda plan: report.logins(logins.measure(plan)),
    "neighbours": lambda plan: report.neighbours(neighbours.measure(plan)),
    "footprint": lambda plan: report.footprint(footprint.measure(plan)),
    "authservice": lambda plan: authservice_report.authservice(authservice.measure(plan)),
    "guesses": lambda plan: guesses.report(guesses.measure(plan)),
    "farm": lambda plan: farm.report(farm.measure(plan)),
    "farm-logins": lambda plan: farm_logins.report(farm_logins.measure(plan)),
    "beforehand": lambda plan: beforehand.report(beforehand.measure(plan)),
    "agents": lambda plan: agents_report.calls(agents.measure(plan)),
    "agent-work": lambda plan: agent_work.report(agent_work.measure(plan)),
    "selects": lambda plan: agents_report.selects(selects.measure(plan)),
    "balance": lambda plan: balance.report(balance.measure(plan)),
    "x2go": lambda plan: x2go_report.report(x2go.measure(plan)),
    "portal": lambda plan: portal.report(portal.measure(plan)),
    "remote": lambda plan: remote_report.report(remote.measure(plan)),
    "keys": lambda plan: keys.report(keys.measure(plan)),
    "files": lambda plan: files.report(files.measure(plan)),
    "slow": lambda plan: slow.report(slow.measure(plan)),
    "units": lambda plan: units.report(units.measure(plan)),
}
AS_ROOT = (
    "authservice",
    "farm",
    "farm-logins",
    "beforehand",
    "agents",
    "agent-work",
    "selects",
    "x2go",
    "remote",
    "keys",
    "files",
    "units",
)  # they make users
OWN = (
    "authservice",
    "guesses",
    "farm",
    "farm-logins",
    "beforehand",
    "agents",
    "agent-work",
    "selects",
    "balance",
    "x2go",
    "portal",
    "remote",
    "keys",
    "files",
    "slow",
    "units",
)
SECTIONS = {part: part for part in OWN}  # of the page, of parts that have one of their own
NEEDED = (PROGRAMS / "x2gobroker-daemon", Path("/usr/bin/wrk"), Path("/usr/bin/unshare"))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(word) for word in text.split(",")}))


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 and 1,000 profiles, one short round (about 2 minutes)")
    parser.add_argument("--full", action="store_true", help="wait up to 5 minutes for an answer of the reference")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part (may be repeated)")
    parser.add_argument("--without-reference", action="store_true", help="leave the reference out")
    parser.add_argument("--sizes", type=_numbers, help="numbers of profiles (default 10,100,1000,5000)")
    parser.add_argument("--groups", type=_numbers, default=(50, 2000), help="groups on the system (default 50,2000)")
    parser.add_argument("--duration", type=int, help="seconds of each load (default 1)")
    parser.add_argument("--rounds", type=int, help="rounds of the comparison with the constant (default 4)")
    parser.add_argument("--output", type=Path, metavar="PAGE", help="write the tables into this page, too")
    return parser.parse_args(argv)


def machine() -> str:
    """The machine in general terms."""
    release = platform.freedesktop_os_release()["PRETTY_NAME"]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} processor cores, {memory:.0f} GiB, {release}, Python {platform.python_version()}; "
        f"gunicorn with {WORKERS} workers of {THREADS} threads."
    )


def main(argv: Sequence[str]) -> int:
    """Measure what the command line asks for."""
    options = arguments(argv)
    missing = [str(path) for path in NEEDED if not path.exists()]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    parts = list(options.only or PARTS)
    if os.geteuid() != 0:
        if options.only and set(AS_ROOT) & set(parts):
            raise SystemExit(f"only root can measure {', '.join(AS_ROOT)}")
        progress(f"left out, as only root can measure it: {', '.join(AS_ROOT)}")
        parts = [part for part in parts if part not in AS_ROOT]
    if REFERENCE.exists() and not options.without_reference:
        parts.append("reference")
    folder = Path(tempfile.mkdtemp(prefix="bench-system-"))
    plan = Plan(
        sizes=options.sizes or ((10, 1000) if options.quick else (10, 100, 1000, 5000)),
        groups=options.groups,
        duration=options.duration or 1,
        rounds=options.rounds or (1 if options.quick else 4),
        patience=300 if options.full else 3 if options.quick else 10,
        parts=tuple(parts),
        quick=options.quick,
        accounts={count: Accounts.write(folder, count) for count in options.groups},
    )
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # users and programs are to go again
    texts: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    try:
        for name in PARTS:
            if name in plan.parts:
                section = SECTIONS.get(name, "figures")
                begin = time.monotonic()
                texts.setdefault(section, []).append(PARTS[name](plan))
                seconds[section] = seconds.get(section, 0.0) + time.monotonic() - begin
    finally:
        shutil.rmtree(folder)
    for section, tables in texts.items():
        head = f"Measured on {time.strftime('%Y-%m-%d')} in {seconds[section]:.0f} s: {machine()}"
        text = "\n\n".join([head, *tables])
        sys.stdout.write(text + "\n\n")
        if options.output:
            report.write_into(options.output, text, section)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
