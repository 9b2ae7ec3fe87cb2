"""Logins with passwords of local users, through the units of etc/systemd under a real systemd."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.plan import Plan, progress
from bench.report import number, table
from tests.support.unit_site import AUTHSERVICE, DAEMON, complaints, logins, site

LOGINS = 800
AT_ONCE = (16,)
SECONDS = 600.0


@dataclass(frozen=True)
class Row:
    """What came of LOGINS logins, so many at a time. `memory`: MB of the units' processes afterwards, all together."""

    at_once: int
    seconds: float
    failed: int
    complaints: int
    memory: float


def measure(plan: Plan) -> list[Row]:
    """Boot a machine in a room, install the broker there as the documentation says, and log in."""
    progress("units: a machine with systemd")
    argv = [sys.executable, "-m", "tests.rooms", "--module", "bench.units"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=SECONDS * len(AT_ONCE), check=True)
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[0])]


def report(rows: list[Row]) -> str:
    """The table."""
    cells = [
        [
            str(row.at_once),
            number(row.seconds),
            number(LOGINS / row.seconds),
            str(row.failed),
            str(row.complaints),
            number(row.memory),
        ]
        for row in rows
    ]
    head = ["at a time", "s", "logins a second", "failed answers", "lines of ended or hung processes", "memory, MB"]
    return f"{LOGINS} logins of local users by HTTP and PAM, 30 % of them with wrong passwords\n\n{table(head, cells)}"


def main() -> int:
    """Measure inside of the room; the rows as a line of JSON."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="units-") as name, site(Path(name)) as machine:
        for at_once in AT_ONCE:
            before = len(complaints(machine))
            begin = time.monotonic()
            found = logins(LOGINS, at_once, seed=at_once)
            seconds = time.monotonic() - begin
            for wrong in found.wrong:
                sys.stderr.write(f"{wrong}\n")
            memory = machine.memory(DAEMON, AUTHSERVICE)
            rows.append(Row(at_once, seconds, len(found.wrong), len(complaints(machine)) - before, memory))
        sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
