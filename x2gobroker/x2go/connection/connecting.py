"""From the parameters of Python X2Go's `connect` to the way to a server; and from our failures to its exceptions."""

from __future__ import annotations

import base64
import getpass
import os
import random
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.model.hosts import Endpoint, split_address, strip_brackets
from x2gobroker.model.public_key import PublicKey
from x2gobroker.ssh.failures import HostKeyRefused, LoginRefused, NobodyAnswers, SshTimeout, Unreachable
from x2gobroker.ssh.keys import KEY_FILES, LARGEST_KEY_FILE, LockedKey, WrongPassphrase, read_private_key
from x2gobroker.ssh.routes import Login
from x2gobroker.x2go.errors import (
    X2GoHostKeyException,
    X2GoSSHProxyAuthenticationException,
    X2GoSSHProxyException,
    X2GoSSHProxyHostKeyException,
    X2GoSSHProxyPasswordRequiredException,
)
from x2gobroker.x2go.log import LOGLEVEL_WARN, X2GoLogger

LOCAL_NAMES = ("localhost", "localhost.localdomain")
KeyFiles = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None


@dataclass(frozen=True)
class Means:
    """How somebody may log in: the parameters of `connect`, for the server or for the SSH proxy."""

    user: str | None
    password: str | bytes | None = field(default=None, repr=False)
    passphrase: str | bytes | None = field(default=None, repr=False)
    pkey: paramiko.PKey | str | None = field(default=None, repr=False)
    key_filename: KeyFiles = None
    allow_agent: bool = False
    look_for_keys: bool = False
    force_password_auth: bool = False


@dataclass(frozen=True)
class Prepared:
    """A Login, and what became of the keys that were given: `locked` and `wrong` have the names of their files."""

    login: Login = field(repr=False)
    locked: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def prepare(means: Means, ssh_rootdir: str, logger: X2GoLogger) -> Prepared:
    """Unlock and order the keys. What cannot be used is left out, with a line in the log."""
    user, password = means.user or getpass.getuser(), _text(means.password)
    if means.force_password_auth:
        return Prepared(Login(user, password=password))
    keys = _Keys([text for text in (_text(means.passphrase), password) if text], logger)
    given = keys.given(means.pkey, means.key_filename)
    found = keys.found(Path(ssh_rootdir)) if means.look_for_keys else ()
    login = Login(user, password=password, use_agent=means.allow_agent, keys=given, last_keys=found)
    return Prepared(login, tuple(keys.locked), tuple(keys.wrong))


def _text(secret: object) -> str:
    """What is neither text nor bytes, as a profile may have it, is no password."""
    if isinstance(secret, bytes):
        return secret.decode("utf-8", "replace")
    return secret if isinstance(secret, str) else ""


class _Keys:
    """Reads keys; `passphrases` are tried one after another. Notes which keys stay locked."""

    def __init__(self, passphrases: Sequence[str], logger: X2GoLogger) -> None:
        self._passphrases = passphrases
        self._logger = logger
        self.locked: list[str] = []
        self.wrong: list[str] = []

    def given(self, pkey: paramiko.PKey | str | None, files: KeyFiles) -> tuple[paramiko.PKey, ...]:
        """The keys that `pkey` and `key_filename` mean."""
        keys = [pkey] if isinstance(pkey, paramiko.PKey) else []
        if isinstance(pkey, str) and pkey:
            keys += self._unlocked(pkey, "the given key", True)
        paths = [files] if isinstance(files, str | os.PathLike) else list(files or ())
        for path in paths:
            if os.fspath(path):
                keys += self._from_file(Path(path).expanduser(), True)
        return tuple(keys)

    def found(self, folder: Path) -> tuple[paramiko.PKey, ...]:
        """The keys with the usual names in a folder."""
        paths = [folder / name for name in KEY_FILES if (folder / name).is_file()]
        return tuple(key for path in paths for key in self._from_file(path, False))

    def _from_file(self, path: Path, wanted: bool) -> list[paramiko.PKey]:
        try:
            if path.exists() and not path.is_file():
                raise OSError(0, "it is no file")  # reading a pipe could take for ever
            with path.open(encoding="ascii", errors="replace") as stream:
                return self._unlocked(stream.read(LARGEST_KEY_FILE), str(path), wanted)
        except OSError as error:
            self._logger(f"the SSH key {path} cannot be read: {error.strerror}", LOGLEVEL_WARN)
            return []

    def _unlocked(self, text: str, name: str, wanted: bool) -> list[paramiko.PKey]:
        """The key in a text. One that nobody named, as `~/.ssh/id_rsa`, may well be locked."""
        notes: list[str] = []
        for passphrase in self._passphrases or [""]:
            try:
                return [read_private_key(text, passphrase)]
            except WrongPassphrase:
                notes = self.wrong
            except LockedKey:
                notes = self.locked
            except ValueError as error:
                self._logger(f"the SSH key {name} is not used: {error}", LOGLEVEL_WARN)
                return []
        if wanted:
            notes.append(name)
        return []


def server_endpoint(hostname: str | Sequence[str], port: int) -> Endpoint:
    """Where to connect to; one of several names by chance. The names of this host mean 127.0.0.1."""
    name = strip_brackets(_one_of(hostname).strip())
    return Endpoint(name, "127.0.0.1" if name.lower() in LOCAL_NAMES else name, int(port))


