"""A process that chooses servers for many users: `python -m tests.support.choosers URL HOSTS USERS PREFIX THREADS`.

Prints the name of the server of each choice, one per line. Run with the project's folder as working directory.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy.engine import make_url

from x2gobroker.agents.rules import NONE, AgentRules
from x2gobroker.model.profile import build_profile
from x2gobroker.scheduling.choice import Scheduler, Stores, Wish
from x2gobroker.store import Drains, Loads, Reservations, Store

ROOT = Path(__file__).resolve().parents[2]
RULES = AgentRules(NONE, "", "", Path("/nonexistent"), "RejectPolicy", "", 1.0)
DEADLINE = 120.0


def started(url: str, hosts: int, users: int, prefix: str, threads: int = 1) -> subprocess.Popen[str]:
    """Start such a process; its output is for `chosen_by`."""
    argv = [sys.executable, "-m", __name__, url, str(hosts), str(users), prefix, str(threads)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def chosen_by(process: subprocess.Popen[str]) -> list[str]:
    """Wait for the process; the servers that it chose. It must have had no trouble."""
    try:
        output, errors = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert errors == "", errors
    return output.split()


def main(url: str, hosts: int, users: int, prefix: str, threads: int) -> None:
    """Choose and print."""
    store = Store(make_url(url))
    stores = Stores(Reservations(store), Loads(store), Drains(store))
    texts = {"host": ", ".join(f"ts{number:02}" for number in range(hosts))}
    profile = build_profile("desk", texts, {}, lambda _option, _message: None)
    scheduler = Scheduler()

    def choose(number: int) -> str:
        wish = Wish("inifile", profile, f"{prefix}{number}", False, RULES, False, 300, 0, 300)
        return scheduler.choose(wish, stores).server

    with ThreadPoolExecutor(threads) as pool:
        print("\n".join(pool.map(choose, range(users))))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
