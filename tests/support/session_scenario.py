"""A broker with agents in front of a real X2Go Server: what real clients get sessions from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from passlib.hash import sha512_crypt

from tests.support.accounts import Account
from tests.support.client_scenario import HASH_ROUNDS, configuration
from tests.support.our_agent import BROKER_ACCOUNT, forced_key
from tests.support.our_broker import OurBroker
from tests.support.sshd import Sshd, make_key, sshd
from tests.support.x2go_server import X2GoServer

KEY_SECONDS = 30
PROXY_KEYS = ".x2go/authorized_keys_of_the_proxy"
SETTINGS = f"""\
default-agent-query-mode = SSH
agent-timeout = 10
autologin-key-seconds = {KEY_SECONDS}
client-events = true
client-live-event = 2
default-sshproxy-authorized-keys = %h/{PROXY_KEYS}
"""
PROFILES = """\
[DEFAULT]
host = {name} (127.0.0.1:{port})
command = xterm
rootless = true
fullscreen = false
sound = false
print = false
fstunnel = false
usekbd = false

[auto]
name = Auto login
broker-session-autologin = true

[proxied]
name = Proxied
broker-session-autologin = true
usesshproxy = true
sshproxyhost = 127.0.0.1
sshproxyport = {proxy}
sshproxysameuser = true

[own]
name = Own password
"""


@dataclass(frozen=True)
class SessionBroker:
    """A running broker, the X2Go Server that it sends its users to, and the SSH proxy host in front of that."""

    broker: OurBroker
    server: X2GoServer
    proxy: Sshd

    @property
    def url(self) -> str:
        """The address for X2Go Client."""
        return f"{self.broker.url}/plain/inifile/"

    @property
    def known_hosts(self) -> str:
        """What the clients know: only the address that the broker gives out, not the server's own name."""
        return self.server.known_hosts("127.0.0.1") + self.proxy.host_key_lines("127.0.0.1")

    def keys_of(self, user: Account, file: str = ".x2go/authorized_keys") -> str:
        """The keys that the broker's agent let in for this user."""
        path = user.home / file
        return path.read_text(encoding="utf-8") if path.exists() else ""


def ssh_folder(folder: Path, known_hosts: str) -> str:
    """Make the folder of a broker's SSH keys and known hosts; the line of its public key."""
    folder.mkdir(mode=0o700)
    (folder / "known_hosts").write_text(known_hosts, encoding="ascii")
    return make_key(folder / "id_ed25519")


def users_file(path: Path, users: list[Account]) -> Path:
    """The password file of the broker: the same users and passwords as on the server."""
    rows = [f"{user.name}:{sha512_crypt.using(rounds=HASH_ROUNDS).hash(user.password)}\n" for user in users]
    path.write_text("".join(rows), encoding="utf-8")
    return path


def profiles(server: X2GoServer, proxy: Sshd) -> str:
    """The session profiles of the scenario."""
    return PROFILES.format(name=server.name, port=server.port, proxy=proxy.port)


@contextlib.contextmanager
def session_broker(folder: Path, server: X2GoServer, agent: Path) -> Iterator[SessionBroker]:
    """A broker in front of `server`, whose agents are `agent` there and on an SSH proxy host."""
    with sshd(folder / "proxy", config=f"AuthorizedKeysFile {PROXY_KEYS}\n") as proxy:
        known = server.known_hosts("127.0.0.1") + proxy.host_key_lines("127.0.0.1")
        line = forced_key(agent, ssh_folder(folder / "ssh", known))
        for host in (server.sshd, proxy):
            host.authorize(BROKER_ACCOUNT, line)
        config = configuration("{state}", users_file(folder / "users", server.users), SETTINGS)
        env = {"X2GOBROKER_SSH_FOLDER": str(folder / "ssh"), "X2GOBROKER_AGENT_CMD": str(agent)}
        with OurBroker(config, profiles(server, proxy), env=env, debug=True) as broker:
            yield SessionBroker(broker, server, proxy)
