"""The units of etc/systemd under a real systemd, installed as the documentation says."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.support.processes import wait_until
from tests.support.rfb_client import RfbClient
from tests.support.systemd import Machine
from tests.support.unit_site import (
    AUTHSERVICE,
    DAEMON,
    LOADCHECKER,
    REMOTE,
    SERVICES,
    SOCKET,
    Logins,
    complaints,
    desktop_token,
    log_in,
    logins,
    site,
    user,
)

FOLDERS = ("/var/log/x2gobroker", "/var/lib/x2gobroker", "/run/x2gobroker")
OWNERS = {
    "/var/log/x2gobroker": "x2gobroker:x2gobroker 750",
    "/var/lib/x2gobroker": "x2gobroker:x2gobroker 750",
    "/run/x2gobroker": "root:x2gobroker 1770",
    "/run/x2gobroker/x2gobroker-authservice.socket": "root:x2gobroker 660",
    "/run/x2gobroker/x2gobroker-loadchecker.socket": "x2gobroker:x2gobroker 660",
}
LOGINS, AT_ONCE = 400, 16
REMOTE_PORT = 6080
SESSION_TYPES = "/etc/x2go/broker/session-types.json"


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine for all tests here."""
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(autouse=True)
def all_well(booted: Machine) -> Iterator[None]:
    """Every test finds all units started, and leaves them so."""
    before = len(complaints(booted))
    yield
    booted.run("systemctl", "start", SOCKET, *SERVICES)
    assert booted.run("systemctl", "--failed", "--no-legend", "--plain") == ""
    assert complaints(booted)[before:] == [], booted.journal()[-8000:]


def is_active(machine: Machine, unit: str) -> bool:
    """Whether a unit has started."""
    return machine.state(unit)["ActiveState"] == "active"


def gets_in(number: int = 0) -> bool:
    """Whether a user is let in."""
    status, text = log_in(*user(number))
    return status == 200 and "Access granted" in text


def test_everything_has_started_and_nothing_failed(booted: Machine) -> None:
    assert booted.run("systemctl", "is-system-running").strip() == "running"
    for unit in (SOCKET, *SERVICES):
        assert is_active(booted, unit), booted.journal(unit)
    booted.run("runuser", "-u", "x2gobroker", "--", "x2gobroker", "check-config")


def test_no_login_of_many_at_a_time_fails(booted: Machine) -> None:
    found = logins(LOGINS, AT_ONCE)
    assert not found.wrong, booted.journal()[-8000:]
    assert found.right == LOGINS


@pytest.mark.parametrize("unit", SERVICES)
def test_a_unit_that_is_stopped_after_logins_has_not_failed(booted: Machine, unit: str) -> None:
    assert not logins(40, 8).wrong
    booted.run("systemctl", "stop", unit)
    state = booted.state(unit)
    assert (state["ActiveState"], state["Result"], state["ExecMainStatus"]) == ("inactive", "success", "0"), (
        booted.journal(unit)
    )
    assert booted.call("systemctl", "is-failed", unit).stdout.strip() == "inactive"
    booted.run("systemctl", "start", unit)
    assert is_active(booted, unit)


RESTARTS = [(DAEMON, "reload"), (DAEMON, "restart"), (LOADCHECKER, "reload"), (AUTHSERVICE, "restart")]


@pytest.mark.parametrize(("unit", "verb"), RESTARTS)
def test_nobody_is_refused_during(booted: Machine, unit: str, verb: str) -> None:
    """Sockets stay, and who asks waits."""
    found: list[Logins] = []
    thread = threading.Thread(target=lambda: found.append(logins(100, AT_ONCE, seed=1)))
    thread.start()
    for _ in range(2):
        booted.run("systemctl", verb, unit)
    thread.join()
    assert not found[0].wrong, booted.journal()[-8000:]
    assert gets_in()


def test_a_login_starts_the_authentication_service(booted: Machine) -> None:
    booted.run("systemctl", "stop", AUTHSERVICE)
    assert is_active(booted, SOCKET)
    assert gets_in()
    assert is_active(booted, AUTHSERVICE)


