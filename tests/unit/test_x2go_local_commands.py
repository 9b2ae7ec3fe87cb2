"""Programs on the user's machine: argument lists, no shell, files that go when nobody looks at them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from x2gobroker.x2go.local import programs as local_commands
from x2gobroker.x2go.local.programs import CommandError, keep, run_to_end, show, shown_files, split_command, tidy
from x2gobroker.x2go.local.spool_files import PrivateCopy, private_copy


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PrivateCopy:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "job").write_bytes(b"content")
    return private_copy(str(tmp_path / "job"), "title $(touch made)", ".pdf")


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_commands, "KEEP_SECONDS", 0.0)


def _script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


def _left() -> list[str]:
    tidy()
    return shown_files()


def _unexpected(reason: str) -> None:
    raise AssertionError(reason)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("lpr", ["lpr"]),
        ("lpr -P 'my printer' -#2", ["lpr", "-P", "my printer", "-#2"]),
        ("evince; rm -rf $HOME", ["evince;", "rm", "-rf", "$HOME"]),
    ],
)
def test_commands_are_split_without_a_shell(command: str, words: list[str]) -> None:
    assert split_command(command) == words


def test_a_program_with_a_blank_in_its_path_is_one_word(tmp_path: Path) -> None:
    program = _script(tmp_path / "my viewer", "exit 0")
    assert split_command(program) == [program]


@pytest.mark.parametrize("command", ["", "  ", "lpr 'x"])
def test_what_is_no_command(command: str) -> None:
    with pytest.raises(CommandError):
        split_command(command)


def test_the_message_of_a_failure(tmp_path: Path) -> None:
    program = _script(tmp_path / "fails", 'printf "no such\\033[2J printer\\n" >&2; exit 3')
    with pytest.raises(CommandError, match=r"/fails ended with status 3: no such \[2J printer$"):
        run_to_end([program])
    with pytest.raises(CommandError, match="nothing-here cannot be started: No such file"):
        run_to_end(["/nothing-here"])
    with pytest.raises(CommandError, match="ended by signal 9"):
        run_to_end([_script(tmp_path / "killed", "kill -9 $$")])


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(CommandError, match=r"not done after 0\.5 seconds"):
        run_to_end([_script(tmp_path / "hangs", f"echo $$ >{pid}; exec sleep 60")], seconds=0.5)
    assert not os.path.exists(f"/proc/{pid.read_text().strip()}")


@pytest.mark.usefixtures("no_delay")
def test_a_file_stays_while_its_program_runs(tmp_path: Path, copy: PrivateCopy) -> None:
    program = _script(tmp_path / "viewer", f'cat "$1" >{tmp_path}/seen; read x <{tmp_path}/end')
    os.mkfifo(tmp_path / "end")
    show([program], copy, _unexpected)
    tidy()
    assert shown_files() == [copy.path]
    wait_until(lambda: (tmp_path / "seen").exists(), "the viewer reading its file")
    (tmp_path / "end").write_bytes(b"\n")
    wait_until(lambda: not _left(), "the file removed")
    assert (tmp_path / "seen").read_bytes() == b"content"
    assert not os.path.exists(copy.folder)
    assert not (tmp_path / "made").exists()


def test_a_file_stays_for_a_while_after_its_program(copy: PrivateCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_commands, "KEEP_SECONDS", 0.5)
    begin = time.monotonic()
    show(["true"], copy, _unexpected)
    wait_until(lambda: not _left(), "the file removed")
    assert time.monotonic() - begin >= 0.5
    assert not os.path.exists(copy.folder)


def test_a_program_that_fails_at_once_or_is_missing(copy: PrivateCopy, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="false ended with status 1"):
        show(["false"], copy, _unexpected)
    again = private_copy(str(tmp_path / "job"), "title", ".pdf")
    with pytest.raises(CommandError, match="cannot be started"):
        show([str(tmp_path / "nothing")], again, _unexpected)
    assert not shown_files()
    assert [path.name for path in tmp_path.iterdir()] == ["job"]


def test_a_program_that_fails_later_is_told_of(copy: PrivateCopy, tmp_path: Path) -> None:
    reasons: list[str] = []
    os.mkfifo(tmp_path / "end")
    show([_script(tmp_path / "viewer", f"read x <{tmp_path}/end; exit 4")], copy, reasons.append)
    (tmp_path / "end").write_bytes(b"\n")
    wait_until(lambda: not _left(), "the failure told")
    assert reasons == [f"{tmp_path}/viewer ended with status 4."]
    assert not os.path.exists(copy.folder)


def test_a_file_kept_without_a_program(copy: PrivateCopy) -> None:
    keep(copy, 60)
    tidy()
    assert shown_files() == [copy.path]
    local_commands._remove_all()
    assert not os.path.exists(copy.folder)
    local_commands._shown.clear()
