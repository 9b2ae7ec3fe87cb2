"""What the tests with real clients and a real Apache bring up."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.apache import apache, apache_folder
from tests.support.client_home import ClientHome, client_home
from tests.support.client_scenario import Endpoint, TwoHosts, our_broker, two_brokers
from tests.support.desktop import Desktop, desktop
from tests.support.processes import free_port
from tests.support.ssh_port import SshPort, ssh_port
from tests.support.tls import HOST_A, Certificates, make_certificates

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.person import Person
    from tests.support.portal_desktops import PortalDesktops


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    """One X display for all tests with clients."""
    with desktop(tmp_path_factory.mktemp("desktop")) as running:
        yield running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The test run's own authority and server certificate."""
    folder = tmp_path_factory.mktemp("certificates")
    return make_certificates(folder)


@pytest.fixture
def home() -> Iterator[ClientHome]:
    """A fresh home folder for a client program."""
    with client_home() as fresh:
        yield fresh


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where this test leaves its screenshots: below $X2GOBROKER_TEST_ARTIFACTS when that is set."""
    chosen = os.environ.get("X2GOBROKER_TEST_ARTIFACTS")
    folder = Path(chosen) if chosen else tmp_path
    return folder / re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name).strip("-")


@pytest.fixture(scope="module")
def running_chromium() -> Iterator[Browser]:
    """One Chromium; each tab of it is a person of its own. Loaded here: few files have browsers."""
    from tests.support.browser import chromium

    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def running_firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """One Firefox, with one window."""
    from tests.support.firefox import firefox

    with firefox(tmp_path_factory.mktemp("firefox")) as person:
        yield person


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all that is typed into the terminals of a file's desktops goes, line by line."""
    return tmp_path_factory.mktemp("typed") / "typed"


@pytest.fixture(params=["chromium", "firefox"])
def anna(
    request: pytest.FixtureRequest, site: PortalDesktops, running_chromium: Browser, running_firefox: Person
) -> Iterator[Person]:
    """Anna, signed in at the `site` of a file, in each browser."""
    from tests.support.portal_desktops import anna_at

    with anna_at(site, running_firefox if request.param == "firefox" else running_chromium) as person:
        yield person


@pytest.fixture(scope="module")
def x2go_server() -> Iterator[SshPort]:
    """The SSH port that the session profiles lead to."""
    with ssh_port() as port:
        yield port


@pytest.fixture(scope="module")
def two_hosts(x2go_server: SshPort, certificates: Certificates) -> Iterator[TwoHosts]:
    """Both VirtualHosts of the shipped x2gobroker-multi-vhost.conf, told apart by name."""
    port = free_port()
    with apache_folder() as folder:
        defines = two_brokers(folder, x2go_server.port, certificates)
        defines |= {"BROKER_A_HOST": HOST_A, "BROKER_B_HOST": "localhost"}
        defines |= {"BROKER_A_LISTEN": f"127.0.0.1:{port}", "BROKER_B_LISTEN": f"127.0.0.1:{port}"}
        with apache(folder, "x2gobroker-multi-vhost.conf", [port], defines) as server:
            yield TwoHosts(server, port, certificates)


@pytest.fixture(params=["gunicorn", "gunicorn-tls", "apache"])
def endpoint(
    request: pytest.FixtureRequest, tmp_path: Path, x2go_server: SshPort, certificates: Certificates
) -> Iterator[Endpoint]:
    """The scenario's broker under each of the servers that it is made for."""
    if request.param == "apache":
        hosts: TwoHosts = request.getfixturevalue("two_hosts")
        yield Endpoint(f"https://127.0.0.1:{hosts.port}", certificates.authority)
    else:
        tls = certificates if request.param == "gunicorn-tls" else None
        with our_broker(tmp_path, x2go_server.port, tls=tls) as running:
            yield running
