"""What every auth mechanism is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

from x2gobroker.errors import AuthMechanismError
from x2gobroker.logs import error_log
from x2gobroker.model.options import Option
from x2gobroker.settings import AUTH_PREFIX, Settings

LONGEST_USER = 256
LONGEST_PASSWORD = 1024

NO_USER = "no user name"
BAD_USER = "no possible user name"
BAD_PASSWORD = "no possible password"  # noqa: S105
NOT_AVAILABLE = "mechanism not available"
# reasons of refusals without anybody having looked at the password
NOT_CHECKED = frozenset({NO_USER, BAD_USER, BAD_PASSWORD, NOT_AVAILABLE})
# what a mechanism says that was to change a password and was given a wrong present one; penalties count it
WRONG_PRESENT = "the present password is wrong"


@dataclass(frozen=True)
class Credentials:
    """What somebody logs in with. `server_variables` is what the web server says, such as REMOTE_USER."""

    user: str
    password: str = field(repr=False)
    address: str = ""
    server_variables: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Verdict:
    """What a mechanism says: granted to `user`, or not, and why (for the log; never a secret)."""

    granted: bool
    user: str
    reason: str


@dataclass(frozen=True)
class PasswordChange:
    """Whether a password was changed, and in a few words why not."""

    changed: bool
    reason: str = ""


class AuthMechanism(ABC):
    """Checks credentials.

    One object serves one VirtualHost of one process, for all requests and threads. A plug-in derives from this class
    and writes `_check`; it may write `_change_password`, declare the options of its `[authmech_<name>]` section in
    `options`, and set `needs_password` to False when it knows users by other means, or `checks_password` when there is
    no password to be guessed, so that no penalties are called for. Where it sets `vouches` to False, users may be
    anybody, and get no autologin.
    """

    options: ClassVar[tuple[Option, ...]] = ()
    needs_password: ClassVar[bool] = True
    checks_password: ClassVar[bool] = True
    vouches: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def section(self) -> str:
        """The INI section of this mechanism's options."""
        return AUTH_PREFIX + self.name

    @abstractmethod
    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        """Whether the credentials are right. Raises AuthMechanismError when that cannot be told."""

    def is_ready(self, settings: Settings, seconds: float) -> bool:
        """Whether what this mechanism asks would answer within so many seconds; nobody is logged in by it."""
        return True

    def _change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        """Change the password of a user who has just been checked. Raises AuthMechanismError."""
        return PasswordChange(False, "not possible with this login")

    @final
    def authenticate(self, settings: Settings, credentials: Credentials) -> Verdict:
        """Whether the credentials are right. Never raises for what a client sent or a server failed to do."""
        user, password = credentials.user, credentials.password
        if self.needs_password and not user:
            return Verdict(False, user, NO_USER)
        if len(user) > LONGEST_USER or not user.isprintable():
            return Verdict(False, user, BAD_USER)
        if len(password) > LONGEST_PASSWORD or "\0" in password:
            return Verdict(False, user, BAD_PASSWORD)
        try:
            return self._check(settings, credentials)
        except AuthMechanismError as error:
            error_log.error("auth mechanism %s: %s", self.name, error)
            return Verdict(False, user, NOT_AVAILABLE)

    @final
    def change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        """Change the password of `credentials.user` from `credentials.password` to `new`, if this mechanism can."""
        if not new or len(new) > LONGEST_PASSWORD or not new.isprintable():
            return PasswordChange(False, "the new password is empty, too long or has unprintable characters")
        if not credentials.password:
            return PasswordChange(False, "the present password is needed")
        try:
            return self._change_password(settings, credentials, new)
        except AuthMechanismError as error:
            error_log.error("auth mechanism %s: cannot change a password: %s", self.name, error)
            return PasswordChange(False, "not possible at present")
