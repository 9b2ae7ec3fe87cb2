"""`x2gobroker x2go` on a real X2Go Server: the installed program, as users and scripts call it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import account_with_home
from tests.support.desktop import Desktop
from tests.support.fuse import fuse_for_all, sshfs_mounts
from tests.support.processes import wait_until
from tests.support.shown_session import no_window, size_of, window
from tests.support.sshd import make_key, sshd
from tests.support.x2go_command import PROGRAM, Shell, at_terminal
from tests.support.x2go_server import X2GoServer, x2go_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server with one user."""
    with x2go_server(tmp_path_factory.mktemp("x2go-command")) as running:
        yield running


@pytest.fixture
def shell(server: X2GoServer, screen: Desktop, tmp_path: Path) -> Iterator[Shell]:
    """Its user at a shell with a display; no session is there, before and after."""
    made = Shell(tmp_path, server, server.users[0], screen)
    yield made
    made.close()
    server.end_sessions(server.users[0])


def test_a_session_is_shown_suspended_resumed_taken_over_and_terminated(shell: Shell, screen: Desktop) -> None:
    title = f"{shell.user.name}@"
    first = shell.begin("start", "--command", "xterm")
    window(screen, title)
    states = shell.states()
    (name,) = states
    assert states == {name: "running"}
    assert shell.end(first, signal.SIGINT) == (0, ["shown", "suspended"])
    no_window(screen, title)
    assert shell.in_database() == {name: "S"}

    second = shell.begin("resume")
    third = shell.begin("resume", name)
    status, events = shell.end(second)
    assert status == 0
    assert events in (["shown", "taken-over"], ["shown", "suspended"])  # on a busy server it stays suspended for long
    window(screen, title)
    done = shell.run("suspend", name)
    assert (done.returncode, done.stdout) == (0, f"{name}: suspended\n"), done.stderr
    done = shell.run("terminate", "--json", name)
    assert json.loads(done.stdout)["sessions"] == [{"name": name, "state": "terminated", "done": True, "message": ""}]
    status, events = shell.end(third)
    assert status == 0
    assert events in (["shown", "ended"], ["shown", "suspended"])  # what it was when it looked
    assert shell.in_database() == {}


def test_a_desktop_has_its_size_and_can_be_viewed(shell: Shell, screen: Desktop) -> None:
    words = ("--command", "openbox-session", "--geometry", "640x480", "--link", "lan", "--keyboard", "de/nodeadkeys")
    desktop = shell.begin("start", *words)
    (name,) = shell.in_database()
    assert size_of(screen, window(screen, f"X2GO-{name}")) == (640, 480)
    (listed,) = shell.values("list")["sessions"]
    assert (listed["type"], listed["command"], listed["user"]) == ("desktop", "openbox-session", shell.user.name)
    (found,) = [each for each in shell.values("desktops")["desktops"] if each["user"] == shell.user.name]
    assert found["desktop"] == f"{shell.user.name}@{found['display']}"
    shown = shell.run("list").stdout.splitlines()
    assert shown[0].split() == ["SESSION", "STATE", "TYPE", "COMMAND", "DISPLAY", "STARTED", "SINCE"]
    assert shown[1].split()[:5] == [name, "running", "desktop", "openbox-session", found["display"]]
    assert shell.end(desktop, signal.SIGINT) == (0, ["shown", "suspended"])


def test_a_folder_is_shared_and_a_session_ends_with_its_program(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "from here.txt").write_text("hello")
    with fuse_for_all():
        program = shell.begin("start", "--command", "xterm", "--share", str(folder))
        below = f"/tmp/.x2go-{shell.user.name}/"
        wait_until(lambda: bool(sshfs_mounts(below)), "the mounted folder")
        (mounted,) = sshfs_mounts(below)
        read = f"cat {mounted}/from\\ here.txt"
        assert shell.server.run(shell.user, read) == "hello"
        # folders are shared before the program starts
        find = "pgrep -u $(id -u) -x xterm || true"
        wait_until(lambda: shell.server.run(shell.user, find) != "", "the program in the session")
        shell.server.run(shell.user, f"kill {shell.server.run(shell.user, find).strip()}")
        assert shell.end(program) == (0, ["shown", "ended"])
        assert sshfs_mounts(below) == []


def test_a_lost_connection_is_told_and_the_session_goes_on(shell: Shell) -> None:
    program = shell.begin("start", "--command", "xterm")
    (name,) = shell.in_database()
    shell.server.sshd.end_connections()
    assert shell.end(program) == (1, ["shown", "lost"])
    shell.server.wait_for_state(shell.user, name, "S")


def test_what_is_not_possible_is_told(shell: Shell) -> None:
    cases = [
        (shell.words("suspend", "anna-50-1795167317_stRxterm_dp24"), "there is no such session"),
        (shell.words("resume"), "`x2gobroker x2go start` starts one"),
        (shell.words("start", "--command", "no-such-program"), "the server has no such command"),
        (shell.words("start", "--view", f"{shell.user.name}@:9"), "no desktop that could be shared"),
    ]
    for argv, said in cases:
        done = shell.call(argv)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_without_a_display_nothing_is_started(shell: Shell) -> None:
    shell.screen = None
    done = shell.run("start", "--command", "xterm")
    assert done.returncode == 1
    assert "DISPLAY is not set" in done.stderr
    assert shell.in_database() == {}


def test_applications_are_a_tree(shell: Shell) -> None:
    found = shell.values("apps", "--lang", "de")
    assert found["language"] == "de"
    names = {each["name"]: each["exec"] for menu in found["menus"] for each in menu["applications"]}
    assert names["XTerm"] == "xterm"
    assert "icon" not in found["menus"][0]["applications"][0]
    lines = shell.run("apps").stdout.splitlines()
    assert {menu["menu"] for menu in found["menus"]} == {line for line in lines if not line.startswith(" ")}
    assert any(line.split() == ["XTerm", "xterm"] for line in lines)


