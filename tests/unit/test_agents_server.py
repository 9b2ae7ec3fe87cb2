"""The broker agent's reading of words, keys, paths and figures; what it does is tested with real servers."""

from __future__ import annotations

import ast
import base64
import os
import pwd
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.agents import server
from x2gobroker.agents.server import RefusedError

SOURCE = Path(server.__file__)
LIB = "/usr/lib/x2go/x2gobroker-agent"


def key(kind: str = "ssh-ed25519", inner: str = "", size: int = 32) -> str:
    """A key as it stands in a file: type and base64."""
    fields = [(inner or kind).encode(), bytes(range(size))]
    return f"{kind} {base64.b64encode(b''.join(len(part).to_bytes(4, 'big') + part for part in fields)).decode()}"


KEY = key()
BLOB = KEY.split()[1]
ANNA = pwd.struct_passwd(("anna", "x", 1234, 5678, "", "/home/anna/", "/bin/sh"))


def test_it_is_python_3_7_of_the_standard_library() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 7))
    modules = {node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)}
    modules |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules <= {*sys.stdlib_module_names}


def test_it_runs_as_a_copied_file(tmp_path: Path) -> None:
    copy = tmp_path / "x2gobroker-agent"
    copy.write_bytes(SOURCE.read_bytes())
    copy.chmod(0o755)
    done = subprocess.run([copy, "nobody", "ping"], capture_output=True, timeout=20, check=False, env={})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"OK\n", b"")


def test_what_was_compiled_is_kept_and_made_anew_for_another_file(tmp_path: Path) -> None:
    copy = tmp_path / "x2gobroker-agent"
    copy.write_bytes(SOURCE.read_bytes())
    copy.chmod(0o755)
    ping = [str(copy), "nobody", "ping"]
    subprocess.run(ping, capture_output=True, timeout=20, check=True)
    (kept,) = (tmp_path / "__pycache__").iterdir()
    compiled = kept.read_bytes()
    copy.write_text(copy.read_text().replace('"OK\\n"', '"YES\\n"').replace('b"OK\\n" + data', 'b"YES\\n" + data'))
    assert subprocess.run(ping, capture_output=True, timeout=20, check=True).stdout == b"YES\n"
    assert kept.read_bytes() != compiled


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_sh_changes_no_word(tmp_path: Path, shell: str) -> None:
    """It only starts Python, with the words as they are."""
    copy = tmp_path / "x2gobroker-agent"
    copy.write_text(SOURCE.read_text().replace("sys.exit(main())", "sys.stdout.write(repr(sys.argv))"))
    words = ["a b", "'", '"', "$HOME", "`id`", "*", "a\nb", ";id", "", "-c"]
    done = subprocess.run([shell, copy, *words], capture_output=True, text=True, timeout=20, check=True)
    assert ast.literal_eval(done.stdout) == [str(copy), *words]


# --- words ---


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=6))
def test_words_come_through_quoting_as_they_were(words: list[str]) -> None:
    assert server.split_words(shlex.join(words)) == words


@given(st.text("ab '\"\\$;|&\n/-%", max_size=12))
def test_what_is_accepted_is_what_a_shell_makes_of_it(text: str) -> None:
    try:
        words = server.split_words(text)
    except RefusedError:
        return
    script = f"printf '%s\\0' {text}" if words else "true"
    said = subprocess.run(["sh", "-c", script], capture_output=True, timeout=20, check=True).stdout
    assert said.decode().split("\0")[:-1] == words


@pytest.mark.parametrize(
    "command",
    [
        f"{LIB} anna ping",
        f"sh -c '{LIB} anna ping'",
        f"/bin/sh -c '{LIB} anna ping'",
        '/opt/x2gobroker-agent "anna" ping',
    ],
)
def test_commands_of_brokers_are_understood(command: str) -> None:
    assert server.forced_command(command) == ["anna", "ping"]


def test_the_references_key_arguments_are_understood() -> None:
    line = f"no-X11-forwarding,no-pty,no-user-rc {KEY} anna@10.0.0.1"
    command = f'sh -c \'{LIB} anna addauthkey "{line}" "%h/.x2go/authorized_keys"\''
    assert server.checked(server.forced_command(command))[2] == [line, "%h/.x2go/authorized_keys"]


ATTACKS = [
    "",
    "id",
    "sh",
    "/bin/sh",
    "sh -c id",
    "x2gobroker-agent anna ping",
    f"{LIB} anna ping' && id",
    f"sh -c '{LIB} anna ping' && id'",
    f"sh -c '{LIB} anna ping | id'",
    f"{LIB} anna ping; id",
    f"{LIB} anna ping\nid",
    f"{LIB} anna ping > /tmp/x",
    f"{LIB} `id` ping",
    f"{LIB} $(id) ping",
    f'{LIB} "$(id)" ping',
    f"{LIB} 'anna ping",
    f"{LIB} anna ping \\",
    f"{LIB} * ping",
    f"{LIB}x anna ping",
    f"{LIB} anna {'x' * 50000}",
    f"sh -c 'sh -c \"{LIB} anna ping\"'",
    f"env {LIB} anna ping",
]


