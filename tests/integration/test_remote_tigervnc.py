"""The script for TigerVNC, with a real Xvnc: a desktop of a user's own, and nothing of it left afterwards."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Account, account_with_home, processes_of
from tests.support.processes import wait_until
from tests.support.remote_types import left, one_type
from x2gobroker.remote.loader import realize
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.told import NO_ACCOUNT, NO_SIZE, NOT_INSTALLED, NOT_ROOT

SLEEP = ["sleep", "600"]


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    """Somebody who signs in."""
    with account_with_home("Remote-desktop-1") as made:
        yield made


@pytest.fixture
def state() -> Iterator[Path]:
    """The folder of the service: users go through it, and paths of sockets are short."""
    folder = Path(tempfile.mkdtemp(prefix="x2gt-remote-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Slot:
    """One slot of a session type, and its script as the service would make it."""

    def __init__(self, state: Path, user: str, **options: Any) -> None:
        self.state = state
        self.user = user
        self.kind = one_type(state, "tigervnc.py", name="Desk", **options)
        self.heard: list[str] = []
        self.script = self.made_anew()

    def made_anew(self) -> RemoteServiceScript:
        """The script of the same slot in another process, or after a restart of the service."""
        made = realize(self.kind, 0, self.state)
        made._listener = self.heard.append
        return made

    def start(self, size: str = "800x600", arguments: tuple[str, ...] = ()) -> bool:
        """Start the desktop."""
        options = {"username": self.user, "size": size, "arguments": list(arguments)}
        return bool(self.script.start("token", options=options))

    @property
    def socket(self) -> Path:
        """Where the VNC server listens."""
        return Path(self.script._unix_socket)

    @property
    def keeper(self) -> int:
        """The process that keeps the desktop."""
        found = json.loads(next(self.state.glob("*/state.json")).read_text(encoding="utf-8"))
        return int(found["pid"])


@pytest.fixture
def slot(state: Path, user: Account) -> Iterator[Slot]:
    """A slot whose desktop only sleeps."""
    made = Slot(state, user.name, command=SLEEP)
    try:
        yield made
    finally:
        assert made.script.stop()
        wait_until(lambda: not processes_of(user.name), "the end of the desktop")


def greeting(path: Path) -> bytes:
    """What a VNC server says first, and its security types."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        said = connection.recv(12)
        connection.sendall(b"RFB 003.008\n")
        return said + connection.recv(2)


