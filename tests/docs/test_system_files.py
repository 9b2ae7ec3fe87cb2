"""The files of etc/ for systemd, tmpfiles, logrotate and PAM are right in the eyes of the programs that read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "etc/systemd").iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
INSTALLED = "/usr/lib/x2gobroker/venv/bin/"
FILTER = ROOT / "etc/fail2ban/filter.d/x2gobroker.conf"
PAGE = "docs/how-to/authentication-service.md"


def run(*command: str, **environment: str) -> str:
    """What a program says, both streams; it must succeed."""
    result = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """Copies of the units that start the programs where they are here."""
    copies = []
    for unit in UNITS:
        copy = tmp_path / unit.name
        text = unit.read_text(encoding="utf-8")
        copy.write_text(text.replace(INSTALLED, f"{Path(sys.executable).parent}/"), encoding="utf-8")
        copies.append(copy)
    return copies


def test_systemd_has_no_complaints(units: list[Path], tmp_path: Path) -> None:
    assert len(units) == 5
    # the empty entry at the end: systemd's own units as well
    assert run("systemd-analyze", "verify", *map(str, units), SYSTEMD_UNIT_PATH=f"{tmp_path}:") == ""


def test_systemd_finds_a_mistake(units: list[Path], tmp_path: Path) -> None:
    """So that silence means something."""
    unit = units[0]
    unit.write_text(unit.read_text(encoding="utf-8").replace("NoNewPrivileges=", "NoNewPrivilegs="), encoding="utf-8")
    assert "NoNewPrivilegs" in run("systemd-analyze", "verify", str(unit), SYSTEMD_UNIT_PATH=f"{tmp_path}:")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_the_scores_are_as_documented(unit: Path) -> None:
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    score = re.search(r"exposure level for (\S+): (\d+\.\d)", said)
    assert score, said
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    heading, row = (
        [cell.strip() for cell in re.findall(rf"^\| {begin} \|.*\|$", text, re.MULTILINE)[0].strip("|").split("|")]
        for begin in ("Unit", re.escape(f"`{score[1]}`"))
    )
    version = run("systemd-analyze", "--version").split()[1]  # each has its own opinion
    assert dict(zip(heading, row, strict=True))[f"systemd {version}"] == score[2]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_units_start_programs_that_we_install(unit: Path) -> None:
    programs = re.findall(rf"^ExecStart={INSTALLED}(\S+)", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(programs) == 1
    assert programs[0] in {point.name for point in entry_points(group="console_scripts")}


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_units_are_found_in_the_journal_by_the_name_of_their_program(unit: Path) -> None:
    assert f"\nSyslogIdentifier={unit.stem}\n" in unit.read_text(encoding="utf-8")


def settings_of(unit: Path) -> dict[str, str]:
    """What a unit sets, without its remarks."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_no_unit_of_root_takes_a_folder_of_the_brokers_account(unit: Path) -> None:
    """systemd gives such a folder, and all that is in it, to the user of the unit: systemd.exec(5)."""
    settings = settings_of(unit)
    folders = {name: settings.get(f"{name}Directory", "") for name in ("State", "Logs", "Cache", "Configuration")}
    if settings.get("User", "root") == "root":
        assert not any(folders.values())
    else:
        assert settings["User"] == "x2gobroker"
    assert settings.get("RuntimeDirectory", "") != "x2gobroker", "root's, and sticky: the socket is in it"


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_where_processes_are_forked_memory_may_become_code(unit: Path) -> None:
    """Else libffi keeps callbacks in memory that processes share after a fork, and one calls what another has freed."""
    forks = unit.name != "x2gobroker-loadchecker.service"
    assert "MemoryDenyWriteExecute" not in settings_of(unit) or not forks


def test_the_folder_of_the_socket_is_roots_and_sticky(tmp_path: Path) -> None:
    """So that the broker's account cannot put something else in the place of the socket."""
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", tmp_path / "etc" / name)
    sample = ROOT / "etc/tmpfiles.d/x2gobroker.conf"
    run("systemd-tmpfiles", "--create", f"--root={tmp_path}", str(sample))
    status = (tmp_path / "run/x2gobroker").stat()
    assert status.st_mode & 0o7777 == 0o1770
    assert status.st_uid == 0


def test_sudo_reads_its_files() -> None:
    rules = sorted((ROOT / "etc/sudoers.d").iterdir())
    assert ROOT / "etc/sudoers.d/x2gobroker-ssh" in rules
    for rule in rules:
        assert run("visudo", "--check", "--file", str(rule)).strip() == f"{rule}: parsed OK"
        assert "." not in rule.name, "sudo leaves out such files"


def test_logrotate_reads_its_file() -> None:
    said = run("logrotate", "--debug", "--state", os.devnull, str(ROOT / "etc/logrotate.d/x2gobroker"))
    assert "error" not in said.replace("error.log", "")
    for name in ("access", "broker", "error", "loadchecker"):
        assert f"/var/log/x2gobroker/{name}.log" in said
    assert "authservice.log" not in said, "root writes no log where others may put links"


def test_the_pam_service_has_the_three_phases_of_the_host() -> None:
    text = (ROOT / "etc/pam.d/x2gobroker").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == ["@include common-auth", "@include common-account", "@include common-password"]
    for line in lines:
        assert Path("/etc/pam.d", line.split()[1]).is_file()


def test_the_pam_service_of_desktops_lets_in_and_opens_sessions_as_the_host_does() -> None:
    text = (ROOT / "etc/pam.d/x2gobroker-desktop").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    included = [words[1] for words in lines if words[0] == "@include"]
    assert included == ["common-auth", "common-account", "common-session"]
    modules = {(words[0], words[2]) for words in lines if words[0] != "@include"}
    assert ("account", "pam_nologin.so") in modules
    assert {("session", "pam_limits.so"), ("session", "pam_env.so")} <= modules
    assert not [words for words in lines if words[0] in ("auth", "password")], "nobody is asked for a password"
    shipped = (ROOT / "x2gobroker/samples/etc/pam.d/x2gobroker-desktop").read_text(encoding="utf-8")
    assert shipped == text


def test_the_reasons_that_fail2ban_leaves_out_are_reasons_of_logins() -> None:
    rule = re.search(r"^__harmless = \(\?:(.*)\)$", FILTER.read_text(encoding="utf-8"), re.MULTILINE)
    assert rule
    reasons = (ROOT / "docs/reference/log-messages.md").read_text(encoding="utf-8")
    for reason in rule[1].split("|"):
        assert re.search(f"`{reason}`", reasons), reason


def test_the_jail_reads_the_unit_that_ships() -> None:
    units = re.findall(r"^journalmatch = _SYSTEMD_UNIT=(\S+)$", FILTER.read_text(encoding="utf-8"), re.MULTILINE)
    assert units == ["x2gobroker-daemon.service"]
    assert ROOT / "etc/systemd" / units[0] in UNITS


def test_packages_put_filter_and_jail_in_place_and_take_them_away() -> None:
    given = (ROOT / "debian/pieces/x2gobroker.postinst").read_text(encoding="utf-8")
    taken = (ROOT / "debian/pieces/x2gobroker.postrm").read_text(encoding="utf-8")
    assert "give $SAMPLES/fail2ban/$folder/x2gobroker.conf /etc/fail2ban/$folder/x2gobroker.conf" in given
    for path in (ROOT / "etc/fail2ban").rglob("*.*"):
        if path.is_file():
            assert f" /etc/{path.relative_to(ROOT / 'etc')}" in taken