@pytest.mark.parametrize("unit", SERVICES)
def test_a_unit_whose_process_is_killed_starts_again_however_often(booted: Machine, unit: str) -> None:
    for _ in range(6):  # systemd gives up after five starts in ten seconds, by default
        before = booted.state(unit)
        booted.call("systemctl", "restart", unit)
        booted.call("systemctl", "kill", "--signal=KILL", unit)

        def again(old: str = before["MainPID"]) -> bool:
            now = booted.state(unit)
            return now["ActiveState"] == "active" and now["MainPID"] != old

        wait_until(again, f"{unit} being started again")
    wait_until(gets_in, "logins")


@pytest.mark.parametrize("unit", [SOCKET, *SERVICES])
def test_no_unit_takes_files_of_another(booted: Machine, unit: str) -> None:
    """Owners, groups and modes are the same before and after whatever an administrator does with a unit."""
    assert gets_in()
    before = booted.owners(*FOLDERS)
    assert OWNERS.items() <= before.items()
    for verb in ("stop", "start", "restart", "try-reload-or-restart"):
        booted.run("systemctl", verb, *((SOCKET, AUTHSERVICE) if unit == SOCKET else (unit,)))
        now = booted.owners(*FOLDERS)
        assert {path: now[path] for path in before.keys() & now.keys()} == {
            path: before[path] for path in before.keys() & now.keys()
        }, f"{verb} {unit}"
    booted.run("systemctl", "start", AUTHSERVICE)
    assert gets_in()


def test_what_is_forked_shares_no_memory_with_code(booted: Machine) -> None:
    """libffi shares its callbacks between processes where memory may not be writable and executable at a time."""
    assert not logins(40, 8).wrong
    for unit in (DAEMON, AUTHSERVICE, LOADCHECKER):
        processes = booted.processes(unit)
        assert processes
        for process in processes:
            maps = booted.run("cat", f"/proc/{process}/maps")
            shared = [line for line in maps.splitlines() if re.search(r" ..xs ", line)]
            assert not shared or len(processes) == 1, f"{unit}: {shared}"


def vnc_servers(machine: Machine) -> list[str]:
    """The processes of desktops."""
    return machine.call("pgrep", "-x", "Xvnc|Xtigervnc").stdout.split()


def terminals_of(machine: Machine, name: str) -> list[str]:
    """The processes of a user's terminals, oldest first. One that starts its shell is two for a moment."""
    found = machine.call("pgrep", "-u", name, "-x", "xterm").stdout.split()
    lines = machine.call("ps", "-o", "pid=,ppid=", "-p", ",".join(found or ["1"])).stdout.splitlines()
    parents = dict(line.split() for line in lines)
    return [process for process in found if parents.get(process, process) not in found]


def test_desktops_survive_a_restart_of_their_service(booted: Machine) -> None:
    name, _ = user(1)
    with contextlib.closing(RfbClient(REMOTE_PORT, desktop_token(booted, name))):
        wait_until(lambda: len(vnc_servers(booted)) == 1, "a desktop")
        before = vnc_servers(booted)
        assert booted.run("ps", "-o", "user=", "-p", before[0]).strip() == name
        booted.run("systemctl", "restart", REMOTE)
    with contextlib.closing(RfbClient(REMOTE_PORT, desktop_token(booted, name))):
        assert vnc_servers(booted) == before
    assert is_active(booted, REMOTE)
    booted.run("kill", *before)
    wait_until(lambda: not vnc_servers(booted), "the end of the desktop")


@pytest.fixture
def without_writable_code(booted: Machine) -> Iterator[Machine]:
    """Daemon and authentication service as on a system that allows no memory that is writable and executable."""
    drop_ins = [f"/run/systemd/system/{unit}.d/memory.conf" for unit in (DAEMON, AUTHSERVICE)]
    for path in drop_ins:
        booted.write(path, "[Service]\nMemoryDenyWriteExecute=yes\n")
    booted.run("systemctl", "daemon-reload")
    booted.run("systemctl", "restart", DAEMON, AUTHSERVICE)
    yield booted
    booted.run("rm", *drop_ins)
    booted.run("systemctl", "daemon-reload")
    booted.run("systemctl", "restart", DAEMON, AUTHSERVICE)


