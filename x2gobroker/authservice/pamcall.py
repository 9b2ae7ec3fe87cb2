"""PAM: one login or one change of a password, with a fresh handle each.

Only worker processes load this module, which are started by exec: `libpam.py` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from x2gobroker.authservice import directory, libpam
from x2gobroker.authservice.libpam import Answerer, PamCannotStartError, Step, Transaction
from x2gobroker.authservice.pamcodes import (
    PAM_AUTH_ERR,
    PAM_NEW_AUTHTOK_REQD,
    PAM_SUCCESS,
    PAM_SYSTEM_ERR,
    PAM_USER_UNKNOWN,
    outcome_of,
)
from x2gobroker.authservice.pamfiles import names_module
from x2gobroker.authservice.protocol import REFUSED, UNAVAILABLE

# <security/_pam_types.h> of Linux-PAM
PAM_RHOST = 4
PAM_DISALLOW_NULL_AUTHTOK = 0x0001
PAM_SILENT = 0x8000
# says PAM_SYSTEM_ERR also when the program that it runs says no
PROGRAMS = "pam_exec.so"
LONGEST_DELAY_MS = 10_000

# Takes the Kerberos ticket of a login and its user: its handle, or nothing and why there is none.
Taker = Callable[[Transaction, str], tuple[str, str]]


class PamVerdict(NamedTuple):
    """What PAM says. `outcome` is a result of the protocol: OK, REFUSED, or UNAVAILABLE where PAM could not check.

    `delay_ms` is how long PAM wants a refusal to wait; nobody has waited yet. `must_change` is set where the password
    is right but has expired: it can still be used to set a new one. `wrong_present` is set where a password was to be
    changed and the present one is wrong. `ticket` is the handle of a Kerberos ticket that was taken, `ticket_fault` why
    none was, where one was wanted.
    """

    outcome: str
    reason: str
    delay_ms: int = 0
    must_change: bool = False
    wrong_present: bool = False
    ticket: str = ""
    ticket_fault: str = ""


def load_modules(service: str) -> object:
    """Have libpam load the modules of a service before somebody waits for it; they stay as long as the result does."""
    try:
        return _Call(service, "nobody", lambda _question, _seen: None, "")
    except PamCannotStartError:
        return None  # the login says so


def authenticate(service: str, user: str, answer: Answerer, address: str = "", take: Taker | None = None) -> PamVerdict:
    """Check a user: password or whatever the service asks for, then whether the account may log in at all.

    An account whose password field is empty does not get in. `take` gets the transaction of a user who gets in, before
    its end. Raises PamCannotStartError, and what `answer` and `take` raise.
    """
    call = _Call(service, user, answer, address)
    code = call.run(libpam.authenticate, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK)
    if code == PAM_SUCCESS:
        code = call.run(libpam.acct_mgmt, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK)
    ticket, fault = call.have_taken(take) if take is not None and code == PAM_SUCCESS else ("", "")
    verdict = call.finish(code)._replace(ticket=ticket, ticket_fault=fault)
    if code == PAM_SYSTEM_ERR and names_module(service, PROGRAMS):
        return verdict._replace(outcome=REFUSED)
    if code in (PAM_AUTH_ERR, PAM_USER_UNKNOWN) and directory.has_failed_for(user):
        return verdict._replace(outcome=UNAVAILABLE, reason=f"{verdict.reason}, but a source of users does not answer")
    return verdict


def account(service: str, user: str, address: str = "") -> PamVerdict:
    """Whether an account may log in at all: not expired, not barred by a module; nobody is asked for a password.

    Raises PamCannotStartError.
    """
    call = _Call(service, user, lambda _question, _seen: None, address)
    return call.finish(call.run(libpam.acct_mgmt, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK))


def change_password(service: str, user: str, answer: Answerer) -> PamVerdict:
    """Change a user's password; PAM asks for the old and the new one by itself. Raises as `authenticate`."""
    call = _Call(service, user, answer, "")
    return call.finish(call.run(libpam.chauthtok, PAM_SILENT))


class _Call:
    """One PAM transaction."""

    def __init__(self, service: str, user: str, answer: Answerer, address: str) -> None:
        self._user = user
        self._transaction = Transaction(service, user, answer)
        if address:
            self._transaction.set_item(PAM_RHOST, address)

    def run(self, step: Step, flags: int) -> int:
        """One step of it; its PAM code. Raises what the conversation has raised."""
        return self._transaction.run(step, flags)

    def have_taken(self, take: Taker) -> tuple[str, str]:
        """What `take` gets out of the transaction, which can only be ended afterwards."""
        return take(self._transaction, self._user)

    def finish(self, code: int) -> PamVerdict:
        """End the transaction; what its last code means."""
        reason = self._transaction.text_of(code)
        self._transaction.end(code)
        delay_ms = min(self._transaction.delay_us // 1000, LONGEST_DELAY_MS) if code else 0
        return PamVerdict(outcome_of(code), reason, delay_ms, code == PAM_NEW_AUTHTOK_REQD)
