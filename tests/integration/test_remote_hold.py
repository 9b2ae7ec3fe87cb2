"""What users of desktops cannot do: outlive them, and write or hold on to anything of the service's own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home, processes_of
from tests.support.processes import wait_until
from tests.support.remote_types import left, one_type
from x2gobroker.remote import kept
from x2gobroker.remote.hold import CGROUP, NAMESPACE, Cgroup
from x2gobroker.remote.limits import Limits
from x2gobroker.remote.loader import realize
from x2gobroker.remote.script import RemoteServiceScript

# leaves its session, has no environment, and is another process each 0.7 ms
HOP = "import os, time\nos.setsid()\nwhile True:\n if os.fork(): os._exit(0)\n time.sleep(0.0007)"
SLEEPS = "trap '' TERM HUP INT; while :; do sleep 600; done"


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    """Somebody who signs in."""
    with account_with_home("Remote-hold-1") as made:
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


def desktop(state: Path, user: Account, command: list[str]) -> RemoteServiceScript:
    """A desktop that runs."""
    made = realize(one_type(state, "tigervnc.py", name="Desk", command=command), 0, state)
    assert made.start("token", options={"username": user.name, "size": "640x480", "arguments": []})
    return made


def keeper_of(state: Path) -> int:
    """The process that keeps the only desktop, as the host numbers it."""
    found = json.loads(next(state.glob("*/state.json")).read_text(encoding="utf-8"))
    return int(found["pid"])


def hopping(user: Account) -> list[str]:
    """The command of a desktop that leaves such a process behind."""
    inner = f"env -i {sys.executable} -I -S -c '{HOP}' & env -i setsid sh -c \"{SLEEPS}\" & touch {user.home}/on"
    return ["sh", "-c", f"{inner}; exec sleep 600"]


def started(user: Account) -> None:
    """Wait until the desktop has left its processes."""
    flag = user.home / "on"
    wait_until(flag.exists, "the desktop's programs")
    wait_until(lambda: len(processes_of(user.name)) > 3, "the processes that leave it")
    flag.unlink()


def test_no_process_outlives_its_desktop(hold: str, state: Path, user: Account) -> None:
    """Also one that leaves its session, has no environment and forks faster than anybody can look."""
    script = desktop(state, user, hopping(user))
    started(user)
    assert script.stop()
    assert processes_of(user.name) == []
    assert left(state) == []


def test_no_process_outlives_a_keeper_that_was_killed(hold: str, state: Path, user: Account) -> None:
    script = desktop(state, user, hopping(user))
    started(user)
    os.kill(keeper_of(state), signal.SIGKILL)
    wait_until(lambda: not script.poll(), "the loss being seen")
    assert script.stop()
    wait_until(lambda: not processes_of(user.name), "the end of all of it")
    assert left(state) == []


def test_a_desktop_in_a_namespace_sees_itself_only_and_the_hosts_mounts(
    state: Path, user: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "HOLDS", (NAMESPACE,))
    seen = user.home / "seen"
    look = f"ps -e -o args= > {seen}.new; mv {seen}.new {seen}; exec sleep 600"
    script = desktop(state, user, ["sh", "-c", look])
    wait_until(seen.exists, "the list of processes")
    lines = seen.read_text(encoding="utf-8").splitlines()
    assert "keeper.py" in lines[0]  # the first process is what keeps it
    assert not any("pytest" in line for line in lines)
    keeper = keeper_of(state)
    assert os.readlink(f"/proc/{keeper}/ns/pid") != os.readlink("/proc/self/ns/pid")
    shared = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if line.split()[4] == "/tmp"]
    theirs = [line for line in Path(f"/proc/{keeper}/mountinfo").read_text().splitlines() if line.split()[4] == "/tmp"]
    assert len(shared) == len(theirs)
    assert script.stop()


def test_without_roots_rights_a_desktop_ends_what_it_can(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the demo of somebody who is not root: there is no control group, and no namespace."""
    monkeypatch.setattr(kept, "HOLDS", ())
    with account_with_home("Remote-hold-2") as made:
        script = desktop(state, made, hopping(made))
        started(made)
        assert script.stop()
        wait_until(lambda: not processes_of(made.name), "the end of all of it")


