"""How agents are reached: the profile's word before the backend's and the global one."""

from __future__ import annotations

import pwd
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.configured import Files
from x2gobroker.agents.rules import LOCAL, NO_FOLDER, NONE, SSH, agent_rules, mode_of, ssh_folder, uses_load_checker
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.settings import Settings

GLOBAL = """\
[global]
default-agent-query-mode = SSH
default-agent-hostkey-policy = WarningPolicy
default-agent-ssh-proxy = jump.example.org
default-shared-session-database = true
agent-timeout = 7
{more}
[broker_inifile]
enable = true
{backend}
"""


def configured(files: Files, backend: str = "", more: str = "") -> Settings:
    settings = files.write(GLOBAL.format(backend=backend, more=more))
    assert not files.said()
    return settings


def profile(options: dict[str, str]) -> SessionProfile:
    said: list[str] = []
    made = build_profile("one", {"host": "ts01,ts02", **options}, {}, lambda *problem: said.append(str(problem)))
    assert not said
    return made


def test_the_global_options_count_first(files: Files) -> None:
    rules = agent_rules(configured(files), "inifile")
    assert (rules.mode, rules.host_key_policy, rules.proxy) == ("SSH", "WarningPolicy", "jump.example.org")
    assert (rules.timeout, rules.shared_database) == (7, True)
    assert (rules.user, rules.command) == ("x2gobroker", "/usr/lib/x2go/x2gobroker-agent")


@pytest.mark.parametrize(
    "written", ['"x2go@gate.example:2222"', "'x2go@gate.example:2222'", " x2go@gate.example:2222 "]
)
def test_quotes_around_a_proxy_host_are_no_part_of_it(files: Files, written: str) -> None:
    own = profile({"broker-agent-ssh-proxy": written})
    assert own.broker_text("agent-ssh-proxy") == "x2go@gate.example:2222"
    settings = configured(files)
    assert agent_rules(settings, "inifile", own).proxy == "x2go@gate.example:2222"
    assert agent_rules(settings, "inifile", profile({"broker-agent-ssh-proxy": '"none"'})).proxy == ""
    everywhere = files.write(GLOBAL.format(backend="", more="").replace("jump.example.org", written))
    assert agent_rules(everywhere, "inifile").proxy == "x2go@gate.example:2222"


def test_without_any_options_there_are_no_agents_and_unknown_hosts_are_refused(files: Files) -> None:
    rules = agent_rules(files.write(""), "inifile")
    assert (rules.mode, rules.host_key_policy, rules.proxy, rules.shared_database) == (
        "NONE",
        "RejectPolicy",
        "",
        False,
    )
    assert rules.timeout == 5


def test_the_backend_overrides_the_global_options(files: Files) -> None:
    settings = configured(files, "agent-query-mode = LOCAL\nagent-hostkey-policy = AutoAddPolicy")
    rules = agent_rules(settings, "inifile", profile({}))
    assert (rules.mode, rules.host_key_policy) == ("LOCAL", "AutoAddPolicy")


def test_the_profile_overrides_the_backend(files: Files) -> None:
    settings = configured(files, "agent-query-mode = LOCAL\nagent-hostkey-policy = AutoAddPolicy")
    own = {
        "broker-agent-query-mode": "NONE",
        "broker-agent-hostkey-policy": "RejectPolicy",
        "broker-agent-ssh-proxy": "anna@other:2222",
        "broker-shared-session-database": "false",
    }
    rules = agent_rules(settings, "inifile", profile(own))
    assert (rules.mode, rules.host_key_policy) == ("NONE", "RejectPolicy")
    assert (rules.proxy, rules.shared_database) == ("anna@other:2222", False)


@pytest.mark.parametrize("text", ["none", "None", " NONE "])
def test_a_profile_can_do_without_the_proxy(files: Files, text: str) -> None:
    assert agent_rules(configured(files), "inifile", profile({"broker-agent-ssh-proxy": text})).proxy == ""


