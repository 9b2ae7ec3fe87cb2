"""Broker agents that work, and agents that fail in every way: each a small script behind a real sshd.

The broker's side is one account with one key, which every host here lets in, to its script only. A `DeadAgent` has no
sshd that answers; that is its point.
"""

from __future__ import annotations

import contextlib
import itertools
import shlex
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.accounts import Account, account_with_home
from tests.support.processes import free_port
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.agents.rules import SSH, AgentRules
from x2gobroker.model.hosts import Endpoint

_NUMBERS = itertools.count(1)
# what sshd runs instead of what the broker wants; the words of that are in SSH_ORIGINAL_COMMAND
HEAD = """\
#!/bin/sh
set -f
set -- $SSH_ORIGINAL_COMMAND
user=$2 task=$3
echo "$SSH_ORIGINAL_COMMAND" >>"$0.asked"
"""
TASKS = "availabletasks addauthkey delauthkey listsessions findbusyservers checkload getservers suspendsession".split()


def session_line(
    user: str, server: str, display: int = 50, state: str = "R", age: int = 25, cookie: str = "c00c1e" * 5
) -> str:
    """A line of x2golistsessions."""
    name = f"{user}-{display}-1795167317_stRxterm_dp24"
    times = "2026-11-20T09:35:17", "2026-11-20T09:36:12"
    return (
        f"14864|{name}|{display}|{server}|{state}|{times[0]}|{cookie}|127.0.0.1|38091|38092|{times[1]}|{user}|{age}"
        "|38093|-1|-1"
    )


@dataclass
class BrokerSide:
    """The account that the broker logs in as on every host, and the broker's folder of keys and known hosts."""

    account: Account
    folder: Path
    public_key: str
    hosts: list[AgentHost] = field(default_factory=list)

    @property
    def known_hosts(self) -> Path:
        """The file of the known host keys."""
        return self.folder / "known_hosts"

    def rules(
        self, timeout: float = 5.0, policy: str = "RejectPolicy", proxy: str = "", shared_database: bool = False
    ) -> AgentRules:
        """How the broker reaches these hosts."""
        command = "/usr/lib/x2go/x2gobroker-agent"
        return AgentRules(SSH, self.account.name, command, self.folder, policy, proxy, timeout, shared_database)

    def variables(self) -> dict[str, str]:
        """Environment variables of a broker that reaches these hosts."""
        return {"X2GOBROKER_SSH_FOLDER": str(self.folder), "X2GOBROKER_AGENT_USER": self.account.name}


@contextlib.contextmanager
def broker_side(folder: Path) -> Iterator[BrokerSide]:
    """The broker's side for the length of a `with` block. `folder` has the secrets. Needs root."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    public_key = make_key(folder / "id_ed25519", comment="broker")
    (folder / "known_hosts").touch()
    with account_with_home("Broker-pw-1") as account:
        yield BrokerSide(account, folder, public_key)


class AgentHost:
    """An X2Go Server's sshd with a broker agent that works, as a script. A context manager.

    `name` is what the server calls itself. `sessions` are lines of x2golistsessions, of any users.
    """

    def __init__(
        self,
        side: BrokerSide,
        folder: Path,
        name: str = "ts01",
        sessions: Sequence[str] = (),
        listen: str = "127.0.0.1",
    ) -> None:
        assert side.account.home is not None
        self.side = side
        self.name = name
        self.listen = listen
        self._folder = folder / f"host-{next(_NUMBERS)}"
        self._script = side.account.home / f"x2gobroker-agent-{next(_NUMBERS)}"
        self._stack = contextlib.ExitStack()
        self.sshd: Sshd | None = None
        self.port = 0
        self.set_sessions(sessions)

    @property
    def endpoint(self) -> Endpoint:
        """Where the broker reaches it."""
        return Endpoint(self.name, self.listen, self.port)

    def set_sessions(self, lines: Sequence[str]) -> None:
        """The sessions that there are from now on."""
        self.sessions = list(lines)
        self._data("sessions").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def asked(self) -> list[str]:
        """The commands that arrived, the first at first."""
        path = self._data("asked")
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def _data(self, kind: str) -> Path:
        return self._script.with_name(f"{self._script.name}.{kind}")

    def head(self) -> str:
        """What the script does before it answers."""
        return ""

    def body(self) -> str:
        """What the script answers."""
        return self.answer("OK")

    def answer(self, confirmed: str) -> str:
        """A right answer to every task, with `confirmed` for the OK."""
        return f"""\
sessions="$0.sessions"
say() {{ printf '%s\\n' {shlex.quote(confirmed)} "$@"; }}
case "$task" in
  ping|addauthkey|delauthkey|suspendsession|terminatesession) say ;;
  availabletasks) say {" ".join(TASKS)} ;;
  listsessions) say; grep -F "|$user|" "$sessions" || : ;;
  getservers) say; cut -d'|' -f4 "$sessions" | sort | uniq -c | while read -r n s; do echo "$s $n"; done ;;
  findbusyservers) say "100:{self.name}" ;;
  checkload)
    say loadavgXX:101 memAvail:2000 myMemAvail:1990 numCPU:2 typeCPU:1500 numSessions:"$(wc -l <"$sessions")" ;;
