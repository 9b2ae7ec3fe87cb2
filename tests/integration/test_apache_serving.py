"""One broker under Apache: the shipped apache/x2gobroker-vhost.conf, through restarts, crashes and odd requests."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.apache import SHIPPED, Apache, ApacheFolder, apache, apache_folder
from tests.support.client_scenario import PASSWORDS, PROFILES, configuration, users_file
from tests.support.processes import free_port, wait_until
from tests.support.tls import Answer, Certificates, Https

LOGIN = {"user": "anna", "password": PASSWORDS["anna"]}
TASK = {"task": "listsessions", **LOGIN}
GROUP = "x2gobroker-vhost"


def basic(user: str, password: str) -> dict[str, str]:
    """The Authorization header of HTTP Basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def vhost_defines(folder: ApacheFolder, port: int, certificates: Certificates, mechanism: str) -> dict[str, str]:
    """Write the broker's files, and give the Defines that x2gobroker-vhost.conf needs for them."""
    users = users_file(folder.path / "users")
    state = str(folder.state("state"))
    config = folder.file("x2gobroker.conf", configuration(state, users, mechanism=mechanism))
    return {
        "X2GOBROKER_HOST": "localhost",
        "X2GOBROKER_LISTEN": f"127.0.0.1:{port}",
        "X2GOBROKER_CERTIFICATE": str(certificates.certificate),
        "X2GOBROKER_CERTIFICATE_KEY": str(certificates.key),
        "X2GOBROKER_CONFIG": str(config),
        "X2GOBROKER_SESSIONPROFILES": str(folder.file("sessionprofiles.conf", PROFILES.format(port=2222))),
    }


@pytest.fixture(scope="module")
def served(certificates: Certificates) -> Iterator[tuple[Apache, Https]]:
    """Apache with the broker at the root of one VirtualHost."""
    port = free_port()
    with apache_folder() as folder:
        defines = vhost_defines(folder, port, certificates, "htpasswd")
        with apache(folder, "x2gobroker-vhost.conf", [port], defines) as server:
            yield server, Https(port, certificates.authority)


@pytest.fixture
def server(served: tuple[Apache, Https]) -> Apache:
    """The running Apache."""
    return served[0]


@pytest.fixture
def broker(served: tuple[Apache, Https]) -> Https:
    """The broker that it serves."""
    return served[1]


def authid(answer: Answer) -> str:
    """The authid for the next request."""
    assert "Access granted\n" in answer.body, answer
    return answer.body.split("AUTHID:")[1].split()[0]


def test_front_page(broker: Https) -> None:
    """The page at the root answers."""
    assert broker.get("/").status == 200


def test_authorization_header_reaches_the_broker(broker: Https) -> None:
    """UCCS is served to the right password; without or with a wrong one, credentials are asked for."""
    path = "/uccs/inifile/api/5"
    granted = broker.get(path, basic("anna", PASSWORDS["anna"]))
    assert granted.status == 200, granted
    servers = json.loads(granted.body)["RemoteDesktopServers"]
    assert {server["Name"] for server in servers} == {"Alpha desktop", "Beta terminal"}
    for headers in ({}, basic("nobody", "wrong")):
        refused = broker.get(path, headers)
        assert refused.status == 401
        assert refused.headers["www-authenticate"].startswith("Basic")


def test_chunked_form(broker: Https) -> None:
    """A form without Content-Length is read like any other."""
    pieces = (piece for piece in (b"task=listsessions&user=anna", b"&password=", b"Anna%27s+w%26rd%2B1"))
    answer = broker.request("POST", "/plain/inifile/", pieces, {"Content-Type": "application/x-www-form-urlencoded"})
    assert "name=Alpha desktop\n" in answer.body, answer


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "application/octet-stream", "multipart/form-data"]
)
@pytest.mark.parametrize("path", ["/plain/inifile/", "/json/inifile/", "/uccs/inifile/api/5", "/"])
def test_binary_body(broker: Https, path: str, kind: str) -> None:
    """No bytes of a client make an error of the server's."""
    body = bytes(range(256)) * 64
    assert broker.request("POST", path, body, {"Content-Type": kind}).status < 500


def test_body_beyond_the_limit(broker: Https) -> None:
    """A body beyond LimitRequestBody is refused as too large, and the next request is served."""
    body = b"user=" + b"x" * (2 << 20)
    answer = broker.request("POST", "/plain/inifile/", body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 413
    assert "capacity limit" in answer.body  # Apache's words: the broker has not been bothered with it
    assert "Access granted" in broker.post("/plain/inifile/", TASK).body


def test_sessions_over_all_processes(broker: Https) -> None:
    """An authid that one process gave out is good in the other: eight clients at once, five requests each."""

    def chain(_: int) -> int:
        current = authid(broker.post("/plain/inifile/", TASK))
        for _ in range(5):
            current = authid(
                broker.post("/plain/inifile/", {"task": "listsessions", "user": "anna", "authid": current})
            )
        return 5

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(chain, range(8))) == 40


