"""X2Go Servers as the broker's key sees them: real sshd processes with a broker agent behind a forced command."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.data import Accounts, config_text
from bench.load import ask, form
from bench.world import PLAIN, PROGRAMS, Ours, Reference, Server, Setup
from tests.support.accounts import Account, account_with_home
from tests.support.our_agent import BROKER_ACCOUNT, forced_key, our_agent
from tests.support.processes import free_port
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import CONTEXT

TRIVIAL, OURS, DEBIAN = "trivial", "ours", "reference"
DEBIAN_AGENT = Path("/usr/lib/x2go/x2gobroker-agent")
SERVERS = 3
PASSWORD = "Bench-pw-1"
HASH_ROUNDS = 1000  # the least that the format allows: this is not about hashing
WARMING = 16  # connections


@dataclass(frozen=True)
class Site:
    """Addresses at which one sshd answers; `folder` has the broker's key as its only secret, in `.ssh`."""

    folder: Path
    server: Sshd
    addresses: tuple[str, ...]
    login: str  # the account that the broker's key opens
    user: Account  # whose sessions are looked for
    agent: Path | None  # its program; None for the trivial one

    @property
    def ssh_folder(self) -> Path:
        """Keys and known hosts of the broker."""
        return self.folder / ".ssh"

    def variables(self) -> dict[str, str]:
        """Environment variables of a broker that reaches these servers."""
        return {"X2GOBROKER_SSH_FOLDER": str(self.ssh_folder), "X2GOBROKER_AGENT_USER": self.login}

    def accounts(self) -> Accounts:
        """This machine's users; but the reference looks for its key in the home folder that the passwd file names."""
        lines = Path("/etc/passwd").read_text(encoding="utf-8").splitlines()
        fields = lines[0].split(":")
        fields[5] = str(self.folder)
        made = Accounts(self.folder / "passwd", Path("/etc/group"), 0)
        made.passwd.write_text("\n".join([":".join(fields), *lines[1:], ""]), encoding="utf-8")
        return made

    def calls(self) -> int:
        """How often an agent was called so far."""
        return self.server.log_text().count("Starting session: ")

    def profile(self, name: str, servers: int, *options: str) -> str:
        """A session profile with so many of the servers."""
        hosts = f"host = {', '.join(self.addresses[:servers])}\nsshport = {self.server.port}"
        return "\n".join([f"[{name}]", f"name = {name}", hosts, "user = BROKER_USER", *options, ""])


@contextlib.contextmanager
def site(kind: str) -> Iterator[Site]:
    """The servers with this kind of agent. The trivial one says OK at once, whatever it is asked."""
    folder = Path(tempfile.mkdtemp(prefix="bench-site-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        (folder / ".ssh").mkdir(mode=0o700)
        key = make_key(folder / ".ssh" / "id_rsa", "rsa")  # the reference looks for no ed25519 key
        user = stack.enter_context(account_with_home(PASSWORD))
        agent = stack.enter_context(our_agent()) if kind == OURS else DEBIAN_AGENT if kind == DEBIAN else None
        if agent is None:
            login = stack.enter_context(account_with_home(PASSWORD, "/bin/sh")).name
            line = f'restrict,command="echo OK" {key}'
        else:
            login, line = BROKER_ACCOUNT, forced_key(agent, key)
        addresses = tuple(f"127.0.3.{number + 1}" for number in range(SERVERS))
        more = "\n".join([*(f"ListenAddress {address}" for address in addresses[1:]), "MaxStartups 1000"])
        running = sshd(
            folder / "sshd",
            authorized={login: line},
            config=more,
            listen=addresses[0],
            port=free_port(),
            kinds=("ed25519",),
        )
        server = stack.enter_context(running)
        (folder / ".ssh" / "known_hosts").write_text("".join(map(server.host_key_lines, addresses)))
        yield Site(folder, server, addresses, login, user, agent)


def agent_config(mechanism: str, more: str = "") -> str:
    """A configuration for both brokers that asks agents by SSH, and tries ports, as is the default of both.

    `more` are lines of the section [global].
    """
    text = config_text(static=True, mechanism=mechanism)
    text = text.replace("default-agent-query-mode = NONE", f"default-agent-query-mode = SSH\n{more}")
    text = text.replace("default-portscan-x2goservers = false", "default-portscan-x2goservers = true")
    return f"{text}\n[authmech_htpasswd]\nfile = {{state}}/users\n"


class OurBroker(Ours):
    """Our daemon; its own environment has these variables in addition."""

    def __init__(self, setup: Setup, variables: Mapping[str, str], users: Mapping[str, str] | None = None) -> None:
        super().__init__(setup)
        self.variables = variables
        for user, password in (users or {}).items():
            hashed = CONTEXT.handler("sha512_crypt").using(rounds=HASH_ROUNDS).hash(password)
            write_user(self.state / "users", user, str(hashed))

    def command(self) -> list[str]:
        return [str(PROGRAMS / "x2gobroker-daemon"), "-C", str(self.config), "-b", f"127.0.0.1:{self.port}"]

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), **self.variables}


class DebianBroker(Reference):
    """Debian's daemon. It forks a copy of itself for each key that is to be taken away later."""

    def __init__(self, setup: Setup, variables: Mapping[str, str]) -> None:
        super().__init__(setup)
        self.variables = variables

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), **self.variables}

    def close(self) -> None:
        if self.program is not None:
            self.program.stop()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.program.pid, signal.SIGKILL)  # the copies are in its process group
        super().close()


def authid_of(server: Server, user: str, timeout: float = 60.0) -> str:
    """A static authid of the user, got by a login; every worker has met the user and read its files afterwards."""
    for _ in range(WARMING):
        authid = ask(server.port, PLAIN, form("", user=user, password=PASSWORD), timeout).authid
    return authid
