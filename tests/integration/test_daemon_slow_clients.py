"""x2gobroker-daemon and clients that take their time: they hold sockets, never threads, and never for long."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.integration.test_daemon import LOGIN, OPEN, PROFILES
from tests.support.our_broker import OurBroker
from tests.support.slow_clients import SlowClients, is_ended
from tests.support.tls import Certificates
from x2gobroker.gate import Limits

LIMITS = Limits()
THREADS = "4"  # as many as there are would do: none is to be held
ROUNDS = 40


@contextlib.contextmanager
def daemon(**env: str) -> Iterator[OurBroker]:
    """A daemon with one worker process of few threads."""
    with OurBroker(OPEN, PROFILES, env={"X2GOBROKER_THREADS": THREADS, **env}) as broker:
        yield broker


@pytest.fixture(scope="module")
def running() -> Iterator[OurBroker]:
    """One daemon for all tests that leave it as it was."""
    with daemon() as broker:
        yield broker


@contextlib.contextmanager
def tls_daemon(certificates: Certificates, **env: str) -> Iterator[OurBroker]:
    """The same with TLS."""
    files = {
        "X2GOBROKER_SSL_CERTFILE": str(certificates.certificate),
        "X2GOBROKER_SSL_KEYFILE": str(certificates.key),
    }
    with daemon(**files, **env) as broker:
        broker.url = f"https://localhost:{broker.port}"
        yield broker


def slowest_answer(broker: OurBroker, verify: Path | None = None) -> float:
    """Seconds that the slowest of some requests takes, each on a new connection."""
    times = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        response = requests.get(f"{broker.url}/health", timeout=20, verify=str(verify) if verify else True)
        assert response.status_code == 200
        times.append(time.monotonic() - began)
    return max(times)


SLOW = ("silence", "header", "body", "chunks", "continue")


def test_slow_requests_hold_up_nobody_and_are_ended() -> None:
    """Three hundred of all kinds at once, each with an absolute deadline: a byte a second prolongs nothing."""
    with daemon() as broker, contextlib.ExitStack() as stack:
        slow = {kind: stack.enter_context(SlowClients(broker.port, 60, kind)) for kind in SLOW}
        assert slowest_answer(broker) < 1.0
        for kind, clients in slow.items():
            early = kind in ("silence", "header")
            clients.wait_ended((LIMITS.head_seconds if early else LIMITS.body_seconds) + 10)
        assert slowest_answer(broker) < 1.0


def test_half_handshakes_of_tls_hold_up_nobody_and_are_ended(certificates: Certificates) -> None:
    with tls_daemon(certificates) as broker, SlowClients(broker.port, 150, "half-handshake") as slow:
        assert slowest_answer(broker, certificates.authority) < 1.0
        slow.wait_ended(LIMITS.handshake_seconds + 10)


def test_slow_requests_in_tls_hold_up_nobody(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(certificates.authority))
    with tls_daemon(certificates) as broker, SlowClients(broker.port, 60, "body", context) as slow:
        assert slowest_answer(broker, certificates.authority) < 1.0
        assert slow.open_ones() == 60


def test_clients_that_do_not_read_their_answer_hold_up_nobody() -> None:
    """Each asks for the same page again and again, and takes nothing of it."""
    with daemon() as broker:
        clients = []
        for _ in range(60):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.settimeout(20)
            client.connect(("127.0.0.1", broker.port))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
            clients.append(client)
        assert slowest_answer(broker) < 1.0
        for client in clients:
            client.close()


def test_the_total_is_limited_and_who_waits_longest_makes_way() -> None:
    with daemon(X2GOBROKER_CONNECTIONS="64") as broker, SlowClients(broker.port, 100, "body") as slow:
        time.sleep(1.5)
        assert slowest_answer(broker) < 3.0
        assert slow.open_ones() < 70
        assert "connections were ended, which took too long or were too many" in broker.log()


def test_requests_on_one_connection_are_answered_in_order(running: OurBroker) -> None:
    with socket.create_connection(("127.0.0.1", running.port), 10) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        client.sendall(b"GET /style.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while more := client.recv(65536):
            data += more
        assert data.count(b"HTTP/1.1 200 OK") == 4
        assert data.count(b'"status": "ok"') == 3
        assert b"Connection: close" in data.rpartition(b"HTTP/1.1 200 OK")[2]


def test_an_idle_connection_is_ended(running: OurBroker) -> None:
    with socket.create_connection(("127.0.0.1", running.port), 10) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"keep-alive" in client.recv(65536)
        time.sleep(LIMITS.idle_seconds - 2)
        assert not is_ended(client)
        time.sleep(4)
        assert is_ended(client)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 80000, b"431"),
        (b"POST /plain/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\nuser=", b"413"),
        (b"POST /plain/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", b"413"),
        (b"POST /plain/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /plain/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nuser=a", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    ],
)
def test_what_is_too_large_or_means_two_things_is_refused_and_the_connection_ends(
    sent: bytes, status: bytes, running: OurBroker
) -> None:
    """Nothing behind such a request is taken for a request of its own."""
    with socket.create_connection(("127.0.0.1", running.port), 10) as client:
        with contextlib.suppress(OSError):
            client.sendall(sent + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while more := client.recv(65536):
                data += more
        assert data.startswith(b"HTTP/1.1 " + status), data
        assert data.count(b"HTTP/1.1") == 1


def test_a_client_that_waits_for_the_word_to_go_on_gets_it_once(running: OurBroker) -> None:
    with socket.create_connection(("127.0.0.1", running.port), 10) as client:
        body = b"user=anna&password=x&task=listsessions"
        head = b"POST /plain/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        data = b""
        while more := client.recv(65536):
            data += more
        assert data.startswith(b"HTTP/1.1 200 OK")
        assert b"Access granted" in data


def test_a_renewed_certificate_counts_without_a_restart(certificates: Certificates, tmp_path: Path) -> None:
    from tests.support.tls import make_certificates

    files = {"cert": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    files["cert"].write_bytes(certificates.certificate.read_bytes())
    files["key"].write_bytes(certificates.key.read_bytes())
    env = {"X2GOBROKER_SSL_CERTFILE": str(files["cert"]), "X2GOBROKER_SSL_KEYFILE": str(files["key"])}
    with daemon(**env) as broker:
        before = ssl.get_server_certificate(("127.0.0.1", broker.port), timeout=10)
        (tmp_path / "new").mkdir()
        renewed = make_certificates(tmp_path / "new")
        for name, new in (("key", renewed.key), ("cert", renewed.certificate)):
            os.replace(new, files[name])
        time.sleep(2.5)
        assert ssl.get_server_certificate(("127.0.0.1", broker.port), timeout=10) != before


def test_stopping_does_not_wait_for_slow_clients() -> None:
    with daemon() as broker, SlowClients(broker.port, 50, "body"):
        assert broker.program is not None
        time.sleep(0.5)
        began = time.monotonic()
        broker.program.process.terminate()
        assert broker.program.process.wait(30) == 0
        # otherwise their bodies have LIMITS.body_seconds, and the daemon waits as long for its worker
        assert time.monotonic() - began < 20


def test_gunicorn_has_what_the_worker_takes_of_it() -> None:
    """What is used of gunicorn beyond its documented settings; a version without it is noticed here."""
    from gunicorn.http import RequestParser
    from gunicorn.http.wsgi import create
    from gunicorn.workers.base import Worker

    for name in ("init_process", "run", "notify", "handle_exit", "handle_quit", "handle_error"):
        assert callable(getattr(Worker, name))
    assert create.__code__.co_varnames[:5] == ("req", "sock", "client", "server", "cfg")
    assert RequestParser.__init__.__code__.co_varnames[1:4] == ("cfg", "source", "source_addr")


def test_a_body_may_come_in_chunks(running: OurBroker) -> None:
    assert LOGIN["user"] == "anna"
    answered = requests.post(f"{running.url}/plain/", data=iter([b"user=an", b"na&task=listsessions"]), timeout=10)
    assert "Access granted" in answered.text
