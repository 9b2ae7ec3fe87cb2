"""The page on migrating follows `x2gobroker migrate`: its commands are the program's, its steps are all there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.unit.migration_sites import SNIPPET, MadeSite, stanza
from x2gobroker.cli.main import build_parser
from x2gobroker.migration.plan import STEPS, plan

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/migrating-from-0.0.4.3.md"
COMMAND = re.compile(r"^[#$] (x2gobroker [^\n]*)$|`(x2gobroker migrate[^`]*)`", re.MULTILINE)


def commands() -> list[str]:
    """The command lines of the page that are the administrator's program."""
    return sorted({first or second for first, second in COMMAND.findall(PAGE.read_text(encoding="utf-8"))})


def test_the_page_has_every_action() -> None:
    found = commands()
    assert {"x2gobroker migrate", "x2gobroker migrate apply", "x2gobroker migrate back"} <= set(found)
    assert "x2gobroker migrate apply --remove-packages" in found


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_page_are_taken(line: str) -> None:
    assert build_parser().parse_args(shlex.split(line)[1:]).run


def test_every_step_is_on_the_page(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.packages(stanza("x2gobroker-ssh"), stanza("x2gobroker-daemon"), stanza("x2gobroker-wsgi"))
    made.place("/etc/passwd").write_text("")
    made.place("/etc/pam.d/x2gobroker").unlink()
    made.write("/etc/apache2/conf-enabled/x2gobroker-wsgi.conf", SNIPPET)
    steps = plan(made.reader(), made.read())
    assert len(steps) == len(STEPS)
    rows = re.findall(r"^\| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for step in steps:
        assert step.title.removesuffix(" at /x2gobroker") in rows, step.title
