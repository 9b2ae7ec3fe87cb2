"""The PAM session of one desktop, opened and closed by the process that keeps it (`keeper.py`), as root.

Modules change the process that calls them: its limits (`ulimit`), nice value, umask and groups. All that is meant for
the user's programs, and not for a process of root's that has to end them. So what the modules leave behind is noted
and taken back, and each program takes it on before it becomes the user's.

Only the keeper loads this, which was started by exec: `authservice/libpam.py` says why.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from x2gobroker.authservice import libpam
from x2gobroker.authservice.libpam import PamCannotStartError, Step, Transaction
from x2gobroker.authservice.pamcodes import PAM_NEW_AUTHTOK_REQD, PAM_SUCCESS, outcome_of
from x2gobroker.authservice.protocol import REFUSED
from x2gobroker.remote.told import NO_LOGINS, NOT_PERMITTED, PASSWORD_EXPIRED, SCRIPT_FAILED, LoginError

# <security/pam_appl.h> of Linux-PAM
PAM_ESTABLISH_CRED, PAM_DELETE_CRED = 0x0002, 0x0004
PAM_ACCT_EXPIRED = 13
PAM_AUTHTOK_EXPIRED = 27
LONGEST_WORDS = 200
NO_LOGIN_FILES = (Path("/run/nologin"), Path("/etc/nologin"))  # of pam_nologin(8)
# a graphical session of a person: pam_systemd(8) reads that, and so do desktops
KIND = {"XDG_SESSION_TYPE": "x11", "XDG_SESSION_CLASS": "user"}
LIMITS = sorted({number for name, number in vars(resource).items() if name.startswith("RLIMIT_")})


@dataclass(frozen=True)
class Traits:
    """What modules change of a process. `limits` are soft and hard ones, by the number of the resource."""

    limits: dict[int, tuple[int, int]]
    nice: int
    umask: int
    groups: tuple[int, ...]

    @classmethod
    def now(cls) -> Traits:
        """Those of this process."""
        umask = os.umask(0o077)
        os.umask(umask)
        limits = {number: resource.getrlimit(number) for number in LIMITS}
        return cls(limits, os.getpriority(os.PRIO_PROCESS, 0), umask, tuple(os.getgroups()))

    def take_on(self) -> None:
        """Give them to this process, which is root's. Raises OSError."""
        for number, pair in self.limits.items():
            _set_limit(number, *pair)
        os.setpriority(os.PRIO_PROCESS, 0, self.nice)
        os.umask(self.umask)
        os.setgroups(self.groups)


def _set_limit(number: int, soft: int, hard: int) -> None:
    """Set a limit as far as that can be: in containers, root may not raise hard ones that a module has lowered."""
    now = resource.getrlimit(number)
    if now == (soft, hard):
        return
    try:
        resource.setrlimit(number, (soft, hard))
    except (ValueError, OSError):
        unlimited = resource.RLIM_INFINITY
        most = now[1] if soft == unlimited else soft if now[1] == unlimited else min(soft, now[1])
        resource.setrlimit(number, (most, now[1]))


class PamSession:
    """One session. `note` gets what is worth a line in the desktop's log.

    First `ask`, then `open`. After that, `variables` are the environment that PAM wants for the user's programs, and
    `traits` what they become.
    """

    def __init__(self, service: str, user: str, groups: list[int], note: Callable[[str], None]) -> None:
        self.variables: dict[str, str] = {}
        self.traits: Traits | None = None
        self._service = service
        self._user = user
        self._groups = groups
        self._note = note
        self._heard: list[str] = []
        self._transaction: Transaction | None = None

    def ask(self) -> None:
        """Ask whether the account may be used now. Raises LoginError."""
        try:
            transaction = Transaction(self._service, self._user, lambda _question, _seen: None, self._heard.append)
        except PamCannotStartError as error:
            raise LoginError(f"PAM cannot start for the service {self._service}: {error}", SCRIPT_FAILED) from error
        code = transaction.run(libpam.acct_mgmt, 0)
        if code != PAM_SUCCESS:
            refusal = self._refusal(code, transaction.text_of(code))
            transaction.end(code)
            raise refusal
        self._transaction = transaction

    def open(self, given: Mapping[str, str]) -> None:
        """Open a session; `given` are variables for its modules, beside our own. Raises LoginError."""
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            raise LoginError("PAM was not asked", SCRIPT_FAILED)
        for name, value in {**KIND, **given}.items():
            transaction.put_variable(name, value)
        before = Traits.now()
        try:
            self._open(transaction)
            self.traits = Traits.now()
        finally:
            before.take_on()
        self.variables = transaction.variables()

    def _open(self, transaction: Transaction) -> None:
        os.setgroups(self._groups)  # to which pam_group(8) adds
        self._try(transaction, libpam.setcred, PAM_ESTABLISH_CRED, "sets no credentials")
        self._heard.clear()
        code = transaction.run(libpam.open_session, 0)
        if code != PAM_SUCCESS:
            said = f"{transaction.text_of(code)}{self._words(': ')}"
            transaction.run(libpam.setcred, PAM_DELETE_CRED)
            transaction.end(code)
            raise LoginError(f"PAM ({self._service}) opens no session for {self._user}: {said}", SCRIPT_FAILED)
        self._transaction = transaction

    def _try(self, transaction: Transaction, step: Step, flags: int, fault: str) -> int:
        """A step without which a session is one all the same."""
        code = transaction.run(step, flags)
        if code != PAM_SUCCESS:
            self._note(f"PAM ({self._service}) {fault} for {self._user}: {transaction.text_of(code)}")
        return code

    def close(self) -> None:
        """Close it, when none of its programs runs any more."""
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        self._try(transaction, libpam.setcred, PAM_DELETE_CRED, "keeps credentials")
        code = self._try(transaction, libpam.close_session, 0, "does not close the session")
        transaction.end(code)

    def _refusal(self, code: int, meaning: str) -> LoginError:
        words = self._words()
        text = f"PAM ({self._service}) does not let {self._user} in: {meaning}{self._words(': ')}"
        if outcome_of(code) != REFUSED:
            return LoginError(text, SCRIPT_FAILED)
        if code in (PAM_NEW_AUTHTOK_REQD, PAM_AUTHTOK_EXPIRED):
            return LoginError(text, PASSWORD_EXPIRED)
        if any(path.exists() for path in NO_LOGIN_FILES):
            return LoginError(text, words or NO_LOGINS)
        return LoginError(text, NOT_PERMITTED)

    def _words(self, before: str = "") -> str:
        """What modules have said, in one line."""
        line = " ".join(" ".join(self._heard).split())
        return before + line[:LONGEST_WORDS] if line else ""
