"""Tests that need Debian's broker are left out where the release has none, and nowhere else."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.reference import PACKAGES, has_reference

ROOT = PACKAGES.parents[1]
TWO = """\
import pytest

def test_of_ours():
    pass

@pytest.mark.reference
def test_with_the_reference():
    assert False
"""
MARKED = TWO.replace("def test_of_ours", "@pytest.mark.reference\ndef test_of_ours")


def pytest_in(folder: Path, text: str, release: str) -> tuple[int, str]:
    """Status and last line of pytest with this file of tests, on a release of Debian."""
    (folder / "os-release").write_text(f"ID=debian\nVERSION_CODENAME={release}\n")
    (folder / "test_some.py").write_text(text)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*argv, "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)],
        env={**os.environ, "OS_RELEASE": str(folder / "os-release")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, re.sub(r" in [\d.]+s.*", "", done.stdout.rstrip().rpartition("\n")[2])


def test_debian_12_leaves_nothing_out(tmp_path: Path) -> None:
    assert pytest_in(tmp_path, TWO, "bookworm") == (1, "1 failed, 1 passed")


def test_debian_13_leaves_out_what_needs_the_reference_and_nothing_else(tmp_path: Path) -> None:
    assert pytest_in(tmp_path, TWO, "trixie") == (0, "1 passed, 1 deselected")


def test_a_file_that_is_left_out_as_a_whole_has_not_failed(tmp_path: Path) -> None:
    assert pytest_in(tmp_path, MARKED, "trixie") == (0, "2 deselected")


def test_a_file_without_tests_has_failed(tmp_path: Path) -> None:
    assert pytest_in(tmp_path, "", "trixie")[0] == pytest.ExitCode.NO_TESTS_COLLECTED


def test_this_machine_is_known() -> None:
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    assert has_reference() is {"bookworm": True, "trixie": False}[release]
