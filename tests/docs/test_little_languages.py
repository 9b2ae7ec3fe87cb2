"""Texts of other programs' languages are written in one place each: what a server sends is quoted there, or refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "x2gobroker"
# what gives a language away in the code, and where it is written; docs/architecture.md has the same table
PLACES = {
    "options of NX": (r"nx/nx", {"x2go/display/nx_options.py"}),
    "words of a POSIX shell": (
        r"shlex\.(quote|join)",
        {
            "x2go/wire/commands.py",  # for X2Go Servers
            "agents/ssh.py",  # for broker agents
            "cli/testagent.py",  # to be pasted by an administrator
            "migration/shown.py",  # the same
            "portal/client_file.py",  # to be pasted by a user
            "remote/scripts/x11vnc.py",  # for a host of a desktop
        },
    ),
    "shell scripts for servers": (r"/bin/sh -c", {"x2go/wire/commands.py"}),
    "lines of a session list": (
        r'"\|"\.join',
        {
            "model/sessions.py",
            "agents/server.py",  # on X2Go Servers, which have nothing else of us
            "x2go/wire/params.py",  # a regular expression of constants
        },
    ),
    "texts of Qt's INI files": (r"\\\\x\{unit", {"model/ini_text.py"}),
    "names in DNS": (r'encode\("idna"\)', {"model/hosts.py"}),
    "programs through a shell": (r"shell=True|os\.system\(|os\.popen\(", set()),
    "code": (r"\b(eval|exec)\((?!compile)", {"agents/server.py"}),  # itself, from where Python keeps it compiled
}
TABLE = Path(__file__).parents[2] / "docs/architecture.md"


def code(path: Path) -> str:
    """The code of a module without its docstrings and comments."""
    text = re.sub(r'"""(?:.|\n)*?"""', "", path.read_text(encoding="utf-8"))
    return re.sub(r"(?m)(^|\s)#.*$", "", text)


@pytest.mark.parametrize("language", PLACES)
def test_a_language_is_written_in_its_place_only(language: str) -> None:
    mark, places = PLACES[language]
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if re.search(mark, code(path))}
    assert found <= places, f"{language} are written outside of their place"
    assert found == places, f"{language} are not written where the list says"


def test_the_table_of_languages_names_files_that_are_there() -> None:
    text = TABLE.read_text(encoding="utf-8")
    table = text[text.index("## Little languages") : text.index("## Plug-ins")]
    named = set(re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)+\.py)`", table))
    assert len(named) > 8
    assert all((PACKAGE / name).is_file() for name in named)
    for _, places in PLACES.values():
        assert {place for place in places if place.count("/") == 1} <= named