def words_of(number: int) -> list[str]:
    """The command line of a process."""
    return Path(f"/proc/{number}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]


def running(user: str, program: str) -> list[int]:
    """The processes of a user that run this program."""
    found = []
    for number in processes_of(user):
        try:
            words = words_of(number)
        except OSError:
            continue
        if words and Path(words[0]).name == program:
            found.append(number)
    return found


def ended(number: int) -> bool:
    """Whether a process is gone, or nobody has taken note of its end yet."""
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_desktop_of_the_users_own(slot: Slot, user: Account) -> None:
    assert slot.start("812x600")
    assert slot.heard == ["Starting the desktop"]
    assert slot.script.poll()
    assert greeting(slot.socket) == b"RFB 003.008\n\x01\x01"
    status = slot.socket.lstat()
    assert (status.st_uid, status.st_mode & 0o777) == (pwd.getpwnam(user.name).pw_uid, 0o600)
    above = slot.socket.parent.stat()
    assert (above.st_uid, above.st_mode & 0o777) == (0, 0o711)
    (server,) = running(user.name, "Xvnc")
    words = words_of(server)
    assert words[words.index("-geometry") + 1] == "812x600"
    assert "token" not in words
    (desktop,) = running(user.name, "sleep")
    status_text = Path(f"/proc/{desktop}/status").read_text(encoding="utf-8")
    group = pwd.getpwnam(user.name).pw_gid
    assert f"Groups:\t{group}" in status_text
    environment = dict(
        entry.split("=", 1)
        for entry in Path(f"/proc/{desktop}/environ").read_text(encoding="utf-8").split("\0")
        if entry
    )
    assert environment["HOME"] == str(user.home)
    assert (environment["USER"], environment["LOGNAME"]) == (user.name, user.name)
    assert os.readlink(f"/proc/{desktop}/cwd") == str(user.home)
    assert "SSH_AUTH_SOCK" not in environment
    shown = subprocess.run(
        ["xdpyinfo"],
        env={"PATH": os.environ["PATH"], **{name: environment[name] for name in ("DISPLAY", "XAUTHORITY")}},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "812x600 pixels" in shown.stdout
    with_nothing = {"PATH": os.environ["PATH"], "DISPLAY": environment["DISPLAY"], "XAUTHORITY": "/dev/null"}
    refused = subprocess.run(["xdpyinfo"], env=with_nothing, capture_output=True, timeout=30, check=False)
    assert refused.returncode != 0


def test_without_a_command_it_is_what_display_managers_start(state: Path, user: Account) -> None:
    """With the user's own settings, and no window that only TigerVNC has."""
    (user.home / ".profile").write_text("export FROM_PROFILE=yes\n", encoding="ascii")
    session = user.home / ".xsession"
    session.write_text("#!/bin/sh\necho $FROM_PROFILE $# >~/seen.new; mv ~/seen.new ~/seen; exec sleep 601\n", "ascii")
    session.chmod(0o755)
    slot = Slot(state, user.name)
    try:
        assert slot.start()
        wait_until((user.home / "seen").exists, "the desktop being started")
        assert (user.home / "seen").read_text("ascii") == "yes 0\n"
        wait_until(lambda: bool(running(user.name, "sleep")), "the desktop")
        names = {Path(words_of(number)[0]).name for number in processes_of(user.name)}
        assert not {name for name in names if "vncconfig" in name}
    finally:
        assert slot.script.stop()
        wait_until(lambda: not processes_of(user.name), "the end of the desktop")
        for name in (".profile", ".xsession", "seen"):
            (user.home / name).unlink()


def test_stop_leaves_nothing(slot: Slot, user: Account) -> None:
    """Also of programs that left their session, that nobody waits for, and that do not mind a polite signal."""
    nasty = "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM HUP; sleep 601 & sleep 602; sleep 603' & sleep 604"
    slot = Slot(slot.state, user.name, command=["sh", "-c", nasty])
    assert slot.start()
    wait_until(lambda: len(running(user.name, "sleep")) == 3, "the programs of the desktop")
    keeper = slot.keeper
    assert slot.script.stop()
    assert processes_of(user.name) == []
    assert ended(keeper)
    assert left(slot.state) == []
    assert not slot.script.poll()
    assert slot.script.stop()


def test_a_desktop_is_found_again(slot: Slot, user: Account) -> None:
    assert slot.start()
    again = slot.made_anew()
    assert again.poll()
    assert again._unix_socket == str(slot.socket)
    assert again.stop()
    assert not slot.script.poll()
    assert processes_of(user.name) == []


def test_the_end_of_the_desktop_is_the_end_of_all(slot: Slot, user: Account) -> None:
    assert slot.start()
    os.kill(running(user.name, "sleep")[0], signal.SIGTERM)
    wait_until(lambda: not slot.script.poll(), "the end of the desktop")
    wait_until(lambda: not processes_of(user.name), "the end of the VNC server")


def test_the_end_of_the_vnc_server_is_the_end_of_all(slot: Slot, user: Account) -> None:
    assert slot.start()
    keeper = slot.keeper
    os.kill(running(user.name, "Xvnc")[0], signal.SIGKILL)
    wait_until(lambda: not slot.script.poll(), "the end of the desktop")
    wait_until(lambda: not processes_of(user.name), "the end of the programs")
    wait_until(lambda: ended(keeper), "the end of the process that keeps it")


def test_what_is_left_without_its_keeper_is_ended(slot: Slot, user: Account) -> None:
    slot = Slot(slot.state, user.name, command=["sh", "-c", "setsid sleep 601 & setsid nohup sleep 602"])
    assert slot.start()
    wait_until(lambda: len(running(user.name, "sleep")) == 2, "the programs of the desktop")
    os.kill(slot.keeper, signal.SIGKILL)
    wait_until(lambda: not slot.script.poll(), "the loss being seen")
    again = slot.made_anew()
    assert again.stop()
    assert processes_of(user.name) == []
    assert left(slot.state) == []


def test_a_second_start_ends_what_was_there(slot: Slot, user: Account) -> None:
    assert slot.start()
    first = running(user.name, "Xvnc")
    assert slot.start()
    assert len(running(user.name, "Xvnc")) == 1
    assert running(user.name, "Xvnc") != first


def test_arguments_are_put_behind_the_command(slot: Slot, user: Account) -> None:
    slot = Slot(slot.state, user.name, command="sleep 601")
    assert slot.start(arguments=("602", "603"))
    assert words_of(running(user.name, "sleep")[0]) == ["sleep", "601", "602", "603"]


def test_output_of_the_desktop_is_kept_up_to_a_limit(slot: Slot, user: Account) -> None:
    loud = "echo this is said first; head -c 1000000 /dev/zero | tr '\\0' x; touch $HOME/done; exec sleep 600"
    slot = Slot(slot.state, user.name, command=["sh", "-c", loud])
    assert slot.start()
    wait_until((user.home / "done").exists, "the desktop having said everything")
    log = next(slot.state.glob("*/log"))
    assert b"this is said first" in log.read_bytes()
    assert log.stat().st_size <= 1 << 18
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("options", "size", "said"),
    [
        ({"xvnc": ["-no-such-thing"]}, "800x600", "the VNC server ended at once: "),
        ({"command": ["no-such-desktop"]}, "800x600", "no-such-desktop cannot be started: No such file or directory"),
        ({"command": SLEEP}, "800", "'800' is no size that Xvnc can have; it must be such as 1280x800"),
        ({"command": SLEEP}, "99999x99999", "'99999x99999' is no size that Xvnc can have"),
    ],
)
def test_why_there_is_no_desktop(
    state: Path, user: Account, capsys: pytest.CaptureFixture[str], options: dict[str, Any], size: str, said: str
) -> None:
    slot = Slot(state, user.name, **options)
    assert not slot.start(size)
    assert said in capsys.readouterr().out
    assert slot.script._failure == ("" if said.startswith(("the VNC server", "no-such-desktop")) else NO_SIZE)
    assert processes_of(user.name) == []
    assert not slot.script.poll()


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("root", "root gets no desktop", NOT_ROOT),
        ("nobody-of-that-name", "there is no user 'nobody-of-that-name'", NO_ACCOUNT),
        ("", "no user", NO_ACCOUNT),
    ],
)
def test_who_gets_no_desktop(state: Path, capsys: pytest.CaptureFixture[str], name: str, said: str, told: str) -> None:
    slot = Slot(state, name, command=SLEEP)
    assert not slot.start()
    assert said in capsys.readouterr().out
    assert slot.script._failure == told


