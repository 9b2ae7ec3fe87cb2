"""As whom and with what the programs of a desktop run, and what the process that keeps it says when it cannot."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from x2gobroker.remote import display, kept
from x2gobroker.remote.display import display_words, xauthority
from x2gobroker.remote.hold import cgroup_root, own_cgroup
from x2gobroker.remote.kept import KEEPER, DesktopError, account_of, environment_of, scope_for, words_of
from x2gobroker.remote.limits import Limits
from x2gobroker.remote.uses import Use

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
        "limits": [0, 0, 0],
    }
    argv = [sys.executable, "-I", "-S", str(KEEPER)]
    done = subprocess.run(argv, input=json.dumps(plan).encode(), capture_output=True, timeout=30, check=True)
    answer = json.loads(done.stdout)
    assert answer["outcome"] == "failed"
    assert "No such file or directory" in answer["reason"]


def test_limits_are_a_scope_of_systemd_where_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = Use(tmp_path / "abc-0.12")
    monkeypatch.setattr(kept, "SYSTEMD", tmp_path)
    assert scope_for(use, Limits()) == []
    words = ["systemd-run", "--scope", "--quiet", "--collect", "--unit=x2gobroker-desktop-abc-0.12"]
    assert scope_for(use, Limits(512)) == [*words, "--property=MemoryMax=512M", "--"]
    most = ["--property=MemoryMax=512M", "--property=TasksMax=99", "--property=CPUQuota=150%"]
    assert scope_for(use, Limits(512, 99, 150)) == [*words, *most, "--"]
    monkeypatch.setattr(kept, "SYSTEMD", tmp_path / "not there")
    assert scope_for(use, Limits(512, 99)) == []


@pytest.mark.parametrize(
    ("name", "mask", "killed"), [("ShdPnd", 0x100, True), ("SigPnd", 0x180, True), ("SigPnd", 0xFE, False)]
)
def test_a_process_that_was_killed_and_waits_for_a_disk_is_nobodys_business(
    tmp_path: Path, name: str, mask: int, killed: bool
) -> None:
    """A user with a file system of the user's own can keep a dead process for ever."""
    (tmp_path / "4711").mkdir()
    (tmp_path / "4711/environ").write_bytes(b"HOME=/\0MARK=1\0")
    (tmp_path / "4711/status").write_text(f"Name:\tx\n{name}:\t{mask:016x}\n", encoding="ascii")
    assert kept._marked(b"MARK=1", tmp_path) == ([] if killed else [4711])


@pytest.mark.parametrize("end", ["\x85", "\u2028"])
def test_a_process_that_names_itself_as_one_that_was_killed_is_not_left_out(tmp_path: Path, end: str) -> None:
    (tmp_path / "4711").mkdir()
    (tmp_path / "4711/environ").write_bytes(b"MARK=1\0")
    status = f"Name:\t{end}SigPnd: 100\nSigPnd:\t{0:016x}\n"
    (tmp_path / "4711/status").write_text(status, encoding="utf-8")
    assert kept._marked(b"MARK=1", tmp_path) == [4711]


def test_xvnc_finds_a_display_by_itself_until_the_usual_ones_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a socket, it looks no further than 99."""
    monkeypatch.setattr(display, "display_is_taken", lambda number: number < 99)
    assert display_words(100) == []
    monkeypatch.setattr(display, "display_is_taken", lambda number: number < 103)
    assert display_words(100) == [":103"]


@pytest.mark.parametrize(
    ("own", "root", "found"),
    [
        ("0::/system.slice/x2gobroker-remote.service", "/", "/sys/fs/cgroup/system.slice/x2gobroker-remote.service"),
        ("1:name=systemd:/\n0::/", "/", "/sys/fs/cgroup"),
        ("0::/docker/abc/one", "/docker/abc", "/sys/fs/cgroup/one"),
        ("0::/docker/abc", "/docker/other", None),
        ("0::/../other", "/", None),
        ("4:memory:/", "/", None),
    ],
)
def test_the_control_group_of_the_service_is_found(tmp_path: Path, own: str, root: str, found: str | None) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(f"{own}\n", encoding="ascii")
    mounts = f"22 1 0:20 / /proc rw - proc proc rw\n30 22 0:26 {root} /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n"
    (tmp_path / "self/mountinfo").write_text(mounts, encoding="ascii")
    assert own_cgroup(tmp_path) == (None if found is None else Path(found))
    assert cgroup_root(tmp_path) == (None if found is None else Path("/sys/fs/cgroup"))


@pytest.mark.parametrize("end", ["\r", "\x0c", "\x85", "\u2028"])
def test_a_user_s_mount_moves_the_control_group_nowhere(tmp_path: Path, end: str) -> None:
    """Users mount file systems of their own, at places with any name."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/one\n", encoding="ascii")
    place = f"/home/anna/x{end}-{end}cgroup2"
    lines = (f"40 1 0:50 / {place} rw - fuse x rw", "30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw", "")
    (tmp_path / "self/mountinfo").write_bytes("\n".join(lines).encode())
    assert own_cgroup(tmp_path) == Path("/sys/fs/cgroup/one")


class Kept(kept.KeptDesktop):
    """One whose keeper is a process of the test."""

    def plan(self, size: str, arguments: object) -> dict[str, Any]:
        """Nothing is started here."""
        raise NotImplementedError


@pytest.mark.parametrize("notes", [True, False])
def test_the_word_that_a_keeper_leaves_is_waited_for_while_it_lives(tmp_path: Path, notes: bool) -> None:
    """Its VNC server is gone a moment before it says why; on a host without memory that moment is long."""
    script = Kept("Desk")
    script._state_folder = tmp_path
    use = script._uses.fresh()
    leave_word = f"echo it ran out of memory >{use.folder}/ended; exec sleep 30" if notes else ":"
    with subprocess.Popen(["sh", "-c", f"sleep 0.5; {leave_word}"]) as keeper:
        began = int(Path(f"/proc/{keeper.pid}/stat").read_text().rpartition(")")[2].split()[19])
        state = {"pid": keeper.pid, "began": began, "socket": str(tmp_path / "gone"), "cgroup": ""}
        (use.folder / "state.json").write_text(json.dumps(state), encoding="ascii")
        assert not script.poll()
        started = time.monotonic()
        assert script.ended_why() == ("it ran out of memory\n" if notes else "")
        assert time.monotonic() - started < 2
        keeper.kill()
