"""A broker with failing X2Go Servers, seen from its clients; and failures that need the real agent."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.support.accounts import Account
from tests.support.agents import AgentHost, BrokerSide, DeadAgent
from tests.support.our_agent import INSTALLED, RULE, our_agent
from tests.support.our_broker import OurBroker
from tests.support.sshd import Sshd, children_of
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import CONTEXT

PASSWORD = secrets.token_hex(8)
PRIVATE_KEY = re.compile(r"^-----BEGIN RSA PRIVATE KEY-----$.*?^-----END RSA PRIVATE KEY-----\n", re.DOTALL | re.M)
CONFIG = """
[global]
default-auth-mech = {mechanism}
default-agent-query-mode = SSH
agent-timeout = {timeout}
autologin-key-seconds = 5
cookie-directory = {{state}}
penalties = false
[authmech_htpasswd]
file = {{state}}/users
"""
Server = AgentHost | DeadAgent


# ---------------------------------------------------------------- servers


class RealAgent(AgentHost):
    """The agent is the project's own, installed at `program`."""

    program = Path(INSTALLED)

    def body(self) -> str:
        """Leave it to the agent: what the broker wants is in the environment."""
        return f'exec "{self.program}"\n'


class KilledAddingAKey(RealAgent):
    """KilledMidTask after the fact: the key is in its file, and the broker never hears of it."""

    def body(self) -> str:
        """Kill the sshd that serves this connection where the agent would answer."""
        return (
            f'[ "$task" = addauthkey ] || exec "{self.program}"\n'
            f'said=$("{self.program}") || exit 1\n'
            'touch "$0.killed"\nkill -9 $PPID\necho "$said"\n'
        )


@contextlib.contextmanager
def agent_for(account: Account) -> Iterator[Path]:
    """The path of our agent, installed, which this account may run as root, for the length of a `with` block."""
    with our_agent(sudo=False) as path:
        rule = Path("/etc/sudoers.d") / path.name
        text = RULE.read_text(encoding="ascii").replace(INSTALLED, str(path))
        rule.touch(mode=0o440)
        try:
            rule.write_text(re.sub("^x2gobroker ", f"{account.name} ", text, flags=re.M), encoding="ascii")
            subprocess.run(["visudo", "-c"], check=True, capture_output=True, timeout=20)
            yield path
        finally:
            rule.unlink()


@contextlib.contextmanager
def full_disk(account: Account) -> Iterator[Path]:
    """FullDisk: no byte fits into the account's home folder, for the length of a `with` block.

    What is returned is the file that fills it: without it there is room. Needs root.
    """
    home = str(account.home)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", home], check=True, timeout=20)
    try:
        shutil.chown(home, account.name, account.name)
        filler = account.home / "filler"
        with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(b"x" * 512)
        yield filler
    finally:
        subprocess.run(["umount", "--lazy", home], check=True, timeout=20)