@pytest.mark.parametrize("command", ATTACKS)
def test_other_commands_are_refused(command: str) -> None:
    with pytest.raises(RefusedError):
        server.forced_command(command)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["anna"],
        ["", "ping"],
        ["-anna", "ping"],
        ["../anna", "ping"],
        ["anna;id", "ping"],
        ["anna\n", "ping"],
        ["änna", "ping"],
        ["\udcff", "ping"],
        ["a" * 101, "ping"],
        ["anna", "shell"],
        ["anna", ""],
        ["anna", "ping", "more"],
        ["anna", "suspendsession"],
        ["anna", "suspendsession", "-h"],
        ["anna", "terminatesession", "a b"],
        ["anna", "terminatesession", "../x"],
        ["anna", "terminatesession", "x" * 501],
        ["anna", "addauthkey", KEY],
        ["anna", "addauthkey", "", "f"],
        ["anna", "addauthkey", KEY, ""],
        ["anna", "addauthkey", KEY, "f\n"],
        ["anna", "addauthkey", KEY, "f\udcff"],
        ["anna", "addauthkey", KEY + "\n" + KEY, "f"],
        ["anna", "addauthkey", KEY, "f", "0"],
        ["anna", "addauthkey", KEY, "f", "86401"],
        ["anna", "addauthkey", KEY, "f", "-5"],
        ["anna", "addauthkey", KEY, "f", "²"],
        ["anna", "addauthkey", KEY, "f", "9" * 5000],
        ["anna", "addauthkey", KEY + "x" * 20000, "f"],
        ["anna", "delauthkey", KEY, "f", "5"],
    ],
)
def test_other_words_are_refused(words: list[str]) -> None:
    with pytest.raises(RefusedError):
        server.checked(words)


@given(st.lists(st.text(max_size=8) | st.sampled_from([*server.TASKS, "anna", KEY]), max_size=5))
def test_checking_never_fails_otherwise(words: list[str]) -> None:
    try:
        user, task, _ = server.checked(words)
    except RefusedError:
        return
    assert set(user) <= server.NAME_CHARACTERS
    assert task in server.TASKS


# --- keys ---


@pytest.mark.parametrize("kind", server.KEY_TYPES)
def test_only_the_key_is_taken_from_a_line(kind: str) -> None:
    wanted = key(kind)
    decoy = key(size=33)
    for line in (
        wanted,
        f"no-pty,no-user-rc {wanted} anna@host",
        f'command="x \\" {decoy} y",no-pty {wanted}',
        f'environment="A={decoy} b" {wanted} comment {decoy}',
    ):
        assert " ".join(server.public_key(line)) == wanted


@pytest.mark.parametrize(
    "line",
    [
        "ssh-ed25519",
        "ssh-rsa AAAA",
        KEY[:-4],
        KEY + "AAAA",
        KEY + "=",
        KEY.replace("A", "_", 1),
        key("ssh-rsa", inner="ssh-dss"),
        key("ssh-dss"),
        f"ssh-ed25519 {base64.b64encode(b'x' * 100).decode()}",
        f'command="{KEY}"',
        f"{KEY.split()[0]} ä{BLOB}",
        f"ssh-ed25519 {BLOB[:20]} {BLOB[20:]}",
    ],
)
def test_broken_keys_are_refused(line: str) -> None:
    with pytest.raises(RefusedError):
        server.public_key(line)


@given(st.text())
def test_no_key_breaks_the_reader(line: str) -> None:
    with pytest.raises(RefusedError):
        server.public_key(line)


LINES = st.lists(st.sampled_from([b"", b"# me", b"ssh-rsa AAAA home", b"\xff\xfe", KEY.encode(), b"x\r", b" a "]))


def line_of(line: str) -> bytes:
    """The line that lets this key in for five minutes."""
    return server.key_line(line, 300, (9, 2))


@given(LINES, st.booleans())
def test_other_lines_stay_as_they_are(lines: list[bytes], ended: bool) -> None:
    old = b"\n".join(lines) + (b"\n" if ended else b"")
    line = f"no-pty {KEY} anna@host"
    new = line_of(line)
    rest = b"" if not old or old.endswith(b"\n") else b"\n"
    added = server.edited(old, line, new)
    assert added == old + rest + new
    assert server.edited(added, line, new) == added
    assert server.edited(added, line, b"") == old + rest


