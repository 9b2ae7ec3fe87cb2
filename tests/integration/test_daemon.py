"""x2gobroker-daemon as a program: start, TLS, privileges, background, signals, workers that agree, slow neighbours."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.installation import installation
from tests.support.our_broker import PROGRAM, OurBroker
from tests.support.processes import Program, free_port, listens, wait_until
from tests.support.tls import Certificates

OPEN = "[global]\ndefault-auth-mech = none\ncookie-directory = {state}\n"
PROFILES = "[desk]\nhost = desk.example\n"
LOGIN = {"user": "anna", "password": "Not-for-the-log", "task": "listsessions"}


def post(broker: OurBroker, path: str = "/plain/", **fields: str) -> str:
    """One request that must be answered with 200; the body."""
    response = requests.post(broker.url + path, data=fields, timeout=30)
    assert response.status_code == 200, broker.log()
    return response.text


@pytest.fixture
def broker() -> Iterator[OurBroker]:
    """A daemon with two worker processes."""
    with OurBroker(OPEN, PROFILES, env={"X2GOBROKER_WORKERS": "2"}) as running:
        yield running


def workers_of(broker: OurBroker) -> list[int]:
    """Process IDs of the worker processes."""
    assert broker.program is not None
    children = Path(f"/proc/{broker.program.pid}/task/{broker.program.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def test_worker_processes_agree_on_authids(broker: OurBroker) -> None:
    def authid_of(text: str) -> str:
        found = re.search(r"AUTHID:(\S+)", text)
        return found[1] if found else ""

    authid = authid_of(post(broker, **LOGIN))
    for _ in range(20):  # each on a new connection, so that either worker may take it
        authid = authid_of(post(broker, user="anna", authid=authid))
        assert authid


def test_the_log_has_one_line_per_login_and_no_secret(broker: OurBroker) -> None:
    text = post(broker, **LOGIN)
    requests.get(f"{broker.url}/plain/?password=In-the-query", timeout=10)
    log = broker.log()
    assert log.count("login user=anna address=127.0.0.1 backend=inifile mechanism=none outcome=granted") == 1
    for secret in (LOGIN["password"], text.split()[0].removeprefix("AUTHID:"), "In-the-query"):
        assert secret not in log


def test_a_killed_worker_is_replaced(broker: OurBroker) -> None:
    wait_until(lambda: len(workers_of(broker)) == 2, "both workers", 10)
    before = workers_of(broker)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(workers_of(broker)) - set(before)) == 1, "a new worker", 10)
    assert "Access granted" in post(broker, **LOGIN)


def test_a_request_under_way_is_answered_when_the_daemon_stops(slow_server: tuple[int, Path]) -> None:
    with OurBroker(slow_config(*slow_server), PROFILES) as broker:
        answers: list[int] = []

        def ask() -> None:
            answers.append(requests.post(f"{broker.url}/json/", data=LOGIN, timeout=30).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        assert broker.program is not None
        time.sleep(0.5)
        broker.program.process.terminate()
        asking.join(20)
        assert answers == [503]  # nobody could check the password
        assert broker.program.process.wait(20) == 0


@pytest.fixture
def slow_server(certificates: Certificates) -> Iterator[tuple[int, Path]]:
    """A TLS port that accepts connections and never says anything: the slowest of password checkers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1], certificates.authority


def slow_config(port: int, authority: Path) -> str:
    """A broker whose logins take as long as the deadline of https_get."""
    return (
        "[global]\ndefault-auth-mech = https_get\ncookie-directory = {state}\n"
        f"[authmech_https_get]\nhost = localhost\nport = {port}\ntimeout = 3\nca-file = {authority}\n"
        "[broker_zeroconf]\nenable = true\nauth-mech = none\n"
    )


def test_slow_logins_do_not_hold_up_others(slow_server: tuple[int, Path]) -> None:
    with OurBroker(slow_config(*slow_server), PROFILES) as broker:
        slow = [
            threading.Thread(target=lambda: requests.post(f"{broker.url}/json/", data=LOGIN, timeout=30))
            for _ in range(5)
        ]
        for thread in slow:
            thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        assert "Access granted" in post(broker, "/plain/zeroconf", **LOGIN)
        assert time.monotonic() - began < 2.5, "waited for somebody else's login"
        for thread in slow:
            thread.join(20)


