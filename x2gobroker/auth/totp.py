"""The second factor: a code of six digits, behind the password, from a telephone that shares a secret (RFC 6238).

Clients have one password field. Who needs a second factor writes the code straight behind the password.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from passlib.exc import TokenError
from passlib.totp import TOTP

from x2gobroker.auth.base import AuthMechanism, Credentials, Outcome, Verdict, granted, refused
from x2gobroker.logs import error_log
from x2gobroker.model.accounts import account_name
from x2gobroker.model.acl import ALL, Network, Requester, parse_client, parse_network
from x2gobroker.model.name_lists import fault_of_entry, parts_of
from x2gobroker.settings import BACKEND_PREFIX, ENVIRONMENT, GLOBAL, Problem, Settings
from x2gobroker.store import Enrolment, Enrolments

DIGITS = 6
STEP_SECONDS = 30
TOLERATED_SECONDS = 30
OFF, ENROLLED, REQUIRED = "off", "enrolled", "required"
NO_NETWORK = "NONE"
BEHIND_PASSWORD = re.compile(rf"(.*)([0-9]{{{DIGITS}}})", re.DOTALL)

MISSING = "second factor missing"
WRONG = "second factor wrong"
USED = "second factor used before"
NOT_ENROLLED = "second factor not enrolled"
CODE_REFUSED = frozenset({MISSING, WRONG, USED, NOT_ENROLLED})


def new_secret() -> str:
    """A new secret of 160 random bits, in base32 as telephones want it."""
    return str(TOTP.new(digits=DIGITS, period=STEP_SECONDS).base32_key)


def provisioning_uri(user: str, secret: str, issuer: str) -> str:
    """The `otpauth://` URI of a secret. Raises ValueError for a user or an issuer that cannot stand in it."""
    for text in (user, issuer):
        if not text or ":" in text or not text.isprintable():
            raise ValueError(f"{text!r} cannot be used: empty, unprintable, or with a colon in it")
    return str(TOTP(secret, digits=DIGITS, period=STEP_SECONDS).to_uri(label=user, issuer=issuer))


def step_of(secret: str, code: str, now: float) -> int | None:
    """The step of the clock that a code belongs to: the present one, or one before or after; None for a wrong code."""
    try:
        found = TOTP(secret, digits=DIGITS, period=STEP_SECONDS).match(code, time=now, window=TOLERATED_SECONDS)
    except TokenError:
        return None
    return int(found.counter)


def use_code(enrolments: Enrolments, enrolment: Enrolment, code: str) -> str:
    """Accept a code, which then is used up; why not, or nothing when it was accepted."""
    step = step_of(enrolment.secret, code, time.time())
    if step is None:
        return WRONG
    return "" if enrolments.advance(enrolment, step) else USED


def split_code(password: str) -> tuple[str, str]:
    """The password and the code that stands behind it; all of it and nothing where it does not end in six digits."""
    found = BEHIND_PASSWORD.fullmatch(password)
    return (found[1], found[2]) if found else (password, "")


@dataclass(frozen=True)
class Rules:
    """Who needs a second factor at a backend. `bad` holds entries that are no networks: nobody is exempt by them.

    `bad_groups` are entries that are no names of groups: then everybody needs one, as where no groups are named.
    """

    mode: str
    groups: frozenset[str]
    exempt: tuple[Network, ...]
    bad: tuple[str, ...] = ()
    bad_groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, backend: str) -> Rules:
        """The rules of a backend; what it leaves empty is as in [global]."""
        exempt: list[Network] = []
        bad: list[str] = []
        for entry in _entries(settings, backend, "second-factor-exempt-networks"):
            try:
                if entry.upper() != NO_NETWORK:
                    exempt.append(parse_network(entry))
            except ValueError:
                bad.append(entry)
        groups = _entries(settings, backend, "second-factor-groups")
        bad_groups = tuple(name for name in groups if fault_of_entry(name.replace(",", "")))
        asked = frozenset(groups).union(*map(parts_of, groups))
        mode = settings.for_backend(backend, "second-factor")
        everybody = ALL in asked or bool(bad_groups)
        return cls(mode, frozenset() if everybody else asked, tuple(exempt), tuple(bad), bad_groups)

    def exempts(self, address: str) -> bool:
        """Whether a client at this address needs no second factor."""
        client = parse_client(address) if self.exempt else None
        return client is not None and any(
            client.version == network.version and client in network for network in self.exempt
        )

    def apply_to(self, groups: frozenset[str]) -> bool:
        """Whether members of these groups need a second factor. Directories take `Admins` for `admins`."""
        return bool(self._forms & {account_name(group) for group in groups})

    @cached_property
    def _forms(self) -> frozenset[str]:
        return frozenset(map(account_name, self.groups))

    def realm(self, address: str) -> str:
        """What an authid is bound to: one given without a code is good only where none is asked for."""
        if self.mode == OFF:
            return ""
        networks = sorted(map(str, self.exempt))
        return f"second-factor={self.mode} {sorted(self.groups)} {networks} {self.exempts(address)}"


def _entries(settings: Settings, backend: str, name: str) -> tuple[str, ...]:
    value = settings.value(BACKEND_PREFIX + backend, name) or settings.value(GLOBAL, "default-" + name)
    return value if isinstance(value, tuple) else ()


def second_factor_problems(settings: Settings, backend: str) -> list[Problem]:
    """What is wrong with a backend's rules."""
    rules = Rules.of(settings, backend)
    config, section = settings.text(ENVIRONMENT, "X2GOBROKER_CONFIG"), f"[{BACKEND_PREFIX}{backend}]"
    problems = [
        Problem(config, 0, f"{section} second-factor-exempt-networks: {entry!r} is no network; nobody is exempt by it")
        for entry in rules.bad
    ]
    for entry in rules.bad_groups:
        fault = fault_of_entry(entry)
        message = f"{section} second-factor-groups: {entry!r} {fault}; everybody needs a code until it is mended"
        problems.append(Problem(config, 0, message))
    if rules.mode != OFF and not settings.boolean(GLOBAL, "require-password"):
        message = f"{section} second-factor is never asked for: require-password is false"
        problems.append(Problem(config, 0, message, error=False))
    return problems