def test_a_line_is_taken_away_by_its_key_if_ours_and_else_if_the_same() -> None:
    other = key(size=40)
    theirs = f"no-pty {KEY} anna@host"
    old = f"{KEY} mine\n{theirs}\n".encode()
    added = server.edited(server.edited(old, KEY, line_of(KEY)), other, line_of(other))
    assert server.edited(added, theirs, b"") == f"{KEY} mine\n".encode() + line_of(other)


def test_lines_whose_time_is_over_are_swept() -> None:
    past = f'restrict,pty,expiry-time="20200101000000" {key(size=40)} {server.KEY_MARK}1577836800'
    alike = f"{key(size=40)} {server.KEY_MARK}1577836800"
    old = f"{past}\n{alike}\n".encode()
    assert server.edited(old, KEY, b"") == f"{alike}\n".encode()
    assert server.edited(old, KEY, b"new\n") == f"{alike}\nnew\n".encode()


@pytest.mark.parametrize(
    ("version", "expiry"),
    [((9, 2), ',expiry-time="20260920124000Z"'), ((9, 0), ',expiry-time="20260920144000"'), ((7, 6), "")],
)
def test_the_line_is_one_that_this_sshd_understands(
    zone: pytest.MonkeyPatch, version: tuple[int, int], expiry: str
) -> None:
    zone.setenv("TZ", "Europe/Berlin")
    time.tzset()
    zone.setattr(time, "time", lambda: 1789907700.7)
    wanted = f"restrict,pty,port-forwarding,agent-forwarding{expiry} {KEY} x2gobroker-autologin-1789908000\n"
    assert server.key_line(f"no-pty {KEY} anna", 300, version) == wanted.encode()


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19", (9, 2)),
        ("OpenSSH_10.0p2, OpenSSL", (10, 0)),
        ("OpenSSH_9.9, LibreSSL 4", (9, 9)),
        ("Sun_SSH_1.1", (7, 7)),
        ("", (7, 7)),
    ],
)
def test_versions_of_openssh(monkeypatch: pytest.MonkeyPatch, said: str, version: tuple[int, int]) -> None:
    monkeypatch.setattr(server, "run", lambda *_: (0, b"", said))
    assert server.ssh_version(ANNA) == version


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Time zones can be changed through this; afterwards all is as before."""
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


# 2026-10-25: in Berlin the clock goes from 03:00 back to 02:00 at 01:00 UTC
@pytest.mark.parametrize(
    ("name", "until", "shown"),
    [
        ("UTC", 1792888200, "20261025003000"),
        ("Europe/Berlin", 1792888200, "20261025023000"),  # the first 02:30; whoever reads the second is generous
        ("Europe/Berlin", 1792891800, "20261025033000"),  # the second one, which could be read as the first
        ("Europe/Berlin", 1792895400, "20261025033000"),
        ("Europe/Berlin", 1792884600, "20261025013000"),
        ("Europe/Berlin", 1774747800, "20260329033000"),  # half an hour after the clock went forward
        ("Australia/Lord_Howe", 1775313000, "20260405013000"),
    ],
)
def test_times_are_local_and_never_too_early(zone: pytest.MonkeyPatch, name: str, until: int, shown: str) -> None:
    zone.setenv("TZ", name)
    time.tzset()
    assert server.local_expiry(until) == shown


@given(st.integers(1700000000, 1900000000))
def test_sshd_cannot_read_an_earlier_time(until: int) -> None:
    before = os.environ.get("TZ")
    try:
        for name in ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"):
            os.environ["TZ"] = name
            time.tzset()
            fields = time.strptime(server.local_expiry(until), "%Y%m%d%H%M%S")
            for summer in (-1, 0, 1):
                read = time.mktime((*fields[:8], summer))
                if time.localtime(read)[:6] == fields[:6]:
                    assert until <= read <= until + 7200
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("%h/.x2go/authorized_keys", "/home/anna/.x2go/authorized_keys"),
        (".x2go/authorized_keys", "/home/anna/.x2go/authorized_keys"),
        ("./.ssh//%u.%U.%G.%%h", "/home/anna/.ssh/anna.1234.5678.%h"),
        ("/etc/ssh/keys/%u", "/etc/ssh/keys/anna"),
        ("%%%u%%", "/home/anna/%anna%"),
    ],
)
def test_patterns_of_key_files(pattern: str, path: str) -> None:
    assert server.key_file(pattern, ANNA) == path


@pytest.mark.parametrize("pattern", ["%x", "a%", "%h/../bert/k", "/etc/%u/..", "%h/", "/", "%", "%%%"])
def test_patterns_that_lead_nowhere(pattern: str) -> None:
    with pytest.raises(RefusedError):
        server.key_file(pattern, ANNA)
