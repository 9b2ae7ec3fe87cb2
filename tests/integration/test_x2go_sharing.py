"""Local folders in a session of a real X2Go Server: mounted by x2gomountdirs and sshfs, used from both sides."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.client_home import client_home
from tests.support.desktop import Desktop
from tests.support.fuse import fuse_for_all, sshfs_mounts
from tests.support.processes import wait_until
from tests.support.x2go_control import control_session
from tests.support.x2go_server import RunningSession, X2GoServer, x2go_server
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.connect import connect
from x2gobroker.ssh.routes import Login, Route, Trust
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoRevFwTunnelException
from x2gobroker.x2go.folders.sharing import FolderSharing, RunsCommands

SEEN_SECONDS = 3.0
BIG = 50 * 1024 * 1024
SLOWEST = 3e6  # bytes a second; it is some 20 MB/s on two cores that have nothing else to do
NAMES = ["with blanks", "Größe & Ärger", 'it\'s "quoted"', "$(touch x) `touch y`;touch z|a:b", "-n\\n*?[a]%s"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """One X2Go Server for all tests here."""
    with fuse_for_all(), x2go_server(tmp_path_factory.mktemp("x2go-server")) as running:
        yield running


@pytest.fixture(scope="module")
def session(server: X2GoServer, screen: Desktop) -> Iterator[RunningSession]:
    """A session that another client has started."""
    with client_home() as home:
        running = server.start_session(server.users[0], screen, home)
        yield running
        running.terminate()


@pytest.fixture
def control(server: X2GoServer) -> Iterator[X2GoControlSession]:
    """A control session of the session's user; nothing of the library is left when it ends."""
    with control_session(server.sshd, server.users[0]) as connection:
        yield connection
    wait_until(lambda: not library_threads(), "the end of all threads")


@pytest.fixture
def sharing(server: X2GoServer, session: RunningSession, control: X2GoControlSession) -> Iterator[FolderSharing]:
    """The session's shared folders; none is mounted afterwards."""
    transport = control.get_transport()
    assert transport is not None
    folders = new_sharing(server, session, transport, control.command)
    yield folders
    folders.stop()
    assert mounts(session) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to be shared."""
    made = tmp_path / "shared"
    made.mkdir()
    return made


def connected(server: X2GoServer) -> paramiko.Transport:
    key = (server.folder / "key").read_text(encoding="ascii")
    login = Login(server.users[0].name, private_key=key)
    endpoint = Endpoint("127.0.0.1", "127.0.0.1", server.port)
    return connect(Route(endpoint, login, Trust((server.folder / "known_hosts",))), 20)


def new_sharing(
    server: X2GoServer, session: RunningSession, transport: paramiko.Transport, command: RunsCommands | None = None
) -> FolderSharing:
    line = next(line for line in server.list_sessions(session.user) if f"|{session.name}|" in line)
    return FolderSharing(transport, session.name, int(line.split("|")[13]), session.agent, command)


def library_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("x2go-")]


def mounts(session: RunningSession) -> list[str]:
    return sshfs_mounts(f"/tmp/.x2go-{session.user.name}/")


def there(session: RunningSession, sharing: FolderSharing, folder: Path) -> Path:
    """Where a folder is on the server."""
    place = Path(f"/tmp/.x2go-{session.user.name}") / sharing.mount_point(str(folder))
    assert str(place) in mounts(session)
    return place


def on(session: RunningSession, place: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as the session's user in a folder of the server, which is this machine."""
    user = session.user.name
    argv = ["sh", "-c", f"cd {shlex.quote(str(place))} && {{ {script}\n}}"]
    return subprocess.run(
        argv, user=user, group=user, extra_groups=[], cwd="/", capture_output=True, text=True, timeout=60, check=False
    )