def test_no_login_fails_where_memory_may_not_become_code(without_writable_code: Machine) -> None:
    """There, libffi keeps callbacks in shared memory: no process may make one before it forks, or after."""
    found = logins(LOGINS, AT_ONCE, seed=2)
    assert not found.wrong, without_writable_code.journal()[-8000:]
    without_writable_code.run("systemctl", "stop", DAEMON)
    assert without_writable_code.state(DAEMON)["Result"] == "success"


def test_a_desktop_has_a_control_group_of_its_own_which_ends_with_it(booted: Machine) -> None:
    name, _ = user(2)
    with contextlib.closing(RfbClient(REMOTE_PORT, desktop_token(booted, name))):
        wait_until(lambda: len(vnc_servers(booted)) == 1, "a desktop")
        (server,) = vnc_servers(booted)
        groups = booted.run("cat", f"/proc/{server}/cgroup").splitlines()
        (group,) = [line.removeprefix("0::") for line in groups if line.startswith("0::")]
        assert re.fullmatch(r"/system\.slice/x2gobroker-remote\.service/x2gobroker-[0-9a-f]+-[01]\.[0-9a-f]+", group)
        place = booted.run("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2").split()[0] + group
        stays = f"trap '' TERM; echo 0 > {place}/cgroup.procs; exec sleep 600"  # no parent, no session, no environment
        booted.run("sh", "-c", f'env -i setsid sh -c "{stays}" > /dev/null 2>&1 &')
        wait_until(lambda: booted.call("pgrep", "-x", "sleep").returncode == 0, "a process that stays in the group")
        booted.run("kill", server)
    wait_until(lambda: not vnc_servers(booted), "the end of the desktop")
    wait_until(lambda: booted.call("pgrep", "-x", "sleep").returncode == 1, "the end of all that is in its group")


@pytest.fixture
def with_logind(booted: Machine) -> Iterator[Machine]:
    """Sessions are made known to logind, as Debian's package libpam-systemd has it done."""
    booted.run("cp", "/etc/pam.d/common-session", "/run/common-session")
    booted.run("sh", "-c", "echo 'session optional pam_systemd.so' >> /etc/pam.d/common-session")
    booted.run("systemctl", "start", "systemd-logind")
    yield booted
    booted.run("cp", "/run/common-session", "/etc/pam.d/common-session")
    booted.run("systemctl", "stop", "systemd-logind")


def test_a_desktop_is_a_session_of_logind(with_logind: Machine) -> None:
    """Its programs are in the scope of that session, and its folder is systemd's."""
    name, _ = user(3)
    with contextlib.closing(RfbClient(REMOTE_PORT, desktop_token(with_logind, name))):
        wait_until(lambda: len(vnc_servers(with_logind)) == 1, "a desktop")
        (server,) = vnc_servers(with_logind)
        number = with_logind.run("id", "-u", name).strip()
        groups = with_logind.run("cat", f"/proc/{server}/cgroup").splitlines()
        (group,) = [line.removeprefix("0::") for line in groups if line.startswith("0::")]
        scope = rf"/user\.slice/user-{number}\.slice/session-(\w+)\.scope/x2gobroker-[0-9a-f]+-[01]\.[0-9a-f]+"
        session = re.fullmatch(scope, group)
        assert session, group
        shown = with_logind.run("loginctl", "show-session", session[1])
        assert {f"Name={name}", "Type=x11", "Class=user", "Service=x2gobroker-desktop"} <= set(shown.split())
        variables = with_logind.run("cat", f"/proc/{server}/environ").split("\0")
        assert f"XDG_RUNTIME_DIR=/run/user/{number}" in variables
        assert f"XDG_SESSION_ID={session[1]}" in variables
        assert with_logind.run("stat", "-c", "%a %U", f"/run/user/{number}").strip() == f"700 {name}"
        with_logind.run("systemctl", "restart", REMOTE)
        assert vnc_servers(with_logind) == [server]
        assert with_logind.call("loginctl", "show-session", session[1]).returncode == 0
        with_logind.run("kill", server)
    wait_until(lambda: not vnc_servers(with_logind), "the end of the desktop")
    wait_until(lambda: with_logind.call("loginctl", "show-session", session[1]).returncode != 0, "the session's end")
    wait_until(lambda: with_logind.call("test", "-e", f"/run/user/{number}").returncode != 0, "the end of its folder")
    assert with_logind.call("test", "-e", f"/sys/fs/cgroup{group}").returncode != 0


