"""Which tests need 0.0.4.3, Debian's broker, and whether it can be here at all.

Such a test has the marker `reference`. Debian 13 has no broker: there, and only there, these tests are left out.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

MARKER = "reference"
PACKAGES = Path(__file__).resolve().parents[2] / "scripts" / "debian-packages"


def has_reference() -> bool:
    """Whether this release has packages of 0.0.4.3; whether they are installed does not matter."""
    done = subprocess.run([str(PACKAGES), "list", MARKER], capture_output=True, text=True, timeout=60, check=True)
    return bool(done.stdout.split())


def divided(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests to run, and those to be left out, on this release."""
    marked = [item for item in items if item.get_closest_marker(MARKER)]
    if not marked or has_reference():
        return list(items), []
    return [item for item in items if item not in set(marked)], marked
