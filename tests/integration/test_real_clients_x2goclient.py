"""The real X2Go Client logs in, lists and selects; see the screenshots for what its user saw."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.client_home import ClientHome
from tests.support.client_scenario import PASSWORDS, Endpoint, TwoHosts, our_broker, own_daemon
from tests.support.desktop import Desktop
from tests.support.our_broker import PROGRAM, OurBroker
from tests.support.processes import wait_until
from tests.support.ssh_port import SshPort
from tests.support.x2goclient import X2GoClient, x2goclient

LIBSSH = "libssh"  # how X2Go Client introduces itself to an SSH server
ANNA = PASSWORDS["anna"]


def assert_selected(client: X2GoClient, profile: str, server: SshPort) -> None:
    """The client asked for this profile, was told the server, and went there."""
    request, answer = client.requests[-1], client.answers[-1]
    assert request.startswith("task=selectsession&")
    assert f"&sid={profile}&" in request
    assert "Access granted\n" in answer
    assert f"SERVER:127.0.0.1:{server.port}\n" in answer
    server.wait_for_client(LIBSSH)


def test_log_in_list_and_select(
    endpoint: Endpoint, screen: Desktop, home: ClientHome, x2go_server: SshPort, pictures: Path
) -> None:
    """The right password shows the profiles; choosing one leads to the server that the broker names."""
    with x2goclient(screen, home, f"{endpoint.url}/plain/inifile/", pictures, endpoint.authority) as client:
        client.log_in("anna", ANNA)
        client.wait_for_profiles(2)
        client.picture("profiles")
        listing = client.answers[-1]
        assert "name=Alpha desktop\n" in listing
        assert "name=Beta terminal\n" in listing
        assert "Berts own" not in listing
        x2go_server.greetings.clear()
        client.select("Alpha desktop", "password for the server")
        assert_selected(client, "alpha", x2go_server)


def test_wrong_password_can_be_corrected(endpoint: Endpoint, screen: Desktop, home: ClientHome, pictures: Path) -> None:
    """A wrong password is told in a dialog; the client stays, and its form takes the right one."""
    with x2goclient(screen, home, f"{endpoint.url}/plain/inifile/", pictures, endpoint.authority) as client:
        client.log_in("anna", "wrong")
        client.wait_for_dialog("Error")
        client.picture("refused")
        assert "Access granted" not in client.answers[-1]
        assert client.failures == []
        client.confirm_dialog()
        assert client.alive
        client.log_in_again(ANNA)
        client.wait_for_profiles(2)
        client.picture("profiles")


def test_refusal_by_status_ends_the_client(
    screen: Desktop, home: ClientHome, x2go_server: SshPort, pictures: Path, tmp_path: Path
) -> None:
    """Why `plain-refusal = message` is the default: upon a 401 the whole client ends."""
    with (
        our_broker(tmp_path, x2go_server.port, "plain-refusal = status") as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures) as client,
    ):
        client.log_in("anna", "wrong")
        client.wait_for_dialog("Error")
        client.picture("refused")
        assert client.failures == ["Host requires authentication"]
        client.confirm_dialog()
        wait_until(lambda: not client.alive, "the client ending itself")


def test_that_passwords_cannot_be_checked_is_told_in_words(
    screen: Desktop, home: ClientHome, x2go_server: SshPort, pictures: Path, tmp_path: Path
) -> None:
    """Nobody is told that the password is wrong: the dialog says what the broker says."""
    with (
        our_broker(tmp_path, x2go_server.port) as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures) as client,
    ):
        (tmp_path / "users").unlink()
        client.log_in("anna", ANNA)
        client.wait_for_dialog("Error")
        client.picture("cannot-check")
        assert len(client.failures) == 1
        assert "Passwords cannot be checked at present; try again later" in client.failures[0]


def test_profile_that_uses_the_broker_password(
    screen: Desktop, home: ClientHome, x2go_server: SshPort, pictures: Path, tmp_path: Path
) -> None:
    """With `usebrokerpass` the client selects without asking for another password."""
    with (
        our_broker(tmp_path, x2go_server.port) as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures) as client,
    ):
        client.log_in("anna", ANNA)
        client.wait_for_profiles(2)
        x2go_server.greetings.clear()
        client.choose("Beta terminal")
        client.wait_for_answers(2)
        assert_selected(client, "beta", x2go_server)


def test_client_configuration_is_understood(
    screen: Desktop, home: ClientHome, x2go_server: SshPort, pictures: Path, tmp_path: Path
) -> None:
    """With `client-events` the answer carries a block for the client itself, and the profiles still arrive."""
    with (
        our_broker(tmp_path, x2go_server.port, "client-events = true\nclient-live-event = 17") as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures) as client,
    ):
        client.log_in("anna", ANNA)
        client.wait_for_profiles(2)
        assert "START_CLIENT_CONFIG\n" in client.answers[-1]
        assert "no client config from broker" not in client.program.output()


@pytest.mark.parametrize(
    ("host", "names", "missing"),
    [
        ("127.0.0.1", ["Alpha desktop", "Beta terminal"], "Gamma"),
        ("localhost", ['"Gamma B\\xfcro"'], "Alpha"),
    ],
)
def test_each_virtual_host_has_profiles_of_its_own(
    host: str,
    names: list[str],
    missing: str,
    two_hosts: TwoHosts,
    screen: Desktop,
    home: ClientHome,
    x2go_server: SshPort,
    pictures: Path,
) -> None:
    """Two names of one Apache, one port: two brokers."""
    broker = two_hosts.named(host)
    with x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures, broker.authority) as client:
        client.log_in("bert", PASSWORDS["bert"])
        client.wait_for_profiles(len(names) + (1 if host == "127.0.0.1" else 0))
        client.picture("profiles")
        for name in names:
            assert f"name={name}" in client.answers[-1]
        assert missing not in client.answers[-1]


def time_logins(broker: OurBroker, seconds: int) -> None:
    """Have logins last for so many seconds from now on."""
    text = broker.config.read_text(encoding="utf-8")
    assert "auth-timeout = 36000" in text
    broker.write_config(text.replace("auth-timeout = 36000", f"auth-timeout = {seconds}"))


def forget_logins(broker: OurBroker) -> None:
    """As on the day of a migration, or after the loss of the store: nobody knows the clients' authids."""
    with contextlib.closing(sqlite3.connect(broker.state / "x2gobroker.sqlite")) as store, store:
        assert store.execute("delete from authids").rowcount