def test_two_desktops_of_a_user_are_two_sessions_of_logind(with_logind: Machine) -> None:
    """Of the same user, but none of them ends with the other, and each has a bus of its own."""
    name, _ = user(4)
    number = with_logind.run("id", "-u", name).strip()
    busses, sessions = [], []
    with contextlib.ExitStack() as stack:
        for count in (1, 2):
            token = desktop_token(with_logind, name, "Several", 2)
            stack.enter_context(contextlib.closing(RfbClient(REMOTE_PORT, token)))
            wait_until(lambda: len(terminals_of(with_logind, name)) == count, "a desktop")  # noqa: B023
        terminals = terminals_of(with_logind, name)
        for terminal in terminals:
            lines = with_logind.run("cat", f"/proc/{terminal}/environ").split("\0")
            variables = dict(line.split("=", 1) for line in lines if "=" in line)
            assert variables["XDG_RUNTIME_DIR"] == f"/run/user/{number}"
            busses.append(variables["DBUS_SESSION_BUS_ADDRESS"])
            sessions.append(variables["XDG_SESSION_ID"])
        assert len(set(sessions)) == 2
        assert len({*busses, f"unix:path=/run/user/{number}/bus"}) == 3
        with_logind.run("kill", terminals[0])
        wait_until(lambda: len(vnc_servers(with_logind)) == 1, "the end of one")
        wait_until(
            lambda: with_logind.call("loginctl", "show-session", sessions[0]).returncode != 0, "its session's end"
        )
        assert terminals_of(with_logind, name) == [terminals[1]]
        assert with_logind.call("loginctl", "show-session", sessions[1]).returncode == 0
        assert with_logind.run("stat", "-c", "%a %U", f"/run/user/{number}").strip() == f"700 {name}"
        ask = ["dbus-send", "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames"]
        as_user = ["runuser", "-u", name, "--", "env"]
        answers = [
            with_logind.call(*as_user, f"DBUS_SESSION_BUS_ADDRESS={bus}", *ask).returncode == 0 for bus in busses
        ]
        assert answers == [False, True]
        with_logind.run("kill", terminals[1])
    wait_until(lambda: not vnc_servers(with_logind), "the end of the other one")
    wait_until(lambda: with_logind.call("test", "-e", f"/run/user/{number}").returncode != 0, "the end of its folder")


LIMITS = '"memory-megabytes": 900, "tasks": 120, "cpu-percent": 50, "count"'
CONTROLLERS = {"memory", "pids", "cpu"}
# It takes more and more, until the kernel ends another program of the desktop for it. Then it gives back: else there
# is nothing left to say with why the desktop ends.
HOG = """
import re, time
from pathlib import Path

Path("/proc/self/oom_score_adj").write_text("-1000")
group = Path("/sys/fs/cgroup", re.search("^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)[1])
events = next(file for file in (above / "memory.events" for above in (group, *group.parents)) if file.exists())
taken = []
while "oom_kill 0" in events.read_text():
    taken.append(b"x" * (4 << 20))
taken.clear()
time.sleep(30)
"""
FORKS = """
import os, signal, time
children = []
try:
    while True:
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
        children.append(child)
except BlockingIOError:
    print(len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
"""
BUSY_SECONDS = 5
BUSY = f"""
import time
end = time.monotonic() + {BUSY_SECONDS}
while time.monotonic() < end:
    pass
print(time.process_time())
"""


