"""The programs under test, each started with its own configuration on its own system of users and groups."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.data import Accounts
from tests.support.processes import Program

PROGRAMS = Path(sys.executable).parent
REFERENCE = Path("/usr/bin/x2gobroker")
WORKERS = 2
THREADS = 8
PLAIN = "/plain/inifile/"

# Bind mounts in a mount namespace of the program's own: the machine's files are never touched, and nothing is left.
_MOUNT = 'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@"'


def _quiet_port() -> int:
    """A free port that no outgoing connection takes meanwhile: the load opens many of those."""
    while True:
        port = random.randrange(20000, 30000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def on_system(accounts: Accounts, argv: list[str]) -> list[str]:
    """The command that runs `argv` where these are the users and groups."""
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    return [*namespace, "sh", "-c", _MOUNT, "sh", str(accounts.passwd), str(accounts.group), *argv]


def children(pid: int) -> list[int]:
    """The worker processes of a gunicorn master."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory(pid: int) -> tuple[float, float]:
    """Megabytes of a process: resident, and its proportional share of them."""
    values = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, number, *_ = line.split()
        values[name] = int(number) / 1024
    return values["Rss:"], values["Pss:"]


def log_configuration(folder: Path, names: Sequence[str] = ("root", "broker", "access", "error")) -> Path:
    """Warnings only, as the configuration that Debian ships, to stderr, which is a file here."""
    path = folder / "loggers.conf"
    lines = ["[loggers]", f"keys={','.join(names)}", "[handlers]", "keys=stderr", "[formatters]", "keys=plain"]
    lines += ["[formatter_plain]", "format=%(message)s"]
    lines += ["[handler_stderr]", "class=StreamHandler", "formatter=plain", "args=(sys.stderr,)"]
    for name in names:
        lines += [f"[logger_{name}]", "level=WARNING", "handlers=stderr"]
        if name != "root":
            lines += [f"qualname={name}", "propagate=0"]
    path.write_text("\n".join(lines) + "\n")
    return path


@dataclass(frozen=True)
class Setup:
    """What a broker is started with."""

    accounts: Accounts
    profiles: str
    config: str  # `{state}` stands for the broker's state folder


class Server(ABC):
    """One program that answers on `port`; a context manager that leaves no files and no process behind."""

    name = ""
    path = PLAIN

    def __init__(self) -> None:
        self.port = _quiet_port()
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self.state = self.folder / "state"
        self.state.mkdir(mode=0o700)
        self.program: Program | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The command line."""

    def environment(self) -> Mapping[str, str]:
        """The environment, which has nothing of the caller's in it but PATH."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "X2GOBROKER_LOGCONFIG": str(log_configuration(self.folder)),
            "X2GOBROKER_DEFAULTS": str(self.folder / "no-defaults.conf"),
            "X2GOBROKER_WORKERS": str(WORKERS),
            "X2GOBROKER_THREADS": str(THREADS),
        }

    def start(self) -> Program:
        """Start the program; it need not answer yet."""
        self.program = Program(self.command(), self.folder / "log", env=self.environment(), cwd=self.folder)
        return self.program

    @property
    def workers(self) -> list[int]:
        """The processes that answer requests."""
        assert self.program is not None
        return children(self.program.pid) or [self.program.pid]

    def processor_seconds(self) -> float:
        """Processor time that these processes have used so far, all threads, user and system."""
        ticks = 0
        for pid in self.workers:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End the program at once, whatever it does."""
        if self.program is not None:
            self.program.stop(signal.SIGKILL)

    def __enter__(self) -> Self:
        try:
            self.start().wait_for_port(self.port)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.program is not None:
            sys.stderr.write(f"{self.name} on port {self.port} said last: {self.program.output()[-2000:]}\n")
        self.close()

    def close(self) -> None:
        """End the program and remove its files."""
        if self.program is not None:
            self.program.stop()
            self.program = None
        shutil.rmtree(self.folder)


class Constant(Server):
    """The Flask application of bench/constant.py under gunicorn, with the settings that our daemon gives it."""

    name = "constant"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "bench.constant", "-b", f"127.0.0.1:{self.port}"]

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "PYTHONPATH": str(Path(__file__).parent.parent)}


class _Broker(Server):
    """What both brokers have in common: the same profiles and the same configuration."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.setup = setup
        self.config = self.folder / "x2gobroker.conf"
        self.profiles = self.folder / "sessionprofiles.conf"
        self.config.write_text(setup.config.replace("{state}", str(self.state)))
        self.profiles.write_text(setup.profiles)


class Ours(_Broker):
    """Our x2gobroker-daemon."""

    name = "ours"

    def command(self) -> list[str]:
        argv = [str(PROGRAMS / "x2gobroker-daemon"), "-C", str(self.config), "-b", f"127.0.0.1:{self.port}"]
        return on_system(self.setup.accounts, argv)

    def environment(self) -> Mapping[str, str]:
        return {
            **super().environment(),
            "X2GOBROKER_SESSIONPROFILES": str(self.profiles),
        }


class Reference(_Broker):
    """Debian's x2gobroker 0.0.4.3.

    The variable of its documentation build makes it keep to its documentation; without it, it never recognises its
    daemon account, forces debug mode on and ignores `cookie-directory`.
    """

    name = "reference"

    def command(self) -> list[str]:
        argv = ["/usr/bin/python3", str(REFERENCE), "-M", "HTTP", "-C", str(self.config)]
        return on_system(self.setup.accounts, [*argv, "-b", f"127.0.0.1:{self.port}"])

    def environment(self) -> Mapping[str, str]:
        return {
            **super().environment(),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LOGNAME": "root",
            "USER": "root",
            "SPHINX_API_DOCUMENTATION_BUILD": "1",
            "X2GOBROKER_DAEMON_USER": "root",
            "X2GOBROKER_DEBUG": "0",
            "X2GOBROKER_SESSIONPROFILES": str(self.profiles),
        }