def test_tls_by_its_two_files(certificates: Certificates) -> None:
    files = {
        "X2GOBROKER_SSL_CERTFILE": str(certificates.certificate),
        "X2GOBROKER_SSL_KEYFILE": str(certificates.key),
    }
    with OurBroker(OPEN, PROFILES, env=files) as broker:
        response = requests.post(
            f"https://localhost:{broker.port}/plain/", data=LOGIN, timeout=10, verify=str(certificates.authority)
        )
        assert "Access granted" in response.text


def start_to_fail(*arguments: str, **env: str) -> tuple[int, str]:
    """Start the daemon, which is to end by itself; its exit status and what it said."""
    done = subprocess.run(
        [str(PROGRAM), *arguments],
        env={**os.environ, "X2GOBROKER_LOGCONFIG": "/nonexistent", **env},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_broken_configuration_is_named_and_not_started_with(tmp_path: Path) -> None:
    config = tmp_path / "x2gobroker.conf"
    config.write_text("[global]\nthis is wrong\n")
    status, said = start_to_fail("-C", str(config), "-b", f"127.0.0.1:{free_port()}")
    assert status == 2
    assert f"{config}:2:" in said


@pytest.mark.parametrize("bind", ["nonsense:port", "127.0.0.1:99999", "[::1", "a b:80"])
def test_a_bad_address_is_named(bind: str) -> None:
    status, said = start_to_fail("-b", bind)
    assert status == 2
    assert "cannot listen on" in said


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, said = start_to_fail("-b", f"127.0.0.1:{taken.getsockname()[1]}")
    assert status == 2
    assert "another program listens there" in said


def test_half_a_tls_configuration_is_named() -> None:
    status, said = start_to_fail("-b", f"127.0.0.1:{free_port()}", X2GOBROKER_SSL_CERTFILE="/etc/hosts")
    assert status == 2
    assert "X2GOBROKER_SSL_KEYFILE is not set" in said


def test_ipv6_is_bound_with_and_without_brackets() -> None:
    for form in ("[::1]:{}", "::1:{}"):
        with OurBroker(OPEN, PROFILES) as broker:
            assert broker.program is not None
            broker.program.stop()
            port = free_port()
            broker.arguments = ["-b", form.format(port)]
            broker.port = port
            program = subprocess.Popen([str(PROGRAM), "-b", form.format(port)], env=broker.env)
            try:
                wait_until(lambda port=port: listens(port, "::1"), "listening on ::1")  # type: ignore[misc]
            finally:
                program.terminate()
                program.wait(20)


SLOW_START = """\
import sys, time
from pathlib import Path
from flask import Flask
from x2gobroker.cli.daemon.program import Daemon
from x2gobroker.cli.daemon.serving import hear_signals

Daemon(Flask("slow"), {
    "bind": f"127.0.0.1:{sys.argv[1]}", "worker_class": "gthread", "graceful_timeout": 60, "preload_app": True,
    "logger_class": "x2gobroker.cli.daemon.serving.GunicornLogger",
    "post_fork": lambda server, worker: (Path(sys.argv[2]).touch(), time.sleep(1)),
    "post_worker_init": lambda worker: hear_signals(),
}).run()
"""


def test_a_daemon_that_is_stopped_while_a_worker_starts_ends_at_once(tmp_path: Path) -> None:
    """An order to stop that arrives between the birth of a worker and its first request is not lost."""
    mark = tmp_path / "born"
    program = Program([sys.executable, "-c", SLOW_START, str(free_port()), str(mark)], tmp_path / "log")
    try:
        wait_until(mark.exists, "the birth of a worker")
        program.process.terminate()
        assert program.process.wait(30) == 0, program.output()
    finally:
        program.stop()


def test_in_the_background_with_pid_file_log_folder_and_less_privileges(tmp_path: Path) -> None:
    """As the reference's systemd unit starts it: -D, -P, -L, --drop-privileges."""
    folder = Path("/tmp") / f"broker-background-{os.getpid()}"
    folder.mkdir(mode=0o755)
    account = pwd.getpwnam("www-data" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    state = folder / "state"
    state.mkdir()
    os.chown(state, account.pw_uid, account.pw_gid)
    config = folder / "x2gobroker.conf"
    config.write_text(OPEN.format(state=state))
    port, pid_file = free_port(), folder / "daemon.pid"
    env = {
        **os.environ,
        "X2GOBROKER_LOGCONFIG": "/nonexistent",
        "X2GOBROKER_DAEMON_USER": account.pw_name,
        "X2GOBROKER_DAEMON_GROUP": account.pw_name,
    }
    program = installation(account.pw_name if os.geteuid() == 0 else None).venv / "bin/x2gobroker-daemon"
    argv = [str(program), "-C", str(config), "-b", f"127.0.0.1:{port}", "-D", "-P", str(pid_file), "-L", str(folder)]
    started = subprocess.run([*argv, "--drop-privileges"], env=env, timeout=20, check=False, cwd="/")
    assert started.returncode == 0
    wait_until(lambda: listens(port) and pid_file.exists(), "the daemon in the background")
    pid = int(pid_file.read_text())
    try:
        response = requests.post(f"http://127.0.0.1:{port}/plain/", data=LOGIN, timeout=10)
        assert "Access granted" in response.text
        worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        assert os.stat(f"/proc/{worker}").st_uid == os.stat(f"/proc/{pid}").st_uid == account.pw_uid
        assert "login user=anna" in (folder / "x2gobroker-daemon.stderr").read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not listens(port), "the daemon's end", 20)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the process's end", 20)
    # the account may not remove it from a folder of root's; nobody else could have written it
    assert pid_file.stat().st_uid == 0 if os.geteuid() == 0 else not pid_file.exists()
    subprocess.run(["rm", "-r", str(folder)], check=True, timeout=20)


def test_started_as_the_references_program(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "x2gobroker.conf"
    config.write_text(OPEN.format(state=tmp_path / "state"))
    program = subprocess.Popen(
        [str(Path(sys.executable).parent / "x2gobroker"), "-M", "HTTP", "-C", str(config), "-b", f"127.0.0.1:{port}"],
        env={**os.environ, "X2GOBROKER_LOGCONFIG": "/nonexistent"},
    )
    try:
        wait_until(lambda: listens(port), "x2gobroker -M HTTP listening")
    finally:
        program.terminate()
        assert program.wait(20) == 0


def asked(broker: OurBroker, line: str, *headers: str, body: str = "") -> bytes:
    """What the daemon says to a request that is sent as it stands."""
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: broker.example", "Connection: close", *headers])
    with socket.create_connection(("127.0.0.1", broker.port), timeout=20) as connection:
        connection.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script-Name", "PATH_INFO", "X-Script-Name", "X-Forwarded-Prefix"])
def test_no_header_moves_a_request_to_another_address(name: str) -> None:
    """The daemon's neighbours on the loopback are web servers, which may hand on whatever a client has sent."""
    with OurBroker(OPEN + "enable-portal = true\ntrusted-proxies = 127.0.0.1\n", PROFILES) as broker:
        for value in ("/plain", "/x", "//", ""):
            assert b" 404 " in asked(broker, "GET /plain/portal/sign-in", f"{name}: {value}").split(b"\r\n")[0]
            form = "user=anna&password=x&task=listsessions"
            granted = asked(broker, "POST /plain/inifile/", f"{name}: {value}", body=form)
            assert b" 200 " in granted.split(b"\r\n")[0]
            assert b"Access granted" in granted


@pytest.mark.parametrize(("trusted", "scheme"), [("", b"http"), ("trusted-proxies = 127.0.0.1\n", b"https")])
def test_how_the_browser_came_is_believed_of_trusted_web_servers_only(trusted: str, scheme: bytes) -> None:
    with OurBroker(OPEN + trusted, PROFILES) as broker:
        for name in ("X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl"):
            page = asked(broker, "GET /", name, "X-Forwarded-For: 192.0.2.7")
            told = scheme if name.startswith("X-Forwarded-Proto:") else b"http"
            assert told + b"://broker.example/plain/inifile/" in page


def test_the_address_of_a_client_comes_with_a_port_or_in_brackets_or_not_at_all() -> None:
    rules = "[inside]\nhost = h\nacl-clients-allow = 127.0.0.0/8\n[all]\nhost = h\n"
    form = "user=anna&password=x&task=listsessions"
    with OurBroker(OPEN + "trusted-proxies = 127.0.0.1\n", rules) as broker:
        for said in ("198.51.100.9:4711", "[2001:db8::9]:4711", "unknown", "198.51.100.9,", '"198.51.100.9"'):
            answer = asked(broker, "POST /plain/inifile/", f"X-Forwarded-For: {said}", body=form)
            assert b"[all]" in answer
            assert b"[inside]" not in answer
        assert b"[inside]" in asked(broker, "POST /plain/inifile/", body=form)
        for known in ("address=198.51.100.9 ", "address=2001:db8::9 ", "address=unknown "):
            assert known in broker.log()
        assert broker.log().count("does not say for whom it asks") == 1