@contextlib.contextmanager
def frozen(server: Sshd) -> Iterator[None]:
    """A server that hangs, connections that are open included, for the length of a `with` block."""
    stopped = [server.pid]
    os.kill(server.pid, signal.SIGSTOP)
    for pid in children_of(server.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
    try:
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


# ---------------------------------------------------------------- what users see


@dataclass(frozen=True)
class Listing:
    """What a client is shown: the session profiles by id, with their options, and how long it took."""

    profiles: dict[str, dict[str, object]]
    seconds: float


@dataclass(frozen=True)
class Selected:
    """Where a client is sent: server and port, the key, the sessions to resume; and how long it took."""

    server: str
    port: int
    key: str = field(repr=False)
    sessions: list[str]
    seconds: float


class X2GoClient:
    """Asks as X2Go Client does: user, password and authid with every request, over one connection."""

    def __init__(self, broker: OurBroker, user: str, password: str = PASSWORD) -> None:
        self._url = broker.url
        self._fields = {"user": user, "password": password, "authid": ""}
        self._session = requests.Session()

    def listing(self) -> Listing:
        """Log in and look at the session profiles."""
        text, seconds = self._ask(task="listsessions")
        assert "\nEND_USER_SESSIONS\n" in text, text
        profiles: dict[str, dict[str, object]] = {}
        for section in re.finditer(r"^\[(\S+)\]\n((?:[^\[\n]+\n)*)", text, re.M):
            options = [line.partition("=") for line in section[2].splitlines()]
            profiles[section[1]] = {name: value for name, _, value in options}
        return Listing(profiles, seconds)

    def select(self, profile: str = "desk") -> Selected:
        """Choose a session profile."""
        text, seconds = self._ask(task="selectsession", sid=profile)
        head, _, sessions = text.partition("SESSION_INFO:")
        key = PRIVATE_KEY.search(head)
        server = re.fullmatch(r"SERVER:([^:\n]+):([0-9]+)\n", head.replace(key[0], "") if key else head)
        assert server, text
        assert "PRIVATE" not in sessions
        return Selected(server[1], int(server[2]), key[0] if key else "", sessions.splitlines(), seconds)

    def told_not_now(self, profile: str = "desk") -> tuple[str, float]:
        """Choose a session profile, where that is not possible at present: what the user is told, and the seconds."""
        got, seconds = self._post(task="selectsession", sid=profile)
        assert got.status_code == 503, got.text
        return got.text, seconds

    def _post(self, **more: str) -> tuple[requests.Response, float]:
        begun = time.monotonic()
        got = self._session.post(f"{self._url}/plain/inifile/", data={**self._fields, **more}, timeout=60)
        return got, time.monotonic() - begun

    def _ask(self, **more: str) -> tuple[str, float]:
        got, seconds = self._post(**more)
        assert got.status_code == 200, got.text
        authid, granted, text = got.text.partition("Access granted\n")
        assert granted, got.text
        self._fields["authid"] = authid.strip().removeprefix("AUTHID:")
        return text, seconds


class PyHoca(X2GoClient):
    """Asks as PyHoca does: the password once, the authid after that; JSON."""

    def listing(self) -> Listing:
        """Log in and look at the session profiles."""
        text, seconds = self._ask(task="listprofiles")
        return Listing(json.loads(text)["profiles"], seconds)

    def select(self, profile: str = "desk") -> Selected:
        """Choose a session profile."""
        text, seconds = self._ask(task="selectsession", **{"profile-id": profile})
        told = json.loads(text)["selected_session"]
        sessions = [told["session_info"]] if "session_info" in told else []
        return Selected(told["server"], int(told["port"]), told.get("key", ""), sessions, seconds)

    def _ask(self, **more: str) -> tuple[str, float]:
        begun = time.monotonic()
        form = {name: value for name, value in {**self._fields, **more}.items() if value}
        got = requests.post(f"{self._url}/json/inifile/", data=form, timeout=60)
        seconds = time.monotonic() - begun
        assert got.status_code == 200, got.text
        self._fields |= {"password": "", "authid": got.json().get("next-authid", "")}
        return got.text, seconds


# ---------------------------------------------------------------- the broker


@dataclass
class Site:
    """A broker, and the account by which it reaches its servers."""

    broker: OurBroker
    side: BrokerSide
    log_before: int = 0

    def configure(self, timeout: int = 2, mechanism: str = "htpasswd") -> None:
        """How long an agent may take, in seconds, and how users log in."""
        self.broker.write_config(CONFIG.format(timeout=timeout, mechanism=mechanism))

    def add_user(self, name: str) -> None:
        """Somebody who may log in to the broker."""
        write_user(self.broker.state / "users", name, CONTEXT.hash(PASSWORD))

    def offer(self, **profiles: tuple[Server, ...]) -> None:
        """Offer these session profiles with their servers: `_for_NAME` at the end means this user only."""
        text = ""
        for title, servers in profiles.items():
            name, _, user = title.partition("_for_")
            hosts = ", ".join(f"{server.name} (127.0.0.1:{server.port})" for server in servers)
            text += f"[{name}]\nhost = {hosts}\nbroker-session-autologin = true\nuser = BROKER_USER\n"
            text += f"acl-users-allow = {user}\nacl-any-order = deny-allow\n\n" if user else "\n"
        self.broker.write_profiles(text)

    def log(self) -> list[str]:
        """What was logged since the beginning of the test."""
        return self.broker.log()[self.log_before :].splitlines()

    def complaints(self, *words: str) -> list[str]:
        """The warnings and errors among it that have all these words."""
        return [
            line
            for line in self.log()
            if (" - WARNING - " in line or " - ERROR - " in line) and all(word in line for word in words)
        ]


@contextlib.contextmanager
def site_of(side: BrokerSide, *users: str) -> Iterator[Site]:
    """A site with one worker process, whose circuit breaker is everybody's."""
    site = Site(OurBroker(env=side.variables()), side)
    site.configure()
    for user in users:
        site.add_user(user)
    with site.broker:
        yield site
