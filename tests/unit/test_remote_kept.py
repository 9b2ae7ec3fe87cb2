"""As whom and with what the programs of a desktop run, and what the process that keeps it says when it cannot."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from x2gobroker.remote.keeper import xauthority
from x2gobroker.remote.kept import KEEPER, DesktopError, account_of, environment_of, words_of

DAEMON = pwd.getpwnam("daemon")


@pytest.mark.parametrize(
    ("value", "words"),
    [("xterm -title 'a b'", ["xterm", "-title", "a b"]), (["a b", "$c"], ["a b", "$c"]), ("", []), ([], [])],
)
def test_commands(value: object, words: list[str]) -> None:
    assert words_of(value, "command") == words


@pytest.mark.parametrize("value", [1, None, {}, ["a", 1], ["a\0b"], "a\0b", "'"])
def test_what_is_no_command(value: object) -> None:
    with pytest.raises(ValueError):
        words_of(value, "command")


def test_root_becomes_the_user() -> None:
    found = account_of("daemon")
    assert found is not None
    assert (found["name"], found["uid"], found["gid"]) == ("daemon", DAEMON.pw_uid, DAEMON.pw_gid)
    assert DAEMON.pw_gid in found["groups"]


def test_a_service_that_is_not_root_has_its_own_desktop_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: DAEMON.pw_uid)
    assert account_of("daemon") is None
    with pytest.raises(
        DesktopError, match="the service runs as daemon and cannot start programs of bin: run it as root"
    ):
        account_of("bin")


@pytest.mark.parametrize("name", ["root", "nobody-of-that-name", "", "a\0b"])
def test_who_has_no_desktop(name: str) -> None:
    with pytest.raises(DesktopError):
        account_of(name)


def test_nothing_of_the_service_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X2GOBROKER_REMOTE_VNCPASSWORD", "secret")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    found = environment_of("daemon", {"MINE": "1"})
    assert found["HOME"] == DAEMON.pw_dir
    assert (found["USER"], found["LOGNAME"], found["LANG"], found["MINE"]) == ("daemon", "daemon", "de_DE.UTF-8", "1")
    assert set(found) <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "MINE"}


def test_an_entry_of_an_xauthority_file_is_as_xauth_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "xauthority"
    path.write_bytes(xauthority("7", bytes(range(16))))
    argv = ["xauth", "-f", str(path), "list"]
    listed = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout.split()
    assert listed[-2:] == ["MIT-MAGIC-COOKIE-1", bytes(range(16)).hex()]
    assert listed[0].endswith(":7")


def test_a_keeper_without_its_folder_says_so(tmp_path: Path) -> None:
    plan: dict[str, Any] = {
        "folder": str(tmp_path / "gone"),
        "socket": str(tmp_path / "vnc"),
        "seconds": 5,
        "user": None,
        "holds": [],
    }
    argv = [sys.executable, "-I", "-S", str(KEEPER)]
    done = subprocess.run(argv, input=json.dumps(plan).encode(), capture_output=True, timeout=30, check=True)
    answer = json.loads(done.stdout)
    assert answer["outcome"] == "failed"
    assert "No such file or directory" in answer["reason"]
