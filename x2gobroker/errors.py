"""What can go wrong, each with what to do about it. A client never sees these texts; the log and the console do."""

from __future__ import annotations


class BrokerError(Exception):
    """Something the broker cannot do. `str()` of it says what went wrong and what to do; never a secret."""


class ConfigurationError(BrokerError):
    """The configuration cannot be used as it stands."""


class PluginError(BrokerError):
    """A backend, frontend, auth mechanism or name service is not installed, or does not load."""


class AuthMechanismError(BrokerError):
    """An auth mechanism cannot tell whether a password is right (a server is down, a file is missing).

    `looked` is False where it is certain that nobody has compared the password. Else the time or the kind of the fault
    may tell something of it, and penalties keep watch over how many passwords are tried in this way.
    """

    def __init__(self, message: str, looked: bool = True) -> None:
        super().__init__(message)
        self.looked = looked


class NameServiceError(BrokerError):
    """A name service cannot say who a user is or which groups the user has."""


class StoreError(BrokerError):
    """The state store cannot be opened, read or written."""


class SshError(BrokerError):
    """An SSH connection cannot be made, or broke. `reason` is a word: see the subclasses in `ssh/`."""

    reason = "failed"


class AgentError(BrokerError):
    """A broker agent did not do what it was asked. `reason` is one of the words of `agents/base.py`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class RequestError(BrokerError):
    """A client sent something that cannot be read. `status` is the HTTP status code to answer with."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class SessionError(BrokerError):
    """Something cannot be done to a user's session. `reason` is one of the words of `user_sessions/values.py`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