def proxy_endpoint(host: str | Sequence[str] | None, port: int) -> Endpoint:
    """The SSH proxy's; `host` may be `name:port`. Raises X2GoSSHProxyException."""
    text = _one_of(host or "").strip()
    try:
        name, own_port = split_address(text)
    except ValueError as error:
        raise X2GoSSHProxyException(f"the SSH proxy host cannot be used: {error}") from None
    if not name:
        raise X2GoSSHProxyException("use_sshproxy is set, but sshproxy_host names no host")
    return server_endpoint(name, own_port or port)


def _one_of(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else random.choice(list(names) or [""])  # noqa: S311 - no secret


@dataclass(frozen=True)
class ProxyTunnel:
    """`sshproxy_tunnel`: where to listen on this machine, and where the X2Go Server is as the SSH proxy sees it."""

    local: tuple[str, int]
    remote: Endpoint


def parse_tunnel(text: str) -> ProxyTunnel:
    """`<local-address>:<local-port>:<remote-address>:<remote-port>`. Raises X2GoSSHProxyException."""
    words = _split_colons(text.strip())
    try:
        if len(words) != 4:
            raise ValueError("it needs four parts")
        local, remote = strip_brackets(words[0]), strip_brackets(words[2])
        ports = [int(words[1]), int(words[3])]
        if not local or not remote or not all(0 <= port < 65536 for port in ports) or not ports[1]:
            raise ValueError("an address or a port is missing")
    except ValueError as error:
        raise X2GoSSHProxyException(
            f"sshproxy_tunnel {text!r} is not <local-address>:<local-port>:<remote-address>:<remote-port>: {error}"
        ) from None
    listen = "127.0.0.1" if local.lower() in LOCAL_NAMES else local
    return ProxyTunnel((listen, ports[0]), server_endpoint(remote, ports[1]))


def _split_colons(text: str) -> list[str]:
    """Split at colons, but not inside the brackets of an IPv6 address."""
    words, inside = [""], False
    for character in text:
        inside = character == "[" or (inside and character != "]")
        if character == ":" and not inside:
            words.append("")
        else:
            words[-1] += character
    return words


def key_object(key: PublicKey) -> paramiko.PKey:
    """A host key as paramiko's exceptions and policies have it."""
    return paramiko.PKey.from_type_string(key.kind, base64.b64decode(key.blob))


class _BadHostKey(paramiko.BadHostKeyException):
    """Says which line of which file is in the way, and what to do."""

    def __init__(self, refused: HostKeyRefused) -> None:
        got = key_object(refused.key)
        super().__init__(refused.endpoint.name, got, key_object(refused.expected) if refused.expected else got)
        self._text = str(refused)

    def __str__(self) -> str:
        return self._text


def server_failure(error: SshError, prepared: Prepared) -> Exception:
    """The documented exception for what went wrong on the way to an X2Go Server."""
    if isinstance(error, HostKeyRefused):
        return X2GoHostKeyException(unknown_key_text(error)) if error.unknown else _BadHostKey(error)
    if isinstance(error, LoginRefused):
        text = _login_text(error, prepared)
        is_locked = prepared.locked and not prepared.login.password
        return (paramiko.PasswordRequiredException if is_locked else paramiko.AuthenticationException)(text)
    if isinstance(error, SshTimeout | NobodyAnswers):
        return TimeoutError(_said(error))
    if isinstance(error, Unreachable):
        return OSError(error.number, _said(error)) if error.number else socket.gaierror(socket.EAI_NONAME, _said(error))
    return paramiko.SSHException(_said(error))


def proxy_failure(error: SshError, prepared: Prepared) -> X2GoSSHProxyException:
    """The documented exception for what went wrong on the way to the SSH proxy, or with its forwarding."""
    if isinstance(error, HostKeyRefused):
        return X2GoSSHProxyHostKeyException(unknown_key_text(error) if error.unknown else str(error))
    if isinstance(error, LoginRefused):
        text = _login_text(error, prepared)
        if prepared.locked and not prepared.login.password:
            return X2GoSSHProxyPasswordRequiredException(text)
        return X2GoSSHProxyAuthenticationException(text)
    return X2GoSSHProxyException(_said(error))


def _said(error: SshError) -> str:
    """The text of an error, for people: in logs, what came from outside has no blanks."""
    return str(error).replace("\\x20", " ")


def unknown_key_text(refused: HostKeyRefused) -> str:
    """What to do about a host key that nobody has trusted yet."""
    said = str(refused).partition("; compare")[0]
    return f"{said}; compare it on the server, and add it to the known_hosts file, or connect with add_to_known_hosts"


def _login_text(error: LoginRefused, prepared: Prepared) -> str:
    """The text of a refused login for somebody who gave the keys and passwords himself."""
    who = str(error).partition(": ")[0]
    said = (
        f"the server refuses {', '.join(error.tried)}" if error.tried else "there is no key or password to log in with"
    )
    for name in prepared.locked:
        said += f"; {name} is locked, and needs its passphrase"
    for name in prepared.wrong:
        said += f"; the passphrase does not unlock {name}"
    return f"{who}: {said}"
