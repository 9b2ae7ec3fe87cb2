"""Programs that root starts, in the places of the broker's account: the account cannot lead root astray there."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from passlib.hash import sha512_crypt

from tests.support.installation import SYSTEM_PYTHON, installation
from tests.support.processes import free_port, listens, running, wait_until
from tests.support.tls import Certificates

ACCOUNT = pwd.getpwnam("www-data")
HASHED = sha512_crypt.using(rounds=1000).hash("carl's")
LOGIN = {"user": "x:/tmp/evil.so", "password": "x", "task": "listsessions"}
LOGGERS = """\
[loggers]
keys = root, broker, access, error, authservice, loadchecker
[handlers]
keys = console, file
[formatters]
keys = line
[formatter_line]
format = %(name)s - %(message)s
[logger_root]
level = WARNING
handlers = console
[logger_broker]
qualname = broker
level = INFO
handlers = file
propagate = 0
[logger_access]
qualname = access
level = INFO
handlers = file
propagate = 0
[logger_error]
qualname = error
level = INFO
handlers = file
propagate = 0
[logger_authservice]
qualname = authservice
level = INFO
handlers = file
propagate = 0
[logger_loadchecker]
qualname = loadchecker
level = INFO
handlers = file
propagate = 0
[handler_console]
class = StreamHandler
formatter = line
args = (sys.stderr,)
[handler_file]
class = FileHandler
formatter = line
args = ({path!r},)
"""
# run as the broker's account: whatever appears beside the file of users is swapped for a link to a file of root
SWAP = """
import os, sys
folder, target = sys.argv[1:]
os.chdir(folder)
print("ready", flush=True)
while True:
    for name in os.listdir("."):
        if name != "htpasswd" and not name.startswith("stolen"):
            try:
                os.rename(name, "stolen-" + name)
                os.symlink(target, name)
                print("swapped", name, flush=True)
            except OSError:
                pass
