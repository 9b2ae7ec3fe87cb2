"""The way to an SSH server, as values: where it is, who logs in, which host keys count, through which proxy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.public_key import PublicKey

REJECT = "RejectPolicy"
WARNING = "WarningPolicy"
AUTO_ADD = "AutoAddPolicy"


@dataclass(frozen=True)
class Login:
    """Who logs in, and with what.

    Tried in this order, five at most: `private_key`, `keys`, the folder, the agent, `last_keys`, `password`.
    `private_key` is the text of a key file, `keys` and `last_keys` are unlocked keys. `keys_folder` has `id_ed25519`,
    `id_ecdsa`, `id_rsa`. With `use_agent` the keys of the SSH agent of this process ($SSH_AUTH_SOCK) are tried.
    """

    user: str
    keys_folder: Path | None = None
    password: str = field(default="", repr=False)
    use_agent: bool = False
    private_key: str = field(default="", repr=False)
    keys: tuple[paramiko.PKey, ...] = field(default=(), repr=False)
    last_keys: tuple[paramiko.PKey, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Trust:
    """Which host keys count: the `known_hosts` files, and what to do about a server that is not in them.

    `policy` is RejectPolicy, WarningPolicy or AutoAddPolicy, which writes into the first of the files. `keys` count as
    well as those of the files. With `alias` the server is looked up and written under that name, as HostKeyAlias of
    ssh_config(5) has it; a key that is known for its own name counts, too.
    """

    files: tuple[Path, ...]
    policy: str = REJECT
    keys: tuple[PublicKey, ...] = ()
    alias: str = ""


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
