"""Several X2Go Servers on this machine that share one session database: each in namespaces of its own, with PostgreSQL.

Each has its own host name, network address, /tmp and processes, so that it can be switched off like a machine. Users
and their home folders are the same everywhere, as with NFS.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.postgresql import PASSWORD, PostgreSQL, postgresql_server
from tests.support.processes import listens, wait_until
from tests.support.sshd import make_key

SCRIPT = Path(__file__).with_name("x2go_farm_node.sh")
COMMAND_DEADLINE = 60.0
_NUMBERS = itertools.count(1)


def _command(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)
    assert done.returncode == 0, f"{' '.join(words)} gave {done.returncode}: {done.stderr}"
    return done.stdout


class Node:
    """One X2Go Server of the farm: its host name, and the address at which its sshd answers on port 22."""

    def __init__(self, farm: Farm, number: int) -> None:
        self.name = f"x2gofarm{number}"
        self.address = f"{farm.network}.1{number}"
        self.namespace = f"{farm.label}-{number}"
        self.folder = farm.folder / self.name
        self._farm = farm
        self._first = number == 1
        self._program: subprocess.Popen[bytes] | None = None

    @property
    def known_host(self) -> str:
        """The line of known_hosts, under name and address."""
        words = (self.folder / "host_key.pub").read_text(encoding="ascii").split()
        return f"{self.name},{self.address} {words[0]} {words[1]}\n"

    def prepare(self) -> None:
        """Make its folder, its host key and its network."""
        self.folder.mkdir()
        (self.folder / "x2go").mkdir()
        make_key(self.folder / "host_key")
        (self.folder / "sshd_config").write_text(
            f"Port 22\nListenAddress {self.address}\nHostKey {self.folder}/host_key\nPidFile none\nUsePAM yes\n"
            "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nPrintMotd no\nUseDNS no\nMaxStartups 200\n"
            "AuthorizedKeysFile .ssh/authorized_keys .x2go/authorized_keys\nLogLevel VERBOSE\n"
            "Match User x2gobroker\n  AuthorizedKeysFile none\n"
            f"  AuthorizedKeysCommand /usr/bin/cat {self._farm.folder}/agent_keys\n  AuthorizedKeysCommandUser root\n",
            encoding="utf-8",
        )
        _command("ip", "netns", "add", self.namespace)
        _command(
            "ip", "link", "add", f"{self.namespace}v", "type", "veth", "peer", "name", "eth0", "netns", self.namespace
        )
        _command("ip", "link", "set", f"{self.namespace}v", "master", self._farm.label, "up")
        _command("ip", "-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _command("ip", "-n", self.namespace, "link", "set", "eth0", "up")
        _command("ip", "-n", self.namespace, "link", "set", "lo", "up")

    def start(self) -> None:
        """Switch it on; returns once its sshd answers."""
        (self.folder / "ready").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "NODE": str(self.folder),
            "NODE_NAME": self.name,
            "DATABASE_HOST": self._farm.gateway,
            "DATABASE_PORT": str(self._farm.database_port),
            "CREATE_DATABASE": "yes" if self._first and not (self._farm.folder / "x2gopgadmin").exists() else "",
        }
        argv = ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child"]
        with (self.folder / "node.log").open("ab") as log:
            self._program = subprocess.Popen(
                [*argv, "--mount-proc", "bash", str(SCRIPT)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        wait_until(lambda: self._is_ready() and listens(22, self.address), f"X2Go Server {self.name} being up", 40)

    def _is_ready(self) -> bool:
        assert self._program is not None
        assert self._program.poll() is None, (self.folder / "node.log").read_text(errors="replace")
        return (self.folder / "ready").exists()

    def stop(self) -> None:
        """Switch it off, with everything that runs on it, in one moment."""
        program, self._program = self._program, None
        if program is not None:
            program.send_signal(signal.SIGKILL)  # --kill-child: its processes end with it
            program.wait(COMMAND_DEADLINE)
            wait_until(lambda: not listens(22, self.address), f"X2Go Server {self.name} being down")

    def run(self, *words: str) -> str:
        """Run a command on it as root; its output."""
        return _command(*self._inside(*words))

    def popen(self, *words: str) -> subprocess.Popen[bytes]:
        """A command that goes on there, as root, with pipes to its input and from its output."""
        return subprocess.Popen(self._inside(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _inside(self, *words: str) -> list[str]:
        assert self._program is not None, f"{self.name} is off"
        init = _command("pgrep", "-P", str(self._program.pid)).split()[0]
        return ["nsenter", "-t", init, "-u", "-m", "-p", "-n", "-r", "-w", *words]

    def remove(self) -> None:
        """Take its network away."""
        self.stop()
        _command("ip", "netns", "del", self.namespace)


class Farm:
    """The servers of a farm, and what they share."""

    def __init__(self, folder: Path, database: PostgreSQL, gateway: str, label: str) -> None:
        self.folder = folder
        self.database = database
        self.database_port = int(database.url.rpartition(":")[2].partition("/")[0])
        self.gateway = gateway
        self.network = gateway.rpartition(".")[0]
        self.label = label
        self.nodes: list[Node] = []

    def authorize_agent(self, lines: str) -> None:
        """The authorized_keys of the user x2gobroker on all servers, as text."""
        (self.folder / "agent_keys").write_text(lines.rstrip("\n") + "\n", encoding="utf-8")

    def add_user(self, name: str) -> None:
        """Let a user of this machine use the session database. It writes into the user's home folder."""
        self.nodes[0].run("x2godbadmin", "--adduser", name)

    @property
    def known_hosts(self) -> str:
        """The known_hosts of all servers."""
        return "".join(node.known_host for node in self.nodes)


@contextlib.contextmanager
def _bridge() -> Iterator[tuple[str, str]]:
    """A network of this machine's own: the name of the bridge, and this machine's address in it."""
    number = (os.getpid() + next(_NUMBERS)) % 250 + 1
    label, gateway = f"x2gf{os.getpid() % 100000}", f"10.213.{number}.1"
    _command("ip", "link", "add", label, "type", "bridge")
    try:
        _command("ip", "addr", "add", f"{gateway}/24", "dev", label)
        _command("ip", "link", "set", label, "up")
        yield label, gateway
    finally:
        _command("ip", "link", "del", label)


@contextlib.contextmanager
def x2go_farm(count: int = 2) -> Iterator[Farm]:
    """A farm of `count` running X2Go Servers for the length of a `with` block. Needs root.

    Accounts must have their home folders outside /tmp, of which every server has its own.
    """
    with contextlib.ExitStack() as stack:
        label, gateway = stack.enter_context(_bridge())
        database = stack.enter_context(postgresql_server(extra_address=gateway))
        folder = Path(tempfile.mkdtemp(prefix="x2gofarm-", dir="/var/tmp"))  # every server has a /tmp of its own
        stack.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        farm = Farm(folder, database, gateway, label)
        (folder / "pgadmin").write_text(f"{PASSWORD}\n", encoding="ascii")
        farm.authorize_agent("")
        for number in range(1, count + 1):
            node = Node(farm, number)
            node.prepare()
            stack.callback(node.remove)
            farm.nodes.append(node)
        names = "".join(f"{node.address} {node.name}\n" for node in farm.nodes)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}", encoding="ascii")
        for node in farm.nodes:
            node.start()
        yield farm
