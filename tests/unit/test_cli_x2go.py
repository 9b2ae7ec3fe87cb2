"""`x2gobroker x2go`: the command line, and what is made of it. Real servers: tests/integration/test_x2go_command.py."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from x2gobroker.cli.main import build_parser, main
from x2gobroker.cli.x2go import output
from x2gobroker.cli.x2go.connect import read_password
from x2gobroker.cli.x2go.options import LINKS, PACK, CommandError
from x2gobroker.cli.x2go.show import _which
from x2gobroker.cli.x2go.target import Target, keyboard_params, read_target
from x2gobroker.x2go import defaults
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.params import FORMS

NAME = "anna-50-1795167317_stRxterm_dp24"
OTHER = "anna-51-1795167318_stDXFCE_dp24"
COOKIE = "c00c1e" * 5 + "aa"


def parsed(*words: str) -> argparse.Namespace:
    """The options of a command line."""
    return build_parser().parse_args(["x2go", *words])


def target(*words: str) -> Target:
    """Where a command line leads."""
    return read_target(parsed(*words))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is said of a command line that cannot be understood: the last line."""
    with pytest.raises(SystemExit) as ended:
        read_target(parsed(*words))
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def info(name: str = NAME, state: str = "R", created: str = "2026-11-20T09:35:17") -> X2GoServerSessionInfo:
    """A session as a server lists it."""
    made = X2GoServerSessionInfo()
    display = name.split("-")[1]
    line = f"14864|{name}|{display}|ts01|{state}|{created}|{COOKIE}|127.0.0.1|38091|38092|2026-11-20T09:36:12|anna|57"
    made._parse_x2golistsessions_line(f"{line}|38093|-1|-1")
    return made


# ---------------------------------------------------------------- the command line


def test_nothing_of_the_library_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, x2gobroker.cli.main; print([name for name in sys.modules if name.startswith('x2gobroker.x2go')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_words_are_those_of_the_library() -> None:
    assert LINKS == defaults.LINKS
    assert PACK.pattern == FORMS["pack"][0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("anna@ts01",), ("anna", "ts01", 22)),
        (("anna@ts01:2222",), ("anna", "ts01", 2222)),
        (("ts01", "-u", "anna", "-p", "2222"), ("anna", "ts01", 2222)),
        (("otto@ts01:22", "--user", "anna", "--port", "2222"), ("anna", "ts01", 2222)),
        (("anna@[2001:db8::1]:2222",), ("anna", "2001:db8::1", 2222)),
        (("anna@2001:db8::1",), ("anna", "2001:db8::1", 22)),
        (("anna@example.org@ts01",), ("anna@example.org", "ts01", 22)),
    ],
)
def test_where_and_as_whom(words: tuple[str, ...], expected: tuple[str, str, int]) -> None:
    found = target("list", *words)
    assert (found.user, found.host, found.port) == expected


def test_without_a_user_it_is_whoever_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "otto")
    assert target("list", "ts01").user == "otto"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list",), "name the server"),
        (("list", "anna@"), "a part is missing"),
        (("list", "@ts01"), "a part is missing"),
        (("list", "ts01:0"), "is not a port"),
        (("list", "ts 01"), "neither a host name nor an IP address"),
        (("list", "ts01", "-p", "ssh"), "is not a port"),
        (("list", "ts01", "ts02"), "unrecognized arguments: ts02"),
        (("list", "ts01", "--password", "x"), "unrecognized arguments: --password x"),
        (("suspend", "ts01", NAME, "--bogus", "x"), "unrecognized arguments: --bogus"),
        (("list", "ts01", "--proxy", "a@b@"), "--proxy"),
        (("list", "ts01", "--proxy-password-file", "f"), "is for --proxy"),
        (("suspend", "ts01"), "name the sessions, or say --all"),
        (("suspend", "ts01", NAME, "--all"), "name the sessions, or say --all"),
        (("resume", "ts01", NAME, OTHER), "one session at a time"),
        (("start", "ts01", "--geometry", "big"), "is not a size"),
        (("start", "ts01", "--link", "fast"), "invalid choice"),
        (("start", "ts01", "--pack", "16m;x"), "is not like 16m-jpeg-9"),
        (("start", "ts01", "--keyboard", "$(x)"), "is not a layout"),
        (("start", "ts01", "--dpi", "1"), "is not a number like 96"),
        (("start", "ts01", "--wait", "--detach"), "not allowed with"),
        (("start", "ts01", "--full-access"), "is for --view"),
        (("start", "ts01", "--view", "otto@:50", "--command", "x"), "runs already"),
        ((), "required: ACTION"),
    ],
)
def test_what_cannot_be_understood(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, *words)


