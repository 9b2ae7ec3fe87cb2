"""The real pyhoca-cli logs in, lists and selects."""

from __future__ import annotations

import pytest

from tests.support.client_home import ClientHome
from tests.support.client_scenario import PASSWORDS, Endpoint, TwoHosts
from tests.support.desktop import Desktop
from tests.support.pyhoca import Pyhoca
from tests.support.ssh_port import SshPort

PARAMIKO = "paramiko"  # how PyHoca introduces itself to an SSH server


def pyhoca(endpoint: Endpoint, screen: Desktop, home: ClientHome, password: str, user: str = "anna") -> Pyhoca:
    """pyhoca-cli as this user of the broker's JSON frontend."""
    return Pyhoca(home, screen, f"{endpoint.with_user(user)}/json/inifile/", password, endpoint.authority)


def test_list_profiles(endpoint: Endpoint, screen: Desktop, home: ClientHome) -> None:
    """The right password lists what anna may use, and nothing else."""
    run = pyhoca(endpoint, screen, home, PASSWORDS["anna"]).list_profiles()
    assert run.status == 0, run.text
    assert "Profile ID: alpha\n" in run.stdout
    assert "Profile Name: Beta terminal\n" in run.stdout
    assert "Berts own" not in run.text
    assert "Traceback" not in run.text


def test_select_leads_to_the_server(
    endpoint: Endpoint, screen: Desktop, home: ClientHome, x2go_server: SshPort
) -> None:
    """Choosing a profile leads to the server that only the broker's answer names."""
    x2go_server.greetings.clear()
    run = pyhoca(endpoint, screen, home, PASSWORDS["anna"]).start("alpha", "password for the server")
    assert f"connecting to [127.0.0.1]:{x2go_server.port}" in run.text
    x2go_server.wait_for_client(PARAMIKO)


def test_wrong_password_lists_nothing(endpoint: Endpoint, screen: Desktop, home: ClientHome) -> None:
    """A wrong password gives an empty list, without a crash."""
    run = pyhoca(endpoint, screen, home, "wrong").list_profiles()
    assert run.status == 0, run.text
    assert "Available X2Go session profiles" in run.stdout
    assert "Profile ID" not in run.text
    assert "Traceback" not in run.text


def test_wrong_password_selects_nothing(
    endpoint: Endpoint, screen: Desktop, home: ClientHome, x2go_server: SshPort
) -> None:
    """A wrong password never leads to a server."""
    x2go_server.greetings.clear()
    run = pyhoca(endpoint, screen, home, "wrong").start("alpha", "password for the server")
    assert "no such session profile of name: alpha" in run.text
    assert x2go_server.greetings == []


@pytest.mark.parametrize(
    ("host", "offered", "missing"), [("127.0.0.1", "alpha", "gamma"), ("localhost", "gamma", "alpha")]
)
def test_each_virtual_host_has_profiles_of_its_own(
    host: str, offered: str, missing: str, two_hosts: TwoHosts, screen: Desktop, home: ClientHome
) -> None:
    """Two names of one Apache, one port: two brokers."""
    broker = two_hosts.named(host)
    run = pyhoca(Endpoint(broker.url, broker.authority), screen, home, PASSWORDS["bert"], "bert").list_profiles()
    assert f"Profile ID: {offered}\n" in run.stdout, run.text
    assert f"Profile ID: {missing}\n" not in run.stdout
