"""Pages and samples that come from the code are as the code is, and leave nothing out."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from x2gobroker.app import create_app
from x2gobroker.cli import authservice, main, testagent, testauth
from x2gobroker.cli.daemon import program as daemon
from x2gobroker.model.options import format_value
from x2gobroker.model.profile_options import PROFILE_TABLE
from x2gobroker.plugins import GROUPS, installed
from x2gobroker.settings import TABLE

Page = Callable[[str], str]


def own_plugins() -> list[tuple[str, str]]:
    """Group and name of the plug-ins that ship with the broker."""
    return [(plugin.group, plugin.name) for plugin in installed() if plugin.package.split()[0] == "x2gobroker"]


def test_the_files_are_current(root: Path) -> None:
    command = [sys.executable, "docs/generate.py", "--check"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_check_names_what_is_stale(root: Path) -> None:
    """A generator that finds everything current would hold nothing."""
    program = (
        "import runpy, sys; sys.argv = ['generate.py', '--check'];"
        "from x2gobroker.settings import table; table.TABLE[0].__dict__['help'] = 'Something else.';"
        "runpy.run_path('docs/generate.py', run_name='__main__')"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert "docs/reference/options.md: is stale" in result.stdout
    assert "etc/x2gobroker.conf: is stale" in result.stdout


def test_every_option_has_its_entry(page: Page) -> None:
    text = page("options.md")
    for option in TABLE:
        target = re.sub(r"[^a-z0-9]+", "-", option.section.lower()).strip("-")
        heading = f"(option-{target}-{re.sub('[^a-z0-9]+', '-', option.name.lower()).strip('-')})=\n### `{option.name}`"
        entry = text.partition(heading + "\n")[2].partition("\n### ")[0]
        assert option.help in entry, option
        assert (format_value(option.default) or "empty") in entry, option
        assert not option.deprecated or option.deprecated in entry


def test_every_session_profile_option_is_documented(page: Page) -> None:
    text = page("session-profiles.md")
    for option in PROFILE_TABLE:
        assert re.search(rf"^\| `{re.escape(option.name)}` \| .* \|$", text, re.MULTILINE), option


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every program and sub-command with the heading of its section."""
    yield "## `x2gobroker-daemon`", daemon.build_parser()
    yield "## `x2gobroker-authservice`", authservice.build_parser()
    yield "## `x2gobroker-testauth`", testauth.build_parser()
    yield "## `x2gobroker-testagent`", testagent.build_parser()
    administrator = main.build_parser()
    yield "## `x2gobroker`", administrator
    for action in administrator._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, parser in action.choices.items():
                yield f"### `x2gobroker {name}`", parser


def test_every_command_and_option_is_documented(page: Page) -> None:
    text = page("commands.md")
    found = dict(parsers())
    assert len(found) >= 9
    for heading, parser in found.items():
        section = re.split(r"\n##+ ", text.partition(f"\n{heading}\n")[2])[0]
        assert str(parser.description) in section, heading
        for action in parser._actions:
            for name in action.option_strings:
                assert f"`{name}" in section, f"{heading} {name}"


def test_every_entry_point_is_documented(page: Page) -> None:
    text = page("plugins.md")
    plugins = own_plugins()
    assert {group for group, _ in plugins} == set(GROUPS)
    for group, name in plugins:
        section = re.split(r"\n## ", text.partition(f"`{group}`\n")[2])[0]
        assert re.search(rf"^### `{name}`\n\n\S", section, re.MULTILINE), f"{group} {name}"


def test_every_route_is_documented(page: Page, tmp_path: Path) -> None:
    text = page("routes.md")
    app = create_app({"X2GOBROKER_CONFIG": str(tmp_path / "none"), "X2GOBROKER_DEFAULTS": str(tmp_path / "none")})
    own = {name for group, name in own_plugins() if group == "x2gobroker.frontends"}
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.partition(".")[0] in own]
    assert len(rules) > 15
    for rule in rules:
        path = "/" + re.sub(r"<\w+:", "<", rule.rule).strip("/")
        assert f"| `{path}` |" in text, rule.rule


def config_problems(root: Path, config: Path) -> str:
    """What `check-config` says about a file, with exit status 0."""
    program = Path(sys.executable).parent / "x2gobroker"
    profiles = root / "etc/x2gobroker-sessionprofiles.conf"
    command = [str(program), "check-config", "-C", str(config), "--session-profiles", str(profiles)]
    result = subprocess.run(
        command,
        env={"X2GOBROKER_DEFAULTS": "/nowhere", "X2GOBROKER_DAEMON_USER": "root"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("uncommented", [False, True])
def test_the_sample_configuration_is_right(root: Path, tmp_path: Path, uncommented: bool) -> None:
    """As it is, and with every option in it switched on at its default."""
    text = (root / "etc/x2gobroker.conf").read_text(encoding="utf-8")
    if uncommented:
        text, count = re.subn(r"^#([a-z_-]+ =)", r"\1", text, flags=re.MULTILINE)
        assert count > 40
    config = tmp_path / "x2gobroker.conf"
    config.write_text(text, encoding="utf-8")
    said = config_problems(root, config).splitlines()
    # a module of a directory in this host's PAM is none of the sample's
    of_the_sample = [line for line in said if not line.startswith(f"{config}: warning: [authmech_pam] service: ")]
    assert of_the_sample in ([], [f"{config}: no problems found"])


def test_the_sample_defaults_are_right(root: Path, tmp_path: Path) -> None:
    text = (root / "etc/defaults.conf").read_text(encoding="utf-8")
    text, count = re.subn(r"^#([A-Z0-9_]+ =)", r"\1", text, flags=re.MULTILINE)
    assert count > 15
    defaults = tmp_path / "defaults.conf"
    defaults.write_text(text, encoding="utf-8")
    program = Path(sys.executable).parent / "x2gobroker"
    command = [str(program), "check-config", "-C", str(root / "etc/x2gobroker.conf")]
    result = subprocess.run(
        command, env={"X2GOBROKER_DEFAULTS": str(defaults)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert "defaults.conf" not in result.stdout + result.stderr
    assert "environment" not in result.stdout + result.stderr
