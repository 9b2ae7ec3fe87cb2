"""`x2gobroker x2go` as a user types it: the installed program, with a home folder of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.accounts import Account
from tests.support.desktop import Desktop
from tests.support.processes import Program, wait_until
from tests.support.x2go_server import X2GoServer, cleaner_at_rest

PROGRAM = Path(sys.executable).parent / "x2gobroker"
DEADLINE = 90.0


@dataclass
class Shell:
    """A user at a shell, whose client folder is `folder`; `screen` is where sessions are shown."""

    folder: Path
    server: X2GoServer
    user: Account
    screen: Desktop | None = None
    started: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / ".ssh").mkdir(mode=0o700, exist_ok=True)
        self.known_hosts.write_text(self.server.known_hosts(), encoding="ascii")
        self.password_file.write_text(f"{self.user.password}\n", encoding="utf-8")
        self.password_file.chmod(0o600)

    @property
    def known_hosts(self) -> Path:
        """The file of trusted host keys, in its usual place."""
        return self.folder / ".ssh" / "known_hosts"

    @property
    def password_file(self) -> Path:
        """A file with the user's password."""
        return self.folder / "password"

    @property
    def place(self) -> str:
        """The server, as SERVER."""
        return f"{self.user.name}@127.0.0.1:{self.server.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the program."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}
        return {**own, **(self.screen.environment if self.screen else {})}

    def words(self, action: str, *words: str) -> list[str]:
        """The command line: the server and the password file are added."""
        return [str(PROGRAM), "x2go", action, self.place, "--password-file", str(self.password_file), *words]

    def call(self, argv: list[str], typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command line to its end; `typed` is its standard input, which is no terminal."""
        return subprocess.run(
            argv, input=typed, capture_output=True, text=True, env=self.environment, timeout=DEADLINE, check=False
        )

    def run(self, action: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a sub-command with the password."""
        return self.call(self.words(action, *words))

    def values(self, action: str, *words: str) -> Any:
        """What a sub-command that has to work prints as JSON."""
        done = self.run(action, "--json", *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def states(self) -> dict[str, str]:
        """The sessions and their states, as the program lists them."""
        return {each["name"]: each["state"] for each in self.values("list")["sessions"]}

    def in_database(self) -> dict[str, str]:
        """The same as the server's session database has it: `R` and `S`."""
        return self.server.states(self.user)

    def begin(self, action: str, *words: str) -> Program:
        """Start a sub-command that stays, and wait until its session is shown."""
        log = self.folder / f"{action}-{len(self.started)}.log"

        def is_shown() -> bool:
            assert program.process.poll() is None, program.output()
            return '"event": "shown"' in program.output()

        with cleaner_at_rest():
            program = Program(self.words(action, "--json", *words), log, env=self.environment, cwd=self.folder)
            self.started.append(program)
            wait_until(is_shown, f"x2gobroker x2go {action} showing a session")
        return program

    def end(self, program: Program, how: signal.Signals | None = None) -> tuple[int, list[str]]:
        """Its exit status and the events that it told, after a signal, or when it ends by itself.

        The signal comes twice, as from somebody who is impatient.
        """
        for _ in range(2 if how else 0):
            os.kill(program.pid, how or 0)
            time.sleep(0.2)
        status = program.process.wait(DEADLINE)
        lines = [json.loads(line) for line in program.output().splitlines() if line.startswith("{")]
        return status, [str(line["event"]) for line in lines]

    def close(self) -> None:
        """End what is still running."""
        for program in self.started:
            program.stop()


def at_terminal(argv: list[str], environment: dict[str, str], answers: dict[str, str]) -> tuple[int, str]:
    """Run a program on a terminal of its own; `answers` are typed when what they stand for is asked.

    Its exit status, and everything that the terminal showed.
    """
    ours, its = pty.openpty()
    process = subprocess.Popen(argv, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True)
    os.close(its)
    shown, left = "", dict(answers)
    end = time.monotonic() + DEADLINE
    try:
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    shown += os.read(ours, 4096).decode("utf-8", "replace")
                except OSError:  # the other end is closed
                    break
            for question in [question for question in left if question in shown]:
                os.write(ours, f"{left.pop(question)}\n".encode())
        return process.wait(max(0.1, end - time.monotonic())), shown
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()
