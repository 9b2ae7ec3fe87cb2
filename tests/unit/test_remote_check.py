"""What `check-config` says of session types."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import pam_service
from tests.support.remote_types import one_type, write_types
from tests.unit.configured import Files
from x2gobroker.cli.admin.check_config import find_problems
from x2gobroker.remote import kept
from x2gobroker.remote.check import NO_SOUND, remote_problems, try_script, unlimited
from x2gobroker.remote.kept import no_service
from x2gobroker.remote.loader import realize
from x2gobroker.remote.sound.server import NO_RECORDER, NO_SERVER
from x2gobroker.remote.types import SessionType

# whether this host has the PAM service is another matter
RIGHT: dict[str, Any] = {"script": "tigervnc.py", "count": 2, "pam-service": ""}


@pytest.fixture(autouse=True)
def _vnc_server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this host has one is another matter, too: none is started."""
    program = tmp_path_factory.mktemp("programs") / "Xvnc"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def problems(files: Files, path: Path) -> list[str]:
    """What is wrong, by the configuration that names this file."""
    return [str(problem) for problem in remote_problems(files.write(f"[global]\nremote-session-config = {path}\n"))]


def test_without_a_file_nothing_is_wrong(files: Files) -> None:
    assert remote_problems(files.write("")) == []


@pytest.mark.parametrize(
    ("password", "is_told"),
    [("Vnc-pw-1", False), ("Vnc-pw-12", True), ("p\u00e4ssw\u00f6rd", True), ("p\u00e4ssw\u00f6", False)],
)
def test_a_password_of_which_vnc_knows_a_part_only_is_told(files: Files, password: str, is_told: bool) -> None:
    """With the one that counts everybody gets in who knows its beginning."""
    files.write(f"[global]\nremote-vnc-password = {password}\n")
    told = [problem for problem in find_problems(files.source) if "remote-vnc-password" in problem.message]
    assert [problem.error for problem in told] == ([False] if is_told else [])
    for problem in told:
        assert "longer than 8 bytes" in problem.message
        assert password not in str(problem)


