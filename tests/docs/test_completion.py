"""Completions come from the argument parsers, and shells complete by them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASH = (
    'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _x2gobroker "$1"; printf "%s\\n" "${COMPREPLY[@]}"'
)
FISH = 'source $argv[1]; complete -C "$argv[2]"'
CASES = [
    (["x2gobroker", "lo"], {"load", "lockout"}),
    (["x2gobroker", "totp", "rem"], {"remove"}),
    (["x2gobroker", "passwd", "--scheme", ""], {"argon2", "bcrypt", "sha512_crypt"}),
    (["x2gobroker", "totp", "enroll", "--iss"], {"--issuer"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The completions, just written."""
    found = tmp_path_factory.mktemp("completion")
    subprocess.run([sys.executable, str(ROOT / "docs/completion.py"), str(found)], check=True)
    return found


def said(*argv: str) -> set[str]:
    """The words that a shell offers; it complains of nothing."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return {line.partition("\t")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize(("words", "wanted"), CASES)
def test_bash_completes(folder: Path, words: list[str], wanted: set[str]) -> None:
    assert said("bash", "-c", BASH, "bash", str(folder / "x2gobroker"), *words) == wanted


@pytest.mark.parametrize(("words", "wanted"), CASES)
def test_fish_completes(folder: Path, words: list[str], wanted: set[str]) -> None:
    assert said("fish", "--no-config", "-c", FISH, str(folder / "x2gobroker.fish"), " ".join(words)) == wanted


def test_bash_completes_names_of_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "my.conf").touch()
    words = ["x2gobroker-daemon", "-C", str(tmp_path / "m")]
    assert said("bash", "-c", BASH, "bash", str(folder / "x2gobroker"), *words) == {str(tmp_path / "my.conf")}


def test_every_program_has_one(folder: Path) -> None:
    names = {path.stem for path in folder.glob("*.fish")}
    assert names == set((folder / "x2gobroker").read_text().splitlines()[-1].partition("_x2gobroker ")[2].split())
    assert names == set((folder / "_x2gobroker").read_text().splitlines()[0].split()[1:])
