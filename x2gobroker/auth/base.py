"""What every auth mechanism is."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, final

from x2gobroker.auth.pace import Failure, Pace
from x2gobroker.errors import AuthMechanismError
from x2gobroker.logs import error_log
from x2gobroker.model.options import Option
from x2gobroker.model.passwords import can_be_typed, new_password_fault
from x2gobroker.settings import AUTH_PREFIX, Settings

LONGEST_USER = 256
ACCOUNT_SECONDS = 3.0
READY_SECONDS = 1.5
MOST_WELCOME = 1000

NO_USER = "no user name"
BAD_USER = "no possible user name"
BAD_PASSWORD = "no possible password"  # noqa: S105
NOT_AVAILABLE = "mechanism not available"


@dataclass(frozen=True)
class Credentials:
    """What somebody logs in with. `server_variables` is what the web server says, such as REMOTE_USER. `wants_ticket`:
    the Kerberos ticket that the login may give is wanted, for desktops in the browser.
    """

    user: str
    password: str = field(repr=False)
    address: str = ""
    server_variables: Mapping[str, object] = field(default_factory=dict, repr=False)
    wants_ticket: bool = False


class Outcome(StrEnum):
    """What came of a login. That nobody can tell is neither a yes nor a no."""

    GRANTED = "granted"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Verdict:
    """What a mechanism says of `user`, and why (for the log; never a secret).

    `looked` is False where it is certain that nobody has compared the password: such a refusal is no guess.
    `guessed_code`: the password was right, and the code behind it wrong. `ticket` is the handle of a Kerberos ticket
    that waits, see `auth/tickets.py`. Raises TypeError for an outcome that is none: what is neither yes nor no must not
    pass for one of them.
    """

    outcome: Outcome
    user: str
    reason: str
    looked: bool = True
    guessed_code: bool = False
    ticket: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.outcome, Outcome):
            raise TypeError("a verdict's outcome is Outcome.GRANTED, Outcome.REFUSED or Outcome.UNAVAILABLE")

    @property
    def granted(self) -> bool:
        """Whether the user may come in."""
        return self.outcome is Outcome.GRANTED


def granted(user: str, reason: str, ticket: str = "") -> Verdict:
    """The verdict that lets a user in."""
    return Verdict(Outcome.GRANTED, user, reason, ticket=ticket)


def refused(user: str, reason: str, looked: bool = True) -> Verdict:
    """The verdict that keeps a user out; counted as a guess where somebody has looked at the password."""
    return Verdict(Outcome.REFUSED, user, reason, looked)


def unavailable(user: str, reason: str, looked: bool = True) -> Verdict:
    """The verdict of somebody who cannot tell."""
    return Verdict(Outcome.UNAVAILABLE, user, reason, looked)


@dataclass(frozen=True)
class PasswordChange:
    """Whether a password was changed, and in a few words why not.

    `outcome` says what came of the check of the present password; `looked` as with a verdict.
    """

    changed: bool
    reason: str = ""
    outcome: Outcome = Outcome.GRANTED
    looked: bool = True
    guessed_code: ClassVar[bool] = False


WRONG_PRESENT = PasswordChange(False, "the present password is wrong", Outcome.REFUSED)


class AuthMechanism(ABC):
    """Checks credentials.

    One object serves one VirtualHost of one process, for all requests and threads. A plug-in derives from this class
    and writes `_check`; it may write `_change_password`, declare the options of its `[authmech_<name>]` section in
    `options`, and set `needs_password` to False when it knows users by other means, or `checks_password` when there is
    no password to be guessed, so that no penalties are called for. One that names users by other means than the form
    says in `user_of` whom, so that wrong codes of a second factor count for that user. `vouches` says in a few words
    how it knows who a user is; where it does not say so, users may be anybody, and get neither autologin nor desktops
    in the browser.
    """

    options: ClassVar[tuple[Option, ...]] = ()
    needs_password: ClassVar[bool] = True
    checks_password: ClassVar[bool] = True
    vouches: ClassVar[str] = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self._pace = Pace()
        self._welcome: dict[tuple[str, str], tuple[Settings, float]] = {}

    @property
    def section(self) -> str:
        """The INI section of this mechanism's options."""
        return AUTH_PREFIX + self.name

    @abstractmethod
    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        """Whether the credentials are right. Raises AuthMechanismError when that cannot be told."""

    def _spend(self, settings: Settings, credentials: Credentials) -> Verdict | None:
        """Take as long as `_check` takes to find a password wrong; a verdict where `_check` could not tell at present.

        By default, as long as some of the last took; and nobody can tell where the last check could not, or, if there
        was none lately, where the mechanism is not ready. Raises AuthMechanismError, as `_check`.
        """
        began = time.monotonic()
        failure = self._pace.failure()
        if failure is None and not self._pace.is_fine() and not self.is_ready(settings, READY_SECONDS):
            failure = Failure()
        if failure is None:
            self._pace.wait(began)
            return None
        failure.wait(began)
        return unavailable(credentials.user, NOT_AVAILABLE, failure.looked)

    def _account(self, settings: Settings, user: str, address: str) -> Verdict:
        """Whether a user who was let in before may still come in, without a password. Raises AuthMechanismError.

        By default nobody can tell, and the login that was stays good.
        """
        return granted(user, "not asked again")

    @final
    def account(self, settings: Settings, user: str, address: str) -> Verdict:
        """Whether a user who was let in before may still come in; a yes counts for ACCOUNT_SECONDS.

        To be asked before anything is given out that opens an account elsewhere. Who cannot tell says so, and that is
        no yes.
        """
        now, key = time.monotonic(), (user, address)
        known = self._welcome.get(key)
        if known is not None and known[0] is settings and now - known[1] < ACCOUNT_SECONDS:
            return granted(user, "asked a moment ago")
        try:
            verdict = self._account(settings, user, address)
        except AuthMechanismError as error:
            error_log.error("auth mechanism %s: %s", self.name, error)
            return unavailable(user, NOT_AVAILABLE, looked=False)
        if len(self._welcome) >= MOST_WELCOME:
            self._welcome.clear()
        if verdict.granted:
            self._welcome[key] = settings, now
        return verdict

    def is_ready(self, settings: Settings, seconds: float) -> bool:
        """Whether what this mechanism asks would answer within so many seconds; nobody is logged in by it."""
        return True

    def _change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        """Change the password of a user who has just been checked. Raises AuthMechanismError."""
        return PasswordChange(False, "not possible with this login", Outcome.REFUSED, looked=False)

    def user_of(self, settings: Settings, credentials: Credentials) -> str:
        """Whom a right login with these credentials names, as far as that is known before: failures count for that
        user. As the client says, unless overridden. Raises nothing, and asks nobody.
        """
        return credentials.user

    def takes_codes(self, settings: Settings) -> bool:
        """Whether what users type is good only once, as it holds a code; False unless overridden."""
        return False

    @final
    def authenticate(self, settings: Settings, credentials: Credentials) -> Verdict:
        """Whether the credentials are right. Never raises for what a client sent or a server failed to do."""
        if fault := self.fault(credentials):
            return refused(credentials.user, fault, looked=False)
        began = time.monotonic()
        try:
            verdict = self._check(settings, credentials)
        except AuthMechanismError as error:
            error_log.error("auth mechanism %s: %s", self.name, error)
            verdict = unavailable(credentials.user, NOT_AVAILABLE, error.looked)
        self._keep_pace(verdict, time.monotonic() - began)
        return verdict

    def _keep_pace(self, verdict: Verdict, seconds: float) -> None:
        if verdict.outcome is Outcome.UNAVAILABLE:
            self._pace.failed(seconds, verdict.looked)
        elif verdict.granted:
            self._pace.let_in(seconds)
        elif verdict.looked:  # where nobody has compared anything, the time says nothing
            self._pace.took(seconds)

    @final
    def fault(self, credentials: Credentials) -> str:
        """Why these can be nobody's credentials; nothing when they can. The same for every user."""
        if self.needs_password and not credentials.user:
            return NO_USER
        if len(credentials.user) > LONGEST_USER or not credentials.user.isprintable():
            return BAD_USER
        return "" if can_be_typed(credentials.password) else BAD_PASSWORD

    @final
    def spend(self, settings: Settings, credentials: Credentials) -> Verdict | None:
        """Take as long as the refusal of a wrong password, for one that is refused whatever the password.

        Where nobody could tell at present whether a password is right, that is the verdict; else None.
        """
        try:
            verdict = self._spend(settings, credentials)
        except AuthMechanismError as error:
            error_log.error("auth mechanism %s: %s", self.name, error)
            return unavailable(credentials.user, NOT_AVAILABLE, error.looked)
        return verdict if verdict is not None and verdict.outcome is Outcome.UNAVAILABLE else None

    @final
    def change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        """Change the password of `credentials.user` from `credentials.password` to `new`, if this mechanism can."""
        if fault := new_password_fault(new):
            return PasswordChange(False, fault, Outcome.REFUSED, looked=False)
        if not credentials.password:
            return PasswordChange(False, "the present password is needed", Outcome.REFUSED, looked=False)
        if self.fault(credentials):
            return PasswordChange(False, WRONG_PRESENT.reason, Outcome.REFUSED, looked=False)
        try:
            return self._change_password(settings, credentials, new)
        except AuthMechanismError as error:
            error_log.error("auth mechanism %s: cannot change a password: %s", self.name, error)
            return PasswordChange(False, "not possible at present", Outcome.UNAVAILABLE, error.looked)