@pytest.mark.parametrize("words", [(NAME, OTHER, "--json"), ("--json", NAME, OTHER), (NAME, "--json", OTHER)])
def test_names_of_sessions_stand_where_they_like(words: tuple[str, ...]) -> None:
    options = parsed("suspend", "ts01", *words)
    assert read_target(options).host == "ts01"
    assert (options.names, options.json) == ([NAME, OTHER], True)


def test_a_session_as_it_is_asked_for(tmp_path: Path) -> None:
    words = ("--command", "xterm -ls", "--geometry", "fullscreen", "--link", "lan", "--pack", "4k-jpeg", "--dpi", "96")
    more = ("--keyboard", "de/neo", "--clipboard", "none", "--type", "desktop", "--share", str(tmp_path), "--sound")
    found = target("start", "ts01", *words, *more, "--print")
    expected = {
        "cmd": "xterm -ls",
        "geometry": "fullscreen",
        "link": "lan",
        "pack": "4k-jpeg",
        "dpi": "96",
        "kbtype": "pc105/de",
        "kblayout": "de",
        "kbvariant": "neo",
        "clipboard": "none",
        "session_type": "desktop",
        "snd_system": "pulse",
        "printing": True,
        "allow_share_local_folders": True,
    }
    assert {name: found.params[name] for name in expected} == expected
    assert found.folders == [str(tmp_path)]


def test_without_options_there_is_no_sound_and_nothing_is_shared() -> None:
    params = target("start", "ts01").params
    assert (params["snd_system"], params["printing"], params["allow_share_local_folders"]) == ("none", False, False)
    assert "geometry" not in params


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", ("auto", "null", "null")),
        ("none", ("null/null", "null", "null")),
        ("de", ("pc105/de", "de", "null")),
        ("us,de/intl", ("pc105/us", "us,de", "intl")),
    ],
)
def test_keyboards(text: str, expected: tuple[str, str, str]) -> None:
    params = keyboard_params(text)
    assert (params["kbtype"], params["kblayout"], params["kbvariant"]) == expected


def test_keys_that_are_given_are_the_only_ones(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("")
    params = target("list", "ts01", "-i", str(key), "--proxy", "jump@gate:2222").params
    assert (params["key_filename"], params["look_for_keys"], params["allow_agent"]) == ([str(key)], False, False)
    assert params["sshproxy_key_filename"] == [str(key)]
    assert (params["sshproxy_user"], params["sshproxy_host"], params["sshproxy_port"]) == ("jump", "gate", 2222)
    assert target("list", "ts01").params["look_for_keys"] is True
    params = target("list", "ts01", "--agent").params
    assert (params["look_for_keys"], params["allow_agent"]) == (False, True)
    assert target("list", "ts01", "--password-file", "f").params["look_for_keys"] is False
    with pytest.raises(CommandError, match="is not there"):
        target("list", "ts01", "-i", str(tmp_path / "none"))


def test_a_folder_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"the folder .* is not there"):
        target("start", "ts01", "--share", str(tmp_path / "none"))


# ---------------------------------------------------------------- session profiles

PROFILES = """\
[20261121]
name=work
host=ts01.example.org,ts02.example.org
sshport=2222
user=anna
command=XFCE
rootless=false
fullscreen=false
width=1200
height=900
sound=true
usesshproxy=true
sshproxyhost=gate.example.org
autostart=true
"""


@pytest.fixture
def sessions(tmp_path: Path) -> str:
    """A file with one session profile."""
    path = tmp_path / "sessions"
    path.write_text(PROFILES)
    return str(path)


def test_a_profile_says_everything(sessions: str) -> None:
    found = target("start", "--profile", "work", "--sessions-file", sessions)
    assert (found.user, found.host, found.port, found.profile) == ("anna", "ts01.example.org", 2222, "work")
    params = found.params
    assert (params["cmd"], params["session_type"], params["geometry"]) == ("XFCE", "desktop", "1200x900")
    assert (params["snd_system"], params["use_sshproxy"], params["sshproxy_host"]) == (
        "pulse",
        True,
        "gate.example.org",
    )
    assert "auto_start_or_resume" not in params


def test_options_are_stronger_than_a_profile(sessions: str) -> None:
    words = ("--profile", "20261121", "--sessions-file", sessions, "-u", "otto", "--command", "xterm")
    found = target("start", "otto@ts03:22", *words, "--geometry", "640x480")
    assert (found.user, found.host, found.port) == ("otto", "ts03", 22)
    assert (found.params["cmd"], found.params["geometry"]) == ("xterm", "640x480")


def test_with_a_profile_words_are_sessions(sessions: str) -> None:
    options = parsed("suspend", "--profile", "work", "--sessions-file", sessions, NAME)
    assert (read_target(options).host, options.names) == ("ts01.example.org", [NAME])


