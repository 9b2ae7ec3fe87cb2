"""The command line of the broker over SSH, who asks, and how a call gets to the broker's account."""

from __future__ import annotations

import io
import logging
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.cli.ssh.broker import FIELDS, build_parser, call_of, fields_of, log_to, parse, user_of, variables_of
from x2gobroker.cli.ssh.caller import (
    DEFAULTS,
    MAX_CALL,
    Call,
    Caller,
    CallError,
    broker_account,
    hand_over,
    pack,
    unpack,
    who_asks,
)
from x2gobroker.frontends.ssh_command import client_address
from x2gobroker.logs import LOGGERS, broker_log

ROOT = pwd.getpwuid(0)
OTHER = next(record for record in pwd.getpwall() if record.pw_uid not in (0, os.getuid()))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            ["--user", "anna", "--authid", "a1", "--task", "listsessions"],
            {"task": "listsessions", "authid": "a1"},
        ),
        (
            ["--task", "selectsession", "--sid", "kde", "--auth-cookie", "a1", "--login", "berta"],
            {"task": "selectsession", "sid": "kde", "authid": "a1", "login": "berta"},
        ),
        (["--task", "selectsession", "--profile-id", "-odd-"], {"task": "selectsession", "sid": "-odd-"}),
        (["--task", "setpass", "--newpass", "--secret"], {"task": "setpass", "newpass": "--secret"}),
        (["--task=testcon", "--next-authid=", "--", "--user", "x"], {"task": "testcon", "authid": ""}),
        (
            "--task clientevent --sid s --event ALIVE --server a --client b --login c --cmd -d --display 50 --start e "
            "--elapsed 3 --version 4.1.2.3 --os linux".split(),
            {
                "task": "clientevent", "sid": "s", "event": "ALIVE", "server": "a", "client": "b", "login": "c",
                "cmd": "-d", "display": "50", "start": "e", "elapsed": "3", "version": "4.1.2.3", "os": "linux",
            },
        ),
    ],
)  # fmt: skip
def test_command_lines_of_clients_become_the_fields_of_a_form(line: list[str], fields: dict[str, str]) -> None:
    assert fields_of(parse(line)) == fields


def test_every_field_is_an_option() -> None:
    known = {action.dest for action in build_parser()._actions}
    assert set(FIELDS) <= known
    assert not any(action.option_strings and not action.help for action in build_parser()._actions)


@pytest.mark.parametrize("line", ["--bogus", "--task", "--task x extra", "-M HTTP --task x", "--task x --newpass"])
def test_what_cannot_be_understood_is_status_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(line.split())
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert "usage: x2gobroker-ssh" in said.err
    assert said.out == ""


def test_no_task_is_status_254_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--user", "anna"])
    assert caught.value.code == 254
    said = capsys.readouterr().out
    assert said.startswith("\nusage: x2gobroker-ssh")
    assert said.endswith("\nNo task was given; --task listsessions is one.\n\n")


def test_events_in_the_form_of_the_reference_need_no_answer() -> None:
    assert call_of(["--event", "X", "--", "a", "b"]) is None
    assert call_of(["--event", "X", "--task", "listsessions"]) is None
    assert call_of(["--event", "X", "--task", "clientevent"]) is not None


def test_a_new_password_is_taken_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin \nmore\n"))
    monkeypatch.setenv("SSH_CLIENT", "192.0.2.7 1 2")
    words = ("--task", "setpass", "--newpass", "-")
    call = call_of(words)
    assert call == Call(words, "192.0.2.7 1 2", "from stdin ")
    assert "from stdin" not in repr(call)


@given(st.lists(TEXT), TEXT, TEXT)
def test_a_call_arrives_as_it_was_sent(words: list[str], ssh_client: str, newpass: str) -> None:
    call = Call(tuple(words), ssh_client, newpass)
    assert unpack(io.BytesIO(pack(call))) == call


