"""Commands that root types, in the places of the broker's account: it cannot lead root astray there."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.installation import SYSTEM_PYTHON
from tests.support.privilege_site import ACCOUNT, SWAP, Site, privilege_site
from tests.support.processes import running, wait_until


@pytest.fixture
def site() -> Iterator[Site]:
    """The site."""
    with privilege_site() as made:
        yield made


def test_passwd_of_root_against_an_account_that_swaps_files_all_the_time(site: Site) -> None:
    users = site.users / "htpasswd"
    assert site.as_root("x2gobroker", "passwd", "--stdin", "anna", stdin="Old-1\n").returncode == 0
    swap = [SYSTEM_PYTHON, "-c", SWAP, str(site.users), str(site.secret)]
    # in one process: the start of a program takes much longer than what is attacked
    loop = (
        "import io, os, sys\n"
        "from x2gobroker.cli.main import main\n"
        "from x2gobroker.auth.passwords import hash_password\n"
        "for number in range(60):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        sys.stdin = io.StringIO('New-2\\n')\n"
        "        try:\n"
        "            status = main(['passwd', '--stdin', '--scheme', 'sha512_crypt', f'user{number}'])\n"
        "        finally:\n"
        "            os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
    )
    with running(swap, site.folder / "swap", user=ACCOUNT.pw_name) as swapping:
        wait_until(lambda: "ready" in swapping.output(), "the loop")
        argv = [str(site.bin / "python"), "-c", loop]

        def were_swapped() -> bool:
            subprocess.run(argv, env=site.env, capture_output=True, text=True, timeout=240, check=True, cwd="/")
            return swapping.output().count("swapped") > 5

        wait_until(were_swapped, "swaps", 240)
    site.root_is_untouched()
    assert site.owners(site.users) == {ACCOUNT.pw_uid}
    assert users.exists()


def test_after_passwd_of_root_the_broker_changes_passwords_itself(site: Site) -> None:
    for _ in range(2):
        assert site.as_root("x2gobroker", "passwd", "--stdin", "anna", stdin="Old-1\n").returncode == 0
    assert {path.name for path in site.users.iterdir()} == {"htpasswd"}
    done = site.as_account(str(site.bin / "x2gobroker"), "passwd", "--stdin", "anna", stdin="New-2\n")
    assert done.returncode == 0, done.stderr
    assert site.owners(site.users) == {ACCOUNT.pw_uid}


def test_in_a_folder_of_root_the_file_is_roots_and_the_group_of_the_broker_reads_it(site: Site) -> None:
    path = site.folder / "htpasswd"
    for _ in range(2):
        done = site.as_root("x2gobroker", "passwd", "--file", str(path), "--stdin", "anna", stdin="Old-1\n")
        assert done.returncode == 0, done.stderr
        status = path.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, ACCOUNT.pw_gid, 0o640)
    assert site.as_account("cat", str(path)).stdout.startswith("anna:")


@pytest.mark.parametrize(
    "words",
    [
        ("totp", "enroll", "--no-qr", "anna"),
        ("penalties",),
        ("drain", "desk.example", "--reason", "maintenance"),
        ("load",),
        ("sessions",),
        ("lockout", "anna", "--reason", "maintenance"),
        ("store", "status"),
        ("store", "upgrade"),
    ],
)
def test_commands_of_root_work_on_the_store_as_the_account(site: Site, words: tuple[str, ...]) -> None:
    made = site.as_account(str(site.bin / "x2gobroker"), "totp", "enroll", "--no-qr", "bert")
    assert made.returncode == 0, made.stderr
    for name in ("broker.sqlite-wal", "broker.sqlite-shm"):
        (site.state / name).unlink(missing_ok=True)
    store = next(path for path in site.state.iterdir() if path.suffix.startswith(".sqlite") or path.is_file())
    for suffix in ("-wal", "-shm", "-journal"):  # what SQLite makes by name, the account has made links to root's
        store.with_name(store.name + suffix).unlink(missing_ok=True)
        assert site.as_account("ln", "-s", str(site.secret), f"{store}{suffix}").returncode == 0
    site.as_root("x2gobroker", *words)
    site.root_is_untouched()
    for suffix in ("-wal", "-shm", "-journal"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    done = site.as_root("x2gobroker", *words)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert site.owners(site.state) == {ACCOUNT.pw_uid}


@pytest.mark.parametrize("words", [("check-config",), ("explain", "--user", "anna"), ("plugins",)])
def test_commands_of_root_that_stay_root_change_nothing(site: Site, words: tuple[str, ...]) -> None:
    before = {path: path.lstat().st_mtime_ns for path in site.folder.rglob("*")}
    done = site.as_root("x2gobroker", *words)
    assert done.returncode in (0, 1), done.stderr
    assert {path: path.lstat().st_mtime_ns for path in site.folder.rglob("*")} == before


def test_who_drained_a_server_is_still_the_one_behind_sudo(site: Site) -> None:
    site.env["SUDO_USER"] = "the-operator"
    site.as_root("x2gobroker", "totp", "enroll", "--no-qr", "bert")
    assert site.as_root("x2gobroker", "drain", "desk.example").returncode == 0
    assert "the-operator" in site.as_root("x2gobroker", "drain").stdout


def test_the_brokers_key_is_made_by_the_account_itself(site: Site) -> None:
    other = site.folder / "ssh-of-root"
    other.mkdir(mode=0o700)
    assert site.as_account("ln", "-s", str(site.folder), str(site.state / "way")).returncode == 0
    site.env["X2GOBROKER_SSH_FOLDER"] = str(site.state / "way" / "ssh-of-root")
    done = site.as_root("x2gobroker-keygen", "-t", "ED25519")
    assert done.returncode == 1, done.stdout
    assert (other.stat().st_uid, list(other.iterdir())) == (0, [])
    site.env["X2GOBROKER_SSH_FOLDER"] = str(site.state / ".ssh")
    done = site.as_root("x2gobroker-keygen", "-t", "ED25519")
    assert done.returncode == 0, done.stderr
    assert site.owners(site.state / ".ssh") == {ACCOUNT.pw_uid}


def test_remote_setup_changes_no_configuration_by_name_in_a_folder_of_another(site: Site) -> None:
    config = site.state / "x2gobroker.conf"
    shutil.copy(site.config, config)
    os.chown(config, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
    types = site.folder / "types.json"
    words = ("remote", "setup", "-C", str(config), "--yes", "--set", f"remote-session-config={types}", "--example")
    site.as_root("x2gobroker", *words)
    assert json.loads(types.read_text())
    assert types.stat().st_uid == 0
    assert site.owners(site.state) == {ACCOUNT.pw_uid}
    assert "remote-session-config" in config.read_text()


def test_a_backup_is_roots_and_the_store_stays_the_accounts(site: Site) -> None:
    made = site.as_account(str(site.bin / "x2gobroker"), "totp", "enroll", "--no-qr", "bert")
    assert made.returncode == 0, made.stderr
    own = site.folder / "backups"
    own.mkdir(mode=0o700)
    done = site.as_root("x2gobroker", "store", "backup", str(own / "kept"))
    assert done.returncode == 0, done.stderr
    status = (own / "kept").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o600)
    for path in site.state.iterdir():
        path.unlink()
    done = site.as_root("x2gobroker", "store", "restore", str(own / "kept"))
    assert done.returncode == 0, done.stderr
    assert "1  totp" in done.stdout
    assert site.owners(site.state) == {ACCOUNT.pw_uid}


def test_root_writes_no_backup_where_the_account_could_swap_it(site: Site) -> None:
    site.as_account(str(site.bin / "x2gobroker"), "totp", "enroll", "--no-qr", "bert")
    assert site.as_account("ln", "-s", str(site.secret), str(site.logs / "kept")).returncode == 0
    done = site.as_root("x2gobroker", "store", "backup", str(site.logs / "kept"))
    assert done.returncode == 1
    assert "root writes no backup there" in done.stderr
    site.root_is_untouched()


def test_what_the_account_has_made_of_the_store_is_read_as_the_account(site: Site) -> None:
    site.as_account(str(site.bin / "x2gobroker"), "totp", "enroll", "--no-qr", "bert")
    (store,) = site.state.glob("*.sqlite")
    store.unlink()
    assert site.as_account("ln", "-s", str(site.secret), str(store)).returncode == 0
    done = site.as_root("x2gobroker", "store", "backup", str(site.folder / "kept"))
    assert done.returncode == 1
    assert "is no file" in done.stderr or "out of reach" in done.stderr, done.stderr
    assert not (site.folder / "kept").exists()
    site.root_is_untouched()