def test_profiles_that_are_not_there(sessions: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no session profile 'play'; it has work"):
        target("list", "--profile", "play", "--sessions-file", sessions)
    with pytest.raises(CommandError, match="--sessions-file"):
        target("list", "--profile", "play", "--sessions-file", str(tmp_path / "none"))
    Path(sessions).write_text("[x]\nsshport=many\n")
    with pytest.raises(CommandError, match="cannot be read"):
        target("list", "--profile", "x", "--sessions-file", sessions)


# ---------------------------------------------------------------- passwords


def test_a_password_is_the_first_line_of_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "password"
    path.write_text(" pass word\nsecond\n")
    path.chmod(0o600)
    assert (read_password(str(path)), read_password(None)) == (" pass word", None)
    assert capsys.readouterr().err == ""
    path.chmod(0o644)
    assert read_password(str(path)) == " pass word"
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\n"])
def test_files_without_a_password(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(CommandError, match="password"):
        read_password(str(path))


def test_a_refusal_is_exit_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x2go", "list", "ts01", "--password-file", str(tmp_path / "none")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("x2gobroker: the password in ")


# ---------------------------------------------------------------- what is printed


def test_a_session_for_programs() -> None:
    values = output.session_values(info())
    assert values == {
        "name": NAME,
        "state": "running",
        "type": "application",
        "command": "xterm",
        "display": 50,
        "server": "ts01",
        "user": "anna",
        "started": "2026-11-20T09:35:17",
        "since": "2026-11-20T09:36:12",
        "age_seconds": 57,
    }
    assert COOKIE not in json.dumps(values) + str(output.session_row(info()))


@pytest.mark.parametrize(
    ("name", "command", "kind"),
    [
        (OTHER, "XFCE", "desktop"),
        ("anna-50-1795167317_stRPUBLISHED_dp24", "", "published"),
        ("anna-50-1795167317_stS0XSHADottoXSHADPP50_dp24", "0XSHADottoXSHADPP50", "view"),
        ("anna-50-1795167317", "", "unknown"),
    ],
)
def test_commands_and_types_come_from_names(name: str, command: str, kind: str) -> None:
    values = output.session_values(info(name))
    assert (values["command"], values["type"]) == (command, kind)


def test_a_table_is_aligned_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("A", "LONG"), [("\x1b[2Jwide", "x"), ("y", "")])
    assert capsys.readouterr().out == "A         LONG\n?[2Jwide  x\ny\n"


def test_a_tree_of_applications(capsys: pytest.CaptureFixture[str]) -> None:
    item = {"name": "XTerm", "comment": "c", "exec": "xterm", "icon": "aWNvbg=="}
    tree: dict[str, Any] = {"de_DE": {"System": [item], "TOP": [{**item, "name": "\x07Bell"}]}}
    menus = output.menus_of(tree, icons=False)
    assert menus[0] == {"menu": "System", "applications": [{"name": "XTerm", "comment": "c", "exec": "xterm"}]}
    assert output.menus_of(tree, icons=True)[0]["applications"][0]["icon"] == "aWNvbg=="
    output.print_tree(menus)
    assert capsys.readouterr().out == "System\n  XTerm  xterm\nTOP\n  ?Bell  xterm\n"


# ---------------------------------------------------------------- which session is resumed


def test_the_session_that_is_meant() -> None:
    first, second = info(), info(OTHER, "S")
    view = info("anna-52-1795167317_stS0XSHADottoXSHADPP50_dp24", "S")
    assert _which([first, second], []) == OTHER  # the only suspended one
    assert _which([first], []) == NAME
    assert _which([first, second], [NAME]) == NAME
    for sessions, names, said in (
        ([], [], "x2gobroker x2go start"),
        ([view], [], "x2gobroker x2go start"),
        ([first], [OTHER], "x2gobroker x2go list"),
        ([info(state="S"), second], [], f"there are 2 sessions; name one of {NAME}, {OTHER}"),
    ):
        with pytest.raises(CommandError, match=said):
            _which(sessions, names)


def test_the_home_folder_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(CommandError, match="--user"):
        target("list", "ts01")


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"anna@127.0.0.1:{free.getsockname()[1]}"
        assert main(["x2go", "list", place, "--password-file", str(password_file(tmp_path))]) == 1
    said = capsys.readouterr().err
    assert "Connection refused; is an SSH server running there?" in said
    assert "Errno" not in said


def password_file(folder: Path) -> Path:
    """A file with a password, for its owner only."""
    path = folder / "password"
    path.write_text("pw\n")
    path.chmod(0o600)
    return path
