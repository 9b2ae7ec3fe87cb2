"""Key files that x2gobroker-agent changes: written as the user, whole or not at all, and heeded by a real sshd."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.accounts import Account, account, account_with_home
from tests.support.our_agent import SOURCE
from tests.support.processes import wait_until
from tests.support.sshd import make_key, sshd
from x2gobroker.agents import server as agent_module

FILE = "%h/.x2go/authorized_keys"
MINE = b"# my keys\nssh-rsa AAAA old \xff\r\n\n   x\nno end"
KEY_FILES = Path("/etc/x2go/x2gobroker-agent.keyfiles")


@pytest.fixture
def user() -> Iterator[Account]:
    """A user with a home folder."""
    with account_with_home(secrets.token_hex(8)) as made:
        yield made


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A public key."""
    return make_key(tmp_path_factory.mktemp("keys") / "one")


def agent(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call the agent as root."""
    return subprocess.run(
        [str(SOURCE), *words],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


def works(*words: str, **environment: str) -> None:
    """Call it; it has to work."""
    done = agent(*words, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "OK\n", "")


def refuses(*words: str) -> str:
    """Call it; it has to refuse. What it says."""
    done = agent(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("x2gobroker-agent: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def keys_of(user: Account, content: bytes = b"", name: str = ".x2go/authorized_keys") -> Path:
    """The user's key file; written by the user, if it is to have content."""
    path = user.home / name
    if content:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(content)
        for made in (path, path.parent):
            shutil.chown(made, user.name, user.name)
    return path


def test_a_key_comes_and_goes(user: Account, key: str) -> None:
    works(user.name, "addauthkey", f"no-pty {key}", FILE)
    path = keys_of(user)
    owner = pwd.getpwnam(user.name)
    for made, mode in ((path, 0o600), (path.parent, 0o700)):
        status = made.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (owner.pw_uid, owner.pw_gid, mode)
    line = path.read_text()
    assert line.startswith('restrict,pty,port-forwarding,agent-forwarding,expiry-time="')
    assert key.split()[1] in line
    assert "no-pty" not in line
    works(user.name, "addauthkey", f"no-pty {key}", FILE)
    assert path.read_text().count("\n") == 1
    works(user.name, "delauthkey", f"no-pty {key}", FILE)
    assert path.read_bytes() == b""
    assert [entry.name for entry in path.parent.iterdir()] == ["authorized_keys"]


def test_other_lines_and_other_files_stay(user: Account, key: str) -> None:
    path = keys_of(user, MINE)
    works(user.name, "addauthkey", key, FILE)
    assert path.read_bytes().startswith(MINE + b"\nrestrict,")
    works(user.name, "delauthkey", key, FILE)
    assert path.read_bytes() == MINE + b"\n"
    works(user.name, "addauthkey", key, ".ssh/authorized_keys2")
    assert (user.home / ".ssh" / "authorized_keys2").exists()


@pytest.mark.parametrize("task", ["addauthkey", "delauthkey"])
@pytest.mark.parametrize(
    "pattern",
    [
        "%h/.bashrc",
        "%h/.profile",
        "%h/.ssh/rc",
        "%h/.ssh/config",
        "%h/.ssh/environment",
        "%h/.ssh/id_ed25519",
        "%h/.ssh/authorized_keys/../rc",
        "%h/.ssh/sub/authorized_keys",
        "%h/.config/autostart/x.desktop",
        "%h/.config/systemd/user/authorized_keys",
        "%h/authorized_keys",
        "%h/.x2go/authorized%%keys",
        "%h/.x2go/authorized_keys%%",
        "/home/%u/.bashrc",
        "%h//.ssh/./rc",
        "x",
    ],
)
def test_no_file_is_written_but_files_of_keys(user: Account, key: str, pattern: str, task: str) -> None:
    refuses(user.name, task, key, pattern)
    assert not any((user.home / name).exists() for name in (".ssh", ".x2go", ".config", "authorized_keys", "x"))


@pytest.mark.parametrize(
    "pattern",
    [
        FILE,
        ".x2go/authorized_keys",
        ".ssh/authorized_keys",
        "%h/.ssh/authorized_keys2",
        "%h/.ssh/authorized_keys.x2gobroker-%u",
        "%h//.x2go/./authorized_keys",
    ],
)
def test_the_usual_files_of_keys_need_no_permission(user: Account, key: str, pattern: str) -> None:
    works(user.name, "addauthkey", key, pattern)
    works(user.name, "delauthkey", key, pattern)


def test_other_files_of_a_user_are_written_where_the_administrator_says(user: Account, key: str, outside: Path) -> None:
    assert "is not allowed" in refuses(user.name, "addauthkey", key, "%h/keys/broker")
    KEY_FILES.write_text("%h/keys/broker\n", encoding="ascii")
    works(user.name, "addauthkey", key, "%h/keys/broker")
    assert (user.home / "keys" / "broker").stat().st_uid == pwd.getpwnam(user.name).pw_uid
    KEY_FILES.chmod(0o666)
    assert "written to by others" in refuses(user.name, "addauthkey", key, "%h/keys/broker")
    KEY_FILES.chmod(0o644)
    os.chown(KEY_FILES, pwd.getpwnam(user.name).pw_uid, 0)
    assert "belongs to somebody else" in refuses(user.name, "addauthkey", key, "%h/keys/broker")


def test_nothing_is_made_for_taking_away(user: Account, key: str) -> None:
    works(user.name, "delauthkey", key, FILE)
    assert not (user.home / ".x2go").exists()


def test_many_at_once_lose_no_key(user: Account, tmp_path: Path) -> None:
    path = keys_of(user, MINE)
    keys = [make_key(tmp_path / f"key{number}") for number in range(12)]
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda line: works(user.name, "addauthkey", line, FILE), keys))
        text = path.read_text(errors="replace")
        assert all(line.split()[1] in text for line in keys)
        list(threads.map(lambda line: works(user.name, "delauthkey", line, FILE), keys))
    assert path.read_bytes() == MINE + b"\n"