esac
"""

    def host_keys_known(self) -> str:
        """The lines that the broker's known_hosts gets for this host."""
        assert self.sshd is not None
        return self.sshd.host_key_lines(self.listen)

    def write_script(self) -> None:
        """(Re)write the script, after something that it is made of has changed."""
        self._script.write_text(HEAD + self.head() + self.body(), encoding="utf-8")
        self._script.chmod(0o755)

    def __enter__(self) -> Self:
        assert self.side.account.home is not None
        self.write_script()
        line = f'restrict,command="{self._script}" {self.side.public_key}'
        keys = {self.side.account.name: line}
        running = sshd(self._folder, authorized=keys, listen=self.listen, kinds=("ed25519",))
        self.sshd = self._stack.enter_context(running)
        self.port = self.sshd.port
        with self.side.known_hosts.open("a", encoding="utf-8") as known:
            known.write(self.host_keys_known())
        self.side.hosts.append(self)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.side.hosts.remove(self)
        self._stack.close()


class SlowAgent(AgentHost):
    """Answers rightly, but after `seconds`."""

    seconds = 3600.0

    def head(self) -> str:
        """Sleep; the sleep ends with the connection's processes."""
        return f"sleep {self.seconds:g}\n"


class LyingAgent(AgentHost):
    """Says what cannot be. `lie` is one of LIES."""

    LIES = ("others-sessions", "foreign-servers", "absurd-load", "flood", "endless", "forged-load", "half-lies")
    lie = "others-sessions"

    def body(self) -> str:
        """The lie, whatever the task."""
        load = "loadavgXX:{} memAvail:{} myMemAvail:1 numCPU:{} typeCPU:{}"
        mine = session_line("$user", self.name)
        others = session_line("root", self.name)
        said = {
            "others-sessions": f'echo OK; echo "{others}"',
            "half-lies": f'echo OK; echo "{others}"; echo "{mine}"',
            "foreign-servers": f'echo OK; echo "{session_line("$user", "evil.example.net")}"',
            "absurd-load": f"printf '%s\\n' OK {load.format(1, 999999999999999, 999999999, 999999999)}",
            "forged-load": f"printf '%s\\n' OK {load.format(-5, 2000, -1, 'nan')}",
            "flood": f'echo OK; yes "{mine}" | head -n 100000',
            "endless": f'echo OK; yes "{mine}"',
        }
        return said[self.lie] + "\n"


class NoisyAgent(AgentHost):
    """Says more than it should, or less. `noise` is one of NOISES."""

    NOISES = (
        "banner",
        "binary-banner",
        "stderr",
        "banner-glued",
        "half-line",
        "no-ok",
        "no-final-newline",
        "binary",
        "silence",
        "long-banner",
    )
    noise = "banner"

    def body(self) -> str:
        """The noise, and the right answer where there is one."""
        mine = f'echo "{session_line("$user", self.name)}"'
        right = self.answer("OK")
        said = {
            "banner": f"echo Welcome to {self.name}; echo; echo 'You are OK'; {right}",
            "binary-banner": f"head -c 3000 /dev/zero; printf '\\377\\n'; {right}",
            "long-banner": f"yes 'no trespassing' | head -n 10000; {right}",
            "stderr": f"echo 'stty: standard input: Inappropriate ioctl for device' >&2; {right}",
            "banner-glued": f"printf 'welcome '; {right}",
            "half-line": f"echo OK; {mine}; printf '14864|anna-50-17951'",
            "no-ok": mine,
            "no-final-newline": f'echo OK; printf %s "{session_line("$user", self.name)}"',
            "binary": "echo OK; head -c 3000 /dev/zero | tr '\\000' '\\377'; echo",
            "silence": "exit 0",
        }
        return said[self.noise] + "\n"


class WrongHostKey(AgentHost):
    """Works, but its host key is not the one that the broker knows."""

    def host_keys_known(self) -> str:
        """Another key under this host's name."""
        words = make_key(self._folder / "other_key", comment="other").split()
        return f"[{self.listen}]:{self.port} {words[0]} {words[1]}\n"


class UnknownHostKey(AgentHost):
    """Works, but the broker knows no host key of it."""

    def host_keys_known(self) -> str:
        """Nothing."""
        return ""


class KilledMidTask(AgentHost):
    """Ends in the middle of an answer, behind the OK. `victim` is one of VICTIMS."""

    VICTIMS = ("agent", "connection", "agent-at-line-end", "connection-at-line-end")
    victim = "agent"

    def body(self) -> str:
        """A good half of the answer; then the script is killed, or the sshd that serves this connection."""
        lines = [session_line("$user", self.name, display) for display in (50, 51)]
        whole = f'echo OK; echo "{lines[0]}"; '
        half = "" if self.victim.endswith("line-end") else f'printf %s "{lines[1][:60]}"; '
        return whole + half + ("kill -9 $PPID" if self.victim.startswith("connection") else "kill -9 $$") + "\n"


class DeadAgent:
    """A host that does not answer. A context manager; `how` is one of WAYS.

    `refusing`: nothing listens. `silent`: takes TCP connections and never speaks. `black-hole`: drops what comes.
    """

    WAYS = ("refusing", "silent", "black-hole")

    def __init__(self, how: str = "refusing", name: str = "ts-dead") -> None:
        assert how in self.WAYS
        self.how = how
        self.name = name
        self.port = 0
        self._stack = contextlib.ExitStack()

    @property
    def endpoint(self) -> Endpoint:
        """Where the broker does not reach it."""
        return Endpoint(self.name, "127.0.0.1", self.port)

    def __enter__(self) -> Self:
        if self.how == "refusing":
            self.port = free_port()
            return self
        listener = self._stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(200 if self.how == "silent" else 0)
        self.port = int(listener.getsockname()[1])
        if self.how == "black-hole":
            self._fill()
        return self

    def _fill(self) -> None:
        """Connect until the queue of the listener is full: from then on the kernel drops what comes."""
        for _ in range(16):
            knock = self._stack.enter_context(socket.socket())
            knock.settimeout(0.3)
            try:
                knock.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return
        raise AssertionError("the listener's queue never fills up")

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stack.close()
