"""The auth mechanism `https_get`, against a real web server with TLS."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import free_port
from tests.support.tls import Certificates, make_certificates
from tests.unit.tls_server import PASSWORD, USER, Server, serving
from x2gobroker.auth.base import Credentials, Verdict
from x2gobroker.auth.https_get import HttpsGetMechanism
from x2gobroker.settings import Settings


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority for this module, and the server's certificate."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[Server]:
    """The web server that knows the password."""
    with serving(certificates.certificate, certificates.key) as started:
        yield started


def ask(
    port: int,
    ca: Path | str,
    user: str = USER,
    password: str = PASSWORD,
    host: str = "localhost",
    path: str = "/auth",
) -> Verdict:
    section = "authmech_https_get"
    settings = Settings(
        {
            (section, "host"): host,
            (section, "port"): port,
            (section, "path"): path,
            (section, "ca-file"): str(ca),
            (section, "timeout"): 1,
        }
    )
    return HttpsGetMechanism("https_get").authenticate(settings, Credentials(user, password))


def ready(port: int, ca: Path | str, host: str = "localhost", times: int = 1) -> list[bool]:
    """What it says of itself, so many times."""
    section = "authmech_https_get"
    settings = Settings({(section, "host"): host, (section, "port"): port, (section, "ca-file"): str(ca)})
    mechanism = HttpsGetMechanism("https_get")
    return [mechanism.is_ready(settings, 1.0) for _ in range(times)]


def test_a_web_server_is_ready_whose_certificate_is_trusted_and_is_sent_nothing(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("tests.unit.tls_server.Handler.do_GET", lambda handler: asked.append(handler.path))
    with serving(certificates.certificate, certificates.key) as server:
        assert ready(server.port, certificates.authority) == [True]
        assert ready(server.port, certificates.authority, host="127.0.0.2") == [False]
        assert ready(server.port, tmp_path / "missing.pem") == [False]
        assert ready(server.port, "") == [False]
        assert ready(server.port, certificates.authority, host="no-such-host.invalid") == [False]
    assert asked == []
    with serving() as plain:
        assert ready(plain.port, certificates.authority) == [False]


def test_a_web_server_that_is_ready_is_not_asked_again_for_a_while(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert ready(silent.getsockname()[1], certificates.authority) == [False]
        assert time.monotonic() - began < 10
    connected: list[object] = []
    connect = socket.create_connection

    def counted(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        return connect(address, timeout=timeout)

    monkeypatch.setattr(socket, "create_connection", counted)
    with serving(certificates.certificate, certificates.key) as server:
        assert ready(server.port, certificates.authority, times=3) == [True] * 3
        assert len(connected) == 1
    assert ready(free_port(), certificates.authority, times=2) == [False] * 2
    assert len(connected) == 3


def test_the_right_password_with_colon_and_non_ascii_is_right(server: Server, certificates: Certificates) -> None:
    verdict = ask(server.port, certificates.authority)
    assert (verdict.granted, verdict.user) == (True, USER)


@pytest.mark.parametrize(
    ("user", "password"), [(USER, "wrong"), (USER, ""), ("bert", PASSWORD), (USER, PASSWORD + " ")]
)
def test_any_other_is_wrong(server: Server, certificates: Certificates, user: str, password: str) -> None:
    verdict = ask(server.port, certificates.authority, user, password)
    assert (verdict.granted, verdict.reason) == (False, "the web server answered 401")


def test_a_user_name_with_a_colon_is_refused_without_asking(certificates: Certificates) -> None:
    user, _, password = f"{USER}:{PASSWORD}".partition("é")
    verdict = ask(free_port(), certificates.authority, user, password)
    assert not verdict.granted
    assert "colon" in verdict.reason


@pytest.mark.parametrize("status", [201, 204, 301, 302, 404, 500, 503])
def test_an_answer_that_is_no_verdict_lets_nobody_in_and_is_logged(
    server: Server, certificates: Certificates, status: int, said: pytest.LogCaptureFixture
) -> None:
    verdict = ask(server.port, certificates.authority, path=f"/{status}")
    assert (verdict.granted, verdict.reason) == (False, "mechanism not available")
    assert f"answered {status}" in said.text
    assert PASSWORD not in said.text


def test_a_certificate_of_another_authority_is_not_trusted(
    server: Server, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    verdict = ask(server.port, make_certificates(tmp_path).authority)
    assert (verdict.granted, verdict.reason) == (False, "mechanism not available")
    assert "is not trusted" in said.text


def test_without_a_ca_file_only_the_systems_authorities_are_trusted(
    server: Server, said: pytest.LogCaptureFixture
) -> None:
    assert not ask(server.port, "").granted
    assert "is not trusted" in said.text


def test_a_certificate_of_another_host_name_is_not_trusted(
    server: Server, certificates: Certificates, said: pytest.LogCaptureFixture
) -> None:
    assert not ask(server.port, certificates.authority, host="127.0.0.2").granted
    assert "is not trusted" in said.text


def test_a_ca_file_that_is_missing_or_none_lets_nobody_in(
    server: Server, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    odd = tmp_path / "odd.pem"
    odd.write_text("no certificate")
    for path in (tmp_path / "missing.pem", odd):
        assert ask(server.port, path).reason == "mechanism not available"
    assert len(said.records) == 2


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(
    server: Server, certificates: Certificates, said: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    verdict = ask(server.port, certificates.authority, path="/hang")
    assert verdict.reason == "mechanism not available"
    assert 0.9 <= time.monotonic() - began < 5
    assert "cannot be asked" in said.text


def test_a_server_that_answers_in_drips_is_given_up_after_the_timeout(
    server: Server, certificates: Certificates
) -> None:
    began = time.monotonic()
    assert not ask(server.port, certificates.authority, path="/drip").granted
    assert time.monotonic() - began < 2.5


def test_a_server_that_accepts_and_never_shakes_hands_is_given_up_after_the_timeout(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert not ask(silent.getsockname()[1], certificates.authority, host="127.0.0.1").granted
        assert time.monotonic() - began < 5


def test_a_server_without_tls_gets_no_password(certificates: Certificates) -> None:
    with serving() as plain:
        assert ask(plain.port, certificates.authority).reason == "mechanism not available"


def test_a_closed_port_and_an_unknown_host_let_nobody_in(
    certificates: Certificates, said: pytest.LogCaptureFixture
) -> None:
    assert not ask(free_port(), certificates.authority).granted
    assert not ask(443, certificates.authority, host="no-such-host.invalid").granted
    assert said.text.count("cannot be asked") == 2


@pytest.mark.parametrize("path", ["/garbage", "/a b", "/a\r\nX: 1", "/é"])
def test_an_odd_path_or_answer_lets_nobody_in(server: Server, certificates: Certificates, path: str) -> None:
    assert ask(server.port, certificates.authority, path=path).reason == "mechanism not available"