def test_links_are_not_followed(user: Account, key: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(MINE)
    path = keys_of(user, MINE)
    path.unlink()
    path.symlink_to(victim)
    refuses(user.name, "addauthkey", key, FILE)
    path.unlink()
    os.link(victim, path)
    shutil.chown(path, user.name, user.name)
    assert "second name" in refuses(user.name, "addauthkey", key, FILE)
    shutil.rmtree(path.parent)
    path.parent.symlink_to(tmp_path)
    assert "is a link" in refuses(user.name, "addauthkey", key, FILE)
    assert victim.read_bytes() == MINE
    assert [entry.name for entry in tmp_path.iterdir()] == ["victim"]


def test_what_is_not_the_users_is_refused(user: Account, key: str) -> None:
    path = keys_of(user, MINE)
    shutil.chown(path, "games")
    path.chmod(0o666)
    assert "belongs to somebody else" in refuses(user.name, "addauthkey", key, FILE)
    shutil.chown(path, user.name)
    assert "written to by others" in refuses(user.name, "addauthkey", key, FILE)
    path.chmod(0o600)
    shutil.chown(path.parent, "games")
    path.parent.chmod(0o755)
    assert "belongs to somebody else" in refuses(user.name, "addauthkey", key, FILE)
    shutil.chown(path.parent, user.name)
    path.parent.chmod(0o777)
    assert "written to by others" in refuses(user.name, "addauthkey", key, FILE)
    assert path.read_bytes() == MINE


@pytest.mark.parametrize("kind", ["folder", "pipe", "large"])
def test_odd_key_files_are_refused(user: Account, key: str, kind: str) -> None:
    path = keys_of(user, b"#" * ((1 << 20) + 1))
    if kind != "large":
        path.unlink()
        path.mkdir() if kind == "folder" else os.mkfifo(path)
        shutil.chown(path, user.name)
    refuses(user.name, "addauthkey", key, FILE)
    assert [entry.name for entry in path.parent.iterdir()] == ["authorized_keys"]


def test_a_lock_that_stays_is_an_error(user: Account, key: str) -> None:
    path = keys_of(user, MINE)
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert "locked" in refuses(user.name, "addauthkey", key, FILE)
    assert path.read_bytes() == MINE


def test_a_full_file_system_leaves_all_as_it_was(user: Account, key: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(user.home)], check=True, timeout=20)
    try:
        shutil.chown(user.home, user.name, user.name)
        path = keys_of(user, MINE)
        with pytest.raises(OSError, match="No space"), (user.home / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 512)
        said = refuses(user.name, "addauthkey", key, FILE)
        assert "No space left on device" in said
        assert path.read_bytes() == MINE
        assert [entry.name for entry in path.parent.iterdir()] == ["authorized_keys"]
        subprocess.run(["mount", "-o", "remount,ro", str(user.home)], check=True, timeout=20)
        assert "Read-only file system" in refuses(user.name, "addauthkey", key, FILE)
        assert path.read_bytes() == MINE
        subprocess.run(["mount", "-o", "remount,rw", str(user.home)], check=True, timeout=20)
        (user.home / "filler").unlink()
        works(user.name, "addauthkey", key, FILE)
    finally:
        subprocess.run(["umount", str(user.home)], check=True, timeout=20)


def test_an_agent_killed_in_the_middle_leaves_nothing_that_matters(user: Account, key: str) -> None:
    path = keys_of(user, MINE)
    left = path.with_name(".authorized_keys.x2gobroker-agent")
    left.write_bytes(b"half a l")
    shutil.chown(left, user.name)
    works(user.name, "addauthkey", key, FILE)
    assert path.read_bytes().startswith(MINE)
    assert not left.exists()


