"""Run the real pyhoca-cli against a broker."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.client_home import ClientHome
from tests.support.desktop import Desktop
from tests.support.processes import Program, running

RUN_DEADLINE = 40.0


@dataclass(frozen=True)
class PyhocaRun:
    """What one run of pyhoca-cli gave."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both streams, for looking at and for failure messages."""
        return f"{self.stdout}\n{self.stderr}"


@dataclass(frozen=True)
class Pyhoca:
    """pyhoca-cli as one user of one broker. `broker_url` has the user in it: http://anna@host/json/inifile/."""

    home: ClientHome
    desktop: Desktop  # it refuses to do anything, even to list, without a display
    broker_url: str
    password: str
    ca_file: Path | None = None

    def _environment(self) -> dict[str, str]:
        environment = {**self.home.environment_on(self.desktop), "PYTHONUNBUFFERED": "1"}
        if self.ca_file is not None:
            environment["REQUESTS_CA_BUNDLE"] = str(self.home.copy(self.ca_file))
        return environment

    def _argv(self, *words: str) -> list[str]:
        return ["pyhoca-cli", "--broker-url", self.broker_url, "--broker-password", self.password, *words]

    def _run(self, *words: str) -> PyhocaRun:
        environment = self._environment()
        argv = self._argv(*words)
        done = subprocess.run(
            argv,
            env=environment,
            cwd=self.home.path,
            user=self.home.account,
            group=self.home.account,
            extra_groups=[] if self.home.account else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_DEADLINE,
            check=False,
        )
        return PyhocaRun(done.returncode, done.stdout, done.stderr)

    def list_profiles(self) -> PyhocaRun:
        """Log in and print the session profiles on offer."""
        return self._run("--list-profiles")

    def start(self, profile: str, ssh_password: str) -> PyhocaRun:
        """Log in, select this profile, and try to start a session on the server that the broker names."""
        return self._run("-P", profile, "--new", "--password", ssh_password, "--auth-attempts", "1")

    @contextlib.contextmanager
    def session(self, profile: str, ssh_password: str, *words: str) -> Iterator[Program]:
        """Log in, select this profile and stay in a session, for the length of a `with` block."""
        argv = self._argv("-P", profile, "--password", ssh_password, "--auth-attempts", "1", *words)
        log = self.home.path / f"pyhoca-{len(list(self.home.path.glob('pyhoca-*.log')))}.log"
        with running(argv, log, env=self._environment(), user=self.home.account, cwd=self.home.path) as program:
            yield program