@given(
    st.binary(max_size=300) | st.recursive(st.none() | TEXT | st.integers(), st.lists).map(lambda x: repr(x).encode())
)
def test_what_is_no_call_is_refused(data: bytes) -> None:
    """Whoever may use sudo may send anything."""
    try:
        unpack(io.BytesIO(data))
    except CallError as error:
        assert error.status == 2
    else:
        raise AssertionError("it was taken for a call")


@pytest.mark.parametrize(
    "data",
    [
        b'[["--task", 1], "", ""]', b'[["a"], ""]', b'[["a"], "", "", ""]', b'["a", "", ""]', b'[["a"], null, ""]',
        b'[["\\ud800"], "", ""]', b"[" * 100000, b" " * (MAX_CALL + 1), b'{"arguments": []}',
    ],
)  # fmt: skip
def test_nearly_calls_are_refused(data: bytes) -> None:
    with pytest.raises(CallError):
        unpack(io.BytesIO(data))


def test_what_is_no_text_or_too_long_is_not_sent() -> None:
    with pytest.raises(CallError, match="no UTF-8 text"):
        pack(Call((os.fsdecode(b"\xff"),)))
    with pytest.raises(CallError, match="too long"):
        pack(Call(("x" * MAX_CALL,)))


def test_a_missing_program_is_said(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="link x2gobroker-ssh there"):
        hand_over(Call(("--task", "testcon")), "nobody", tmp_path / "none")


def test_under_sudo_the_caller_is_who_sudo_says() -> None:
    mine = pwd.getpwuid(os.getuid())
    assert who_asks(mine, {"SUDO_UID": str(OTHER.pw_uid), "LOGNAME": "root"}, True) == Caller(OTHER.pw_name, False)
    assert who_asks(mine, {"SUDO_UID": str(mine.pw_uid)}, True) == Caller(mine.pw_name, True)
    assert who_asks(mine, {"LOGNAME": OTHER.pw_name, "USER": OTHER.pw_name}, False) == Caller(mine.pw_name, True)


def test_behind_a_setuid_wrapper_the_real_user_counts() -> None:
    """There, SUDO_UID may be the caller's invention."""
    mine = pwd.getpwuid(os.getuid())
    for invented in ({}, {"SUDO_UID": str(OTHER.pw_uid)}, {"SUDO_UID": "0"}):
        assert who_asks(OTHER, invented, False) == Caller(mine.pw_name, False)
        with pytest.raises(CallError, match="for calls by sudo"):
            who_asks(OTHER, invented, True)


@pytest.mark.parametrize("number", ["x", "-1", "+0", "0x0", "4294967290", "9" * 30, "٣", " 0"])
def test_a_caller_that_nobody_knows_is_refused(number: str) -> None:
    with pytest.raises(CallError, match="nobody knows who asks"):
        who_asks(pwd.getpwuid(os.getuid()), {"SUDO_UID": number}, False)


def test_a_call_by_pipe_needs_sudo() -> None:
    with pytest.raises(CallError, match="start x2gobroker-ssh without it"):
        who_asks(pwd.getpwuid(os.getuid()), {}, True)


@pytest.mark.parametrize(
    ("caller", "wanted", "user", "said"),
    [
        (Caller("anna", False), None, "anna", ""),
        (Caller("anna", False), "anna", "anna", ""),
        (Caller("anna", False), "berta", "anna", "acting for anna, not for berta: only root may act for others"),
        (Caller("anna", False), "be\nrta", "anna", "not for be\\nrta:"),
        (Caller("root", False), "berta", "root", "runuser -u root -- x2gobroker-ssh"),
        (Caller("x2gobroker", True), "berta", "berta", ""),
        (Caller("x2gobroker", True), None, "x2gobroker", ""),
    ],
)
def test_only_the_brokers_account_acts_for_others(
    caller: Caller, wanted: str | None, user: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "testcon", *(["--user", wanted] if wanted is not None else [])]
    assert user_of(parse(words), caller, ROOT)[0] == user
    warning = capsys.readouterr().err
    assert said in warning
    assert bool(warning) is bool(said)


