"""The unit tests pass on Debian 13."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.other_debian import PYTHON, other_debian

RELEASE = "trixie"
MAKE_SECONDS = 400.0
RUN_SECONDS = 1500.0
SUMMARY = re.compile(r"^(\d+) passed, \d+ deselected(?:, \d+ warnings?)? in ", re.MULTILINE)
AT_LEAST = 5500


def test_the_unit_tests_pass_on_debian_13(tmp_path: Path) -> None:
    """With the libraries of constraints.txt. What Debian 13 has not is left out: tests/support/reference.py."""
    system = other_debian(tmp_path / RELEASE, RELEASE, MAKE_SECONDS)
    system.install("unit,postgresql", MAKE_SECONDS)
    assert system.run(PYTHON, "--version", seconds=60).startswith("Python 3.13.")
    options = ["-q", "-m", "not qt", "-p", "no:cacheprovider", "--hypothesis-profile=few"]
    output = system.run(PYTHON, "-m", "pytest", *options, "tests/unit", seconds=RUN_SECONDS)
    print(output)
    summary = SUMMARY.search(output)
    assert summary, output
    assert int(summary[1]) >= AT_LEAST
