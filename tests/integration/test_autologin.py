"""Autologin with real programs: the daemon, a real sshd, and the broker agents of this project and of Debian."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.accounts import Account, account_with_home
from tests.support.our_agent import BROKER_ACCOUNT, INSTALLED, forced_key, our_agent
from tests.support.our_broker import OurBroker
from tests.support.processes import wait_until
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import CONTEXT

PASSWORD = secrets.token_hex(8)
CONFIG = """
[global]
default-auth-mech = htpasswd
default-agent-query-mode = SSH
agent-timeout = 2
autologin-key-seconds = 5
cookie-directory = {state}
penalties = false
[authmech_htpasswd]
file = {state}/users
"""
PROFILES = """
[desk]
host = server (127.0.0.1:%d)
broker-session-autologin = true
%s
"""


@dataclass
class Site:
    """A broker, and an X2Go Server as far as keys are concerned."""

    broker: OurBroker
    server: Sshd
    user: Account
    folder: Path

    @property
    def keys_file(self) -> Path:
        """Where keys of the broker's go."""
        return self.user.home / ".x2go/authorized_keys"

    def keys(self) -> list[str]:
        """The lines that hold keys at this moment."""
        return [line for line in self.keys_file.read_text().splitlines() if " " in line] if self._has_file() else []

    def _has_file(self) -> bool:
        return self.keys_file.exists()

    def select(self, **more: str) -> str:
        """What X2Go Client is answered to its selection."""
        form = {"task": "selectsession", "sid": "desk", "user": self.user.name, "password": PASSWORD, **more}
        return requests.post(f"{self.broker.url}/plain/inifile/", data=form, timeout=20).text

    def log_in(self, key: str, command: str = 'echo "LOGIN OK"') -> subprocess.CompletedProcess[str]:
        """Log in on the server as X2Go Client does for its check: with a terminal."""
        path = self.folder / "client-key"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as stream:
            stream.write(key)
        options = [f"UserKnownHostsFile={self.folder / 'known_hosts'}", "BatchMode=yes", "IdentitiesOnly=yes"]
        argv = ["ssh", "-F", "none", "-tt", *(word for option in options for word in ("-o", option)), "-i", str(path)]
        argv += ["-p", str(self.server.port), f"{self.user.name}@127.0.0.1", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module", params=["ours", pytest.param("debian", marks=pytest.mark.reference)])
def agent(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The program of a broker agent."""
    if request.param == "debian":
        yield Path(INSTALLED)
        return
    with our_agent() as path:
        yield path


@pytest.fixture(scope="module")
def site(agent: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker whose key leads to the agent, on a server that looks into the broker's key file."""
    place = tmp_path_factory.mktemp("site")
    folder = place / "ssh"
    folder.mkdir(mode=0o700)
    public_key = make_key(folder / "id_ed25519")
    with (
        account_with_home(PASSWORD) as user,
        sshd(place / "sshd", authorized={BROKER_ACCOUNT: forced_key(agent, public_key)}) as server,
    ):
        (folder / "known_hosts").write_text(server.host_key_lines("127.0.0.1"))
        variables = {
            "X2GOBROKER_SSH_FOLDER": str(folder),
            "X2GOBROKER_AGENT_CMD": str(agent),
            "X2GOBROKER_AGENT_USER": BROKER_ACCOUNT,
        }
        broker = OurBroker(CONFIG, PROFILES % (server.port, ""), env=variables)
        write_user(broker.state / "users", user.name, CONTEXT.hash(PASSWORD))
        with broker:
            yield Site(broker, server, user, folder)


def private_key(text: str) -> str:
    """The key in an answer."""
    found = re.search(r"^-----BEGIN RSA PRIVATE KEY-----$.*?^-----END RSA PRIVATE KEY-----\n", text, re.DOTALL | re.M)
    assert found, text
    return found[0]


def test_the_key_opens_the_server_with_a_terminal_and_is_taken_away_alone(site: Site) -> None:
    own = make_key(site.folder / "users-own")
    site.keys_file.parent.mkdir(mode=0o700)
    site.keys_file.write_text(own + "\n")
    home = os.stat(site.user.home)
    for path in (site.keys_file, site.keys_file.parent):
        os.chown(path, home.st_uid, home.st_gid)
    text = site.select()
    assert f"SERVER:127.0.0.1:{site.server.port}\n-----BEGIN RSA PRIVATE KEY-----\n" in text
    key = private_key(text)
    done = site.log_in(key)
    assert (done.returncode, done.stdout.strip()) == (0, "LOGIN OK"), done.stderr
    _, line = site.keys()
    assert "no-pty" not in line
    wait_until(lambda: site.keys() == [own], "the key being taken away", 25)
    assert site.log_in(key).returncode == 255
    assert "PRIVATE KEY" not in site.broker.log()


def test_a_killed_broker_leaves_no_key_behind(site: Site) -> None:
    before = site.keys()
    site.select()
    assert len(site.keys()) == len(before) + 1
    program = site.broker.program
    assert program is not None
    os.killpg(program.pid, signal.SIGKILL)
    program.stop()
    site.broker.start()
    wait_until(lambda: site.keys() == before, "the key being taken away", 30)


def test_a_clients_own_key_is_let_in(site: Site) -> None:
    public_key = make_key(site.folder / "own")
    form = {"task": "selectsession", "profile-id": "desk", "user": site.user.name, "password": PASSWORD}
    form["pubkey"] = f"no-X11-forwarding,no-pty,no-user-rc {public_key}"
    selected = requests.post(f"{site.broker.url}/json/inifile/", data=form, timeout=20).json()["selected_session"]
    assert selected["authentication_pubkey"] == "ACCEPTED"
    assert "key" not in selected
    done = site.log_in((site.folder / "own").read_text())
    assert (done.returncode, done.stdout.strip()) == (0, "LOGIN OK"), done.stderr


def test_without_an_agent_the_client_gets_the_server_and_no_key(site: Site) -> None:
    site.server.stop()
    text = site.select()
    site.server.start()
    assert text.endswith(f"SERVER:127.0.0.1:{site.server.port}\n")
    assert f"no autologin for {site.user.name}" in site.broker.log()
