"""Which host keys a control session trusts: files of known hosts, paramiko's own store, and what somebody says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
from paramiko.hostkeys import InvalidHostKey

from x2gobroker.errors import SshError
from x2gobroker.logs import field
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint
from x2gobroker.model.public_key import PublicKey
from x2gobroker.ssh.connect import connect
from x2gobroker.ssh.failures import HostKeyRefused, LoginRefused
from x2gobroker.ssh.host_keys import known_names, remember
from x2gobroker.ssh.keys import fingerprint
from x2gobroker.ssh.routes import AUTO_ADD, REJECT, WARNING, Login, Route, Trust
from x2gobroker.x2go.connection.connecting import key_object, server_endpoint
from x2gobroker.x2go.log import LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger

CHECK_SECONDS = 20.0


class HostTrust(paramiko.SSHClient):
    """The part of a control session that decides about host keys.

    With `known_hosts`, that file counts, and files that `load_host_keys` and `load_system_host_keys` were told of.
    Without it, keys that were accepted count as long as this object lives, as with paramiko.
    """

    logger: X2GoLogger
    # paramiko's, which its stubs leave out
    _transport: paramiko.Transport | None
    _policy: paramiko.MissingHostKeyPolicy
    _host_keys: paramiko.HostKeys
    _system_host_keys: paramiko.HostKeys

    def __init__(self, known_hosts: str | None, add_to_known_hosts: bool, unique_hostkey_aliases: bool) -> None:
        super().__init__()
        self.known_hosts = known_hosts or None
        self.add_to_known_hosts = add_to_known_hosts
        self.unique_hostkey_aliases = unique_hostkey_aliases
        self.shown_host_key: tuple[str, str] | None = None
        self._host_key_files: list[Path] = []
        if add_to_known_hosts:
            self.set_missing_host_key_policy(paramiko.AutoAddPolicy())

    def load_host_keys(self, filename: Any) -> None:
        """Trust the keys of this file, too. Raises OSError when it cannot be read."""
        with self._tolerating(filename):
            super().load_host_keys(filename)
        self._add_file(Path(filename))

    def load_system_host_keys(self, filename: Any = None) -> None:
        """Trust the keys of this file, too; by default `~/.ssh/known_hosts`, which need not be there."""
        path = Path(filename or "~/.ssh/known_hosts").expanduser()
        with self._tolerating(path):
            super().load_system_host_keys(filename)
        self._add_file(path)

    def get_host_keys(self) -> paramiko.HostKeys:
        """paramiko's own store, with the keys of the `known_hosts` file. A copy for looking at: the file decides."""
        path = self._own_file()
        if path is not None and path.exists():
            self.load_host_keys(str(path))
        return super().get_host_keys()

    @contextlib.contextmanager
    def _tolerating(self, path: Any) -> Iterator[None]:
        """paramiko's reader gives up at a line that it cannot read; the one that decides leaves it out."""
        try:
            yield
        except (InvalidHostKey, ValueError) as error:
            self.logger(
                f"known host keys: {path} has lines that cannot be read: {field(str(error), 100)}", LOGLEVEL_WARN
            )

    def _own_file(self) -> Path | None:
        return None if self.known_hosts is None else Path(self.known_hosts).expanduser()

    def _add_file(self, path: Path) -> None:
        if path not in self._host_key_files:
            self._host_key_files.append(path)

    def load_session_host_keys(self) -> None:
        """Let the keys of the `known_hosts` file count, which is made (mode 0600) if it is missing. Raises OSError."""
        path = self._own_file()
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._add_file(path)

    def check_host(self, hostname: str, port: int = DEFAULT_SSH_PORT) -> bool:
        """Whether the server shows a host key that is known; False also when nobody answers. Nobody is asked.

        `shown_host_key` is afterwards the fingerprint and the type of a key that somebody may decide about: None
        where it is known, differs from the known one, is revoked, or nobody answered.
        """
        endpoint = server_endpoint(hostname, port)
        self.shown_host_key = None
        self.load_session_host_keys()
        trust = replace(self._trust(endpoint, ""), policy=REJECT)
        try:
            connect(Route(endpoint, Login("nobody"), trust), CHECK_SECONDS).close()
        except LoginRefused:  # there is nothing to log in with: the host key was right
            self.logger(f"the host key of {endpoint.name} ({endpoint.key}) is known", LOGLEVEL_NOTICE)
        except HostKeyRefused as refused:
            if refused.unknown:
                self.shown_host_key = fingerprint(refused.key.blob), refused.key.kind.upper()
            self.logger(str(refused), LOGLEVEL_NOTICE)
            return False
        except SshError as error:
            self.logger(f"the host key cannot be checked: {error}", LOGLEVEL_NOTICE)
            return False
        return True

    def _reach(
        self,
        route: Route,
        seconds: float,
        tcp_seconds: float,
        session_instance: Any,
        through: paramiko.Transport | None = None,
    ) -> paramiko.Transport:
        """A connection that is logged in. Who is asked about a new host key may take his time. Raises SshError."""
        try:
            transport = connect(route, seconds, through, tcp_seconds)
        except HostKeyRefused as refused:
            if not refused.unknown or not self._accepts(refused, session_instance, route.trust):
                raise
            trusting = replace(route, trust=replace(route.trust, keys=(*route.trust.keys, refused.key)))
            return connect(trusting, seconds, through, tcp_seconds)
        if route.trust.policy == AUTO_ADD or self.known_hosts is None:
            key = transport.get_remote_server_key()
            self._note(route.endpoint, PublicKey(key.get_name(), key.get_base64()), route.trust.alias)
        return transport

    def _trust(self, endpoint: Endpoint, alias: str, session_instance: Any = None) -> Trust:
        """What counts for this server."""
        policy = REJECT
        own = self._own_file()
        files = tuple(path for path in self._host_key_files if path != own)
        files = files if own is None else (own, *files)
        if self.add_to_known_hosts or (session_instance is None and isinstance(self._policy, paramiko.AutoAddPolicy)):
            policy = AUTO_ADD if files else WARNING
        elif session_instance is None and isinstance(self._policy, paramiko.WarningPolicy):
            policy = WARNING
        keys = () if self.known_hosts is not None else self._keys_in_memory(known_names(endpoint, alias))
        return Trust(files, policy, keys, alias)

    def _keys_in_memory(self, names: tuple[str, ...]) -> tuple[PublicKey, ...]:
        """What paramiko's own store knows under these names."""
        found = []
        for store in (self._system_host_keys, self._host_keys):
            for name in names:
                entry: Mapping[str, paramiko.PKey] = store.lookup(name) or {}
                found += [PublicKey(kind, entry[kind].get_base64()) for kind in entry]
        return tuple(dict.fromkeys(found))

    def _accepts(self, refused: HostKeyRefused, session_instance: Any, trust: Trust) -> bool:
        """Whether a key that is not known may be trusted: the session's hook, or paramiko's policy, is asked."""
        endpoint, key = refused.endpoint, refused.key
        if session_instance is not None:
            shown = {"fingerprint": fingerprint(key.blob), "fingerprint_type": key.kind.upper()}
            if not session_instance.HOOK_check_host_dialog(endpoint.name, endpoint.port, **shown):
                return False
            if trust.files:
                remember(endpoint, key, trust)
        elif isinstance(self._policy, paramiko.RejectPolicy):
            return False
        else:
            self.get_host_keys()
            self._policy.missing_host_key(self, known_names(endpoint, trust.alias)[0], key_object(key))
        self._note(endpoint, key, trust.alias)
        return True

    def _note(self, endpoint: Endpoint, key: PublicKey, alias: str) -> None:
        """Keep a trusted key for the life of this object, where paramiko's SSHClient keeps it."""
        for name in known_names(endpoint, alias):
            self._host_keys.add(name, key.kind, key_object(key))


def alias_of(session_instance: Any, endpoint: Endpoint) -> str:
    """The name under which a host key is known with `unique_hostkey_aliases`: the session's profile, as Python X2Go
    does it; without a session the address with its port, also where that is 22.
    """
    profile = getattr(session_instance, "get_profile_id", None)
    return str(profile()) if callable(profile) else f"[{endpoint.name}]:{endpoint.port}"
