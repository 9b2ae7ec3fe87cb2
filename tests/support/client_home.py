"""Where a client program under test lives: a fresh home folder and an account without rights."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.desktop import Desktop

# Part of every Debian installation, owns nothing, and has a group of the same name.
CLIENT_ACCOUNT = "games"


@dataclass(frozen=True)
class ClientHome:
    """A home folder, the account that owns it, and the environment of programs that live there."""

    path: Path
    account: str | None

    @property
    def environment(self) -> dict[str, str]:
        """A small, fixed environment: nothing of the tester's own shell may decide an outcome."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.path),
            "XDG_RUNTIME_DIR": str(self.path),
            "TMPDIR": str(self.path),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
        }

    def copy(self, file: Path) -> Path:
        """A copy, in the home folder, of a file that this account could not reach where it is."""
        target = self.path / file.name
        target.write_bytes(file.read_bytes())
        target.chmod(0o644)
        return target

    def environment_on(self, desktop: Desktop) -> dict[str, str]:
        """The same, for a program that draws on `desktop`."""
        return {**self.environment, "DISPLAY": desktop.display, "XAUTHORITY": str(self.copy(desktop.authority))}


@contextlib.contextmanager
def client_home() -> Iterator[ClientHome]:
    """A new home folder for one client, gone afterwards; as root it belongs to an unprivileged account."""
    account = CLIENT_ACCOUNT if os.geteuid() == 0 else None
    path = Path(tempfile.mkdtemp(prefix="x2go-client-"))
    try:
        if account is not None:
            owner = pwd.getpwnam(account)
            os.chown(path, owner.pw_uid, owner.pw_gid)
        yield ClientHome(path, account)
    finally:
        shutil.rmtree(path)