@dataclass(frozen=True)
class Demand:
    """That a user needs a second factor, and the one there is."""

    enrolment: Enrolment | None

    def fault(self, code: str) -> str:
        """Why the user cannot get in, whatever the password; nothing when the code is to be looked at."""
        return NOT_ENROLLED if self.enrolment is None else "" if code else MISSING


class SecondFactor:
    """The second factor of one backend; `who` tells of a user's groups. Safe for threads."""

    def __init__(
        self,
        backend: str,
        enrolments: Callable[[Settings], Enrolments],
        who: Callable[[Settings, str, str], Requester],
    ) -> None:
        self._backend = backend
        self._enrolments = enrolments
        self._who = who
        self._rules_of: tuple[Settings | None, Rules] = (None, Rules(REQUIRED, frozenset(), ()))

    def rules(self, settings: Settings) -> Rules:
        """The rules as configured now."""
        made_for, rules = self._rules_of
        if made_for is not settings:
            rules = Rules.of(settings, self._backend)
            for entry in rules.bad:
                error_log.error("second factor of backend %s: %s is no network", self._backend, entry)
            for entry in rules.bad_groups:
                error_log.error("second factor of backend %s: %s is no group", self._backend, entry)
            self._rules_of = settings, rules
        return rules

    def is_on(self, settings: Settings) -> bool:
        """Whether anybody needs a code."""
        return self.rules(settings).mode != OFF

    def authenticate(self, settings: Settings, mechanism: AuthMechanism, credentials: Credentials) -> Verdict:
        """What the mechanism says of the password, and the code where one is needed. Raises StoreError.

        Without a code, or without a second factor to compare it with, the mechanism is not asked: not even the time
        that the answer takes tells whether the password is right. It takes as long as with a wrong password, and is the
        same where passwords cannot be checked, so that it does not tell who has a second factor either. A code counts,
        and is used up, only behind the right password.
        """
        if fault := mechanism.fault(credentials):  # before anything that depends on who it is
            return refused(credentials.user, fault, looked=False)
        given = self._demand(settings, credentials.user, credentials.address)
        password, code = split_code(credentials.password)
        passed = credentials
        if given is not None and mechanism.needs_password:
            if fault := given.fault(code):
                return mechanism.spend(settings, credentials) or refused(credentials.user, fault)
            passed = dataclasses.replace(credentials, password=password)
        verdict = mechanism.authenticate(settings, passed)
        if not verdict.granted:
            return verdict
        demand = given
        if verdict.user != credentials.user:  # the web server, or a directory, calls the user otherwise
            demand = self._demand(settings, verdict.user, credentials.address) or given
        if demand is None:
            return verdict
        fault = demand.fault(code)
        if not fault and demand.enrolment is not None:
            fault = use_code(self._enrolments(settings), demand.enrolment, code)
        if fault:
            return Verdict(Outcome.REFUSED, verdict.user, fault, guessed_code=fault == WRONG)
        return granted(verdict.user, f"{verdict.reason} and code", verdict.ticket)

    def is_needed(self, settings: Settings, user: str, address: str) -> bool:
        """Whether this user needs a code from there. To be told only to whom is known to be the user."""
        return self._demand(settings, user, address) is not None

    def without_code(self, settings: Settings, credentials: Credentials) -> Credentials:
        """The credentials of somebody logged in, for the mechanism. The code behind the password was looked at then,
        and clients go on sending the same."""
        if self._demand(settings, credentials.user, credentials.address) is None:
            return credentials
        return dataclasses.replace(credentials, password=split_code(credentials.password)[0])

    def _demand(self, settings: Settings, user: str, address: str) -> Demand | None:
        rules = self.rules(settings)
        if rules.mode == OFF or not user or rules.exempts(address):
            return None
        who = self._who(settings, user, address)
        if rules.groups:
            groups = who.groups()
            if groups is not None and not rules.apply_to(groups):  # where they are not known, the code is needed
                return None
        enrolments = self._enrolments(settings)
        found = map(enrolments.find, sorted(who.names.all))
        enrolment = next((one for one in found if one is not None), None)
        return None if enrolment is None and rules.mode == ENROLLED else Demand(enrolment)
