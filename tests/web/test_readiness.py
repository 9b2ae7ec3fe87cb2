"""`/health/ready` in process: each part that fails, and parts that hang."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask
from flask.testing import FlaskClient

from tests.support.portal_texts import forget, texts_in
from tests.support.tls import make_certificates
from tests.unit.tls_server import serving
from x2gobroker.app import create_app
from x2gobroker.auth import https_get
from x2gobroker.authservice.client import Sign
from x2gobroker.authservice.protocol import HELLO
from x2gobroker.cli.daemon.program import tell_certificate
from x2gobroker.frontends import readiness
from x2gobroker.frontends.base import EXTENSION
from x2gobroker.gate import FixedTls
from x2gobroker.placement import scheduling_stores
from x2gobroker.portal import static
from x2gobroker.store.loads import OK, ServerLoad


def write_certificate(folder: Path, begins: timedelta, ends: timedelta) -> dict[str, str]:
    """A certificate that is valid from and to these moments, seen from now; the variables that name it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now + begins).not_valid_after(now + ends)
    certificate = builder.sign(key, hashes.SHA256())
    files = {"X2GOBROKER_SSL_CERTFILE": folder / "cert.pem", "X2GOBROKER_SSL_KEYFILE": folder / "key.pem"}
    files["X2GOBROKER_SSL_CERTFILE"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    files["X2GOBROKER_SSL_KEYFILE"].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return {variable: str(path) for variable, path in files.items()}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, what answers is waited for."""
    for limit in ("DEADLINE_SECONDS", "PATIENCE_SECONDS"):
        monkeypatch.setattr(readiness, limit, 20.0)


def make(folder: Path, more: str = "", **variables: str) -> Flask:
    config = folder / "x2gobroker.conf"
    config.write_text(f"[global]\ndefault-auth-mech = none\ncookie-directory = {folder}/state\n{more}")
    return create_app({"X2GOBROKER_CONFIG": str(config), **variables})


def ask(client: FlaskClient) -> tuple[int, dict[str, object]]:
    response = client.get("/health/ready")
    return response.status_code, response.json or {}


DAY = timedelta(days=1)
BY = "[broker_inifile]\nenable = true\nauth-mech = {}\n"
FAILS = (503, {"status": "not ready", "failing": ["authentication"]})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question is looked into."""
    monkeypatch.setattr(readiness, "KEEP_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("begins", "ends", "status", "days"),
    [(-DAY, 30.5 * DAY, 200, 30), (-DAY, 0.5 * DAY, 200, 0), (-2 * DAY, -DAY, 503, None), (DAY, 2 * DAY, 503, None)],
)
def test_days_of_the_certificate(
    tmp_path: Path, begins: timedelta, ends: timedelta, status: int, days: int | None
) -> None:
    found, said = ask(make(tmp_path, **write_certificate(tmp_path, begins, ends)).test_client())
    assert found == status
    assert said.get("certificate_days") == days
    assert said["failing"] == ([] if status == 200 else ["certificate"])


def test_a_configuration_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "KEEP_SECONDS", 0.0)
    client = make(tmp_path).test_client()
    assert ask(client)[0] == 200
    conf = tmp_path / "x2gobroker.conf"
    conf.rename(tmp_path / "x2gobroker.conf~")
    assert ask(client) == (503, {"status": "not ready", "failing": ["configuration"]})
    (tmp_path / "x2gobroker.conf~").rename(conf)
    assert ask(client)[0] == 200


@pytest.mark.parametrize(("ends", "status", "days"), [(30.5 * DAY, 200, 30), (-DAY, 503, None)])
def test_a_certificate_whose_key_root_has_read_is_the_one_that_is_served(
    tmp_path: Path, ends: timedelta, status: int, days: int | None
) -> None:
    """The daemon goes on with what it had when it was root, whatever becomes of the files."""
    certificate = Path(write_certificate(tmp_path, -2 * DAY, ends)["X2GOBROKER_SSL_CERTFILE"]).read_bytes()
    variables = write_certificate(tmp_path, -DAY, DAY)
    Path(variables["X2GOBROKER_SSL_KEYFILE"]).unlink()  # as good as unreadable
    app = make(tmp_path, **variables)
    assert ask(app.test_client())[0] == 503
    tls = FixedTls(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), certificate)
    app = make(tmp_path, **variables)
    tell_certificate(app, tls)
    found, said = ask(app.test_client())
    assert (found, said.get("certificate_days")) == (status, days)


@pytest.mark.parametrize("text", ["", "rubbish", None])
def test_a_certificate_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    variables = write_certificate(tmp_path, -DAY, DAY)
    app = make(tmp_path, **variables)
    path = Path(variables["X2GOBROKER_SSL_CERTFILE"])
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert ask(app.test_client()) == (503, {"status": "not ready", "failing": ["certificate"]})


