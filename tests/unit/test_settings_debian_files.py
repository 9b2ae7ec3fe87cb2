"""The files that Debian's x2gobroker ships work unchanged, and every option they mention is known here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from x2gobroker.backends.inifile import compile_profiles
from x2gobroker.model.acl import Requester
from x2gobroker.settings import SettingsSource, options_of, parse_ini, read_ini
from x2gobroker.settings.source import read_config, read_environment

pytestmark = pytest.mark.reference
CONFIG = Path("/etc/x2go/x2gobroker.conf")
DEFAULTS = Path("/etc/x2go/broker/defaults.conf")
PROFILES = Path("/etc/x2go/broker/x2gobroker-sessionprofiles.conf")
DEFAULT_FILES = (Path("/etc/default/python3-x2gobroker"), Path("/etc/default/x2gobroker-daemon"))
INIT_SCRIPT_SWITCH = re.compile(r"START_\w+")
COMMENTED_OPTION = re.compile(r"#(?P<name>[A-Za-z_][\w-]*) ?= ?(?P<value>.*)")
COMMENTED_SECTION = re.compile(r"#\[(?P<name>\w+)\]")


@pytest.fixture(autouse=True)
def _installed() -> None:
    """The Debian packages of the reference must be there; `make test` installs them."""
    for path in (CONFIG, DEFAULTS, PROFILES, *DEFAULT_FILES):
        assert path.is_file(), f"{path} is missing; apt-get install x2gobroker-common x2gobroker-daemon"


def uncommented(path: Path) -> str:
    """The text of a file with every commented option and section switched on; other comments are dropped."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := COMMENTED_SECTION.match(line):
            lines.append(f"[{found['name']}]")
        elif found := COMMENTED_OPTION.fullmatch(line):
            lines.append(f"{found['name']} = {found['value']}")
        elif not line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def test_the_shipped_files_have_no_problems() -> None:
    source = SettingsSource({"X2GOBROKER_CONFIG": str(CONFIG), "X2GOBROKER_DEFAULTS": str(DEFAULTS)})
    settings = source.current()
    assert [str(problem) for problem in (*source.faults, *settings.problems)] == []
    assert settings.usable
    assert settings.backend_enabled("inifile")


def test_every_option_that_the_shipped_configuration_mentions_is_known_and_its_value_right() -> None:
    config = parse_ini(uncommented(CONFIG), "sample")
    assert sum(map(len, config.sections.values())) >= 45
    assert {"global", "authmech_https_get", "broker_zeroconf", "broker_inifile", "broker_ldap"} <= set(config.sections)
    values, problems = read_config(config)
    assert [str(problem) for problem in problems if problem.error] == []
    missing = [
        (section, name) for section, names in config.sections.items() for name in names if (section, name) not in values
    ]
    assert missing == []


def test_the_only_deprecated_option_in_it_is_my_cookie() -> None:
    _, problems = read_config(parse_ini(uncommented(CONFIG), "sample"))
    assert [problem.message.split(" ")[0] for problem in problems] == ["my-cookie"]


def test_the_shipped_values_are_our_defaults() -> None:
    config = parse_ini(uncommented(CONFIG), "sample")
    values, _ = read_config(config)
    examples = {("global", "my-cookie"), ("broker_zeroconf", "auth-mech")}
    for key, value in values.items():
        section, name = key
        if section in ("authmech_https_get", "broker_ldap") or key in examples or name in ("user-db", "group-db"):
            continue
        assert value == options_of(section)[name].default, key


def test_every_variable_that_the_shipped_defaults_mention_is_known_and_its_value_right() -> None:
    defaults = parse_ini(uncommented(DEFAULTS), "sample")
    assert {"common", "daemon", "authservice", "loadchecker"} <= set(defaults.sections)
    assert sum(map(len, defaults.sections.values())) >= 15
    for program in ("daemon", "authservice", "loadchecker"):
        values, problems = read_environment(defaults, program, {})
        assert [str(problem) for problem in problems] == []
        wanted = {*defaults.sections["common"], *defaults.sections[program]}
        assert {name for _, name in values} >= wanted


@pytest.mark.parametrize("path", DEFAULT_FILES, ids=lambda path: path.name)
def test_every_variable_of_the_files_in_etc_default_is_known(path: Path) -> None:
    named = parse_ini("[common]\n" + uncommented(path), "sample").sections["common"]
    variables = {name: text for name, text in named.items() if not INIT_SCRIPT_SWITCH.fullmatch(name)}
    assert variables
    values, problems = read_environment(parse_ini("", "empty"), "daemon", variables)
    assert [str(problem) for problem in problems] == []
    assert {name for _, name in values} >= set(variables)


def test_the_shipped_session_profiles_are_offered_without_problems() -> None:
    compiled = compile_profiles(read_ini(PROFILES))
    assert [str(problem) for problem in compiled.problems] == []
    offered = [profile.id for profile in compiled.profiles.offered_to(Requester("anna", None))]
    assert offered == ["localhost-kde", "localhost-mate", "localhost-shadow"]


def test_every_key_of_the_shipped_examples_is_understood() -> None:
    text = "\n".join(
        line.removeprefix("#") if re.match(r"#(\[|[a-z-]+=)", line) else line
        for line in PROFILES.read_text(encoding="utf-8").splitlines()
    )
    compiled = compile_profiles(parse_ini(text, "sample"))
    assert len(compiled.profiles.profiles) == 8
    # the examples deny ALL in an order in which that wins: the only thing there is to say about them
    assert {problem.message.rpartition("write ")[2] for problem in compiled.problems} <= {
        f"acl-{what}-order = allow-deny" for what in ("users", "groups", "clients")
    }
    pool = compiled.profiles.get("pool-C-XFCE")
    assert pool is not None
    assert [(host.name, host.address) for host in pool.hosts][:2] == [("s-E1", "10.0.2.11"), ("s-E2", "10.0.2.12")]
