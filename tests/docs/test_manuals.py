"""Manual pages: each program, sub-command, option, variable and file has its place, and the pages are right roff."""

from __future__ import annotations

import argparse
import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from x2gobroker.agents import server
from x2gobroker.cli import authservice, keygen, loadchecker, main, pubkeyauthorizer, testagent, testauth
from x2gobroker.cli.daemon import program as daemon
from x2gobroker.cli.remote import service as remote
from x2gobroker.cli.ssh import broker as ssh_broker
from x2gobroker.model.options import format_value
from x2gobroker.model.profile_options import PROFILE_TABLE
from x2gobroker.remote.keys import KEYS, OPTION_KEYS
from x2gobroker.settings import TABLE

PARSERS = {
    "x2gobroker-daemon": daemon,
    "x2gobroker-authservice": authservice,
    "x2gobroker-loadchecker": loadchecker,
    "x2gobroker-remote": remote,
    "x2gobroker-testauth": testauth,
    "x2gobroker-testagent": testagent,
    "x2gobroker-ssh": ssh_broker,
    "x2gobroker-keygen": keygen,
    "x2gobroker-pubkeyauthorizer": pubkeyauthorizer,
}
# where Debian's packages of the former broker have them; those that are new are for root
USERS_PROGRAMS = {"x2gobroker", "x2gobroker-daemon", "x2gobroker-ssh", "x2gobroker-testauth"}
OTHERS = {"sshd(8)", "sudoers(5)", "pam.d(5)"}
OF_PROGRAMS = ("NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO")
WITHOUT = {"x2gobroker-agent.8": {"ENVIRONMENT"}}  # it looks at no variable
EPOCH = "1780000000"
COLUMNS = 80
Sections = dict[str, str]


