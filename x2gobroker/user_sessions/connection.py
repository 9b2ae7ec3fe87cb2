"""One connection of a user to an X2Go Server, with the broker's host keys and one deadline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import paramiko

from x2gobroker.errors import SessionError, SshError
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.failures import LoginRefused
from x2gobroker.ssh.keys import read_private_key
from x2gobroker.ssh.routes import Route, Trust
from x2gobroker.user_sessions.values import BROKEN, HOST_KEY, LOGIN, REFUSED, TIMEOUT, UNREACHABLE, UserLogin
from x2gobroker.x2go import X2GoControlSession
from x2gobroker.x2go.errors import (
    X2GoException,
    X2GoRemoteHomeException,
    X2GoTerminalSessionException,
    X2GoTimeOutException,
)
from x2gobroker.x2go.wire.reply import Reply

REASONS = {"unreachable": UNREACHABLE, "timeout": TIMEOUT, "host-key": HOST_KEY, "login": LOGIN}
MOST_BYTES = 1 << 20


class ServerConnection(X2GoControlSession):
    """A control session with the broker's host keys, and one deadline over everything that it does."""

    def __init__(self, way: Route, deadline: Deadline) -> None:
        folder = way.login.keys_folder
        super().__init__(ssh_rootdir=str(folder), loglevel=0)
        self._way = way
        self._deadline = deadline

    def _trust(self, _endpoint: Endpoint, _alias: str, _session_instance: object = None) -> Trust:
        return self._way.trust

    def _reach(
        self,
        route: Route,
        seconds: float,
        tcp_seconds: float,
        session_instance: object,
        through: paramiko.Transport | None = None,
    ) -> paramiko.Transport:
        """What is refused is told by the broker's own error, before the library makes one for clients of it."""
        if route.endpoint.key == self._way.endpoint.key:
            route = replace(route, endpoint=self._way.endpoint)  # known_hosts may have its name, or its address
        try:
            return super()._reach(route, min(seconds, self._deadline.left()), tcp_seconds, session_instance, through)
        except LoginRefused as error:
            # what the error advises is for the broker's own key
            text = f"{route.shown}: the server refuses {', '.join(error.tried)}"
            raise SessionError(text if route.endpoint == self._way.endpoint else str(error), LOGIN) from None
        except SshError as error:
            raise SessionError(str(error), REASONS.get(error.reason, BROKEN)) from None

    def command(self, command: str, seconds: float = 20.0, max_bytes: int = MOST_BYTES, input: bytes = b"") -> Reply:
        """As the library's, within what is left of the time."""
        try:
            left = self._deadline.left()
        except SshError as error:
            raise SessionError(str(error), TIMEOUT) from None
        return super().command(command, min(seconds, left), max_bytes, input)


@contextlib.contextmanager
def opened(way: Route, login: UserLogin, key: paramiko.PKey | None, deadline: Deadline) -> Iterator[ServerConnection]:
    """A connection, logged in, for the length of a `with` block. What the library raises there is SessionError."""
    connection = ServerConnection(way, deadline)
    proxy: dict[str, object] = {}
    if way.proxy is not None:
        place = way.proxy.endpoint
        proxy = {"use_sshproxy": True, "sshproxy_host": place.address, "sshproxy_port": place.port}
        proxy |= {"sshproxy_user": way.proxy.login.user, "sshproxy_look_for_keys": True}
    try:
        connection.connect(
            way.endpoint.address,
            way.endpoint.port or DEFAULT_SSH_PORT,
            login.account,
            login.password or None,
            pkey=key,
            **proxy,  # type: ignore[arg-type]  # each has the type of its parameter
        )
        yield connection
    except SessionError:
        raise
    except (X2GoException, paramiko.SSHException, OSError) as error:
        raise _session_error(error, way) from None
    finally:
        connection.disconnect()


def _session_error(error: Exception, way: Route) -> SessionError:
    """What the library says about a connection that stands."""
    reason = BROKEN
    if isinstance(error, X2GoTimeOutException | TimeoutError):
        reason = TIMEOUT
    elif isinstance(error, X2GoTerminalSessionException | X2GoRemoteHomeException):
        reason = REFUSED
    return SessionError(f"{way.endpoint.name} ({way.endpoint.key}): {error}", reason)


def key_of(login: UserLogin) -> paramiko.PKey | None:
    """The private key of a login, unlocked. Raises SessionError."""
    if not login.account or not (login.password or login.private_key):
        raise SessionError("there is neither a password nor a key to log in with on X2Go Servers", LOGIN)
    if not login.private_key:
        return None
    try:
        return read_private_key(login.private_key, login.passphrase)
    except ValueError as error:
        raise SessionError(f"the user's private key cannot be used: {error}", LOGIN) from None
