"""The PAM session of a desktop, with real modules: what holds in it, who gets none, and that it is always closed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Account, account_with_home, change_accounts, pam_service, processes_of
from tests.support.processes import wait_until
from tests.support.remote_types import left, one_type
from x2gobroker.remote import kept
from x2gobroker.remote.hold import CGROUP, NAMESPACE, Cgroup
from x2gobroker.remote.loader import realize
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.told import NOT_PERMITTED, PASSWORD_EXPIRED, SCRIPT_FAILED
from x2gobroker.remote.userfolder import NOTES, USERS

SLEEP = ["sleep", "600"]
ALLOW = "auth required pam_permit.so\naccount required pam_permit.so\n"
# what a program of the desktop finds
LOOK = """\
{ ulimit -n; ulimit -Hn; umask; stat -c '%a %U %F' "$XDG_RUNTIME_DIR"
dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames | head -1
env; } > ~/found.new 2>&1
touch "$XDG_RUNTIME_DIR/left behind"; mkdir -p "$XDG_RUNTIME_DIR/deep/er"
mv ~/found.new ~/found
exec sleep 600
"""
ROOT = Path(__file__).resolve().parents[2]
WITHOUT_MOUNTS = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
NO_FOLDER = """\
import pwd, sys
sys.path.append(sys.argv[1])
from x2gobroker.remote.userfolder import UserFolder, UserFolderError
who = pwd.getpwnam(sys.argv[2])
try:
    UserFolder(who.pw_uid, who.pw_gid)
except UserFolderError as error:
    print(error)
"""
Start = Callable[..., RemoteServiceScript]


@pytest.fixture
def user() -> Iterator[Account]:
    """Somebody who signs in."""
    with account_with_home("Remote-pam-1") as made:
        yield made


@pytest.fixture
def state() -> Iterator[Path]:
    """The folder of the service."""
    folder = Path(tempfile.mkdtemp(prefix="x2gt-remote-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def start(state: Path, user: Account) -> Iterator[Start]:
    """Start desktops of the user. At the end nothing is left of them."""
    made: list[RemoteServiceScript] = []

    def one(command: list[str] = SLEEP, service: str = "", begins: bool = True, **options: Any) -> RemoteServiceScript:
        kind = one_type(state, "tigervnc.py", name=f"Desk {len(made)}", command=command, **options)
        script = realize(kind, 0, state)
        script._pam_service = service or script._pam_service
        made.append(script)
        started = script.start("token", options={"username": user.name, "size": "640x480", "arguments": []})
        assert started == begins, next(state.glob("*.last-log"), state).read_text()
        return script

    try:
        yield one
    finally:
        for script in made:
            assert script.stop()
        wait_until(lambda: not processes_of(user.name), "the end of all desktops")
        assert left(state) == []
        assert not folder_of(user).exists()
        assert not NOTES.exists() or list(NOTES.iterdir()) == []


def folder_of(user: Account) -> Path:
    """Where XDG_RUNTIME_DIR is, without logind."""
    return USERS / str(pwd.getpwnam(user.name).pw_uid)


@pytest.fixture(params=[CGROUP, NAMESPACE])
def hold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What holds a desktop's processes."""
    if request.param == CGROUP:
        probe = Cgroup.make(f"test-{os.getpid()}")
        if probe is None:
            pytest.skip("no control groups of version 2 that we can write to: mount one, or run this elsewhere")
        assert probe.end()
    monkeypatch.setattr(kept, "HOLDS", (request.param,))
    return str(request.param)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """A PAM service that writes down when a session is opened and closed; its name, and what it has written."""
    said = tmp_path / "said"
    program = tmp_path / "write"
    program.write_text(f'#!/bin/sh\necho "$PAM_TYPE $PAM_USER" >> {said}\n', encoding="utf-8")
    program.chmod(0o755)
    with pam_service("recorder", f"{ALLOW}session required pam_exec.so {program}\n") as name:
        yield name, lambda: said.read_text(encoding="utf-8").splitlines() if said.exists() else []


def found(user: Account) -> tuple[list[str], dict[str, str]]:
    """What `LOOK` has found: its first lines, and the environment."""
    path = user.home / "found"
    wait_until(path.exists, "the desktop having looked")
    lines = path.read_text(encoding="utf-8").splitlines()
    path.unlink()
    return lines[:5], dict(line.split("=", 1) for line in lines[5:] if "=" in line)