def test_a_file_that_is_not_there(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "types.json"
    said = f"{path}: error: does not exist; remote-session-config names it: write it, or leave the option empty"
    assert problems(files, path) == [said]


def test_a_file_that_is_no_json(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "types.json"
    path.write_text('{\n"Desk" {}', encoding="utf-8")
    assert problems(files, path) == [f"{path}:2: error: is no JSON: Expecting ':' delimiter (column 8)"]


@pytest.mark.parametrize("fault", ["mode", "owner", "folder"])
def test_a_file_that_somebody_else_can_write_is_an_error(files: Files, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "types"
    folder.mkdir()
    path = write_types(folder, {"Desk": RIGHT})
    if fault == "mode":
        path.chmod(0o666)
    elif fault == "owner":
        os.chown(path, 4711, -1)
    else:
        folder.chmod(0o777)
    (said,) = problems(files, path)
    place = folder if fault == "folder" else path
    expected = "belongs to the user with the number 4711" if fault == "owner" else "can be written by others"
    assert said.startswith(f"{path}: error: is not to be trusted: {place} {expected}")
    assert try_script(path, "Desk") in said


def test_everything_that_is_wrong_is_said_once(files: Files, tmp_path: Path) -> None:
    found = {"Desk": RIGHT, "Broken": {"script": "broken.py", "count": 1}, "Slip": {**RIGHT, "count": "x"}}
    path = write_types(tmp_path, found, broken="print('hello')\nraise OSError('no disk')")
    assert problems(files, path) == [
        f"{path}:13: error: session type 'Slip': count must be a whole number",
        f"{path}:8: error: session type 'Broken': script {tmp_path}/broken.py does not load: OSError: no disk (line 2)",
    ]


def test_desktops_that_nothing_limits_are_named(files: Files, tmp_path: Path) -> None:
    types = {
        "Desk": RIGHT,
        "Small": {**RIGHT, "memory-megabytes": 512},
        "Other": {**RIGHT, "memory-megabytes": 0, "tasks": 0},
        "Shown": {**RIGHT, "script": "x11vnc.py"},
    }
    path = write_types(tmp_path, types)
    said = unlimited(files.write(f"[global]\nremote-session-config = {path}\n"))
    assert "session types Desk, Other. " in said
    path.unlink()
    assert unlimited(files.source.current()) == ""
    path.write_text("nonsense")
    assert unlimited(files.source.current()) == ""
    assert unlimited(files.write("")) == ""


def test_the_command_finds_them(files: Files, tmp_path: Path) -> None:
    path = write_types(tmp_path, {"Desk": {**RIGHT, "script": "none.py"}})
    files.write(f"[global]\nremote-session-config = {path}\n")
    found = [problem.message for problem in find_problems(files.source) if problem.path == str(path)]
    assert found == [
        f"session type 'Desk': script none.py is not in {tmp_path}, and none of that name ships: put it there"
    ]


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        ("tigervnc.py", {"command": 1}, "the option command must be a command: a text, or a list of texts"),
        ("tigervnc.py", {"command": "xterm -title 'a"}, "No closing quotation"),
        ("x11vnc.py", {"display": "0"}, "the option display must be such as :0, and is '0'"),
        ("x11vnc.py", {"display": [":1"]}, "the option display must have 2 items, as count says"),
        ("x11vnc.py", {"host": "-oProxyCommand=x"}, "'-oProxyCommand=x' is no name of a host or an account"),
        ("x11vnc.py", {"account": "a b"}, "'a b' is no name of a host or an account"),
        ("x11vnc.py", {"display": [":1", ":2"], "host": ["n1", "n2"], "account": "gfx"}, ""),
        ("tigervnc.py", {"command": "env 'TITLE=a b' sh"}, ""),
    ],
)
def test_options_of_the_scripts_that_ship(tmp_path: Path, script: str, options: dict[str, Any], said: str) -> None:
    path = write_types(tmp_path, {"Desk": {**RIGHT, "script": script, "options": options}})
    found = try_script(path, "Desk")
    assert said in found
    assert bool(said) == bool(found)


def test_a_pam_service_that_is_missing_is_told(tmp_path: Path) -> None:
    """Without it, libpam would take another one, which lets nobody in."""
    missing = write_types(tmp_path, {"Desk": {**RIGHT, "pam-service": "no-such-service"}})
    assert try_script(missing, "Desk") == (
        'pam-service: there is no file no-such-service in /etc/pam.d: put it there, or write "pam-service": ""'
    )
    with pam_service("desktop", "account required pam_permit.so\n") as service:
        assert try_script(write_types(tmp_path, {"Desk": {**RIGHT, "pam-service": service}}), "Desk") == ""
        shown = write_types(tmp_path, {"Desk": {**RIGHT, "script": "x11vnc.py", "pam-service": "no-such-service"}})
        assert try_script(shown, "Desk") == ""  # it opens no session


def test_the_usual_pam_service_is_told_how_to_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "run `x2gobroker remote setup`, which puts x2gobroker-desktop there" in no_service("x2gobroker-desktop")
    monkeypatch.setattr(kept, "_has_libpam", lambda: False)
    with pam_service("desktop", "account required pam_permit.so\n") as service:
        script = realize(one_type(tmp_path, "tigervnc.py"), 0)
        script._pam_service = service
        assert [fault for fault in script.check() if "pam" in fault] == [
            'pam-service: libpam.so.0 is not there: install libpam0g, or write "pam-service": ""'
        ]


def test_what_is_missing_for_sound_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setattr("x2gobroker.remote.scripts.tigervnc.SYSTEM_PATH", str(programs))
    monkeypatch.setattr("x2gobroker.remote.kept.SYSTEM_PATH", str(programs))
    kind = replace(one_type(tmp_path, "tigervnc.py"), pam_service="", sound="out")

    def said() -> list[str]:
        return [fault for fault in realize(kind, 0, module=module).check() if "sound" in fault]

    module = import_module("x2gobroker.remote.scripts.tigervnc")
    assert said() == [NO_RECORDER, NO_SERVER]
    for name in ("parec", "pipewire-pulse"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    assert said() == []
    (programs / "pipewire-pulse").rename(programs / "pulseaudio")
    assert said() == []
    kind = replace(kind, sound="none")
    (programs / "parec").unlink()
    assert said() == []


def test_sound_of_a_script_that_has_none_is_told(tmp_path: Path) -> None:
    wanted = write_types(tmp_path, {"Desk": {**RIGHT, "script": "x11vnc.py", "sound": "out"}})
    assert try_script(wanted, "Desk") == NO_SOUND


@pytest.mark.parametrize("script", ["tigervnc.py", "x11vnc.py"])
@pytest.mark.parametrize(
    ("booted", "controllers", "handed_down", "lacking", "to_do"),
    [
        (True, "cpuset cpu io memory pids", "", "", ""),
        (True, "cpuset cpu pids", "", "memory-megabytes: ", "unified_cgroup_hierarchy=1 cgroup_enable=memory"),
        (True, "", "", "memory-megabytes, tasks, cpu-percent: ", "systemd.unified_cgroup_hierarchy=1"),
        (True, None, None, "memory-megabytes, tasks, cpu-percent: ", "systemd.unified_cgroup_hierarchy=1"),
        (False, "cpu memory pids", "cpu memory pids", "", ""),
        (False, "cpu memory pids", "memory", "tasks, cpu-percent: ", "cgroup.subtree_control"),
        (False, None, None, "memory-megabytes, tasks, cpu-percent: ", "cgroup.subtree_control"),
    ],
)
def test_limits_that_this_host_cannot_keep_are_told_before_somebody_starts_a_desktop(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    booted: bool,
    controllers: str | None,
    handed_down: str | None,
    lacking: str,
    to_do: str,
) -> None:
    root = tmp_path / "cgroup"
    root.mkdir()
    if controllers is not None:
        (root / "cgroup.controllers").write_text(f"{controllers}\n", encoding="ascii")
        (root / "cgroup.subtree_control").write_text(f"{handed_down}\n", encoding="ascii")
    module = import_module(f"x2gobroker.remote.scripts.{script.removesuffix('.py')}")
    monkeypatch.setattr(kept, "cgroup_root", lambda: root if controllers is not None else None)
    monkeypatch.setattr(kept, "SYSTEMD", tmp_path if booted else tmp_path / "not there")
    kind = replace(one_type(tmp_path, script), pam_service="")

    def said(kind: SessionType) -> str:
        return "".join(fault for fault in realize(kind, 0, module=module).check() if "control groups" in fault)

    assert said(kind) == ""
    found = said(replace(kind, memory_megabytes=512, tasks=99, cpu_percent=150))
    assert found.startswith(lacking)
    assert to_do in found
    assert bool(found) == bool(lacking)
    assert ("tasks" in said(replace(kind, tasks=99))) == ("tasks" in lacking)


def test_a_script_that_sleeps_is_ended(tmp_path: Path) -> None:
    path = write_types(tmp_path, {"Desk": {"script": "sleepy.py", "count": 1}}, sleepy="import time\ntime.sleep(600)")
    began = time.monotonic()
    assert try_script(path, "Desk", 2).startswith("the script takes longer than 2 s to load")
    assert time.monotonic() - began < 20


def test_a_script_that_ends_python_is_told(tmp_path: Path) -> None:
    path = write_types(tmp_path, {"Desk": {"script": "rude.py", "count": 1}}, rude="import os\nos._exit(7)")
    assert try_script(path, "Desk") == "the script ended Python, with status 7"


def test_a_type_that_is_gone_is_told(tmp_path: Path) -> None:
    assert try_script(write_types(tmp_path, {}), "Desk") == "the session type is gone from the file"


def test_nothing_is_imported_from_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x2gobroker").mkdir()
    (tmp_path / "x2gobroker" / "__init__.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert try_script(write_types(tmp_path, {"Desk": RIGHT}), "Desk") == ""
    assert not (tmp_path / "was-run").exists()


def test_python_that_cannot_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    path = write_types(tmp_path, {"Desk": RIGHT})
    assert try_script(path, "Desk") == f"the script cannot be tried: {os.strerror(2)}"
