"""Our x2gobroker-loadchecker with a configuration of the test's own, and what asks its socket."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.debian_broker import PYTHON, replace_file
from tests.support.environment import own_environment
from tests.support.processes import Program, wait_until
from x2gobroker.model.hosts import Endpoint

PROGRAMS = Path(sys.executable).parent
CONFIG = """\
[global]
load-checker-intervals = {interval}
default-use-load-checker = true
default-agent-query-mode = SSH
agent-timeout = {timeout}
{more}
[broker_inifile]
session-profiles = {folder}/profiles.conf
"""
# what the reference's broker does, without its log
DEBIAN_CLIENT = """\
import sys, json, logging
logging.disable()
from x2gobroker.loadchecker import check_load
print(json.dumps(check_load(*sys.argv[1:])))
"""


def profile(name: str, *servers: Endpoint) -> str:
    """A session profile with these servers."""
    hosts = ", ".join(f"{server.name} ({server.address}:{server.port})" for server in servers)
    return f"[{name}]\nhost = {hosts}\n"


class LoadChecker:
    """One load checker in a folder of its own. `variables` are of its environment."""

    def __init__(
        self,
        variables: Mapping[str, str],
        interval: int = 1,
        more: str = "",
        arguments: Sequence[str] = (),
        timeout: int = 2,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="our-loadchecker-"))
        self.folder.chmod(0o755)
        self.config = self.folder / "x2gobroker.conf"
        self.socket = self.folder / "run" / "socket"
        self.log = self.folder / "log"
        self.arguments = list(arguments)
        self.program: Program | None = None
        self.env = {
            **own_environment(self.folder, self.config),
            "X2GOBROKER_LOADCHECKER_LOGCONFIG": str(self.folder / "no-loggers.conf"),
            "X2GOBROKER_LOADCHECKER_SOCKET": str(self.socket),
            **variables,
        }
        if "database-url" not in more and "cookie-directory" not in more:
            more += f"\ncookie-directory = {self.folder}/state"
        replace_file(self.config, CONFIG.format(interval=interval, more=more, timeout=timeout, folder=self.folder))

    def write_profiles(self, *texts: str) -> None:
        """The session profiles from now on."""
        replace_file(self.folder / "profiles.conf", "".join(texts))

    def start(self) -> Program:
        """Start it, and wait until it answers on its socket."""
        self.program = program = Program(
            [str(PROGRAMS / "x2gobroker-loadchecker"), *self.arguments], self.log, env=self.env, cwd=self.folder
        )

        def ready() -> bool:
            assert program.process.poll() is None, program.output()
            return self.answers()

        wait_until(ready, "the load checker listening")
        return program

    def answers(self) -> bool:
        """Whether somebody listens on the socket."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(self.socket))
            return True
        return False

    def ask(self, query: str) -> str:
        """What the socket says to one query."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.socket))
            client.sendall(query.encode())
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(4096), b"")).decode()

    def ask_as_debian(self, *words: str) -> str:
        """What the reference's own client makes of the answer: JSON. It reads once, and 1024 bytes only."""
        variables = {"X2GOBROKER_LOADCHECKER_SOCKET": str(self.socket), "SPHINX_API_DOCUMENTATION_BUILD": "1"}
        done = subprocess.run(
            [PYTHON, "-c", DEBIAN_CLIENT, *words],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LOGNAME": "root", **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip()

    def command(self, *words: str, columns: int = 120) -> subprocess.CompletedProcess[str]:
        """`x2gobroker` with the same configuration."""
        return subprocess.run(
            [str(PROGRAMS / "x2gobroker"), *words],
            env={**self.env, "COLUMNS": str(columns)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def seconds_to_stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """End it; how long that took. It must end well."""
        assert self.program is not None
        began = time.monotonic()
        assert self.program.stop(how) == 0, self.program.output()
        return time.monotonic() - began

    def close(self) -> None:
        """Stop it and remove its files."""
        if self.program is not None:
            print(self.program.output())  # pytest shows it beside a failure
            self.program.stop()
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def load_checker(
    variables: Mapping[str, str],
    *profiles: str,
    interval: int = 1,
    more: str = "",
    arguments: Sequence[str] = (),
    timeout: int = 2,
) -> Iterator[LoadChecker]:
    """A running load checker for the length of a `with` block; `timeout` is for agents, in seconds."""
    made = LoadChecker(variables, interval, more, arguments, timeout)
    try:
        made.write_profiles(*profiles)
        made.start()
        yield made
    finally:
        made.close()