def test_rules_can_be_keys_of_caches(files: Files) -> None:
    settings = configured(files)
    assert len({agent_rules(settings, "inifile"), agent_rules(settings, "inifile", profile({}))}) == 1


def test_the_folder_of_keys_is_the_configured_one_or_below_the_home_of_the_brokers_user(files: Files) -> None:
    assert ssh_folder(files.write_defaults("[common]\nX2GOBROKER_SSH_FOLDER = /etc/x2go/broker/ssh\n")) == Path(
        "/etc/x2go/broker/ssh"
    )
    assert ssh_folder(files.write_defaults("[common]\nX2GOBROKER_DAEMON_USER = root\n")) == Path(
        pwd.getpwnam("root").pw_dir, ".ssh"
    )
    assert ssh_folder(files.write_defaults("[common]\nX2GOBROKER_DAEMON_USER = nobody-of-this-name\n")) == Path(
        "/var/lib/x2gobroker/.ssh"
    )


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each user was looked up."""
    counted: Counter[str] = Counter()
    look_up = pwd.getpwnam

    def counting(name: str) -> pwd.struct_passwd:
        counted[name] += 1
        return look_up(name)

    monkeypatch.setattr("pwd.getpwnam", counting)
    return counted


def test_the_home_is_looked_up_once_and_again_when_the_configuration_changes(
    files: Files, looked_up: Counter[str]
) -> None:
    settings = files.write_defaults("[common]\nX2GOBROKER_DAEMON_USER = root\n")
    assert len({ssh_folder(settings) for _ in range(3)}) == 1
    assert looked_up == {"root": 1}
    changed = files.write_defaults("[common]\nX2GOBROKER_DAEMON_USER = nobody\n")
    assert ssh_folder(changed) == Path(pwd.getpwnam("nobody").pw_dir, ".ssh")
    assert ssh_folder(settings) == Path(pwd.getpwnam("root").pw_dir, ".ssh")


def test_a_user_who_is_made_later_is_found(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = files.write_defaults("[common]\nX2GOBROKER_DAEMON_USER = of-later\n")
    assert ssh_folder(settings) == Path("/var/lib/x2gobroker/.ssh")
    entry = pwd.struct_passwd(("of-later", "x", 7000, 7000, "", "/home/of-later", "/bin/sh"))
    monkeypatch.setattr("pwd.getpwnam", {"of-later": entry}.__getitem__)
    assert ssh_folder(settings) == Path("/home/of-later/.ssh")


@pytest.mark.parametrize("mode", [NONE, LOCAL, SSH])
def test_the_mode_alone_is_that_of_the_rules_and_without_agents_no_user_is_looked_up(
    files: Files, looked_up: Counter[str], mode: str
) -> None:
    settings = configured(files)
    own = profile({"broker-agent-query-mode": mode})
    assert mode_of(settings, "inifile", own) == mode
    assert mode_of(settings, "inifile") == mode_of(settings, "inifile", profile({})) == SSH
    assert not looked_up
    rules = agent_rules(settings, "inifile", own)
    assert rules.mode == mode
    assert (rules.folder == NO_FOLDER) is (not looked_up) is (mode == NONE)


@pytest.mark.parametrize(
    ("of_all", "of_backend", "of_profile", "used"),
    [
        ("", "", "", False),
        ("true", "", "", True),
        ("true", "false", "", False),
        ("false", "true", "", True),
        ("true", "true", "false", False),
        ("false", "false", "true", True),
    ],
)
def test_the_load_checker_is_used_as_the_nearest_option_says(
    files: Files, of_all: str, of_backend: str, of_profile: str, used: bool
) -> None:
    more = f"default-use-load-checker = {of_all}" if of_all else ""
    backend = f"use-load-checker = {of_backend}" if of_backend else ""
    options = {"broker-use-load-checker": of_profile} if of_profile else {}
    assert uses_load_checker(configured(files, backend, more), "inifile", profile(options)) is used