def test_what_pam_says_holds_in_a_desktop(hold: str, start: Start, user: Account) -> None:
    """With the service that ships: limits.conf, pam_env, and a folder and a bus where logind gives none."""
    Path("/etc/security/limits.conf").write_text(
        f"{user.name} soft nofile 321\n{user.name} hard nofile 456\n", encoding="utf-8"
    )
    Path("/etc/environment").write_text("MINE=from a file\nPATH=/usr/bin:/bin:/opt/mine\n", encoding="utf-8")
    try:
        script = start(["bash", "-c", LOOK])
        lines, environment = found(user)
        assert lines[:4] == ["321", "456", "0022", f"700 {user.name} directory"]
        assert "method return" in lines[4], lines
        assert environment["MINE"] == "from a file"
        assert environment["PATH"] == "/usr/bin:/bin:/opt/mine"
        assert environment["XDG_RUNTIME_DIR"] == str(folder_of(user))
        assert environment["XDG_SESSION_TYPE"] == "x11"
        assert environment["HOME"] == str(user.home)
        assert environment["DISPLAY"].startswith(":")
        assert environment["X2GOBROKER_REMOTE_DESKTOP"].startswith("/tmp/x2gt-remote-")
        assert script.stop()
        assert not folder_of(user).exists()
    finally:
        Path("/etc/security/limits.conf").write_text("", encoding="utf-8")
        Path("/etc/environment").write_text("", encoding="utf-8")


def test_the_folder_takes_nothing_from_run(hold: str, start: Start, user: Account) -> None:
    """It is as large as logind would make it, and everybody sees it, whatever mounts the desktop has of its own."""
    look = """\
    { stat -f -c '%T %S' "$XDG_RUNTIME_DIR"; stat -f -c '%b %d' "$XDG_RUNTIME_DIR"
    fallocate -l 1M "$XDG_RUNTIME_DIR/small" && echo it fits
    fallocate -l $(($(stat -f -c '%S * %b' "$XDG_RUNTIME_DIR") + 4096)) "$XDG_RUNTIME_DIR/large" || echo it is full; } \
      > ~/look.new 2>&1
    mv ~/look.new ~/look
    exec sleep 600
    """
    script = start(["bash", "-c", look])
    wait_until((user.home / "look").exists, "the desktop having looked")
    kind, numbers, *said = (user.home / "look").read_text(encoding="utf-8").splitlines()
    size, (blocks, inodes) = int(kind.split()[1]), map(int, numbers.split())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert kind.split()[0] == "tmpfs"
    assert 0.09 * memory < size * blocks <= memory / 10 + size
    assert 0.9 * blocks < inodes <= blocks + 1
    assert said[0] == "it fits"
    assert "No space left" in said[1], said
    assert said[2] == "it is full"
    assert (folder_of(user) / "small").stat().st_size == 1 << 20
    roots = USERS.parent / "x2gt-roots"
    roots.write_bytes(b"x" * (1 << 20))
    roots.unlink()
    assert script.stop()
    assert not folder_of(user).exists()
    assert str(folder_of(user)) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")


