"""A PostgreSQL server of the test's own: a fresh cluster on a free loopback port, as an unprivileged account."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.support.processes import Program, free_port, running, wait_until
from x2gobroker.store import Store

ACCOUNT = "postgres"
PASSWORD = "Store-pw-1"


def server_programs() -> Path:
    """The folder of the newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    assert found, "the Debian package postgresql is missing; scripts/debian-packages test installs it"
    return found[-1].parent


def _as_account(*argv: str, data: str | None = None) -> None:
    user = ACCOUNT if os.geteuid() == 0 else None
    done = subprocess.run(
        argv, input=data, capture_output=True, text=True, timeout=60, check=False, user=user, group=user, cwd="/"
    )
    assert done.returncode == 0, done.stderr


class PostgreSQL:
    """A running server; `url` is that of an empty database, in the form that `database-url` takes."""

    def __init__(self, program: Program, url: str) -> None:
        self.program = program
        self.url = url

    def _processes(self) -> list[int]:
        pid = self.program.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def _signal_all(self, how: signal.Signals) -> None:
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, how)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing any more for the length of the block; its kernel goes on taking what is sent to it."""
        self._signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal_all(signal.SIGCONT)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It does not run for the length of the block."""
        self.program.stop(signal.SIGINT)
        try:
            yield
        finally:
            self.program.process = Program(
                self.program.argv, self.program.log, user=ACCOUNT if os.geteuid() == 0 else None, cwd=Path("/")
            ).process
            port = int(self.url.rpartition(":")[2].partition("/")[0])
            self.program.wait_for_port(port)
            wait_until(lambda: self.program.output().count("ready to accept connections") > 1, "PostgreSQL being back")


@contextlib.contextmanager
def postgresql(extra_address: str = "") -> Iterator[str]:
    """The URL of an empty database, in the form that `database-url` takes.

    It also listens at `extra_address`, if one is given, for everybody in that network of 256 addresses.
    """
    with postgresql_server(extra_address) as server:
        yield server.url


@contextlib.contextmanager
def postgresql_server(extra_address: str = "") -> Iterator[PostgreSQL]:
    """The same, with its server, which can be stopped and frozen."""
    programs = server_programs()
    folder = Path(tempfile.mkdtemp(prefix="broker-pg-"))
    port = free_port()
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, ACCOUNT, ACCOUNT)
        secret = folder / "password"
        _as_account("/bin/sh", "-c", 'umask 077; cat >"$1"', "sh", str(secret), data=PASSWORD)
        _as_account(
            str(programs / "initdb"), "-D", str(folder / "data"), "-U", "broker", "-A", "scram-sha-256",
            f"--pwfile={secret}", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8",
        )  # fmt: skip
        addresses = "127.0.0.1"
        if extra_address:
            addresses += f",{extra_address}"
            rule = f"host all all {extra_address}/24 scram-sha-256\n"
            _as_account("/bin/sh", "-c", 'cat >>"$1"', "sh", str(folder / "data/pg_hba.conf"), data=rule)
        argv = [
            str(programs / "postgres"), "-D", str(folder / "data"), "-h", addresses, "-p", str(port),
            "-k", str(folder), "-c", "fsync=off",
        ]  # fmt: skip
        user = ACCOUNT if os.geteuid() == 0 else None
        with running(argv, Path(f"{folder}.log"), port, user=user, cwd=Path("/")) as program:
            wait_until(lambda: "ready to accept connections" in program.output(), "PostgreSQL being ready")
            yield PostgreSQL(program, f"postgresql://broker:{PASSWORD}@127.0.0.1:{port}/postgres")
    finally:
        shutil.rmtree(folder)
        Path(f"{folder}.log").unlink(missing_ok=True)


@contextlib.contextmanager
def two_stores() -> Iterator[tuple[Store, Store]]:
    """What two broker hosts have: a store each, on one new database."""
    with postgresql() as found:
        url = make_url(found.replace("postgresql:", "postgresql+psycopg:"))
        made = Store(url), Store(url)
        yield made
        for store in made:
            store.close()