def test_the_environment_of_others_configures_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("X2GOBROKER_CONFIG", "/from/the/environment")
    options = parse(["--task", "testcon", "-d"])
    assert variables_of(options, Caller("anna", False), DEFAULTS) == {}
    assert "for the broker's account only" in capsys.readouterr().err
    assert variables_of(options, Caller("anna", False), Path("/x")) == {"X2GOBROKER_DEFAULTS": "/x"}
    with pytest.raises(CallError, match="X2GOBROKER_CONFIG in the file defaults"):
        variables_of(parse(["--task", "testcon", "-C", "/etc/shadow"]), Caller("anna", False), DEFAULTS)
    found = variables_of(options, Caller("x2gobroker", True), DEFAULTS)
    assert found["X2GOBROKER_CONFIG"] == "/from/the/environment"
    assert found["X2GOBROKER_DEBUG"] == "1"
    chosen = variables_of(parse(["--task", "testcon", "-C", "/mine"]), Caller("x2gobroker", True), DEFAULTS)
    assert chosen["X2GOBROKER_CONFIG"] == "/mine"


def test_the_brokers_account_is_named_by_the_file_of_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = tmp_path / "defaults.conf"
    defaults.write_text(f"[common]\nX2GOBROKER_DAEMON_USER = {OTHER.pw_name}\n")
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", "root")
    assert broker_account(defaults) == OTHER
    defaults.write_text("[ssh]\nX2GOBROKER_DAEMON_USER = root\n")
    assert broker_account(defaults) == ROOT
    defaults.write_text("[common]\nX2GOBROKER_DAEMON_USER = no-such-account\n")
    with pytest.raises(CallError, match="there is no account no-such-account"):
        broker_account(defaults)


@pytest.mark.parametrize("text", [None, "", "[common]\n#X2GOBROKER_DAEMON_USER = root\n"])
def test_the_brokers_account_is_x2gobroker_by_default(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def look_up(name: str) -> pwd.struct_passwd:
        asked.append(name)
        return ROOT

    monkeypatch.setattr("pwd.getpwnam", look_up)
    defaults = tmp_path / "defaults.conf"
    if text is not None:
        defaults.write_text(text)
    assert broker_account(defaults) == ROOT
    assert asked == ["x2gobroker"]


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["--user", "anna"], 254), (["-V"], 0)])
def test_the_program_is_installed(arguments: list[str], status: int) -> None:
    program = Path(sys.executable).parent / "x2gobroker-ssh"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("192.0.2.7 51724 22", "192.0.2.7"),
        ("2001:DB8::7 51724 22", "2001:db8::7"),
        ("::ffff:192.0.2.7 1 2", "192.0.2.7"),
        ("fe80::1%eth0 1 2", "fe80::1"),
        ("", None),
        ("  ", None),
        ("anna 1 2", None),
        ("192.0.2.7/8 1 2", None),
        ("192.0.2", None),
    ],
)
def test_the_clients_address_is_in_ssh_client(value: str, address: str | None) -> None:
    assert client_address(value) == address


@pytest.fixture
def own_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loggers as they were, after the test."""
    monkeypatch.setattr(logging, "raiseExceptions", True)
    for logger in LOGGERS:
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", False)
        monkeypatch.setattr(logger, "level", logging.INFO)


def log_as_the_user(folder: Path) -> str:
    """One line in the log of a call, and what it was."""
    log_to(folder / "loggers.conf", debug=False, console=False, trusted=False, syslog=folder / "log")
    broker_log.warning("a line for the administrator")
    return "a line for the administrator"


@pytest.mark.usefixtures("own_loggers")
def test_without_syslog_the_user_reads_one_note_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_as_the_user(tmp_path)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"x2gobroker-ssh: note: nothing is logged: there is neither {tmp_path}/loggers.conf nor a syslog service\n"
    )


@pytest.mark.usefixtures("own_loggers")
def test_a_syslog_service_gets_the_lines_and_the_user_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.settimeout(10)
        service.bind(str(tmp_path / "log"))
        line = log_as_the_user(tmp_path)
        assert line in service.recv(8192).decode()
    broker_log.warning("nobody listens any more")
    assert capsys.readouterr() == ("", "")