def test_graceful_restart(server: Apache, broker: Https) -> None:
    """After a reload new processes serve, and those who were logged in still are."""
    current = authid(broker.post("/plain/inifile/", TASK))
    server.graceful()
    answer = broker.post("/plain/inifile/", {"task": "listsessions", "user": "anna", "authid": current})
    assert "name=Alpha desktop\n" in answer.body


def test_killed_process(server: Apache, broker: Https) -> None:
    """When processes are killed, requests are served by others, and Apache starts new ones."""
    current = authid(broker.post("/plain/inifile/", TASK))
    before = set(server.daemons(GROUP))
    assert len(before) == 2
    for pid in before:
        os.kill(pid, signal.SIGKILL)
        current = authid(broker.post("/plain/inifile/", {"task": "listsessions", "user": "anna", "authid": current}))
    wait_until(lambda: len(set(server.daemons(GROUP)) - before) == 2, "two new processes")
    assert "Access granted" in broker.post("/plain/inifile/", TASK).body


def test_state_is_closed_to_others(server: Apache) -> None:
    """Nothing that the broker wrote can be read by other accounts."""
    written = [file for file in (server.folder.path / "state").rglob("*") if file.is_file()]
    assert written
    assert [file.name for file in written if file.stat().st_mode & 0o007] == []


def test_no_python_in_apache_itself(certificates: Certificates) -> None:
    """An application without a process group is refused, instead of running as Apache's own account."""
    port, elsewhere = free_port(), free_port()
    with apache_folder() as folder:
        defines = vhost_defines(folder, port, certificates, "htpasswd")
        extra = (
            f"Listen 127.0.0.1:{elsewhere}\n<VirtualHost 127.0.0.1:{elsewhere}>\n"
            "    SSLEngine On\n    SSLCertificateFile ${X2GOBROKER_CERTIFICATE}\n"
            "    SSLCertificateKeyFile ${X2GOBROKER_CERTIFICATE_KEY}\n"
            "    WSGIScriptAlias / ${X2GOBROKER_WSGI}/x2gobroker.wsgi\n"
            "    <Directory ${X2GOBROKER_WSGI}>\n        Require all granted\n    </Directory>\n</VirtualHost>\n"
        )
        with apache(folder, "x2gobroker-vhost.conf", [port], defines, extra) as server:
            assert Https(elsewhere, certificates.authority).get("/").status == 500
            assert "Embedded mode of mod_wsgi disabled" in server.log()
            assert Https(port, certificates.authority).get("/").status == 200


@pytest.mark.parametrize("other", ["x2gobroker.conf", "debian's"])
def test_a_virtual_host_beside_the_broker_below_a_path(certificates: Certificates, other: str) -> None:
    """As after `migrate apply` and the how-to, where nobody has turned the first one off: Apache starts anyway."""
    port = free_port()
    debians = "WSGIDaemonProcess x2gobroker user=${X2GOBROKER_USER} group=${X2GOBROKER_GROUP} processes=2 threads=8\n"
    with apache_folder() as folder:
        defines = vhost_defines(folder, port, certificates, "htpasswd")
        extra = f'Include "{SHIPPED / other}"\n' if other.endswith(".conf") else debians
        with apache(folder, "x2gobroker-vhost.conf", [port], defines, extra) as server:
            wait_until(lambda: len(server.daemons("x2gobroker")) == 2, "the processes of the other file")
            assert len(server.daemons(GROUP)) == 2
            assert "Access granted" in Https(port, certificates.authority).post("/plain/inifile/", TASK).body


def test_user_whom_apache_authenticated(certificates: Certificates) -> None:
    """`remote_user`: Apache asks for the password, the broker takes its word for who that is."""
    port = free_port()
    with apache_folder() as folder:
        defines = vhost_defines(folder, port, certificates, "remote_user")
        extra = (
            '<Location "/json">\n    AuthType Basic\n    AuthName "X2Go Session Broker"\n    AuthBasicProvider file\n'
            f"    AuthUserFile {folder.path}/users\n    Require valid-user\n</Location>\n"
        )
        with apache(folder, "x2gobroker-vhost.conf", [port], defines, extra):
            broker = Https(port, certificates.authority)
            fields = {"task": "listprofiles", "user": "bert"}
            assert broker.post("/json/inifile/", fields).status == 401
            assert broker.post("/json/inifile/", fields, basic("bert", "wrong")).status == 401
            answer = broker.post("/json/inifile/", fields, basic("bert", PASSWORDS["bert"]))
            assert answer.status == 200, answer
            assert set(json.loads(answer.body)["profiles"]) == {"alpha", "beta", "not-for-anna"}
            # Nobody is let in as somebody else, nor where Apache did not ask.
            assert broker.post("/json/inifile/", fields, basic("anna", PASSWORDS["anna"])).status == 401
            assert "Access granted" not in broker.post("/plain/inifile/", {"task": "listsessions", "user": "bert"}).body
