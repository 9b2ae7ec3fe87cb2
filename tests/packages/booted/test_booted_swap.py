"""A running 0.0.4.3 is swapped for this broker under an X2Go Client that is signed in, and goes on.

Then the site goes back to 0.0.4.3, comes again, removes and purges all of it; what is the site's stays as it was.
"""

from __future__ import annotations

import contextlib
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packages.booted.bare import Bare, Took, bare, figure, names_in
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
DEBIANS = "0.0.4.3-4"
APACHE = "http://127.0.0.1/x2gobroker"
HOME = "/var/lib/x2gobroker"
STORE = f"{HOME}/cookies/x2gobroker.sqlite"
SESSION = "session.service"  # stands for what runs on the host and is no matter of packages
LOCK = ("runuser", "-u", "x2gobroker", "--", "x2gobroker", "lockout")
CONFIG = """\
[global]
default-auth-mech = pam
default-agent-query-mode = SSH
default-use-load-checker = true
require-cookie-auth = true

[broker_inifile]
enable = true
"""
# configuration, keys and state, which not even a purge takes
SITES = (
    "/etc/x2go/x2gobroker.conf",
    "/etc/x2go/broker/x2gobroker-sessionprofiles.conf",
    f"{HOME}/.ssh/id_rsa",
    f"{HOME}/.ssh/id_rsa.pub",
    f"{HOME}/.ssh/authorized_keys",
    f"{HOME}/state-of-the-site",
)
KEPT = (*SITES, "/etc/default/x2gobroker-daemon")  # that one is a file of the package's: a purge takes it


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
    machine.run(*as_broker, "sh", "-c", f"echo kept >{HOME}/state-of-the-site")
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


def is_ours() -> bool:
    """Whether it is this broker that answers at the daemon's address: 0.0.4.3 says nothing of its health."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{URL}/health", timeout=60) as answer:
        return '"version": "1' in answer.read().decode()
    return False


@dataclass(frozen=True)
class Before:
    """What the site had before the first swap: sums, its account, who is offered what, and a process that goes on."""

    site: Bare
    sums: str
    account: str
    listed: list[str]
    process: str

    @classmethod
    def of(cls, site: Bare) -> Before:
        """Note it, and start the process."""
        machine = site.machine
        machine.run("systemd-run", f"--unit={SESSION}", f"--uid={ANNA[0]}", "sleep", "infinity")
        process = machine.state(SESSION)["MainPID"]
        assert process != "0"
        sums = machine.run("sha256sum", *KEPT)
        return cls(site, sums, machine.run("id", "x2gobroker"), names_in(ask("listsessions")), process)

    def is_intact(self, *lost: str) -> None:
        """Fails where something is not as it was; `lost` are files that may be gone."""
        machine = self.site.machine
        wanted = [line for line in self.sums.splitlines() if not line.endswith(lost)]
        assert machine.run("sha256sum", *(line.split()[1] for line in wanted)).splitlines() == wanted
        assert machine.run("id", "x2gobroker") == self.account
        state = machine.state(SESSION)
        assert (state["ActiveState"], state["MainPID"]) == ("active", self.process)

    def serves(self) -> None:
        """Fails where anna is not offered what she was, or the broker's key lets her in no more."""
        assert sorted(names_in(ask("listsessions"))) == sorted(self.listed)
        assert "PRIVATE KEY" in ask("selectsession", sid=f"p{PROFILES - 1}"), self.site.machine.journal(DAEMON)[-4000:]


def swap(site: Bare) -> Took:
    """Install ours over Debian's, and wait for a login; what installing took."""
    took = site.apt("install", *(site.deb(name) for name in PACKAGES))
    wait_until(lambda: answers() and is_ours(), "a login at this broker")
    return took


def go_back(before: Before) -> None:
    """To Debian's, as docs/how-to/install.md says, and to ours again: the store has what it had."""
    site, machine = before.site, before.site.machine
    machine.run(*LOCK, "bert", "--reason", "on leave")
    took = site.apt("install", "--allow-downgrades", *(f"{name}={DEBIANS}" for name in PACKAGES))
    wait_until(lambda: answers() and not is_ours(), "a login at Debian's broker")
    figure(f"bookworm: back to 0.0.4.3 in {took}")
    before.is_intact()
    before.serves()
    machine.run("test", "-f", STORE)
    machine.run("test", "!", "-e", "/run/x2gobroker-tickets")

    took = swap(site)
    figure(f"bookworm: swapped again in {took}")
    before.is_intact()
    before.serves()
    assert "bert" in machine.run(*LOCK, "--list")
    assert "Access granted" in ask("listsessions", APACHE)
    assert site.failed_units() == set()


def go_away(before: Before) -> None:
    """Remove all of it, purge all of it: what is the site's stays."""
    site, machine = before.site, before.site.machine
    site.apt("remove", *PACKAGES)
    wait_until(lambda: not answers(), "the end of the broker")
    before.is_intact()
    site.apt("purge", *PACKAGES)
    before.is_intact("/etc/default/x2gobroker-daemon")
    machine.run("test", "-f", STORE)
    for folder in ("x2gobroker", "x2gobroker-tickets", "x2gobroker-remote"):
        machine.run("test", "!", "-e", f"/run/{folder}")
    assert machine.run("dpkg", "--audit") == ""
    assert site.failed_units() == set()


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
        before = Before.of(site)
        assert len(before.listed) == PROFILES
        before.serves()
        with x2goclient(screen, home, f"{URL}/plain/inifile/", tmp_path / "pictures") as client:
            client.log_in(*ANNA)
            client.wait_for_profiles(PROFILES)
            took = swap(site)
            figure(f"bookworm: a running 0.0.4.3 swapped in {took}")
            server.greetings.clear()
            client.select("Desk 00", "password for the server")
            assert "SERVER:127.0.0.1" in client.answers[-1]
            server.wait_for_client("libssh")
        assert took.own < SWAP_SECONDS
        before.is_intact()
        before.serves()
        assert "Access granted" in ask("listsessions", APACHE)
        assert site.failed_units() == set()
        time.sleep(2)
        assert "Traceback" not in machine.journal(DAEMON)
        go_back(before)
        go_away(before)