def made(root: Path, folder: Path) -> dict[str, Path]:
    """The pages by their file names, as the program makes them."""
    command = [sys.executable, "docs/man.py", str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    subprocess.run(command, cwd=root, env=environment, check=True, timeout=120, capture_output=True)
    return {path.name: path for path in folder.glob("man?/*") if path.parent.name[-1] == path.suffix[1]}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All pages."""
    return made(Path(__file__).resolve().parents[2], tmp_path_factory.mktemp("man"))


def plain(text: str) -> str:
    """What a reader sees of roff, in the lines of the source."""
    text = re.sub(r"\\f[BIR]|\\&", "", text)
    for written, seen in ((r"\-", "-"), (r"\(aq", "'"), (r"\(dq", '"'), (r"\(ga", "`"), (r"\(ti", "~"), (r"\ ", " ")):
        text = text.replace(written, seen)
    return text.replace(r"\(rs", "\\")


def sections(page: Path) -> Sections:
    """The text below each heading; `.SS` ones stand beside the `.SH` ones, and below them as well."""
    found: Sections = {}
    upper = lower = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        kind, _, title = line.partition(" ")
        if kind == ".SH":
            upper, lower = plain(title.strip('"')), ""
            assert upper not in found, f"{page.name}: {upper} twice"
            found[upper] = ""
        elif kind == ".SS":
            lower = plain(title.strip('"'))
            found[lower] = ""
        elif upper:
            for name in {upper, lower} - {""}:
                found[name] += plain(line) + "\n"
    return found


def tags(text: str) -> list[str]:
    """What stands before the meanings in a list."""
    return re.findall(r"^\.TP\n(.*)$", text, re.MULTILINE)


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in below:
        for command in action.choices.values():
            yield from leaves(command)
    if not below:
        yield parser


def test_every_program_has_a_page_in_its_section(pages: dict[str, Path]) -> None:
    programs = {point.name for point in distribution("x2gobroker").entry_points if point.group == "console_scripts"}
    assert len(programs) >= 11
    assert programs == {"x2gobroker", "x2gobroker-agent", *PARSERS}
    for program in programs:
        assert f"{program}.{1 if program in USERS_PROGRAMS else 8}" in pages


def test_every_page_has_its_parts(pages: dict[str, Path]) -> None:
    for name, page in pages.items():
        found = [title for title in sections(page) if title in OF_PROGRAMS]
        left_out = {"EXIT STATUS"} if name.endswith(".5") else set()
        if name == "x2gobroker-sessionprofiles.conf.5":
            left_out |= {"ENVIRONMENT"}
        wanted = set(OF_PROGRAMS) - left_out - WITHOUT.get(name, set())
        assert wanted - {"FILES"} <= set(found), name
        assert found[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"], name
        assert found[-1] == "SEE ALSO"
        assert sections(page)["NAME"].replace("\n", " ").startswith(f"{name[:-2]} - "), name


@pytest.mark.parametrize("program", PARSERS)
def test_every_option_of_a_program_is_in_its_page(pages: dict[str, Path], program: str) -> None:
    (page,) = (page for name, page in pages.items() if name[:-2] == program)
    found = sections(page)
    described = tags(found["OPTIONS"])
    for action in PARSERS[program].build_parser()._actions:
        for name in action.option_strings:
            assert any(name in re.split("[, ]+", tag) for tag in described), name
        if not action.option_strings:
            assert any(str(action.metavar or action.dest) in tag for tag in described), action.dest
    synopsis = found["SYNOPSIS"]
    assert all(action.option_strings[0] in synopsis for action in PARSERS[program].build_parser()._actions)


def test_every_sub_command_and_its_options_are_in_their_page(pages: dict[str, Path]) -> None:
    administration, sessions = sections(pages["x2gobroker.1"]), sections(pages["x2gobroker-x2go.1"])
    commands = list(leaves(main.build_parser()))
    assert len(commands) > 20
    for command in commands:
        found = sessions if command.prog.startswith("x2gobroker x2go ") else administration
        own = found[command.prog]
        described = tags(own) + tags(found["OPTIONS"])
        for action in command._actions:
            for name in action.option_strings:
                assert any(name in re.split("[, ]+", tag) for tag in described), f"{command.prog} {name}"
            if not action.option_strings:
                names = (
                    action.metavar if isinstance(action.metavar, tuple) else (action.metavar or action.dest.upper(),)
                )
                shown = action.choices or names
                assert all(name in own for name in shown), f"{command.prog} {shown}"
        assert " ".join(str(command.description).split())[:40] in " ".join(own.split()), command.prog
    assert "x2gobroker-x2go(1)" in administration["x2gobroker x2go"]


def test_every_task_of_the_agent_is_in_its_page(pages: dict[str, Path]) -> None:
    tasks = sections(pages["x2gobroker-agent.8"])["TASKS"]
    known = {name for tag in tags(tasks) for name in tag.split(", ")}
    assert known == set(server.TASKS) - {"findbusyservers_by_sessionstats"}  # that is another name of one


def test_every_option_of_the_configuration_is_in_its_section(pages: dict[str, Path]) -> None:
    found = sections(pages["x2gobroker.conf.5"])
    for option in TABLE:
        title = f"[{option.section.replace('*', '<backend>')}]" if option.section != "environment" else "ENVIRONMENT"
        assert option.name in tags(found[title]), option
        entry = " ".join(found[title].partition(f".TP\n{option.name}\n")[2].partition("\n.TP\n")[0].split())
        assert " ".join(option.help.replace("`", "").split()) in entry, option
        assert (format_value(option.default) or "empty") in entry, option


def test_every_option_of_a_session_profile_and_key_of_a_session_type_is_in_its_page(pages: dict[str, Path]) -> None:
    profiles = tags(sections(pages["x2gobroker-sessionprofiles.conf.5"])["OPTIONS"])
    assert [option.name for option in PROFILE_TABLE if option.name not in profiles] == []
    types = tags(pages["x2gobroker-session-types.5"].read_text(encoding="utf-8"))
    seen = {plain(tag) for tag in types}
    assert [key.name for key in (*KEYS, *OPTION_KEYS) if key.name not in seen] == []


def test_every_variable_is_named_by_a_program_that_reads_it(pages: dict[str, Path]) -> None:
    named: set[str] = set()
    for name, page in pages.items():
        if not name.endswith(".5"):
            named.update(tags(sections(page).get("ENVIRONMENT", "")))
    variables = {option.name for option in TABLE if option.section == "environment" and not option.deprecated}
    assert variables - named == set()


def test_examples_are_command_lines_that_the_programs_take(pages: dict[str, Path]) -> None:
    administrator = main.build_parser()
    count = 0
    for name, page in pages.items():
        for block in re.findall(r"^\.nf\n(.*?)^\.fi$", sections(page)["EXAMPLES"], re.MULTILINE | re.DOTALL):
            if name.endswith(".5"):
                check_file(name, block)
                continue
            count += 1
            program, *words = shlex.split(block)
            if program == "x2gobroker-agent":
                assert words[1] in server.TASKS
                continue
            parser = administrator if program == "x2gobroker" else PARSERS[program].build_parser()
            parser.parse_args(words)
    assert count > 20


def check_file(name: str, text: str) -> None:
    """Whether everything in the example of a file is known."""
    if name == "x2gobroker-session-types.5":
        assert not [key for entry in json.loads(text).values() for key in set(entry) - {key.name for key in KEYS}]
        return
    parser = configparser.ConfigParser(default_section="")
    parser.read_string(text)
    assert parser.sections()
    if name == "x2gobroker.conf.5":
        known = {(option.section, option.name) for option in TABLE}
        known |= {("broker_inifile", option) for section, option in known if section == "broker_*"}
    else:
        known = {(section, option.name) for option in PROFILE_TABLE for section in parser.sections()}
        known |= {(section, "name") for section in parser.sections()}
    assert {(section, option) for section in parser.sections() for option in parser[section]} <= known


def test_pages_that_are_named_are_there(pages: dict[str, Path]) -> None:
    own = {f"{name[:-2]}({name[-1]})" for name in pages}
    for name, page in pages.items():
        text = plain(page.read_text(encoding="utf-8"))
        for other in re.findall(r"[\w.-]+\([1-8]\)", text):
            assert other in own | OTHERS, f"{name}: {other}"
            assert other != f"{name[:-2]}({name[-1]})", f"{name} names itself"


def test_the_same_pages_at_the_same_moment(root: Path, pages: dict[str, Path], tmp_path: Path) -> None:
    again = made(root, tmp_path / "again")
    assert set(again) == set(pages)
    for name, page in again.items():
        assert page.read_bytes() == pages[name].read_bytes()
        assert " 2026-05-28 " in page.read_text(encoding="utf-8").splitlines()[2], name


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
def test_mandoc_has_no_complaints(pages: dict[str, Path]) -> None:
    command = ["mandoc", "-T", "lint", "-W", "warning", *map(str, pages.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
def test_pages_fit_into_a_terminal(pages: dict[str, Path]) -> None:
    for name, page in pages.items():
        command = ["mandoc", "-T", "utf8", "-O", f"width={COLUMNS - 2}", str(page)]
        shown = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout.decode()
        lines = re.sub(".\b", "", shown).splitlines()
        assert len(lines) > 20
        # a line of authorized_keys is one line
        wide = [line for line in lines if len(line) > COLUMNS and "expiry-time=" not in line]
        assert not wide, name