def soon(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, what, SEEN_SECONDS)


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_read_and_write(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, folder: Path, name: str
) -> None:
    shared = folder / name
    (shared / name).mkdir(parents=True)
    (shared / name / f"{name}.txt").write_text("from here")
    assert sharing.share(str(shared)) is True
    assert sharing.shared == [str(shared)]
    place = there(session, sharing, shared)
    quoted = shlex.quote(f"./{name}")

    read = on(session, place, f"cat {quoted}/{quoted}.txt")
    assert (read.stdout, read.stderr) == ("from here", "")
    written = on(session, place, f"printf 'from there' >{quoted}/new.txt && rm {quoted}/{quoted}.txt && ls -A .")
    assert (written.stdout, written.stderr) == (f"{name}\n", "")
    assert sorted(os.listdir(shared / name)) == ["new.txt"]
    assert (shared / name / "new.txt").read_text() == "from there"
    assert sharing.unshare(str(shared)) is True
    assert (sharing.shared, mounts(session)) == ([], [])
    left = server.run(session.user, "ls -A ~ ~/.x2go/ssh")
    assert {"x", "y", "z"}.isdisjoint(left.split())
    assert "key.z" not in left


def test_what_one_side_does_the_other_one_sees_at_once(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, folder: Path
) -> None:
    (folder / "here").mkdir()
    (folder / "here" / "a").write_text("1")
    assert sharing.share(str(folder))
    place = there(session, sharing, folder)

    def listed() -> list[str]:
        return on(session, place, "cd here && ls -A").stdout.split()

    def content(name: str) -> str:
        return on(session, place, f"cat here/{name}").stdout

    assert (listed(), content("a")) == (["a"], "1")
    (folder / "here" / "b").write_text("new")
    (folder / "here" / "a").write_text("longer than before")
    soon(lambda: listed() == ["a", "b"], "a new file on the server")
    soon(lambda: content("a") == "longer than before", "a file's new content on the server")
    (folder / "here" / "a").rename(folder / "here" / "c")
    (folder / "here" / "b").unlink()
    soon(lambda: listed() == ["c"], "a new name on the server")

    # the other way nothing keeps anything back
    done = on(session, place, "mv here/c here/d && mkdir -p e/f && echo 1 >e/f/g && chmod 640 e/f/g && echo 2 >>e/f/g")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "here" / "d").read_text() == "longer than before"
    assert (folder / "e" / "f" / "g").read_text() == "1\n2\n"
    assert (folder / "e" / "f" / "g").stat().st_mode & 0o777 == 0o640
    on(
        session,
        place,
        "echo over >here/h && mv here/h here/d && truncate -s 2 here/d && touch -d @1000000000 here/d",
    )
    assert (folder / "here" / "d").read_text() == "ov"
    assert (folder / "here" / "d").stat().st_mtime == 1_000_000_000
    full = on(session, place, "rmdir e")
    assert full.returncode != 0
    assert (folder / "e" / "f" / "g").exists()
    assert on(session, place, "rm -r e here").returncode == 0
    assert os.listdir(folder) == []


def test_a_big_file_goes_through_quickly(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, folder: Path
) -> None:
    content = os.urandom(BIG)
    (folder / "down").write_bytes(content)
    assert sharing.share(str(folder))
    place = there(session, sharing, folder)
    begun = time.monotonic()
    read = on(session, place, "sha256sum <down")
    middle = time.monotonic()
    written = on(session, place, f"dd if=/dev/zero of=up bs=1M count={BIG >> 20} conv=fsync")
    end = time.monotonic()
    assert read.stdout.split()[0] == hashlib.sha256(content).hexdigest()
    assert written.returncode == 0, written.stderr
    assert (folder / "up").read_bytes() == bytes(BIG)
    print(f"read {BIG / (middle - begun) / 1e6:.1f} MB/s, written {BIG / (end - middle) / 1e6:.1f} MB/s")
    assert BIG / (middle - begun) > SLOWEST
    assert BIG / (end - middle) > SLOWEST


