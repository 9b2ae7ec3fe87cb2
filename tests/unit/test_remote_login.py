"""Logins of desktops, with real PAM services of the test's own. Their files in /etc/pam.d need root."""

from __future__ import annotations

import grp
import json
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import pam_service
from x2gobroker.remote.login import bus_words
from x2gobroker.remote.told import NO_LOGINS, NOT_PERMITTED, PASSWORD_EXPIRED, SCRIPT_FAILED

ROOT = Path(__file__).resolve().parents[2]
DAEMON = pwd.getpwnam("daemon")
CAP_SYS_RESOURCE = 24
NEVER_THERE = Path("/proc/no-such-file")  # rooms share what is below /
ALLOW = "auth required pam_permit.so\naccount required pam_permit.so\n"
# as the keeper does, which was started by exec; prints what has come of it
KEEPER = """\
import json, os, resource, sys
from pathlib import Path
sys.path.append(sys.argv[1])
from x2gobroker.remote import pamsession
from x2gobroker.remote.told import LoginError
pamsession.NO_LOGIN_FILES = (Path(sys.argv[2]),)
service, groups, notes = sys.argv[3], json.loads(sys.argv[4]), []
session = pamsession.PamSession(service, "daemon", groups, notes.append)
before = pamsession.Traits.now()
found = {"told": None, "reason": None}
try:
    session.ask()
    session.open({})
    traits = session.traits
    found |= {"variables": session.variables, "files": traits.limits[resource.RLIMIT_NOFILE],
        "stack": traits.limits[resource.RLIMIT_STACK], "nice": traits.nice, "umask": traits.umask,
        "groups": traits.groups}
except LoginError as error:
    found |= {"told": error.told, "reason": str(error)}
found["untouched"] = pamsession.Traits.now() == before
if session.traits is not None and not os.fork():
    session.traits.take_on()
    now = pamsession.Traits.now()
    os._exit(0 if (now.nice, now.umask) == (session.traits.nice, session.traits.umask) else 1)
elif session.traits is not None:
    found["taken_on"] = os.wait()[1] == 0
session.close()
session.close()
print(json.dumps(found | {"notes": notes}))
"""


