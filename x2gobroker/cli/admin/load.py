"""`x2gobroker load`: what the load checker knows of the X2Go Servers, as a table."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from x2gobroker.cli.admin.tables import GAP, age, aligned
from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.errors import ConfigurationError
from x2gobroker.inventory.reads import Reads
from x2gobroker.loadchecker.targets import Watch, Watched
from x2gobroker.logs import field
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.inventory import KnownServer
from x2gobroker.model.load import LoadReport
from x2gobroker.placement import scheduling_stores
from x2gobroker.scheduling.choice import is_drained
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store.loads import OK, ServerLoad

STATES = {
    OK: "ok",
    "unreachable": "unreachable",
    "timeout": "no answer",
    "host-key": "host key refused",
    "login": "login refused",
    "nonsense": "wrong answer",
    "refused": "agent refuses",
    "left-out": "left out",
}
SILENT = "silent"
LATE_INTERVALS = 2  # without any question, the load checker is not running
WIDTH = 120  # where there is no terminal
HEAD = ("SERVER", "ADDRESS", "STATE", "FACTOR", "LOAD", "MEMORY", "CORES", "SESS", "RES", "ANSWER", "ASKED")
NARROW_HEAD = ("SERVER", "STATE", "FACTOR", "LOAD", "SESS", "RES", "ANSWER", "ASKED")
RIGHT = ("FACTOR", "LOAD", "MEMORY", "CORES", "SESS", "RES", "ANSWER", "ASKED")
LEAST_PROFILES = 10
LEAST_NAME = 12


@dataclass(frozen=True)
class Line:
    """One server: what is known of it, how many open reservations it has, and which profiles name it.

    `heard` is how it is heard of what sessions it has; None: never.
    """

    server: Endpoint
    load: ServerLoad | None
    reserved: int
    drained: bool
    profiles: tuple[str, ...]
    heard: KnownServer | None = None

    @property
    def heard_by(self) -> str:
        """How the server is heard, in one word; empty: not at all."""
        return "" if self.heard is None else SILENT if self.heard.is_silent else self.heard.how


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "load",
        help="list the X2Go Servers with the loads that the load checker found",
        description="Lists the X2Go Servers of all session profiles that go by load: what x2gobroker-loadchecker "
        "found out about them, how it hears from them (by a watch, by a report, or only about their load), how long "
        "ago they answered and were asked, how many users are on their way to them (reserved) and whether they are "
        "drained. The higher the factor, the better; to choose a server, the broker divides it by the number of "
        "sessions. Exit status 1: the load checker is not running.",
    )
    add_config_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON; times are seconds since the epoch")
    parser.set_defaults(run=run)


def gather(settings: Settings, watched: Watched, now: float) -> list[Line]:
    """The servers by name. Raises ConfigurationError while there is no store, StoreError."""
    services = Services()
    stores = services.of(scheduling_stores, settings)
    check_made(stores.loads.store, "start x2gobroker-loadchecker, or name the configuration with -C")
    loads = stores.loads.of(list(watched.targets))
    heard = Reads(stores.loads.store).servers()
    reserved = Counter(one.server for one in stores.reservations.all(now) if one.is_open)
    drained = [one.name for one in stores.drains.all()]
    lines = [
        Line(
            target.endpoint,
            loads.get(key),
            reserved[key],
            any(is_drained(Host(target.endpoint.name, target.endpoint.address), key, name) for name in drained),
            tuple(watched.profiles_of(key)),
            heard.get(key),
        )
        for key, target in watched.targets.items()
    ]
    return sorted(lines, key=lambda line: (line.server.name.lower(), line.server.key))


def state_of(line: Line, interval: float, now: float) -> str:
    """The state in words; of a server that answers, how it is heard."""
    load = line.load
    if load is None:
        word = "not asked yet"
    elif load.state == OK and load.fresh_report(interval, now) is None:
        word = "out of date"
    else:
        word = STATES.get(load.state, load.state)
        if load.state == OK and line.heard_by:
            word = f"{word} ({line.heard_by})"
    return f"{word}, drained" if line.drained else word


def figures(report: LoadReport | None) -> tuple[str, ...]:
    """Load factor, load, memory, cores and sessions, as the table has them."""
    if report is None:
        return ("-",) * 5
    sessions = "-" if report.sessions is None else str(report.sessions)
    # the agent counts load in hundredths, and one more, so that nothing is divided by zero
    load = f"{(report.load - 1) / 100:.2f}"
    return f"{report.factor:,}", load, f"{report.memory / 1000:.1f} GB", str(report.cpus), sessions


def times(load: ServerLoad | None, now: float) -> tuple[str, str]:
    """How long ago the server answered and was asked."""
    if load is None:
        return "never", "never"
    return age(now - load.answered) if load.answered else "never", age(now - load.asked)


def table(lines: Sequence[Line], interval: float, now: float, width: int) -> list[str]:
    """One line for each server where they fit into `width`, else a second one below each."""
    rows = []
    for line in lines:
        name, address, state = field(line.server.name), field(line.server.key), state_of(line, interval, now)
        report = line.load.report if line.load is not None else None
        rows.append((name, address, state, *figures(report), str(line.reserved), *times(line.load, now)))
    head, *texts = aligned(HEAD, rows, RIGHT)
    room = width - max(len(text) for text in (head, *texts)) - len(GAP)
    if room >= LEAST_PROFILES:
        widest = width - room - len(GAP)
        profiles = [textwrap.shorten(", ".join(map(field, line.profiles)), room, placeholder=" ...") for line in lines]
        pairs = zip((head, *texts), ("PROFILES", *profiles), strict=True)
        return [f"{text.ljust(widest)}{GAP}{own}".rstrip() for text, own in pairs]
    return narrow(lines, rows, width)


def narrow(lines: Sequence[Line], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Two lines for each server: the second one has its address, what it is made of, and the profiles."""
    few = [[cell for name, cell in zip(HEAD, row, strict=True) if name in NARROW_HEAD] for row in rows]
    over = max(len(text) for text in aligned(NARROW_HEAD, few, RIGHT)) - width
    longest = max(LEAST_NAME, max(len(row[0]) for row in few) - max(0, over))
    for row in few:
        row[0] = row[0] if len(row[0]) <= longest else row[0][: longest - 3] + "..."
    head, *texts = aligned(NARROW_HEAD, few, RIGHT)
    result = [head]
    for text, cells, line in zip(texts, rows, lines, strict=True):
        made_of = [] if cells[5] == "-" else [f"{cells[6]} cores", cells[5]]
        about = f"{', '.join((cells[1], *made_of))}: {', '.join(map(field, line.profiles))}"
        result.append(text)
        result += textwrap.wrap(
            about, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
        )
    return result


