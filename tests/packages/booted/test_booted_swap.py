"""A running 0.0.4.3 is swapped for this broker under an X2Go Client that is signed in, and goes on."""

from __future__ import annotations

import contextlib
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.booted.bare import Bare, bare, figure, names_in
from tests.support.client_home import ClientHome, client_home
from tests.support.desktop import Desktop, desktop
from tests.support.processes import wait_until
from tests.support.ssh_port import SshPort, ssh_port
from tests.support.unit_site import DAEMON, URL, log_in
from tests.support.x2goclient import x2goclient

ANNA = ("anna", "Right-pw-1")
PROFILES = 40
SWAP_SECONDS = 30.0
PACKAGES = (
    "x2gobroker x2gobroker-agent x2gobroker-authservice x2gobroker-common x2gobroker-daemon x2gobroker-loadchecker"
    " x2gobroker-wsgi python3-x2gobroker"
).split()
HOME = "/var/lib/x2gobroker"
CONFIG = """\
[global]
default-auth-mech = pam
default-agent-query-mode = SSH
default-use-load-checker = true
require-cookie-auth = true

[broker_inifile]
enable = true
"""
KEPT = (
    "/etc/x2go/x2gobroker.conf",
    "/etc/x2go/broker/x2gobroker-sessionprofiles.conf",
    f"{HOME}/.ssh/id_rsa",
    f"{HOME}/.ssh/authorized_keys",
    "/etc/default/x2gobroker-daemon",
)


def profiles(port: int) -> str:
    """Forty session profiles; the first has a server that answers, the last lets in by a key of the broker's."""
    lines = []
    for number in range(PROFILES):
        lines += [f"[p{number}]", f"name = Desk {number:02}", "command = XFCE", "acl-users-allow = anna"]
        lines += ["acl-any-order = allow-deny", f"user = {ANNA[0]}"]
        lines += ["host = 127.0.0.1", f"sshport = {22 if number == PROFILES - 1 else port}"]
        lines += ["broker-session-autologin = true"] if number == PROFILES - 1 else ["broker-agent-query-mode = NONE"]
        lines += ["broker-use-load-checker = false", ""]
    return "\n".join(lines)


def old_site(site: Bare, port: int) -> None:
    """Debian's broker, as its README says, with agent, keys and Apache."""
    machine = site.machine
    # the old packages start their services before their folders below /run are there, and fail
    machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    site.apt("install", "openssh-server", "x2goserver", "apache2", "libapache2-mod-wsgi-py3", *PACKAGES)
    machine.run("rm", "/usr/sbin/policy-rc.d")
    machine.run("systemd-tmpfiles", "--create")
    machine.run("systemctl", "start", "ssh")
    site.make_user(*ANNA)
    machine.write("/etc/x2go/x2gobroker.conf", CONFIG)
    machine.write("/etc/x2go/broker/x2gobroker-sessionprofiles.conf", profiles(port))
    machine.run("install", "-d", "-m", "700", "-o", "x2gobroker", "-g", "x2gobroker", f"{HOME}/.ssh")
    as_broker = ("runuser", "-u", "x2gobroker", "--")
    machine.run(*as_broker, "ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", f"{HOME}/.ssh/id_rsa")
    machine.run("sh", "-c", f"cp -p {HOME}/.ssh/id_rsa.pub {HOME}/.ssh/authorized_keys")
    machine.run(
        "sh", "-c", f"ssh-keyscan 127.0.0.1 > {HOME}/.ssh/known_hosts; chown x2gobroker {HOME}/.ssh/known_hosts"
    )
    machine.run(
        "systemctl", "restart", "x2gobroker-daemon", "x2gobroker-authservice", "x2gobroker-loadchecker", "apache2"
    )


def ask(task: str, url: str = URL, **fields: str) -> str:
    """The text of the plain frontend's answer to a login with this task."""
    form = {"task": task, "user": ANNA[0], "password": ANNA[1], **fields}
    request = urllib.request.Request(f"{url}/plain/inifile/", urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def answers() -> bool:
    """Whether anna is let in."""
    with contextlib.suppress(OSError):
        return "Access granted" in log_in(*ANNA)[1]
    return False


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Desktop]:
    """A screen for the client."""
    (tmp_path / "screen").mkdir()
    with desktop(tmp_path / "screen") as running:
        yield running


@pytest.fixture
def home() -> Iterator[ClientHome]:
    """The home of the client's user."""
    with client_home() as fresh:
        yield fresh


@pytest.fixture
def server() -> Iterator[SshPort]:
    """An X2Go Server, as far as its SSH port."""
    with ssh_port() as port:
        yield port


def test_a_client_goes_on_over_a_swap(tmp_path: Path, screen: Desktop, home: ClientHome, server: SshPort) -> None:
    with bare(tmp_path, "bookworm") as site:
        machine = site.machine
        old_site(site, server.port)
        wait_until(answers, "a login at the old broker")
        listed = names_in(ask("listsessions"))
        assert len(listed) == PROFILES
        assert "PRIVATE KEY" in ask("selectsession", sid=f"p{PROFILES - 1}")
        sums = machine.run("sha256sum", *KEPT)
        uid = machine.run("id", "x2gobroker")
        with x2goclient(screen, home, f"{URL}/plain/inifile/", tmp_path / "pictures") as client:
            client.log_in(*ANNA)
            client.wait_for_profiles(PROFILES)
            took = site.apt("install", *(site.deb(name) for name in PACKAGES))
            wait_until(answers, "a login at this broker")
            figure(f"bookworm: a running 0.0.4.3 swapped in {took:.1f} s")
            assert '"version": "1' in machine.run("/usr/lib/x2gobroker/venv/bin/python", "-c", HEALTH)
            server.greetings.clear()
            client.select("Desk 00", "password for the server")
            assert "SERVER:127.0.0.1" in client.answers[-1]
            server.wait_for_client("libssh")
        assert took < SWAP_SECONDS
        assert machine.run("sha256sum", *KEPT) == sums
        assert machine.run("id", "x2gobroker") == uid
        assert sorted(names_in(ask("listsessions"))) == sorted(listed)
        assert "PRIVATE KEY" in ask("selectsession", sid=f"p{PROFILES - 1}"), machine.journal(DAEMON)[-4000:]
        assert "Access granted" in ask("listsessions", "http://127.0.0.1/x2gobroker")
        assert site.failed_units() == set()
        time.sleep(2)
        assert "Traceback" not in machine.journal(DAEMON)


HEALTH = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8080/health').read().decode())"