def log_in(lines: str, no_login: Path = NEVER_THERE, groups: tuple[int, ...] = (DAEMON.pw_gid,)) -> Any:
    """What comes of a login with this PAM service."""
    with pam_service("desktop", lines) as service:
        words = [str(ROOT), str(no_login), service, json.dumps(groups)]
        argv = [sys.executable, "-I", "-S", "-c", KEEPER, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_limits_are_for_the_programs_only(tmp_path: Path) -> None:
    conf = tmp_path / "limits.conf"
    conf.write_text("daemon soft stack 4096\ndaemon - priority 5\n", encoding="utf-8")
    found = log_in(
        f"{ALLOW}session required pam_limits.so conf={conf}\nsession required pam_umask.so nousergroups umask=0027\n"
    )
    assert (found["stack"][0], found["nice"], found["umask"]) == (4096 << 10, 5, 0o027)
    assert found["untouched"]
    assert found["taken_on"]
    assert found["notes"] == []


def test_hard_limits_are_taken_back_where_root_may(tmp_path: Path) -> None:
    """In a container it may not, and then the process that keeps the desktop has them as well."""
    conf = tmp_path / "limits.conf"
    conf.write_text("daemon - nofile 321\n", encoding="utf-8")
    found = log_in(f"{ALLOW}session required pam_limits.so conf={conf}\n")
    assert found["files"] == [321, 321]
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    assert found["untouched"] == bool(effective >> CAP_SYS_RESOURCE & 1)
    assert found["taken_on"]


def test_variables_of_modules_come_in_and_say_what_kind_of_session_it_is(tmp_path: Path) -> None:
    conf = tmp_path / "pam_env.conf"
    conf.write_text('MINE DEFAULT="a = b ü"\n', encoding="utf-8")
    found = log_in(f"{ALLOW}session required pam_env.so conffile={conf} readenv=0\n")
    kind = {"XDG_SESSION_TYPE": "x11", "XDG_SESSION_CLASS": "user"}
    assert found["variables"] == {"MINE": "a = b ü", **kind}


def test_the_programs_groups_are_the_users(tmp_path: Path) -> None:
    both = (DAEMON.pw_gid, grp.getgrnam("games").gr_gid)
    found = log_in(f"{ALLOW}session required pam_permit.so\n", groups=both)
    assert set(found["groups"]) == set(both)
    assert found["untouched"]


def test_a_session_is_opened_as_root_and_closed_once(tmp_path: Path) -> None:
    said = tmp_path / "said"
    script = tmp_path / "note"
    script.write_text(f'#!/bin/sh\necho "$PAM_TYPE $PAM_USER $(id -u) $XDG_SESSION_TYPE" >> {said}\n', encoding="utf-8")
    script.chmod(0o755)
    found = log_in(f"{ALLOW}session required pam_exec.so {script}\n")
    assert found["told"] is None
    assert said.read_text().splitlines() == ["open_session daemon 0 x11", "close_session daemon 0 x11"]


@pytest.mark.parametrize(
    ("lines", "told", "reason"),
    [
        ("account required pam_debug.so acct=new_authtok_reqd\n", PASSWORD_EXPIRED, "token is no longer valid"),
        ("account required pam_debug.so acct=authtok_expired\n", PASSWORD_EXPIRED, "Authentication token expired"),
        ("account required pam_debug.so acct=acct_expired\n", NOT_PERMITTED, "account has expired"),
        ("account required pam_debug.so acct=perm_denied\n", NOT_PERMITTED, "Permission denied"),
        ("account required pam_deny.so\n", NOT_PERMITTED, "does not let daemon in"),
        ("account required pam_debug.so acct=authinfo_unavail\n", SCRIPT_FAILED, "does not let daemon in"),
        ("account required pam_no_such_module.so\n", SCRIPT_FAILED, "Module is unknown"),
    ],
)
def test_who_is_not_let_in_is_told_why(lines: str, told: str, reason: str) -> None:
    found = log_in(f"auth required pam_permit.so\n{lines}session required pam_permit.so\n")
    assert found["told"] == told
    assert reason in found["reason"]
    assert found["untouched"]


@pytest.mark.parametrize(
    ("text", "told"), [("Back at\n 14:00\x07.\n", "Back at 14:00\x07."), ("x" * 900, "x" * 200), ("", NO_LOGINS)]
)
def test_while_nobody_may_log_in_users_are_told_what_the_host_says(tmp_path: Path, text: str, told: str) -> None:
    closed = tmp_path / "nologin"
    closed.write_text(text, encoding="utf-8")
    lines = (
        f"auth required pam_permit.so\naccount required pam_nologin.so file={closed}\naccount required pam_permit.so\n"
    )
    found = log_in(f"{lines}session required pam_permit.so\n", closed)
    assert found["told"] == told
    closed.unlink()
    assert log_in(f"{lines}session required pam_permit.so\n", closed)["told"] is None


def test_a_session_that_does_not_open_is_none(tmp_path: Path) -> None:
    found = log_in(f"{ALLOW}session required pam_debug.so open_session=session_err\n")
    assert found["told"] == SCRIPT_FAILED
    assert "opens no session for daemon: Cannot make/remove an entry for the specified session" in found["reason"]
    assert found["untouched"]


def test_credentials_that_nobody_gives_are_noted_only(tmp_path: Path) -> None:
    lines = "auth required pam_debug.so cred=cred_unavail\naccount required pam_permit.so\n"
    found = log_in(f"{lines}session required pam_debug.so close_session=session_err\n")
    assert found["told"] is None
    assert [note.partition(") ")[2].partition(" for ")[0] for note in found["notes"]] == [
        "sets no credentials",
        "keeps credentials",
        "does not close the session",
    ]


def test_a_module_that_asks_gets_no_answer(tmp_path: Path) -> None:
    found = log_in("auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_ftp.so\n")
    assert found["told"] == SCRIPT_FAILED


def test_programs_get_a_bus_unless_they_start_one(tmp_path: Path) -> None:
    bus = tmp_path / "dbus-daemon"
    bus.write_text("#!/bin/sh\n", encoding="utf-8")
    bus.chmod(0o755)
    path = {"PATH": f"/nonexistent:{tmp_path}"}
    words = [str(bus), "--session", "--nofork", "--nopidfile", "--print-address=7"]
    assert bus_words(["desk", "-x"], path, 7) == words
    for own in (["dbus-run-session", "desk"], ["/usr/bin/dbus-launch", "desk"]):
        assert bus_words(own, path, 7) == []
    bus.chmod(0o644)
    assert bus_words(["desk"], {"PATH": "/nonexistent"}, 7) == []