def test_no_home_folder(key: str) -> None:
    with account(secrets.token_hex(8)) as homeless:
        assert f"{homeless.home} does not exist" in refuses(homeless.name, "addauthkey", key, FILE)
    assert not homeless.home.exists()
    assert "no user" in refuses(homeless.name, "addauthkey", key, FILE)
    assert "system user" in refuses("root", "addauthkey", key, "/root/.ssh/authorized_keys")


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder for keys that is root's alone, outside of home folders, with a pattern in the list of allowed ones."""
    before = KEY_FILES.read_bytes() if KEY_FILES.exists() else None
    folder = Path(tempfile.mkdtemp(prefix="x2gobroker-keys-", dir="/etc"))
    folder.chmod(0o755)
    KEY_FILES.write_text(f"# files\n{folder}/%u/keys\n{folder}/shared\n", encoding="ascii")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        KEY_FILES.unlink()
        if before is not None:
            KEY_FILES.write_bytes(before)


def test_files_of_root_are_written_only_where_the_administrator_says(user: Account, key: str, outside: Path) -> None:
    works(user.name, "addauthkey", key, f"{outside}/%u/keys")
    path = outside / user.name / "keys"
    status = path.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o644)
    works(user.name, "delauthkey", key, f"{outside}/%u/keys")
    assert path.read_bytes() == b""
    assert "is not allowed" in refuses(user.name, "addauthkey", key, f"{outside}/%u.other")
    assert "is not allowed" in refuses(user.name, "addauthkey", key, f"{outside}/{user.name}/keys")
    assert "is not allowed" in refuses(user.name, "addauthkey", key, f"{outside}/shared")
    outside.chmod(0o775)
    assert "written to by others" in refuses(user.name, "addauthkey", key, f"{outside}/%u/keys")


def test_files_in_folders_of_the_users_elsewhere_are_the_users(user: Account, key: str, outside: Path) -> None:
    own = outside / "own"
    own.mkdir()
    shutil.chown(own, user.name, user.name)
    assert "is not allowed" in refuses(user.name, "addauthkey", key, f"{outside}/own/keys")
    KEY_FILES.write_text(f"{outside}/own/keys\n", encoding="ascii")
    works(user.name, "addauthkey", key, f"{outside}/own/keys")
    assert (own / "keys").stat().st_uid == pwd.getpwnam(user.name).pw_uid


@pytest.mark.parametrize("zone", ["", "Pacific/Auckland"])
def test_sshd_lets_the_key_in_until_its_time_is_over(user: Account, tmp_path: Path, zone: str) -> None:
    environment = {"TZ": zone} if zone else {}
    line = make_key(tmp_path / "once")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with sshd(tmp_path / "sshd", config="LogLevel DEBUG1") as server:
            known = tmp_path / "known_hosts"
            known.write_text(server.host_key_lines("127.0.0.1"), encoding="ascii")

            def login(*words: str) -> subprocess.CompletedProcess[str]:
                options = [
                    f"UserKnownHostsFile={known}",
                    "BatchMode=yes",
                    "IdentitiesOnly=yes",
                    "ExitOnForwardFailure=yes",
                ]
                flags = [word for option in options for word in ("-o", option)]
                return subprocess.run(
                    ["ssh", "-F", "none", *flags, "-i", str(tmp_path / "once"), "-p", str(server.port), *words],
                    capture_output=True,
                    text=True,
                    timeout=30,
                    check=False,
                    stdin=subprocess.DEVNULL,
                )

            there = f"{user.name}@127.0.0.1"
            assert login(there, "true").returncode == 255
            works(user.name, "addauthkey", line, FILE, "4", **environment)
            added = time.time()
            # the login check of X2Go Client has a PTY; sessions have tunnels in both directions
            done = login("-tt", "-R", "0:127.0.0.1:9", there, 'echo "LOGIN OK"; tty')
            assert done.returncode == 0, done.stderr + server.log_text()
            assert done.stdout.startswith("LOGIN OK\n/dev/pts/")
            wait_until(lambda: time.time() > added + 5, "the end of the key's time")
            assert login(there, "true").returncode == 255
            assert "expired" in server.log_text()
            works(user.name, "delauthkey", "ssh-ed25519 " + make_key(tmp_path / "other").split()[1], FILE)
            assert keys_of(user).read_bytes() == b""


def test_an_older_sshd_gets_local_time(user: Account, key: str) -> None:
    """What sshd 7.7 to 9.0 read is read by later ones as well."""
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(agent_module, "ssh_version", lambda account: (8, 4))
        assert agent_module.main([user.name, "addauthkey", key, FILE]) == 0
    expiry = re.search(r'expiry-time="(\d{14})" ', keys_of(user).read_text())
    assert expiry
    assert abs(time.mktime(time.strptime(expiry[1], "%Y%m%d%H%M%S")) - time.time() - 300) < 60
