"""What an X2Go Server says of its load, and what a broker makes of it.

Source of the lines and of the formula: the broker agent and the load checker of the reference (x2gobroker 0.0.4.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

LINE = re.compile(r"([A-Za-z]{1,30}):(-?[0-9]{1,15}(?:\.[0-9]{1,6})?)")
MOST_LINES = 50
# far beyond any machine; a report with more is wrong, and would draw all sessions to its server, or none
LIMITS = {"load": 10_000_000, "memory": 1_000_000_000, "cpus": 100_000, "mhz": 100_000, "sessions": 1_000_000}


@dataclass(frozen=True)
class LoadReport:
    """One report. `load` is the mean of the three load averages, in hundredths, plus one; `memory` is in MB (1000 kB).

    `cpu_mhz` is the clock of one processor core. `sessions` is how many X2Go sessions there are, running and
    suspended, None where the agent does not say.
    """

    load: int
    memory: int
    cpus: int
    cpu_mhz: int
    sessions: int | None = None

    @property
    def factor(self) -> int:
        """The load factor, at least 1: the more, the better a server.

        (memory in GB * cores * MHz * 100) / load, as in the reference, which divides it by the number of sessions.
        """
        return max(1, int(self.memory / 1000 * self.cpus * self.cpu_mhz * 100 / self.load))


def parse_load(lines: Iterable[str]) -> LoadReport:
    """The lines `name:number` of an agent's `checkload`. Raises ValueError when a needed one is missing or absurd."""
    values: dict[str, float] = {}
    for number, line in enumerate(lines):
        parts = LINE.fullmatch(line.strip())
        if parts is None or number >= MOST_LINES:
            raise ValueError("a load report has lines that are not name:number")
        values[parts[1]] = float(parts[2])
    try:
        load, cpus, mhz = values["loadavgXX"], values["numCPU"], values["typeCPU"]
        memory = values["memAvail"] or values["myMemAvail"]
    except KeyError as error:
        raise ValueError(f"a load report lacks {error.args[0]}") from None
    sessions = values.get("numSessions")
    least = {
        "load": (load, 1),
        "memory": (memory, 1),
        "cpus": (cpus, 0),
        "mhz": (mhz, 0),
        "sessions": (sessions or 0, 0),
    }
    for name, (figure, lowest) in least.items():
        if not lowest <= figure <= LIMITS[name]:
            raise ValueError(f"a load report has figures that cannot be: {name} {figure:g}")
    # an agent that cannot tell the clock or the cores (ARM, containers) says 0: taken for one core of 1 GHz
    return LoadReport(
        int(load), int(memory), int(cpus) or 1, int(mhz) or 1000, int(sessions) if sessions is not None else None
    )