def test_a_vnc_server_that_does_not_come_up(
    state: Path, user: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = state / "bin"
    folder.mkdir(mode=0o755)
    server = folder / "Xvnc"
    server.write_text("#!/bin/sh\necho 'it hangs here' >&2\nexec sleep 600\n", encoding="utf-8")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    slot = Slot(state, user.name, command=SLEEP, seconds=1)
    assert not slot.start()
    assert "the VNC server did not come up within 1 s: it hangs here" in capsys.readouterr().out
    assert slot.script._failure == ""
    assert processes_of(user.name) == []


def test_a_host_without_xvnc(
    slot: Slot, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(state))
    assert not slot.start()
    assert "Xvnc is not installed: install the package tigervnc-standalone-server" in capsys.readouterr().out
    assert slot.script._failure == NOT_INSTALLED
    assert "Xvnc is not installed: install the package tigervnc-standalone-server" in list(slot.script.check())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sizes": ["1600 x 1200", "800x600"]}, "the size '1600 x 1200' is none that Xvnc can have"),
        ({"sizes": ["full"]}, "the size 'full' is none that Xvnc can have"),
        ({"depth": 33}, "the option depth is 33, and must be one of 16, 24, 32"),
        ({"account": "root"}, "the option account names root"),
        ({"account": "nobody-of-that-name"}, "there is no such user on this host"),
        ({"command": ["nosuchprog"]}, "the command 'nosuchprog' is not there, or no program"),
        ({"seconds": -5}, "the option seconds must be a number above 0"),
        ({"xvnc": ["-nosuch"]}, "Xvnc does not take the options: Unrecognized option: -nosuch"),
    ],
)
def test_what_a_start_would_find_is_found_before(
    state: Path, user: Account, options: dict[str, Any], said: str
) -> None:
    assert list(Slot(state, user.name, command=SLEEP).script.check()) == []
    found = list(Slot(state, user.name, **{"command": SLEEP, **options}).script.check())
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "echo starting; echo 'the licence server says no' >&2; exit 3",
            "with status 3: starting / the licence server",
        ),
        ("kill -9 $$", "its desktop command has ended by signal 9"),
        ("exit 0", "its desktop command has ended"),
    ],
)
def test_why_a_desktop_has_ended(state: Path, user: Account, command: str, said: str) -> None:
    """Which of its programs, how, and its last words; its whole log stays until the next start."""
    slot = Slot(state, user.name, command=["bash", "-c", command])
    slot.start()
    wait_until(lambda: not slot.script.poll(), "the end of the desktop")
    assert said in slot.script.ended_why()  # type: ignore[attr-defined]
    assert slot.script.stop()
    (log,) = state.glob("*.last-log")
    assert ("licence server" in command) == ("licence server" in log.read_text(encoding="utf-8"))
    assert log.stat().st_mode & 0o777 == 0o600
    assert Slot(state, user.name, command=SLEEP).script.stop(), "and it is in nobody's way"


def test_a_folder_that_others_can_write_to_is_refused(
    slot: Slot, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state.chmod(0o777)
    assert not slot.start()
    assert "must be a folder that only the service's account can write to" in capsys.readouterr().out


def unmounted(folder: Path) -> bool:
    """Unmount it, unless it is busy; whether it was done."""
    return subprocess.run(["umount", str(folder)], capture_output=True, timeout=30, check=False).returncode == 0


def test_a_full_disk_is_told(slot: Slot, user: Account, capsys: pytest.CaptureFixture[str]) -> None:
    """A file system without room for another file: first there is none for the log, then none for the state."""
    for inodes in (4, 5):
        full = slot.state / "full"
        full.mkdir(mode=0o711)
        options = f"size=64k,nr_inodes={inodes},mode=0711"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(full)], check=True, timeout=30)
        try:
            cramped = Slot(full, user.name, command=SLEEP)
            assert not cramped.start()
            assert "No space left on device" in capsys.readouterr().out
            assert cramped.script._failure == ""
            assert processes_of(user.name) == []
        finally:
            wait_until(partial(unmounted, full), "nobody being there any more")
            full.rmdir()