def test_what_may_not_be_written_or_read(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, folder: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True, timeout=10)
    try:
        (folder / "file").write_text("content")
        (folder / "secret").write_text("content")
        (folder / "secret").chmod(0)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, timeout=10)
        assert sharing.share(str(folder))
        place = there(session, sharing, folder)
        for script in (
            "echo 1 >file",
            "echo 1 >new",
            "rm file",
            "mkdir new",
            "mv file new",
            "chmod 600 file",
            "cat secret",
        ):
            done = on(session, place, f"timeout 10 sh -c {shlex.quote(script)}")
            assert done.returncode not in (0, 124), script
            assert done.stderr, script
        assert on(session, place, "cat file").stdout == "content"
        assert sharing.unshare(str(folder))
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=10)


def test_a_disc_is_read_only_and_a_removable_medium_is_not(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, tmp_path: Path
) -> None:
    disc, stick = tmp_path / "disc", tmp_path / "stick CDROM"
    for medium in (disc, stick):
        medium.mkdir()
        (medium / "file").write_text("content")
    assert sharing.share(str(disc), "cdrom")
    assert sharing.share(str(stick), "rm")
    assert there(session, sharing, disc).parent.name == "cd"
    assert there(session, sharing, stick).parent.name == "rm"
    assert on(session, there(session, sharing, disc), "cat file && ! echo 1 >file").stdout == "content"
    assert on(session, there(session, sharing, stick), "echo 1 >file").returncode == 0
    assert ((disc / "file").read_text(), (stick / "file").read_text()) == ("content", "1\n")
    assert sharing.unshare(str(disc))
    assert sharing.shared == [str(stick)]


def test_links_do_not_lead_out(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    (shared / "below").mkdir(parents=True)
    (tmp_path / "outside").write_text("a secret")
    (shared / "below" / "file").write_text("inside")
    for name, target in {
        "out": "../outside",
        "absolute-out": str(tmp_path / "outside"),
        "folder-out": "..",
        "in": "below/file",
        "absolute-in": str(shared / "below" / "file"),
        "below/in": "file",  # not ../below/file: Debian's sshfs follows no links with `..` in them
        "dangling": "nothing",
    }.items():
        (shared / name).symlink_to(target)
    assert sharing.share(str(shared))
    place = there(session, sharing, shared)
    for name in ("in", "absolute-in", "below/in"):
        done = on(session, place, f"cat {name}")
        assert (done.stdout, done.stderr) == ("inside", ""), name
    for name in ("out", "absolute-out", "folder-out/outside", "dangling", "below/../../outside"):
        done = on(session, place, f"cat {name}")
        assert (done.returncode, done.stdout) == (1, ""), name
    assert on(session, place, "echo changed >out").returncode != 0

    made = on(session, place, "ln -s below/file made && ln -s file below/made && cat made below/made")
    assert (made.stdout, made.stderr) == ("insideinside", "")
    for target in ("../outside", "/etc/passwd", "below/../../outside"):
        assert on(session, place, f"ln -s {target} evil").returncode != 0, target
    assert not os.path.lexists(shared / "evil")
    assert (tmp_path / "outside").read_text() == "a secret"


def test_two_folders_and_all_of_them(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, tmp_path: Path
) -> None:
    folders = [tmp_path / "a b", tmp_path / "a_b", tmp_path / "c"]  # the server calls the first two alike
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "number").write_text(str(number))
        assert sharing.share(str(folder))
    assert sharing.share(str(folders[0])), "once more changes nothing"
    assert sharing.shared == [str(folder) for folder in folders]
    assert len(mounts(session)) == 3
    for number, folder in enumerate(folders):
        assert on(session, there(session, sharing, folder), "cat number").stdout == str(number)
    assert sharing.unshare(str(folders[1])) is True
    assert sharing.unshare(str(folders[1])) is False
    assert on(session, there(session, sharing, folders[2]), "cat number").stdout == "2"
    assert sharing.unshare_all() is True
    assert (sharing.shared, mounts(session), server.run(session.user, f"x2golistmounts {session.name}").strip()) == (
        [],
        [],
        "",
    )