@pytest.mark.parametrize("why", ["authid-has-expired", "unknown-authid"])
def test_a_client_whose_login_counts_no_longer_goes_on_with_its_password(
    screen: Desktop, home: ClientHome, x2go_server: SshPort, pictures: Path, tmp_path: Path, why: str
) -> None:
    """The client was left open over night, or the broker was exchanged. It shows the dead authid with each request."""
    with (
        own_daemon(tmp_path, x2go_server.port) as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures) as client,
    ):
        client.log_in("anna", ANNA)
        client.wait_for_profiles(2)
        if why == "unknown-authid":
            forget_logins(broker)
        else:
            time_logins(broker, 2)
            time.sleep(3)
        x2go_server.greetings.clear()
        client.choose("Beta terminal")
        client.wait_for_answers(2)
        assert_selected(client, "beta", x2go_server)
        assert client.dialogs() == {}
        assert f"outcome=granted reason=right-password,-beside:-{why}" in broker.log()


def test_who_is_locked_out_gets_nothing_more_by_a_client_that_is_open(
    screen: Desktop, home: ClientHome, x2go_server: SshPort, pictures: Path, tmp_path: Path
) -> None:
    """The click is refused, and so is the right password; once the lock is lifted, the same client goes on."""
    with (
        own_daemon(tmp_path, x2go_server.port) as broker,
        x2goclient(screen, home, f"{broker.url}/plain/inifile/", pictures) as client,
    ):
        client.log_in("anna", ANNA)
        client.wait_for_profiles(2)
        lockout(broker, "ANNA", "--reason", "lost laptop", "--tell-reason")
        client.choose("Beta terminal")
        client.wait_for_dialog("Error")
        client.picture("locked")
        assert "This account is locked: lost laptop. Ask your administrator." in client.answers[-1]
        assert "SERVER" not in client.answers[-1]
        client.confirm_dialog()
        client.log_in_again(ANNA)
        client.wait_for_dialog("Error")
        assert "locked" in client.answers[-1]
        client.confirm_dialog()
        lockout(broker, "anna", "--lift")
        client.log_in_again(ANNA)
        client.wait_for_profiles(2)


def lockout(broker: OurBroker, *arguments: str) -> None:
    """Run `x2gobroker lockout`, as an administrator does beside the running broker."""
    program = str(PROGRAM.with_name("x2gobroker"))
    subprocess.run([program, "lockout", "-C", str(broker.config), *arguments], env=broker.env, check=True)