def test_desktops_do_without_a_folder_where_nothing_can_be_mounted(start: Start, user: Account) -> None:
    """As in many containers: the process that keeps the desktop lacks CAP_SYS_ADMIN."""
    taken = [*WITHOUT_MOUNTS, sys.executable, "-I", "-S", "-c", NO_FOLDER, str(ROOT), user.name]
    said = subprocess.run(taken, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    assert f"no file system in memory can be mounted at {folder_of(user)}: Operation not permitted" in said.stdout
    assert not folder_of(user).exists()
    script = start()  # which still may
    assert folder_of(user).exists()
    assert script.stop()


def test_a_desktop_that_ends_itself_leaves_no_folder(start: Start, user: Account) -> None:
    script = start(["bash", "-c", "touch $XDG_RUNTIME_DIR/x; exec sleep 600"])
    wait_until((folder_of(user) / "x").exists, "the desktop")
    for number in processes_of(user.name):
        if Path(f"/proc/{number}/cmdline").read_bytes().startswith(b"sleep"):
            os.kill(number, signal.SIGTERM)
    wait_until(lambda: not script.poll(), "the end of the desktop")
    wait_until(lambda: not folder_of(user).exists(), "the end of its folder")


def test_the_folder_stays_for_the_other_desktop_of_the_user(start: Start, user: Account) -> None:
    first, second = start(), start()
    inode = folder_of(user).stat().st_ino
    assert first.stop()
    assert folder_of(user).stat().st_ino == inode
    assert second.stop()
    assert not folder_of(user).exists()


def test_without_its_keeper_a_desktop_leaves_no_folder_either(hold: str, start: Start, state: Path) -> None:
    script = start()
    keeper = next(state.glob("*/state.json")).read_text(encoding="utf-8").partition('"pid": ')[2].partition(",")[0]
    os.kill(int(keeper), signal.SIGKILL)
    wait_until(lambda: not script.poll(), "the loss being seen")  # the rest is for `start` to see


Ends = Callable[[RemoteServiceScript, Account, Path], None]


def stopped(script: RemoteServiceScript, _user: Account, _state: Path) -> None:
    """By the service."""
    assert script.stop()


def stopped_by_another(script: RemoteServiceScript, user: Account, state: Path) -> None:
    """By the service, after it was restarted."""
    again = realize(one_type(state, "tigervnc.py", name="Desk 0", command=SLEEP), 0, state)
    assert again.poll()
    assert again.stop()


def ended_by(program: bytes, number: signal.Signals) -> Ends:
    """By itself: its command or its VNC server ends."""

    def end(script: RemoteServiceScript, user: Account, _state: Path) -> None:
        for process in processes_of(user.name):
            if program in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0]:
                os.kill(process, number)
        wait_until(lambda: not script.poll(), "the end of the desktop")

    return end


@pytest.mark.parametrize(
    "end",
    [stopped, stopped_by_another, ended_by(b"sleep", signal.SIGTERM), ended_by(b"Xvnc", signal.SIGKILL)],
    ids=["stop", "restart", "command", "server"],
)
def test_a_session_is_closed_however_its_desktop_ends(
    hold: str, start: Start, state: Path, user: Account, recorder: tuple[str, Callable[[], list[str]]], end: Ends
) -> None:
    service, said = recorder
    script = start(service=service)
    opened, closed = f"open_session {user.name}", f"close_session {user.name}"
    assert said() == [opened]
    end(script, user, state)
    wait_until(lambda: said() == [opened, closed], "the session being closed")


def test_a_session_is_closed_when_the_desktop_does_not_come_up(
    start: Start, user: Account, recorder: tuple[str, Callable[[], list[str]]]
) -> None:
    service, said = recorder
    start(service=service, begins=False, xvnc=["-no-such-thing"])
    assert said() == [f"open_session {user.name}", f"close_session {user.name}"]