"""


class Site:
    """Files of a site: what is root's, and three folders of the broker's account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state, self.logs, self.users = (folder / name for name in ("state", "logs", "users"))
        for path in (self.state, self.logs, self.users):
            path.mkdir(mode=0o750)
            os.chown(path, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
        users = self.users / "htpasswd"
        users.write_text(f"carl:{HASHED}\n")
        os.chown(users, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
        self.secret = folder / "secret"
        self.secret.write_text("root's own\n")
        self.secret.chmod(0o600)
        self.config = folder / "x2gobroker.conf"
        self.config.write_text(
            f"[global]\ndefault-auth-mech = htpasswd\npenalties = false\ncookie-directory = {self.state}\n"
            f"[authmech_htpasswd]\nfile = {self.users / 'htpasswd'}\n"
        )
        self.loggers = folder / "loggers.conf"
        self.loggers.write_text(LOGGERS.format(path=str(self.logs / "the.log")))
        self.profiles = folder / "sessionprofiles.conf"
        self.profiles.write_text("[desk]\nhost = desk.example\nuse-load-checker = true\n")
        self.env = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": "/root",
            "X2GOBROKER_CONFIG": str(self.config),
            "X2GOBROKER_DEFAULTS": str(folder / "none"),
            "X2GOBROKER_SESSIONPROFILES": str(self.profiles),
            "X2GOBROKER_WORKERS": "1",
            "X2GOBROKER_DAEMON_USER": ACCOUNT.pw_name,
            "X2GOBROKER_DAEMON_GROUP": ACCOUNT.pw_name,
            "X2GOBROKER_SSH_FOLDER": str(self.state / ".ssh"),
            **{f"X2GOBROKER_{name}LOGCONFIG": str(self.loggers) for name in ("", "AUTHSERVICE_", "LOADCHECKER_")},
        }
        self.bin = installation(ACCOUNT.pw_name).venv / "bin"

    def as_account(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program as the broker's account."""
        return subprocess.run(
            words,
            input=stdin,
            env=self.env,
            user=ACCOUNT.pw_uid,
            group=ACCOUNT.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
        )

    def as_root(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program of ours as root."""
        argv = [str(self.bin / words[0]), *words[1:]]
        return subprocess.run(
            argv, input=stdin, env=self.env, capture_output=True, text=True, timeout=60, check=False, cwd="/"
        )

    def plant(self, name: str) -> Path:
        """The account puts a link to a file in root's folder, which is not there yet, in the place of its log."""
        planted = self.folder / "planted"
        done = self.as_account("ln", "-s", str(planted), str(self.logs / name))
        assert done.returncode == 0, done.stderr
        return planted

    def root_is_untouched(self) -> None:
        """No file of root's was written, given away or made."""
        status = self.secret.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o600)
        assert self.secret.read_text() == "root's own\n"

    def owners(self, folder: Path) -> set[int]:
        """Who owns what is in a folder."""
        return {path.lstat().st_uid for path in folder.iterdir()}


@pytest.fixture
def site() -> Iterator[Site]:
    """A site below /tmp that the account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="x2gt-site-"))
    folder.chmod(0o755)
    try:
        yield Site(folder)
    finally:
        shutil.rmtree(folder)


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *(int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def identity(pid: int) -> tuple[set[str], set[str], set[str]]:
    """User IDs, group IDs and supplementary groups of a process, as the kernel has them."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return set(lines["Uid"].split()), set(lines["Gid"].split()), set(lines["Groups"].split())


def is_the_account(pid: int) -> bool:
    """Whether a process is the broker's account, wholly."""
    uid, gid = {str(ACCOUNT.pw_uid)}, {str(ACCOUNT.pw_gid)}
    return identity(pid) == (uid, gid, gid)


def test_a_daemon_that_drops_privileges_opens_its_logs_as_the_account(site: Site) -> None:
    planted = site.plant("the.log")
    port = free_port()
    argv = [str(site.bin / "x2gobroker-daemon"), "--drop-privileges", "-b", f"127.0.0.1:{port}"]
    with running(argv, site.folder / "out", env=site.env, cwd=Path("/")) as program:
        program.wait_for_port(port)
        wait_until(lambda: len(family(program.pid)) == 2, "the worker")
        assert all(is_the_account(pid) for pid in family(program.pid))
        assert requests.post(f"http://127.0.0.1:{port}/json/", data=LOGIN, timeout=20).status_code == 401
        assert not planted.exists()
        assert "login user=x:/tmp/evil.so" in program.output()
    assert "the.log" in (site.folder / "out").read_text()
    assert site.owners(site.state) == {ACCOUNT.pw_uid}


def test_a_log_that_was_moved_away_is_made_anew_also_by_a_file_handler(site: Site) -> None:
    port, log = free_port(), site.logs / "the.log"
    argv = [str(site.bin / "x2gobroker-daemon"), "--drop-privileges", "-b", f"127.0.0.1:{port}"]
    with running(argv, site.folder / "out", env=site.env, cwd=Path("/")) as program:
        program.wait_for_port(port)
        requests.post(f"http://127.0.0.1:{port}/json/", data={**LOGIN, "user": "before"}, timeout=20)
        log.rename(site.logs / "the.log.1")
        requests.post(f"http://127.0.0.1:{port}/json/", data={**LOGIN, "user": "after"}, timeout=20)
    assert "login user=before" in (site.logs / "the.log.1").read_text()
    assert "login user=after" in log.read_text()
    assert "user=after" not in (site.logs / "the.log.1").read_text()
    assert (stat.S_IMODE(log.stat().st_mode), log.stat().st_uid) == (0o640, ACCOUNT.pw_uid)


def test_root_takes_the_port_and_the_key_along_when_it_becomes_the_account(
    site: Site, certificates: Certificates
) -> None:
    certificate, key = site.folder / "broker.pem", site.folder / "private" / "broker.key"
    key.parent.mkdir(mode=0o700)
    shutil.copy(certificates.certificate, certificate)
    shutil.copy(certificates.key, key)
    key.chmod(0o600)
    site.env |= {"X2GOBROKER_SSL_CERTFILE": str(certificate), "X2GOBROKER_SSL_KEYFILE": str(key)}
    argv = [str(site.bin / "x2gobroker-daemon"), "--drop-privileges", "-b", "127.0.0.1:443"]
    with running(argv, site.folder / "out", env=site.env, cwd=Path("/")) as program:
        program.wait_for_port(443)
        authority = str(certificates.authority)
        response = requests.post("https://localhost/json/", data=LOGIN, timeout=20, verify=authority)
        assert response.status_code == 401
        assert all(is_the_account(pid) for pid in family(program.pid))
        os.kill(program.pid, signal.SIGHUP)
        wait_until(lambda: "Hang up" in program.output() or "Hang up" in (site.logs / "the.log").read_text(), "SIGHUP")
        assert requests.post("https://localhost/json/", data=LOGIN, timeout=20, verify=authority).status_code == 401


def test_a_key_that_the_account_could_swap_is_not_read_by_root(site: Site, certificates: Certificates) -> None:
    key = site.state / "broker.key"
    shutil.copy(certificates.key, site.folder / "of-root.key")
    (site.folder / "of-root.key").chmod(0o600)
    assert site.as_account("ln", "-s", str(site.folder / "of-root.key"), str(key)).returncode == 0
    site.env |= {"X2GOBROKER_SSL_CERTFILE": str(certificates.certificate), "X2GOBROKER_SSL_KEYFILE": str(key)}
    done = site.as_root("x2gobroker-daemon", "--drop-privileges", "-b", f"127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "cannot be read by the broker's account" in done.stderr


def test_a_pid_file_in_a_folder_of_the_account_is_roots(site: Site) -> None:
    port, pid_file = free_port(), site.logs / "pid"
    assert site.as_account("ln", "-s", str(site.secret), str(pid_file)).returncode == 0
    words = ["-b", f"127.0.0.1:{port}", "-D", "-P", str(pid_file), "-L", str(site.logs), "--drop-privileges"]
    assert site.as_root("x2gobroker-daemon", *words).returncode == 0
    wait_until(lambda: listens(port), "the daemon")
    pid = int(pid_file.read_text())
    try:
        assert is_the_account(pid)
        status = pid_file.lstat()
        assert stat.S_ISREG(status.st_mode)
        assert status.st_uid == 0, "nobody but root says whom an init script kills"
        assert (site.logs / "x2gobroker-daemon.stderr").stat().st_uid == ACCOUNT.pw_uid
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the daemon")
    site.root_is_untouched()


def test_output_goes_through_no_link_of_the_account(site: Site) -> None:
    for suffix in ("stdout", "stderr"):
        planted = site.logs / f"x2gobroker-daemon.{suffix}"
        assert site.as_account("ln", "-s", str(site.secret), str(planted)).returncode == 0
    port = free_port()
    words = ["-b", f"127.0.0.1:{port}", "-D", "-P", str(site.folder / "pid"), "-L", str(site.logs)]
    done = site.as_root("x2gobroker-daemon", *words, "--drop-privileges")
    assert "cannot be written: Permission denied" in done.stderr
    done = site.as_root("x2gobroker-daemon", *words)
    assert done.returncode == 2
    assert "root writes no output there" in done.stderr
    site.root_is_untouched()


def test_the_authentication_service_opens_no_log_below_a_folder_of_another(site: Site) -> None:
    planted = site.plant("the.log")
    path = site.folder / "auth.socket"
    argv = [str(site.bin / "x2gobroker-authservice"), "-s", str(path), "-o", "root", "-g", ACCOUNT.pw_name]
    with running(argv, site.folder / "out", env=site.env, cwd=Path("/")) as program:
        wait_until(path.exists, "the socket")
        assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (
            0, ACCOUNT.pw_gid, 0o660,
        )  # fmt: skip
        wait_until(lambda: "cannot be used" in program.output(), "the reason")
        assert f"{site.logs} belongs to the user with the number {ACCOUNT.pw_uid}" in program.output()
    assert not planted.exists()


def test_the_authentication_service_logs_where_only_root_writes(site: Site) -> None:
    own = site.folder / "logs-of-root"
    own.mkdir()
    site.loggers.write_text(LOGGERS.format(path=str(own / "the.log")))
    path = site.folder / "auth.socket"
    argv = [str(site.bin / "x2gobroker-authservice"), "-s", str(path)]
    with running(argv, site.folder / "out", env=site.env, cwd=Path("/")):
        wait_until(lambda: path.exists() and (own / "the.log").exists(), "the log")
    assert (own / "the.log").stat().st_uid == 0
    assert stat.S_IMODE((own / "the.log").stat().st_mode) == 0o640


@pytest.mark.parametrize("trick", ["owner", "call", "class"])
def test_root_believes_no_file_of_loggers_that_could_run_what_others_say(site: Site, trick: str) -> None:
    text = LOGGERS.format(path="/dev/null")
    made = site.folder / "made-by-a-call"
    if trick == "call":
        text = text.replace("args = (sys.stderr,)", f"args = (open({str(made)!r}, 'w'),)")
    if trick == "class":
        text = text.replace("class = StreamHandler", f"class = open({str(made)!r}, 'w') and StreamHandler")
    site.loggers.write_text(text)
    if trick == "owner":
        os.chown(site.loggers, ACCOUNT.pw_uid, -1)
    path = site.folder / "auth.socket"
    argv = [str(site.bin / "x2gobroker-authservice"), "-s", str(path)]
    with running(argv, site.folder / "out", env=site.env, cwd=Path("/")) as program:
        wait_until(path.exists, "the socket")
        assert f"{site.loggers} cannot be used" in program.output()
    assert not made.exists()


def test_a_socket_in_a_folder_of_the_account_is_born_with_its_owner(site: Site) -> None:
    """A chown by name could hit whatever the account has put there meanwhile."""
    path = site.logs / "auth.socket"
    swap = [SYSTEM_PYTHON, "-c", SWAP, str(site.logs), str(site.secret)]
    site.loggers.unlink()
    with running(swap, site.folder / "swap", user=ACCOUNT.pw_name) as swapping:
        wait_until(lambda: "ready" in swapping.output(), "the loop")
        for _ in range(5):
            before = swapping.output().count("swapped")
            argv = [str(site.bin / "x2gobroker-authservice"), "-s", str(path), "-g", ACCOUNT.pw_name]
            with running(argv, site.folder / "out", env=site.env, cwd=Path("/")):
                wait_until(lambda: swapping.output().count("swapped") > before, "a swap")  # noqa: B023
            site.root_is_untouched()


def test_the_load_checker_of_root_becomes_the_account(site: Site) -> None:
    planted = site.plant("the.log")
    path, pid_file = site.folder / "load.socket", site.folder / "pid"
    words = ["-s", str(path), "-g", ACCOUNT.pw_name, "-P", str(pid_file)]
    with running(
        [str(site.bin / "x2gobroker-loadchecker"), *words], site.folder / "out", env=site.env, cwd=Path("/")
    ) as program:
        wait_until(lambda: is_the_account(program.pid), "the account")
        wait_until(lambda: (site.state).exists() and any(site.state.iterdir()), "the store")
    assert not planted.exists()
    assert site.owners(site.state) == {ACCOUNT.pw_uid}


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
        ("lockout", "anna", "--reason", "maintenance"),
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


def test_a_daemon_that_stays_root_does_not_open_the_store_of_the_account(site: Site) -> None:
    port = free_port()
    argv = [str(site.bin / "x2gobroker-daemon"), "-b", f"127.0.0.1:{port}"]
    site.loggers.unlink()
    with running(argv, site.folder / "out", env=site.env, cwd=Path("/")) as program:
        program.wait_for_port(port)
        right = {**LOGIN, "user": "carl", "password": "carl's"}
        assert requests.post(f"http://127.0.0.1:{port}/json/", data=right, timeout=20).status_code == 503
        assert "root does not open the state store" in program.output()
    assert not list(site.state.iterdir())


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


def test_the_way_to_a_unix_socket_is_looked_at(site: Site) -> None:
    assert site.as_account("ln", "-s", str(site.folder), str(site.state / "way")).returncode == 0
    done = site.as_root("x2gobroker-authservice", "-s", str(site.state / "way" / "made" / "auth.socket"))
    assert done.returncode == 2
    assert "root cannot listen on" in done.stderr
    assert not (site.folder / "made").exists()