# each thing that a user could do to a folder or a file of the service; what works is written down
ATTACKS = """\
import os, sys
desk, done = os.environ["X2GOBROKER_REMOTE_DESKTOP"], []
def attempt(name, work):
    try:
        work()
    except OSError as error:
        return
    done.append(name)
above = os.path.dirname(desk)
for folder in (desk, above):
    attempt(f"mkdir in {folder}", lambda: os.mkdir(folder + "/d"))
    attempt(f"file in {folder}", lambda: open(folder + "/f", "w"))
    attempt(f"link in {folder}", lambda: os.symlink("/", folder + "/l"))
    attempt(f"chmod {folder}", lambda: os.chmod(folder, 0o777))
    attempt(f"list {folder}", lambda: os.listdir(folder))
    for name in ("vnc", "xauthority", "log", "state.json"):
        path = folder + "/" + name
        attempt(f"rename {path}", lambda: os.rename(path, path + ".mine"))
        attempt(f"unlink {path}", lambda: os.unlink(path))
        attempt(f"write {path}", lambda: open(path, "a").write("x"))
        attempt(f"swap {path}", lambda: os.rename(os.path.expanduser("~/on"), path))
        attempt(f"xattr {path}", lambda: os.setxattr(path, "user.x", b"x" * 1000))
attempt("s", lambda: os.chdir(desk + "/s"))
attempt("cgroup", lambda: open("/proc/1/cgroup", "w"))
with open(os.path.expanduser("~/result.new"), "w") as stream:
    stream.write("\\n".join(done))
os.rename(os.path.expanduser("~/result.new"), os.path.expanduser("~/result"))
os.execvp("sleep", ["sleep", "600"])
"""


def test_a_user_owns_no_folder_of_the_service_and_can_change_nothing_in_there(
    hold: str, state: Path, user: Account
) -> None:
    """So nobody can put a link there, fill the file system, or make a tree that nobody can remove."""
    attacks = user.home / "attacks.py"
    attacks.write_text(ATTACKS, encoding="utf-8")
    (user.home / "result").unlink(missing_ok=True)
    script = desktop(state, user, ["python3", str(attacks)])
    wait_until((user.home / "result").exists, "the attacks")
    assert (user.home / "result").read_text(encoding="utf-8") == ""
    number = pwd.getpwnam(user.name).pw_uid
    find = ["find", str(state), "-writable", "-not", "-type", "s"]
    found = subprocess.run(["setpriv", f"--reuid={number}", "--clear-groups", *find], capture_output=True, timeout=30)
    assert found.stdout == b""
    owned = [path for path in state.rglob("*") if path.lstat().st_uid == number]
    assert [path.name for path in owned] == ["vnc"]  # its socket: there is nothing in it to write to
    assert script.stop()


def test_what_cannot_be_removed_stands_in_nobodys_way(state: Path, user: Account) -> None:
    script = desktop(state, user, ["sleep", "600"])
    (folder,) = left(state)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder / "log")], check=False, timeout=30, capture_output=True)
    (folder / "d").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder / "d")], check=True, timeout=30)
    try:
        assert script.stop()
        assert folder.exists()
        with account_with_home("Remote-hold-3") as other:
            assert desktop(state, other, ["sleep", "600"]).stop()
    finally:
        subprocess.run(["umount", str(folder / "d")], check=True, timeout=30)
    (folder / "d").rmdir()
    assert script.stop()
    assert not folder.exists()


def test_a_folder_of_an_earlier_version_stands_in_nobodys_way(state: Path, user: Account) -> None:
    """There, part of it was the user's, and as deep as the user liked."""
    script = desktop(state, user, ["sleep", "600"])
    (folder,) = left(state)
    assert script.stop()
    old = state / folder.name.partition(".")[0] / "s"
    old.mkdir(parents=True)
    within = f"{old}{'/d' * 900}"
    os.makedirs(within)
    script = desktop(state, user, ["sleep", "600"])
    assert script.poll()
    assert script.stop()
    subprocess.run(["rm", "-rf", str(old.parent)], check=True, timeout=60)


def test_limits_that_nothing_here_can_keep_start_nothing(
    state: Path, user: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kept, "HOLDS", (NAMESPACE,))
    monkeypatch.setattr(kept, "SYSTEMD", state / "not there")
    made = realize(one_type(state, "tigervnc.py", name="Desk", command=["sleep", "600"]), 0, state)
    made._limits = Limits(tasks=100)
    assert not made.start("token", options={"username": user.name, "size": "640x480", "arguments": []})
    assert "memory-megabytes, tasks and cpu-percent need control groups" in capsys.readouterr().out
    assert processes_of(user.name) == []
    assert left(state) == []


def test_desktops_come_up_when_a_hundred_displays_are_taken(state: Path, user: Account) -> None:
    """Here /tmp is the test's own."""
    locks = [Path(f"/tmp/.X{number}-lock") for number in range(1, 101)]
    taken = [lock for lock in locks if not lock.exists()]
    for lock in taken:
        lock.write_text("         1\n", encoding="ascii")
    try:
        display = user.home / "display"
        script = desktop(state, user, ["sh", "-c", f"echo $DISPLAY > {display}; exec sleep 600"])
        wait_until(lambda: display.exists() and display.read_text().strip() != "", "the desktop")
        assert int(display.read_text().removeprefix(":")) > 100
        assert script.stop()
    finally:
        for lock in taken:
            lock.unlink()
