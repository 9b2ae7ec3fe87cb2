"""Why an SSH connection or a command failed. `reason` is one word for each, the same for the same trouble."""

from __future__ import annotations

from collections.abc import Sequence

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.logs import field
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.public_key import PublicKey


class Unreachable(SshError):  # noqa: N818 - named for what happened
    """There is no connection: no such name, nobody listens, no way there. `number` is the errno of it, 0 for none."""

    reason = "unreachable"

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class SshTimeout(SshError):  # noqa: N818 - named for what happened
    """It was not done within the time that it may take."""

    reason = "timeout"


class NobodyAnswers(SshTimeout):
    """The server did not take the connection in the time that any server needs: others need not try as well."""


class HostKeyRefused(SshError):  # noqa: N818 - named for what happened
    """The server's host key is not the known one, or not known.

    `key` is the key that it showed, `endpoint` who was meant. `unknown`: no key of it is known at all, so that
    somebody who compared the fingerprint may trust it (`host_keys.remember`). `expected` is the known key, if it is
    another one.
    """

    reason = "host-key"

    def __init__(
        self, message: str, endpoint: Endpoint, key: PublicKey, unknown: bool, expected: PublicKey | None = None
    ) -> None:
        super().__init__(message)
        self.expected = expected
        self.endpoint = endpoint
        self.key = key
        self.unknown = unknown


class LoginRefused(SshError):  # noqa: N818 - named for what happened
    """The server takes none of the keys, nor the password. `tried` are these, as people know them."""

    reason = "login"

    def __init__(self, message: str, tried: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tried = tuple(tried)


class ConnectionBroken(SshError):  # noqa: N818 - named for what happened
    """The connection ended too early, or the other side does not speak SSH properly."""

    reason = "broken"


class NoSession(ConnectionBroken):
    """The server opened no channel for a command: the command has certainly not been started.

    `busy`: the connection is fine, but has as many sessions open as the server allows.
    """

    def __init__(self, message: str, busy: bool = False) -> None:
        super().__init__(message)
        self.busy = busy


def why_ended(transport: paramiko.Transport) -> str:
    """What is known of the end of a connection of ours, fit for a log. Several threads may ask; paramiko tells one."""
    error = getattr(transport, "ended_by", None)
    return field(str(error) or type(error).__name__, 200) if error is not None else "the server ended it"
