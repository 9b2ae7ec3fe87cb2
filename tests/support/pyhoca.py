"""Run the real pyhoca-cli against a broker."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.client_home import ClientHome
from tests.support.desktop import Desktop

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

    def _run(self, *words: str) -> PyhocaRun:
        environment = {**self.home.environment_on(self.desktop), "PYTHONUNBUFFERED": "1"}
        if self.ca_file is not None:
            environment["REQUESTS_CA_BUNDLE"] = str(self.home.copy(self.ca_file))
        argv = ["pyhoca-cli", "--broker-url", self.broker_url, "--broker-password", self.password, *words]
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
