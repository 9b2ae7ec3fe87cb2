"""Two brokers on one PostgreSQL store are killed and started again at random while users log in: nothing gets lost.

An authid that a client was given counts at either broker, a place that was handed out is reserved, and every autologin
key is gone in the end, also those of a broker that was killed between putting a key on a server and saying so.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import sqlalchemy

from tests.support.accounts import Account, account_with_home
from tests.support.our_agent import BROKER_ACCOUNT, forced_key, our_agent
from tests.support.our_broker import OurBroker
from tests.support.postgresql import postgresql
from tests.support.processes import wait_until
from tests.support.sshd import make_key, sshd

PASSWORD = "Kill-pw-1"
LOAD_SECONDS = 300.0  # at most; a broker that starts on a busy machine takes seconds of each
SELECTIONS = 16
KILLS = 6
KEY_SECONDS = 5
AUTHID = re.compile(r"^AUTHID:(\S+)$", re.MULTILINE)
SERVER = re.compile(r"^SERVER:127\.0\.0\.1:(\d+)$", re.MULTILINE)
CONFIG = """\
[global]
default-auth-mech = htpasswd
database-url = {url}
autologin-key-seconds = {seconds}
reservation-seconds = 60
agent-timeout = 5
session-status-in-listing = false
penalties = false
[authmech_htpasswd]
file = {passwords}
"""
PROFILES = """\
[DEFAULT]
broker-agent-query-mode = SSH
broker-session-autologin = true
[pool]
host = {hosts}
"""


@dataclass
class Client:
    """A user who logs in, lists and selects, at whichever broker answers; what the user was given last."""

    user: str
    selections: int = 0
    refused: list[str] = field(default_factory=list)
    last_server: str = ""

    def run(self, brokers: list[OurBroker], stop: threading.Event) -> None:
        """Go on until `stop`; an answer that does not come is asked for again, as a person would."""
        while not stop.is_set():
            with contextlib.suppress(requests.RequestException):
                authid = self._ask(brokers, password=PASSWORD, task="listsessions")
                self._ask(brokers, authid=authid, task="selectsession", sid="pool")

    def _ask(self, brokers: list[OurBroker], **form: str) -> str:
        """The authid of the answer. Nothing is shown twice: a request that got no answer may have spent it."""
        broker = random.choice(brokers)
        answer = requests.post(f"{broker.url}/plain/", {"user": self.user, **form}, timeout=30)
        if answer.status_code == 503:  # the disk stood still for longer than anybody waits: ask again, as for no answer
            raise requests.RequestException(answer.text)
        found = AUTHID.search(answer.text)
        if answer.status_code != 200 or found is None:
            self.refused.append(f"{form.get('task')}: {answer.status_code} {answer.text[:60]!r}")
            return ""
        server = SERVER.search(answer.text)
        if server:
            self.selections += 1
            self.last_server = server[1]
        return found[1]


class Killer:
    """Kills brokers with all their workers, in mid-work, and starts them again."""

    def __init__(self, brokers: list[OurBroker]) -> None:
        self.brokers = brokers
        self.kills = 0

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop`; a pause is as long as one to a few selections take."""
        while not stop.wait(random.uniform(0.5, 3.0)):
            broker = random.choice(self.brokers)
            assert broker.program is not None
            os.killpg(broker.program.pid, signal.SIGKILL)
            broker.program.process.wait(10)
            self.kills += 1
            broker.start()


@dataclass
class Site:
    """Two brokers with one store, two servers with an agent of ours each, and the users."""

    url: str
    brokers: list[OurBroker]
    users: list[Account]

    def rows(self, table: str) -> list[dict[str, object]]:
        """What the store holds in a table."""
        engine = sqlalchemy.create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as connection:
            found = connection.execute(sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.text(table)))
            rows = [dict(row) for row in found.mappings()]
        engine.dispose()
        return rows

    def keys_left(self) -> list[str]:
        """Lines of autologin keys in the users' files."""
        lines = []
        for user in self.users:
            path = user.home / ".x2go/authorized_keys"
            lines += path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.strip()]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(our_agent())
        users = [stack.enter_context(account_with_home(PASSWORD)) for _ in range(4)]
        url = stack.enter_context(postgresql())
        folder = tmp_path / "ssh"
        folder.mkdir(mode=0o700)
        line = forced_key(agent, make_key(folder / "id_ed25519"))
        servers = [
            stack.enter_context(sshd(tmp_path / f"server{number}", authorized={BROKER_ACCOUNT: line}))
            for number in range(2)
        ]
        known = "".join(server.host_key_lines("127.0.0.1") for server in servers)
        (folder / "known_hosts").write_text(known, encoding="ascii")
        passwords = tmp_path / "htpasswd"
        for user in users:
            program = str(Path(sys.executable).parent / "x2gobroker")
            argv = [program, "passwd", "-f", str(passwords), "--scheme", "bcrypt", "--stdin", user.name]
            subprocess.run(argv, input=PASSWORD, text=True, check=True, capture_output=True, timeout=30)
        hosts = ", ".join(f"ts{number} (127.0.0.1:{server.port})" for number, server in enumerate(servers))
        config = CONFIG.format(url=url, seconds=KEY_SECONDS, passwords=passwords)
        environment = {"X2GOBROKER_AGENT_CMD": str(agent), "X2GOBROKER_SSH_FOLDER": str(folder)}
        brokers = [OurBroker(config, PROFILES.format(hosts=hosts), env=environment) for _ in range(2)]
        for broker in brokers:
            stack.callback(broker.close)
            broker.start()
        yield Site(url, brokers, users)


def test_nothing_is_lost_or_left_behind(site: Site) -> None:
    clients = [Client(user.name) for user in site.users]
    killer = Killer(site.brokers)
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(site.brokers, stop)) for client in clients]
    threads.append(threading.Thread(target=killer.run, args=(stop,)))
    for thread in threads:
        thread.start()
    try:
        wait_until(
            lambda: killer.kills >= KILLS and sum(client.selections for client in clients) >= SELECTIONS,
            f"{SELECTIONS} selections between {KILLS} kills",
            LOAD_SECONDS,
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert [client.refused for client in clients] == [[]] * len(clients), "an authid that was given must count"

    reserved = {row["username"]: str(row["server"]) for row in site.rows("reservations")}
    for client in clients:
        if client.last_server:  # a later selection that got no answer may have replaced it, but never dropped it
            assert client.user in reserved
    assert len(reserved) == len(site.rows("reservations")), "one place for each user, not one for each attempt"

    assert site.keys_left(), "autologin put keys there"
    wait_until(lambda: not site.rows("autologin_keys"), "all keys being taken away", 90)
    assert site.keys_left() == []
