"""What `pip` builds of the source: what is in it now, and all of that."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from gettext import GNUTranslations
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
    left_out = (".pyc", ".po")  # the texts go as .mo files, which are made of the .po files
    files = {str(file.relative_to(source)) for file in package.rglob("*") if file.is_file()}
    files = {file for file in files if not file.endswith(left_out)}
    files |= {f"x2gobroker/{file.relative_to(source)}" for file in (source / "templates").rglob("*") if file.is_file()}
    for name in ("apache", "etc", "wsgi"):
        samples = (file for file in (source / name).rglob("*") if file.is_file())
        files |= {f"x2gobroker/samples/{file.relative_to(source)}" for file in samples}
    built, said = wheel(source, tmp_path / "all")
    assert files - built == set()
    assert not [file for file in built if file.endswith(left_out)]
    assert "noVNC" not in said


def languages_of(folder: Path) -> Path:
    return folder / "x2gobroker" / "portal" / "languages"


def test_a_wheel_has_the_languages_compiled_as_they_are_now(source: Path, tmp_path: Path) -> None:
    folder = languages_of(source)
    names = {f"x2gobroker/portal/languages/{file.stem}.mo" for file in folder.glob("*.po")}
    assert names
    for made in folder.glob("*.mo"):  # as in a clone
        made.unlink()
    (folder / "xx.mo").write_bytes(b"of a language that was given up")
    first, said = wheel(source, tmp_path / "first")
    assert {file for file in first if "portal/languages/" in file} == names
    assert "de.mo compiled" in said
    german = folder / "de.po"
    text = german.read_text(encoding="utf-8")
    german.write_text(text.replace('msgstr "Anmelden"', 'msgstr "Hereinkommen"'), encoding="utf-8")
    try:
        wheel(source, tmp_path / "second")
    finally:
        german.write_text(text, encoding="utf-8")
    assert text_in(tmp_path / "first", "Sign in") == "Anmelden"
    assert text_in(tmp_path / "second", "Sign in") == "Hereinkommen"


def text_in(folder: Path, text: str) -> str:
    """The German for it in the wheel in this folder."""
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive, archive.open("x2gobroker/portal/languages/de.mo") as stream:
        return GNUTranslations(stream).gettext(text)


def test_a_source_archive_has_the_texts_and_its_wheel_is_the_same(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(tmp_path)]
    subprocess.run(command, cwd=source, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert {file.suffix for file in languages_of(unpacked).iterdir()} == {".po"}
    here, _ = wheel(source, tmp_path / "here")
    there, _ = wheel(unpacked, tmp_path / "there")
    assert there == here


def test_an_editable_installation_compiles_the_languages_in_the_checkout(source: Path, tmp_path: Path) -> None:
    for made in languages_of(source).glob("*.mo"):
        made.unlink()
    options = ("--no-build-isolation", "--no-index", "--no-deps", "--target", str(tmp_path / "site"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", *options, "--editable", str(source)]
    subprocess.run(command, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    assert (languages_of(source) / "de.mo").is_file()


def test_the_build_says_that_novnc_is_missing(source: Path, tmp_path: Path) -> None:
    mark = source / "x2gobroker/static/novnc/VERSION"
    text = mark.read_text(encoding="utf-8")
    mark.unlink()
    try:
        _, said = wheel(source, tmp_path / "without")
    finally:
        mark.write_text(text, encoding="utf-8")
    assert "run scripts/novnc" in said
