"""A broker below a path of a host that Apache already serves, with the shipped apache/x2gobroker.conf."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.apache import apache, apache_folder
from tests.support.client_home import ClientHome
from tests.support.client_scenario import PASSWORDS, PROFILES, Endpoint, configuration, users_file
from tests.support.desktop import Desktop
from tests.support.processes import free_port
from tests.support.pyhoca import Pyhoca
from tests.support.tls import Certificates, Https

LOGIN = {"user": "anna", "password": PASSWORDS["anna"]}


@pytest.fixture(scope="module")
def host(certificates: Certificates) -> Iterator[Https]:
    """A TLS host with pages of its own; the broker is at /x2gobroker, as the shipped file has it."""
    port = free_port()
    with apache_folder() as folder:
        state = str(folder.state("state"))
        config = folder.file("x2gobroker.conf", configuration(state, users_file(folder.path / "users")))
        folder.file("site/index.html", "the host's own page\n")
        defines = {
            "X2GOBROKER_CONFIG": str(config),
            "X2GOBROKER_SESSIONPROFILES": str(folder.file("sessionprofiles.conf", PROFILES.format(port=2222))),
        }
        extra = (
            f"<VirtualHost 127.0.0.1:{port}>\n    ServerName localhost\n    SSLEngine On\n"
            f"    SSLCertificateFile {certificates.certificate}\n    SSLCertificateKeyFile {certificates.key}\n"
            f"    DocumentRoot {folder.path}/site\n"
            f"    <Directory {folder.path}/site>\n        Require all granted\n    </Directory>\n</VirtualHost>\n"
        )
        with apache(folder, "x2gobroker.conf", [port], defines, extra):
            yield Https(port, certificates.authority)


def test_the_host_keeps_its_own_pages(host: Https) -> None:
    """Only what is below the path is the broker's."""
    assert host.get("/index.html").body == "the host's own page\n"
    assert host.post("/plain/inifile/", {"task": "listsessions", **LOGIN}).status in (404, 405)


@pytest.mark.parametrize("path", ["/x2gobroker/plain/inifile/", "/x2gobroker/plain/inifile", "/x2gobroker/plain/"])
def test_text_frontend(host: Https, path: str) -> None:
    """X2Go Client's addresses work below the path, with and without the last slash."""
    answer = host.post(path, {"task": "listsessions", **LOGIN})
    assert answer.status == 200
    assert "name=Alpha desktop\n" in answer.body


def test_json_frontend(host: Https) -> None:
    """PyHoca's address works below the path."""
    answer = host.post("/x2gobroker/json/inifile/", {"task": "listprofiles", **LOGIN})
    assert set(json.loads(answer.body)["profiles"]) == {"alpha", "beta"}


def test_front_page(host: Https) -> None:
    """The broker's own page tells its addresses below the path."""
    answer = host.get("/x2gobroker/")
    assert answer.status == 200
    assert "/x2gobroker/plain/" in answer.body


def test_real_pyhoca_below_the_path(host: Https, screen: Desktop, home: ClientHome) -> None:
    """The real pyhoca-cli lists profiles from there."""
    endpoint = Endpoint(f"{host.url}/x2gobroker", host.authority)
    url = f"{endpoint.with_user('anna')}/json/inifile/"
    run = Pyhoca(home, screen, url, PASSWORDS["anna"], host.authority).list_profiles()
    assert "Profile ID: alpha\n" in run.stdout, run.text