def trouble(lines: Sequence[Line], watched: Watched, now: float) -> list[str]:
    """What is wrong with the load checker itself, and what to do; empty when nothing is."""
    start = "start it (systemctl start x2gobroker-loadchecker) with this configuration"
    lines = [line for line in lines if line.server.key in watched.by_load]
    asked = [line.load.asked for line in lines if line.load is not None]
    late = now - LATE_INTERVALS * watched.interval
    if not lines:
        return []
    if not asked:
        return [f"the load checker is not running: it has never asked any of these servers; {start}"]
    if max(asked) < late:
        return [f"the load checker is not running: it asked last {age(now - max(asked))} ago; {start}"]
    left = sum(line.load is None or line.load.asked < late for line in lines)
    if left:
        since = age(LATE_INTERVALS * watched.interval)
        return [
            f"{left} of {len(lines)} servers were not asked for more than {since}: the load checker "
            "that runs has just been started, or reads another configuration (-C), or cannot write the "
            "state store; its log says which"
        ]
    return []


def hints(watched: Watched) -> list[str]:
    """What an administrator should know about the configuration."""
    if not watched.by_load and not watched.silent:
        return [
            "no session profile goes by load: set default-use-load-checker = true in [global], or "
            "broker-use-load-checker = true in a session profile"
        ]
    return [
        f"session profile [{field(profile)}] of {backend} goes by load, but its servers are not asked: its "
        "agent-query-mode is NONE"
        for backend, profile in watched.silent
    ]


def as_json(lines: Sequence[Line], watched: Watched, running: bool, now: float) -> str:
    """Everything, for programs."""
    return json.dumps(
        {
            "running": running,
            "interval": watched.interval,
            "servers": [_server(line, watched.interval, now) for line in lines],
        },
        indent=2,
    )


def _server(line: Line, interval: float, now: float) -> Mapping[str, object]:
    load = line.load
    report = load.report if load is not None else None
    return {
        "server": line.server.name,
        "address": line.server.address,
        "port": line.server.port,
        "state": "not-asked" if load is None else load.state,
        "fresh": load is not None and load.fresh_report(interval, now) is not None,
        "factor": report.factor if report else None,
        "load": (report.load - 1) / 100 if report else None,
        "memory_mb": report.memory if report else None,
        "cores": report.cpus if report else None,
        "sessions": report.sessions if report else None,
        "reserved": line.reserved,
        "drained": line.drained,
        "answered": load.answered or None if load else None,
        "asked": load.asked if load else None,
        "took": round(load.took, 3) if load else None,
        "profiles": list(line.profiles),
        "heard_by": line.heard_by or None,
        "sessions_known": (line.heard.known or None) if line.heard is not None else None,
    }


def _lines(settings: Settings, watched: Watched, now: float) -> list[Line]:
    """The servers that are looked after; none where no profile goes by load, and no load checker has ever run."""
    if watched.by_load:
        return gather(settings, watched, now)
    try:
        lines = gather(settings, watched, now) if watched.targets else []
    except ConfigurationError:  # there is no store yet
        return []
    return lines if any(line.load is not None for line in lines) else []


def run(options: argparse.Namespace) -> int:
    """Print the table; 1 when the load checker is not running. Raises ConfigurationError, StoreError."""
    source = source_of(options)
    settings = source.current()
    watched = Watch(source, Services().backend).current()
    now = time.time()
    lines = _lines(settings, watched, now)
    wrong = trouble(lines, watched, now)
    if options.json:
        print(as_json(lines, watched, bool(lines) and not wrong, now))
    elif lines:
        print("\n".join(table(lines, watched.interval, now, shutil.get_terminal_size((WIDTH, 24)).columns)))
    sys.stdout.flush()
    for text in (*wrong, *hints(watched)):
        print(text, file=sys.stderr)
    return 1 if wrong else 0