def test_the_password_is_wrong(shell: Shell) -> None:
    shell.password_file.write_text("Falsches-w0rt\n")
    done = shell.run("list")
    assert done.returncode == 1
    assert "the server refuses the password" in done.stderr
    assert "--password-file" in done.stderr
    assert "Falsches" not in done.stdout + done.stderr


def test_the_password_from_standard_input(shell: Shell) -> None:
    argv = [str(PROGRAM), "x2go", "list", shell.place, "--json", "--password-file", "-"]
    done = shell.call(argv, f"{shell.user.password}\n")
    assert (done.returncode, json.loads(done.stdout)["user"]) == (0, shell.user.name)


def test_nobody_can_be_asked_for_a_password(shell: Shell) -> None:
    done = shell.call([str(PROGRAM), "x2go", "list", shell.place])
    assert done.returncode == 1
    assert "--password-file" in done.stderr


def test_a_key_lets_in_without_a_password(shell: Shell) -> None:
    key = shell.server.folder / "key"
    done = shell.call(
        [str(PROGRAM), "x2go", "list", f"127.0.0.1:{shell.server.port}", "-u", shell.user.name, "-i", str(key)]
    )
    assert (done.returncode, done.stdout) == (0, "There are no sessions.\n"), done.stderr


def test_a_host_key_that_is_not_known(shell: Shell) -> None:
    shell.known_hosts.unlink()
    done = shell.run("list")
    assert done.returncode == 1
    assert "SHA256:" in done.stderr
    assert "--accept-new-host-key" in done.stderr
    done = shell.run("list", "--accept-new-host-key")
    assert done.returncode == 0, done.stderr
    assert "SHA256:" in done.stderr
    assert f"[127.0.0.1]:{shell.server.port} " in shell.known_hosts.read_text()
    done = shell.run("list")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_changed_host_key_is_refused_whatever_is_said(shell: Shell, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other").split()
    shell.known_hosts.write_text(f"[127.0.0.1]:{shell.server.port} {other[0]} {other[1]}\n")
    done = shell.run("list", "--accept-new-host-key")
    assert done.returncode == 1
    assert "is not the known one" in done.stderr


def test_at_a_terminal_host_key_and_password_are_asked_for(shell: Shell) -> None:
    shell.known_hosts.unlink()
    answers = {"[y/N]": "yes", "Password for": shell.user.password}
    argv = [str(PROGRAM), "x2go", "list", shell.place]
    status, shown = at_terminal(argv, shell.environment, answers)
    assert status == 0, shown
    assert "SHA256:" in shown
    assert "There are no sessions." in shown
    assert shell.user.password not in shown
    assert f"[127.0.0.1]:{shell.server.port} " in shell.known_hosts.read_text()


def test_a_no_at_the_terminal_is_a_no(shell: Shell) -> None:
    shell.known_hosts.unlink()
    argv = [str(PROGRAM), "x2go", "list", shell.place]
    status, shown = at_terminal(argv, shell.environment, {"[y/N]": "n"})
    assert status == 1
    assert "Password" not in shown
    assert shell.known_hosts.read_text() == ""


def test_nobody_answers(shell: Shell) -> None:
    done = shell.call([str(PROGRAM), "x2go", "list", "127.0.0.1:1", "--password-file", str(shell.password_file)])
    assert done.returncode == 1
    assert "is an SSH server running there?" in done.stderr


def test_a_session_profile_and_a_session_that_waits_on_the_server(shell: Shell) -> None:
    sessions = shell.folder / "sessions"
    sessions.write_text(
        f"[20261121]\nname=work\nhost=127.0.0.1\nsshport={shell.server.port}\nuser={shell.user.name}\nsound=false\n"
        "command=xterm\nrootless=true\nfullscreen=false\nwidth=700\nheight=500\n"
    )
    common = ["--sessions-file", str(sessions), "--password-file", str(shell.password_file)]
    started = shell.call([str(PROGRAM), "x2go", "start", "--profile", "work", "--detach", "--json", *common])
    assert started.returncode == 0, started.stderr
    name = json.loads(started.stdout)["session"]
    assert "_stRxterm_" in name
    assert shell.in_database() == {name: "S"}
    done = shell.call([str(PROGRAM), "x2go", "terminate", "--profile", "work", *common, "--all"])
    assert (done.returncode, done.stdout) == (0, f"{name}: terminated\n"), done.stderr
    done = shell.call([str(PROGRAM), "x2go", "list", "--profile", "play", *common])
    assert done.returncode == 1
    assert "it has work" in done.stderr


def test_through_a_proxy(shell: Shell, tmp_path: Path) -> None:
    with account_with_home("Proxy-w0rt+4") as jump, sshd(tmp_path / "proxy") as proxy:
        with shell.known_hosts.open("a") as file:
            file.write(proxy.host_key_lines("127.0.0.1"))
        secret = tmp_path / "proxy-password"
        secret.write_text(f"{jump.password}\n")
        secret.chmod(0o600)
        words = ("--proxy", f"{jump.name}@127.0.0.1:{proxy.port}", "--proxy-password-file", str(secret))
        done = shell.run("list", *words)
        assert (done.returncode, done.stdout) == (0, "There are no sessions.\n"), done.stderr
        assert f"Accepted password for {jump.name}" in proxy.log_text()
        secret.write_text("Falsches-w0rt\n")
        done = shell.run("list", *words)
        assert done.returncode == 1
        assert "--proxy-password-file" in done.stderr
