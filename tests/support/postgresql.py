"""A PostgreSQL server of the test's own: a fresh cluster on a free loopback port, as an unprivileged account."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import free_port, running, wait_until

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


@contextlib.contextmanager
def postgresql(extra_address: str = "") -> Iterator[str]:
    """The URL of an empty database, in the form that `database-url` takes.

    It also listens at `extra_address`, if one is given, for everybody in that network of 256 addresses.
    """
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
            yield f"postgresql://broker:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder)
        Path(f"{folder}.log").unlink(missing_ok=True)
