"""The way to an SSH server, as values: where it is, who logs in, which host keys count, through which proxy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from x2gobroker.model.hosts import Endpoint

REJECT = "RejectPolicy"
WARNING = "WarningPolicy"
AUTO_ADD = "AutoAddPolicy"


@dataclass(frozen=True)
class Login:
    """Who logs in, and with what; tried in this order, five at most: `private_key`, the folder, the agent, `password`.

    `private_key` is the text of a key file. `keys_folder` has `id_ed25519`, `id_ecdsa`, `id_rsa`. With `use_agent` the
    keys of the SSH agent of this process ($SSH_AUTH_SOCK) are tried.
    """

    user: str
    keys_folder: Path | None = None
    password: str = field(default="", repr=False)
    use_agent: bool = False
    private_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Trust:
    """Which host keys count: the `known_hosts` files, and what to do about a server that is not in them.

    `policy` is RejectPolicy, WarningPolicy or AutoAddPolicy, which writes into the first of the files.
    """

    files: tuple[Path, ...]
    policy: str = REJECT


@dataclass(frozen=True)
class Route:
    """The way to a server. With `proxy`, the connection goes through that SSH server."""

    endpoint: Endpoint
    login: Login
    trust: Trust
    proxy: Route | None = None

    @property
    def shown(self) -> str:
        """How messages name it: `user@name (address:port)`."""
        name, key = self.endpoint.name, self.endpoint.key
        return f"{self.login.user}@{key if name.lower() == self.endpoint.address.lower() else f'{name} ({key})'}"
