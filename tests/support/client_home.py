"""Where a client program under test lives: a fresh home folder and an account without rights."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.accounts import account_with_home
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

    def know_hosts(self, lines: str) -> None:
        """Make `lines` the SSH servers that this client knows."""
        file = self.path / ".ssh" / "known_hosts"
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.write_text(lines, encoding="ascii")
        for path in (file, file.parent):
            if self.account is not None:
                shutil.chown(path, self.account, self.account)

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


@contextlib.contextmanager
def client_account(known_hosts: str) -> Iterator[ClientHome]:
    """The home folder of an account of its own, for a client that logs in to SSH servers known by `known_hosts`.

    X2Go Client (libssh) looks for known hosts in the home folder of the account, whatever $HOME says. Needs root.
    """
    with account_with_home(secrets.token_urlsafe()) as account:
        home = ClientHome(account.home, account.name)
        home.know_hosts(known_hosts)
        yield home
