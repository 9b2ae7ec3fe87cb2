"""`x2gobroker demo`: the files it prepares."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from x2gobroker.auth.htpasswd import read_users
from x2gobroker.auth.passwords import verify_password
from x2gobroker.cli.admin import demo_desktop
from x2gobroker.cli.admin.demo import USER, prepare
from x2gobroker.cli.main import main
from x2gobroker.remote.types import read_types_trusted
from x2gobroker.settings import SettingsSource


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_its_password_is_the_right_one_for_its_user(tmp_path: Path) -> None:
    password = prepare(tmp_path / "demo")
    assert len(password) >= 10
    assert verify_password(password, read_users(tmp_path / "demo" / "users")[USER])


def test_its_configuration_has_no_problems_and_serves_zeroconf_by_password(tmp_path: Path) -> None:
    prepare(tmp_path)
    variables = {"X2GOBROKER_CONFIG": str(tmp_path / "x2gobroker.conf"), "X2GOBROKER_DEFAULTS": str(tmp_path / "none")}
    source = SettingsSource(variables)
    settings = source.current()
    assert (source.faults, settings.problems) == ((), ())
    assert settings.backend_enabled("zeroconf")
    assert not settings.backend_enabled("inifile")
    assert settings.for_backend("zeroconf", "auth-mech") == "htpasswd"
    assert settings.path("global", "cookie-directory") == tmp_path / "state"
    assert settings.path("authmech_htpasswd", "file") == tmp_path / "users"


def test_another_start_keeps_the_password(tmp_path: Path) -> None:
    assert prepare(tmp_path) == prepare(tmp_path)


@pytest.mark.parametrize("lost", ["password", "users"])
def test_what_was_lost_is_made_anew_and_fits(tmp_path: Path, lost: str) -> None:
    before = prepare(tmp_path)
    (tmp_path / lost).unlink()
    after = prepare(tmp_path)
    assert after != before
    assert verify_password(after, read_users(tmp_path / "users")[USER])


def test_nobody_else_can_read_the_password(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    prepare(folder)
    assert mode(folder) == 0o700
    assert mode(folder / "password") == 0o600


def test_a_folder_that_cannot_be_written_is_status_1_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert main(["demo", "--folder", str(tmp_path / "file" / "demo")]) == 1
    assert "choose another --folder" in capsys.readouterr().err


def test_its_desktop_is_a_session_type_without_faults(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    desktop = demo_desktop.plan(folder, 8080)
    prepare(folder, desktop)
    found = read_types_trusted(desktop.types, {os.geteuid(), 0})
    assert found.problems == ()
    assert list(found.types) == [demo_desktop.TYPE]
    variables = {"X2GOBROKER_CONFIG": str(folder / "x2gobroker.conf"), "X2GOBROKER_DEFAULTS": str(tmp_path / "none")}
    settings = SettingsSource(variables, desktop.variables).current()
    assert settings.problems == ()
    assert settings.boolean("global", "enable-portal")
    assert (
        settings.text("global", "remote-websocket-url") == f"ws://{settings.text('global', 'remote-listen')}/websockify"
    )
    assert settings.value("global", "remote-origins") == ("http://127.0.0.1:8080", "http://localhost:8080")


def test_without_xvnc_the_portal_is_there_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo_desktop.missing() == ["tigervnc-standalone-server", "xterm"]
    prepare(tmp_path)
    config = (tmp_path / "x2gobroker.conf").read_text()
    assert "enable-portal = true" in config
    assert "remote-session-config" not in config


@pytest.mark.parametrize(
    ("uid", "sudo", "who"),
    [
        (0, "", "nobody"),
        (0, "root", "nobody"),
        (0, "no such user", "nobody"),
        (0, "daemon", "daemon"),
        (1, "root", "daemon"),
    ],
)
def test_root_has_no_desktop_in_the_demo(monkeypatch: pytest.MonkeyPatch, uid: int, sudo: str, who: str) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setenv("SUDO_USER", sudo)
    assert demo_desktop.account() == who