@contextlib.contextmanager
def limited(machine: Machine) -> Iterator[None]:
    """A desktop may take some memory, tasks and half a processor."""
    types = machine.run("cat", SESSION_TYPES)
    machine.write(SESSION_TYPES, types.replace('"count"', LIMITS))
    try:
        yield
    finally:
        machine.write(SESSION_TYPES, types)


def within(machine: Machine, server: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python as root among those of a desktop, by its VNC server."""
    argv = ("within", f"/proc/{server}/cgroup", "python3", "-c", program)
    group = 'g=$(sed -n s,^0::,/sys/fs/cgroup,p "$1") && echo $$ >"$g/cgroup.procs" && shift && exec "$@"'
    return machine.call("sh", "-c", group, *argv)


@pytest.mark.parametrize(("login", "first"), [("with_logind", 8), ("without_logind", 10)])
def test_a_desktop_takes_no_more_than_it_may(
    booted: Machine, request: pytest.FixtureRequest, login: str, first: int
) -> None:
    """Where the kernel's controllers are of version 1, systemd takes limits and nothing keeps them: no desktop then."""
    machine: Machine = request.getfixturevalue("with_logind") if login == "with_logind" else booted
    (name, _), (other, _) = user(first), user(first + 1)
    with limited(machine):
        lacking = CONTROLLERS - set(machine.run("cat", "/sys/fs/cgroup/cgroup.controllers").split())
        assert ("no desktop starts with that" in machine.call("x2gobroker", "check-config").stdout) == bool(lacking)
        if lacking:
            with pytest.raises(AssertionError, match="could not be started"):
                RfbClient(REMOTE_PORT, desktop_token(machine, name))
            assert "need control groups of version 2" in machine.journal(REMOTE)
            assert not vnc_servers(machine)
            return
        with contextlib.closing(RfbClient(REMOTE_PORT, desktop_token(machine, name))):
            wait_until(lambda: len(vnc_servers(machine)) == 1, "a desktop")
            (server,) = vnc_servers(machine)
            with contextlib.closing(RfbClient(REMOTE_PORT, desktop_token(machine, other))):
                wait_until(lambda: len(vnc_servers(machine)) == 2, "another's desktop")
                assert_limits_hold(machine, server, name)
                (left,) = set(vnc_servers(machine))
                machine.run("kill", left)
    wait_until(lambda: not vnc_servers(machine), "the end of the desktop")


def lines_with(machine: Machine, text: str) -> str:
    """The lines of the remote service's log with a text."""
    return "".join(f"{line}\n" for line in machine.journal(REMOTE).splitlines() if text in line)


def assert_limits_hold(machine: Machine, server: str, name: str) -> None:
    """All three, and that a desktop whose memory has run out ends alone, with words."""
    found = re.search(r"0::(/.*/([^/]+\.scope))", machine.run("cat", f"/proc/{server}/cgroup"))
    assert found
    group, scope = found.groups()
    shown = machine.run("systemctl", "show", "-p", "MemoryMax,TasksMax,CPUQuotaPerSecUSec", scope).split()
    assert set(shown) == {f"MemoryMax={900 << 20}", "TasksMax=120", "CPUQuotaPerSecUSec=500ms"}
    assert float(within(machine, server, BUSY).stdout) < BUSY_SECONDS * 0.8
    assert not re.search("^nr_throttled 0$", machine.run("cat", f"/sys/fs/cgroup{group}/cpu.stat"), re.MULTILINE)
    assert 60 <= int(within(machine, server, FORKS).stdout) < 120
    assert len(vnc_servers(machine)) == 2
    hog = within(machine, server, HOG)
    assert hog.returncode in (-signal.SIGKILL, -signal.SIGTERM), f"it ends with the desktop: {hog}"
    wait_until(lambda: server not in vnc_servers(machine), "the end of the desktop")
    wait_until(lambda: f"of {name} " in lines_with(machine, "it used more memory than it may"), "the reason in the log")
    assert len(vnc_servers(machine)) == 1
