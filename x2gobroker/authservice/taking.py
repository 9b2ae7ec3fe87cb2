"""A Kerberos ticket out of a login that PAM has granted: its credentials are set, noted, and given back.

pam_krb5 makes a cache of its own for each login and destroys it at the end of the transaction, whatever the PAM service
says; and the service has a /tmp of its own. So the cache's bytes are kept. pam_sss has SSSD keep a cache for the user,
which is still there afterwards: of that one, the name is kept.

Only worker processes load this, as it calls PAM.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Mapping
from typing import Any

from x2gobroker.authservice import libpam
from x2gobroker.authservice.ccache import LARGEST_CACHE, CacheError, read_ticket
from x2gobroker.authservice.libpam import Transaction
from x2gobroker.authservice.protocol import FAILED, FORGET_TICKET, OK, REFUSED, seconds_of, text_of
from x2gobroker.authservice.tickets import (
    FILE,
    LONGEST_LIFE,
    CacheNameError,
    Kept,
    Tickets,
    cache_name,
)
from x2gobroker.privilege.files import TrustError, users_file

# <security/pam_appl.h> of Linux-PAM
PAM_ESTABLISH_CRED, PAM_DELETE_CRED = 0x0002, 0x0004
PAM_SILENT = 0x8000
VARIABLE = "KRB5CCNAME"
NO_ACCOUNT = "the user has no account on this host"


class NoTicketError(Exception):
    """There is no ticket to keep. The text says why, for the log."""


class TicketDesk:
    """What a worker process does with tickets."""

    def __init__(self, tickets: Tickets | None = None) -> None:
        self._tickets = tickets or Tickets()

    def take(self, transaction: Transaction, user: str) -> tuple[str, str]:
        """Take the ticket of a login that was granted: its handle, or nothing and why there is none."""
        try:
            return take_ticket(transaction, user, self._tickets), ""
        except NoTicketError as error:
            return "", str(error)

    def perform(self, request: Mapping[str, Any], user: str) -> dict[str, Any]:
        """Do what the broker wants with the ticket of a user; what came of it. Raises ProtocolError."""
        try:
            uid = pwd.getpwnam(user).pw_uid
        except (KeyError, ValueError):
            return {"result": REFUSED, "reason": NO_ACCOUNT}
        try:
            if request.get("op") == FORGET_TICKET:
                older = seconds_of(request, "older", int(LONGEST_LIFE)) if "older" in request else 0
                self._tickets.forget(uid, float(older), time.time())
                return {"result": OK, "reason": "no ticket is kept"}
            handle, seconds = text_of(request, "ticket", 64), seconds_of(request, "seconds", int(LONGEST_LIFE))
            if self._tickets.accept(handle, uid, float(seconds), time.time()):
                return {"result": OK, "reason": "the ticket is kept"}
            return {"result": REFUSED, "reason": "no ticket of this user waits under that name"}
        except (OSError, TrustError) as error:
            return {"result": FAILED, "reason": f"it cannot be kept: {getattr(error, 'strerror', None) or error}"}


def take_ticket(transaction: Transaction, user: str, tickets: Tickets) -> str:
    """Keep the ticket that this login gives; the handle by which `tickets` knows it. Raises NoTicketError.

    The transaction has authenticated the user, and looked at the account. It can only be ended afterwards.
    """
    try:
        uid = pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise NoTicketError(NO_ACCOUNT) from None
    if uid == 0:
        raise NoTicketError("no ticket of root's is kept")
    code = transaction.run(libpam.setcred, PAM_ESTABLISH_CRED | PAM_SILENT)
    name = transaction.variables().get(VARIABLE, "")
    if not name:
        said = "" if code == libpam.PAM_SUCCESS else f": {transaction.text_of(code)}"
        raise NoTicketError(f"no module gives one{said}")
    now = time.time()
    try:
        name = cache_name(name)
        data = _own_cache(transaction, name, uid) if name.startswith(FILE) else b""
        until = float(read_ticket(data).ends) if data else now + LONGEST_LIFE
        return tickets.put(Kept(uid, "" if data else name, data, until), now)
    except (CacheNameError, CacheError, TrustError) as error:
        raise NoTicketError(f"the cache cannot be used: {error}") from None
    except OSError as error:
        raise NoTicketError(f"it cannot be kept: {error.strerror or error}") from None


def _own_cache(transaction: Transaction, name: str, uid: int) -> bytes:
    """The bytes of a cache that ends with the transaction; none where somebody else keeps it.

    One that cannot be seen from here is somebody else's: SSSD's, in another /tmp than ours.
    """
    path = name.removeprefix(FILE)
    try:
        with users_file(path, uid, LARGEST_CACHE) as data:  # which the module must be able to open as well
            transaction.run(libpam.setcred, PAM_DELETE_CRED | PAM_SILENT)
    except FileNotFoundError:
        return b""
    return b"" if os.path.lexists(path) else data
