"""Services that root starts, in the places of the broker's account: it cannot lead root astray there."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.installation import SYSTEM_PYTHON
from tests.support.privilege_site import ACCOUNT, LOGGERS, SWAP, Site, privilege_site
from tests.support.processes import free_port, listens, running, wait_until
from tests.support.tls import Certificates

LOGIN = {"user": "x:/tmp/evil.so", "password": "x", "task": "listsessions"}


@pytest.fixture
def site() -> Iterator[Site]:
    """The site."""
    with privilege_site() as made:
        yield made


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


def test_the_way_to_a_unix_socket_is_looked_at(site: Site) -> None:
    assert site.as_account("ln", "-s", str(site.folder), str(site.state / "way")).returncode == 0
    done = site.as_root("x2gobroker-authservice", "-s", str(site.state / "way" / "made" / "auth.socket"))
    assert done.returncode == 2
    assert "root cannot listen on" in done.stderr
    assert not (site.folder / "made").exists()