def test_while_nobody_may_log_in_the_user_reads_why(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    closed = Path("/etc/nologin")
    closed.write_text("Back at\n14:00.\n", encoding="utf-8")
    try:
        assert start(begins=False)._failure == "Back at 14:00."
        assert "PAM (x2gobroker-desktop) does not let" in capsys.readouterr().out
    finally:
        closed.unlink()
    start()


@pytest.mark.parametrize("phase", ["open", "close"])
def test_a_module_that_hangs_is_ended(
    hold: str, start: Start, state: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setattr(kept, "STOP_SECONDS", 1.0)
    lines = f"{ALLOW}session required pam_permit.so\n"
    lines += f"session required pam_exec.so type={phase}_session /bin/sleep 6543\n"
    with pam_service("hangs", lines) as service:
        script = start(service=service, begins=phase == "close", seconds=2)
        assert script.stop()
    wait_until(lambda: not hanging(), "the end of what the module has started")
    assert left(state) == []


def hanging() -> list[str]:
    """The programs of modules that hang."""
    found = subprocess.run(["pgrep", "-f", "^/bin/sleep 6543"], capture_output=True, text=True, timeout=30, check=False)
    return found.stdout.split()


def test_pam_access_counts(start: Start, user: Account, tmp_path: Path) -> None:
    """The origin is the name of the service."""
    rules = tmp_path / "access.conf"
    rules.write_text(f"-:{user.name}:x2gobroker-test-access", encoding="utf-8")
    lines = f"auth required pam_permit.so\naccount required pam_access.so accessfile={rules}\n"
    with pam_service("access", f"{lines}session required pam_permit.so\n") as service:
        rules.write_text(f"-:{user.name}:{service}\n", encoding="utf-8")
        assert start(service=service, begins=False)._failure == NOT_PERMITTED
        rules.write_text(f"-:{user.name}:sshd\n+:{user.name}:{service}\n-:ALL:ALL\n", encoding="utf-8")
        start(service=service)


def test_expired_accounts_and_passwords(start: Start, user: Account, capsys: pytest.CaptureFixture[str]) -> None:
    user.expire()
    assert start(begins=False)._failure == NOT_PERMITTED
    assert "account has expired" in capsys.readouterr().out
    change_accounts("chage", "--expiredate", "-1", user.name)
    user.demand_new_password()
    assert start(begins=False)._failure == PASSWORD_EXPIRED
    user.set_password("Remote-pam-2")
    change_accounts("chage", "--lastday", "20000", user.name)
    start()


def test_a_service_that_is_missing_starts_nothing(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(service="no-such-service", begins=False)._failure == SCRIPT_FAILED
    assert "there is no file no-such-service in /etc/pam.d: put it there" in capsys.readouterr().out


def test_without_a_service_nobody_asks_pam(start: Start, state: Path, user: Account) -> None:
    kind = one_type(
        state, "tigervnc.py", name="Bare", command=["bash", "-c", "env > ~/env.new; mv ~/env.new ~/env; sleep 9"]
    )
    script = realize(kind, 0, state)
    script._pam_service = ""
    closed = Path("/etc/nologin")
    closed.touch()
    try:
        assert script.start("token", options={"username": user.name, "size": "640x480", "arguments": []})
    finally:
        closed.unlink()
    wait_until((user.home / "env").exists, "the desktop")
    assert "XDG_RUNTIME_DIR" not in (user.home / "env").read_text(encoding="utf-8")
    assert script.stop()


def test_debians_session_has_one_bus(start: Start, user: Account) -> None:
    """Its Xsession starts one by itself where there is none."""
    (user.home / ".xsession").write_text(f"{LOOK}", encoding="utf-8")
    (user.home / ".xsession").chmod(0o755)
    script = start(["/etc/X11/Xsession"])
    lines, environment = found(user)
    assert "method return" in lines[4], lines
    busses = [
        number for number in processes_of(user.name) if b"dbus-daemon" in Path(f"/proc/{number}/cmdline").read_bytes()
    ]
    assert len(busses) == 1
    assert environment["DBUS_SESSION_BUS_ADDRESS"]
    assert script.stop()


def test_a_desktop_does_without_a_bus_that_does_not_come_up(
    start: Start, user: Account, tmp_path: Path, state: Path
) -> None:
    broken = user.home / "bin/dbus-daemon"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    Path("/etc/environment").write_text(f"PATH={broken.parent}:/usr/bin:/bin\n", encoding="utf-8")
    try:
        start(["sleep", "600"])
    finally:
        Path("/etc/environment").write_text("", encoding="utf-8")
    assert f"{broken} gives no session bus" in next(state.glob("*/log")).read_text(encoding="utf-8")


def test_a_desktop_does_without_a_folder_that_is_not_the_users(start: Start, user: Account, state: Path) -> None:
    place = folder_of(user)
    place.mkdir(parents=True)
    try:
        start(["bash", "-c", "env > ~/env.new; mv ~/env.new ~/env; exec sleep 600"])
        wait_until((user.home / "env").exists, "the desktop")
        assert "XDG_RUNTIME_DIR" not in (user.home / "env").read_text(encoding="utf-8")
        said = next(state.glob("*/log")).read_text(encoding="utf-8")
        assert f"no XDG_RUNTIME_DIR: {place} is there and not the user's own" in said
    finally:
        place.rmdir()


def test_what_the_keeper_costs_with_pam(start: Start, state: Path, user: Account) -> None:
    start()
    keeper = next(state.glob("*/state.json")).read_text(encoding="utf-8").partition('"pid": ')[2].partition(",")[0]
    rollup = subprocess.run(
        ["grep", "^Pss:", f"/proc/{keeper}/smaps_rollup"], capture_output=True, text=True, check=True
    )
    assert int(rollup.stdout.split()[1]) < 16_000, rollup.stdout  # kB
