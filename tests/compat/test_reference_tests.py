"""The reference's own tests, as Debian ships them, against our broker: those that are listed differ, and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.deviations import BY_ID
from tests.compat.reference_results import BROKEN, DIFFERENT, INTERNAL, NOT_RUN, SAID
from tests.support.debian_broker import LIBRARY

pytestmark = pytest.mark.reference
ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240
LISTED = {*DIFFERENT, *BROKEN, *INTERNAL}


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str], str]:
    """What became of each test: nothing where it passed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.compat.reference_tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    return {(module, test): said for module, tests in found.items() for test, said in tests.items()}


def test_exactly_the_listed_tests_differ(results: dict[tuple[str, str], str]) -> None:
    failed = {test: said for test, said in results.items() if said}
    assert {test: said for test, said in failed.items() if test not in LISTED} == {}
    assert LISTED - failed.keys() == set()


@pytest.mark.parametrize(("module", "test"), sorted(LISTED))
def test_a_listed_test_fails_for_the_reason_that_is_listed(
    results: dict[tuple[str, str], str], module: str, test: str
) -> None:
    """Where it fails, and with what: `python -m tests.compat.reference_tests` prints that, and SAID has parts of it."""
    said = results[module, test]
    assert [part for part in SAID[module, test] if part not in said] == [], said


def test_of_each_listed_test_is_known_what_it_says() -> None:
    assert SAID.keys() == LISTED
    assert all(SAID.values())


def test_the_reference_has_as_many_tests_as_it_ships(results: dict[tuple[str, str], str]) -> None:
    """No module is forgotten, and the suite is no empty one."""
    shipped = {path.stem for path in (LIBRARY / "tests").glob("test_*.py") if "    def test_" in path.read_text()}
    assert shipped - {module for module, _ in results} == set(NOT_RUN)
    assert len(results) == 49


def test_every_difference_is_a_deviation_that_is_listed() -> None:
    assert {deviation for deviation, _ in DIFFERENT.values()} <= set(BY_ID)
