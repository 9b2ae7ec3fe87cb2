"""fail2ban's own program for trying filters, with the filter that ships."""

from __future__ import annotations

import subprocess
from pathlib import Path

FILTER = Path(__file__).resolve().parents[2] / "etc/fail2ban/filter.d/x2gobroker.conf"


def found_addresses(log: Path) -> list[str]:
    """The addresses that fail2ban would count for a log file, one for each line that matches."""
    done = subprocess.run(
        ["fail2ban-regex", "--usedns", "no", "--out", "ip", str(log), str(FILTER)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.split()