def test_a_portal_without_novnc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "has_novnc", lambda: False)
    assert ask(make(tmp_path).test_client())[0] == 200
    app = make(tmp_path, "enable-portal = true\n")
    assert ask(app.test_client()) == (503, {"status": "not ready", "failing": ["novnc"]})


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What is known of the portal's texts is not kept for other tests."""
    yield
    forget()


@pytest.mark.usefixtures("forgetful")
def test_a_portal_whose_texts_were_missing_at_the_start(tmp_path: Path) -> None:
    with texts_in(tmp_path):
        app = make(tmp_path, "enable-portal = true\n")
    assert app.test_client().get("/portal/").status_code == 404
    # back again, and still not served: that takes a new start
    assert ask(app.test_client()) == (503, {"status": "not ready", "failing": ["languages"]})
    forget()
    assert ask(make(tmp_path, "enable-portal = true\n").test_client())[0] == 200


@pytest.mark.usefixtures("forgetful")
def test_texts_are_no_matter_without_a_portal(tmp_path: Path) -> None:
    with texts_in(tmp_path):
        assert ask(make(tmp_path).test_client())[0] == 200


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in its place")
    assert ask(make(tmp_path).test_client()) == (503, {"status": "not ready", "failing": ["store"]})


def test_an_authentication_service_that_does_not_answer(tmp_path: Path) -> None:
    place = tmp_path / "service"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))  # and nobody listens
    app = make(tmp_path, X2GOBROKER_AUTHSERVICE_SOCKET=str(place))
    assert ask(app.test_client())[0] == 200, "no mechanism asks it"
    conf = tmp_path / "x2gobroker.conf"
    conf.write_text(conf.read_text().replace("default-auth-mech = none", "default-auth-mech = pam"))
    time.sleep(readiness.KEEP_SECONDS)
    assert ask(app.test_client()) == FAILS
    conf.write_text(f"{conf.read_text()}require-password = false\nrequire-cookie = false\n")
    time.sleep(readiness.KEEP_SECONDS)
    assert ask(app.test_client())[0] == 200, "nobody is asked for a password"


@pytest.mark.usefixtures("impatient")
def test_a_pam_service_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("x2gobroker.authservice.pamfiles.SERVICE_FOLDERS", (str(tmp_path),))
    place = tmp_path / "service"
    more = "[authmech_pam]\nservice = desks\n"
    client = make(tmp_path, BY.format("pam") + more, X2GOBROKER_AUTHSERVICE_SOCKET=str(place)).test_client()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        assert ask(client) == FAILS
        with monkeypatch.context() as patch:  # in another container: this one's /etc is none of its
            patch.setattr("x2gobroker.auth.pam.sign_of_life", lambda _path, _seconds: Sign.ELSEWHERE)
            assert ask(client)[0] == 200
        (tmp_path / "desks").write_text("auth required pam_unix.so\n")
        assert ask(client)[0] == 200
    place.unlink()
    conf = tmp_path / "x2gobroker.conf"
    conf.write_text(f"{conf.read_text()}without-authservice = true\n")
    assert ask(client)[0] == 200
    (tmp_path / "desks").unlink()
    assert ask(client) == FAILS


def greet(listener: socket.socket) -> None:
    """An authentication service as far as anybody asks for a sign of life."""
    with contextlib.suppress(OSError):
        while True:
            peer, _ = listener.accept()
            with peer:
                peer.recv(len(HELLO))
                peer.sendall(HELLO)


@pytest.mark.usefixtures("impatient")
def test_a_file_of_users_that_is_missing_or_cannot_be_read(tmp_path: Path) -> None:
    users = tmp_path / "htpasswd"
    client = make(tmp_path, f"{BY.format('htpasswd')}[authmech_htpasswd]\nfile = {users}\n").test_client()
    assert ask(client) == FAILS
    users.write_bytes(b"anna:\xff\n")
    assert ask(client) == FAILS
    users.write_text("anna:hash\n")
    assert ask(client)[0] == 200
    users.write_bytes(b"anna:\xff\n")
    assert ask(client)[0] == 200, "the last good version lets users in"
    users.unlink()
    assert ask(client) == FAILS


@pytest.mark.usefixtures("impatient")
def test_a_web_server_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https_get, "READY_FOR_SECONDS", 0.0)
    made = make_certificates(tmp_path)
    with serving(made.certificate, made.key) as server:
        section = f"[authmech_https_get]\nhost = localhost\nport = {server.port}\nca-file = {made.authority}\n"
        client = make(tmp_path, BY.format("https_get") + section).test_client()
        assert ask(client)[0] == 200
    assert ask(client) == FAILS