def test_a_spool_stays_when_the_folders_go(session: RunningSession, sharing: FolderSharing, tmp_path: Path) -> None:
    for name in ("folder", "spool", "box"):
        (tmp_path / name).mkdir()
    assert sharing.share(str(tmp_path / "spool"), "spool")
    assert sharing.share(str(tmp_path / "box"), "mimebox")
    assert sharing.share(str(tmp_path / "folder"))
    assert there(session, sharing, tmp_path / "spool").name == f"C-{session.name}"
    assert sharing.unshare_all() is True
    assert sharing.shared == [str(tmp_path / "spool"), str(tmp_path / "box")]
    assert (session.user.home / ".x2go" / f"C-{session.name}" / "spool").is_symlink()
    assert sharing.unshare(str(tmp_path / "spool")) is True
    assert sharing.unshare_all(force_all=True) is True
    assert mounts(session) == []


def test_a_folder_in_use_goes_all_the_same(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, folder: Path
) -> None:
    assert sharing.share(str(folder))
    place = there(session, sharing, folder)
    on(session, place, "(setsid sleep 300 & echo $! >pid) >/dev/null 2>&1 </dev/null")
    pid = int((folder / "pid").read_text())
    try:
        assert os.readlink(f"/proc/{pid}/cwd") == str(place)
        assert sharing.unshare(str(folder)) is True
        assert (sharing.shared, mounts(session)) == ([], [])
    finally:
        os.kill(pid, 9)
    assert sharing.share(str(folder)), "and comes back"


def test_the_connection_is_lost_and_comes_back(server: X2GoServer, session: RunningSession, folder: Path) -> None:
    (folder / "file").write_text("content")
    first = connected(server)
    sharing = new_sharing(server, session, first)
    assert sharing.share(str(folder))
    assert len(mounts(session)) == 1
    server.sshd.end_connections()
    wait_until(lambda: not mounts(session), "the end of the mount", 10)
    wait_until(lambda: not sharing.shared, "the end of the share", 10)
    with pytest.raises((X2GoControlSessionException, X2GoRevFwTunnelException)):
        sharing.share(str(folder))
    sharing.stop()
    first.close()
    wait_until(lambda: not library_threads(), "the end of all threads")

    assert f"/{folder.name}"[1:] in server.run(session.user, f"x2golistmounts {session.name}"), (
        "the server still has it"
    )
    second = connected(server)
    again = new_sharing(server, session, second)
    try:
        assert again.share(str(folder))
        assert on(session, there(session, again, folder), "cat file").stdout == "content"
    finally:
        second.close()  # without a word: the program ends
    wait_until(lambda: not mounts(session), "the end of the mount", 10)
    again.stop()
    wait_until(lambda: not library_threads(), "the end of all threads")


def test_nobody_else_on_the_server_gets_in(
    server: X2GoServer, session: RunningSession, sharing: FolderSharing, folder: Path
) -> None:
    (folder / "file").write_text("content")
    sharing.start()
    line = next(line for line in server.list_sessions(session.user) if f"|{session.name}|" in line)
    port = line.split("|")[13]
    assert sharing.share(str(folder))
    words = f"-p {port} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    server.run(session.user, "ssh-keygen -q -t ed25519 -N '' -f ~/own-key")
    done = server.ssh(session.user, f"ssh {words} -i ~/own-key -s x2go@127.0.0.1 sftp </dev/null")
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr


@pytest.mark.parametrize("path", ["", "/nowhere/at/all", "/etc/passwd", "/tmp/\0", None])
def test_what_is_no_folder_is_not_shared(sharing: FolderSharing, path: str | None) -> None:
    assert sharing.share(path) is False
    assert sharing.shared == []
