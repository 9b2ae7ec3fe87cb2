"""What `pip` builds of the source: what is in it now, and all of that."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.installation import copy_checkout

SECONDS = 120


def wheel(source: Path, target: Path) -> tuple[set[str], str]:
    """Build it; the files in it, and what was said."""
    options = ("--no-build-isolation", "--no-index", "--no-deps", "--no-cache-dir", "--verbose")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(target), str(source)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (file,) = target.glob("x2gobroker-*.whl")
    with zipfile.ZipFile(file) as archive:
        return set(archive.namelist()), done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source."""
    folder = tmp_path_factory.mktemp("packaging") / "source"
    copy_checkout(folder)
    return folder


def test_what_was_deleted_since_the_last_build_is_not_built_again(source: Path, tmp_path: Path) -> None:
    old = [source / "x2gobroker" / name for name in ("backends/oldthing.py", "oldpackage/__init__.py")]
    for module in old:
        module.parent.mkdir(exist_ok=True)
        module.write_text("")
    before, _ = wheel(source, tmp_path / "first")
    assert {str(module.relative_to(source)) for module in old} <= before
    for module in old:
        module.unlink()
    after, _ = wheel(source, tmp_path / "second")
    assert before - after == {str(module.relative_to(source)) for module in old}


def test_every_file_of_the_package_is_in_it(source: Path, tmp_path: Path) -> None:
    package = source / "x2gobroker"
    files = {str(file.relative_to(source)) for file in package.rglob("*") if file.is_file() and file.suffix != ".pyc"}
    files |= {f"x2gobroker/{file.relative_to(source)}" for file in (source / "templates").rglob("*") if file.is_file()}
    built, said = wheel(source, tmp_path / "all")
    assert files - built == set()
    assert "noVNC" not in said


def test_the_build_says_that_novnc_is_missing(source: Path, tmp_path: Path) -> None:
    mark = source / "x2gobroker/static/novnc/VERSION"
    text = mark.read_text(encoding="utf-8")
    mark.unlink()
    try:
        _, said = wheel(source, tmp_path / "without")
    finally:
        mark.write_text(text, encoding="utf-8")
    assert "run scripts/novnc" in said