@pytest.mark.usefixtures("impatient")
def test_a_pre_shared_authid_that_clients_have_to_show_and_nobody_knows(tmp_path: Path) -> None:
    path, old = tmp_path / "authid", tmp_path / "old"
    client = make(tmp_path, f"my-cookie-file = {path}\nmy-cookie-old-file = {old}\n").test_client()
    assert ask(client)[0] == 200, "none is asked for"
    conf = tmp_path / "x2gobroker.conf"
    conf.write_text(f"{conf.read_text()}require-cookie = true\n")
    fails = (503, {"status": "not ready", "failing": ["pre-shared-authid"]})
    assert ask(client) == fails
    path.write_text("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n")
    assert ask(client) == fails
    old.write_text("of before\n")
    assert ask(client)[0] == 200
    old.unlink()
    path.write_text("secret\n")
    assert ask(client)[0] == 200


@pytest.mark.usefixtures("impatient")
def test_session_profiles_that_could_never_be_read(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.conf"
    profiles.write_bytes(b"[desk]\nhost = caf\xe9\n")
    client = make(tmp_path, X2GOBROKER_SESSIONPROFILES=str(profiles)).test_client()
    fails = (503, {"status": "not ready", "failing": ["session-profiles"]})
    assert ask(client) == fails
    profiles.write_text("[desk]\nhost = ts1\n")
    assert ask(client)[0] == 200
    profiles.write_bytes(b"[desk]\nhost = caf\xe9\n")
    assert ask(client)[0] == 200, "the last good version is offered"
    profiles.write_text("[DEFAULT]\nacl-usrs-allow = anna\n[desk]\nhost = ts1\n[other]\nhost = ts2\n")
    assert ask(client) == fails, "nobody is offered anything"
    profiles.write_text("[desk\nhost = ts1\n")
    assert ask(client) == fails
    profiles.write_text("")
    assert ask(client)[0] == 200
    profiles.write_text("[desk]\nacl-usrs-allow = anna\nhost = ts1\n[other]\nhost = ts2\n")
    assert ask(client)[0] == 200
    profiles.unlink()
    assert ask(client)[0] == 200, "no profiles are none"


def test_load_reports_that_nobody_makes_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "KEEP_SECONDS", 0.0)
    (tmp_path / "profiles.conf").write_text("[desk]\nhost = ts1, ts2\n")
    more = "default-agent-query-mode = SSH\ndefault-use-load-checker = true\nload-checker-intervals = 300\n"
    app = make(tmp_path, more, X2GOBROKER_SESSIONPROFILES=str(tmp_path / "profiles.conf"))
    late = {"status": "not ready", "failing": ["load-reports"]}
    assert ask(app.test_client()) == (503, late)
    context = app.extensions[EXTENSION]
    loads = context.services.of(scheduling_stores, context.source.current()).loads
    for ago, status in ((1000 * 300, 503), (-86_400, 503), (0, 200)):  # in between, a clock was a day ahead
        loads.put([ServerLoad("ts1:22", "ts1", OK, None, time.time() - ago, 0.0, 0.1)])
        assert ask(app.test_client())[0] == status


def test_a_part_that_hangs_is_named_in_time_and_has_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    asked: list[float] = []

    def hang(_store: object) -> None:
        asked.append(time.monotonic())
        hanging.wait(30)

    monkeypatch.setattr(readiness, "probe", hang)
    monkeypatch.setattr(readiness, "KEEP_SECONDS", 0.1)
    monkeypatch.setattr(readiness, "DEADLINE_SECONDS", 1.0)
    app = make(tmp_path)
    for _ in range(3):
        began = time.monotonic()
        assert "store" in ask(app.test_client())[1]["failing"]  # type: ignore[operator]
        assert time.monotonic() - began < 15
        time.sleep(0.2)
    assert len(asked) == 1
    hanging.set()
    monkeypatch.setattr(readiness, "DEADLINE_SECONDS", 20.0)
    monkeypatch.setattr(readiness, "probe", lambda _store: None)
    time.sleep(0.3)
    assert ask(app.test_client())[0] == 200


def test_many_who_ask_at_once_get_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def look(_store: object) -> None:
        time.sleep(0.3)
        asked.append(1)

    monkeypatch.setattr(readiness, "probe", look)
    monkeypatch.setattr(readiness, "KEEP_SECONDS", 20.0)
    app = make(tmp_path)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(ask(app.test_client())[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [200] * 20
    assert len(asked) == 1


def test_a_mechanism_that_is_not_installed_is_named(tmp_path: Path) -> None:
    app = make(tmp_path, "[broker_inifile]\nenable = true\nauth-mech = nosuch\n")
    assert "authentication" in ask(app.test_client())[1]["failing"]  # type: ignore[operator]
    assert app.extensions[EXTENSION].readiness.current().failing


def test_head_and_a_slash_at_the_end(tmp_path: Path) -> None:
    client = make(tmp_path).test_client()
    assert client.head("/health/ready").status_code == 200
    assert client.get("/health/ready/").status_code in (200, 308)
    assert client.get("/health/live").status_code == 200
