"""Authids: what a client shows instead of the password after its login. Only a hash of each is stored.

A dynamic authid is spent by the answer to the request that showed it, and replaced by a new one. Requests that were
already under way with it at that moment are answered as well: a client that asks two things at once loses neither.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, or_, select, update

from x2gobroker.model.inventory import CLOCK_SECONDS
from x2gobroker.store.database import Store
from x2gobroker.store.tables import AUTHIDS

TOKEN_BYTES = 20
LONGEST_AUTHID = 200
SWEEP_SECONDS = 60
KEEP_SPENT_SECONDS = 300
LONGEST_GRACE = 30.0  # the most for which one that is being spent may go on counting: for reports of a client


@dataclass(frozen=True)
class Standing:
    """What is known of an authid that was shown: whose it is, and whether it still counts (`fault` is empty).

    `spent`: another request has got the next one for it, and was answered before this one came.
    """

    digest: bytes
    user: str
    login_time: float
    fault: str = ""
    spent: bool = False


def digest_of(authid: str) -> bytes:
    """What is stored of an authid. It has 160 random bits, so that a plain hash cannot be turned back."""
    return hashlib.sha256(authid.encode("utf-8", "surrogatepass")).digest()


_FIND = select(AUTHIDS).where(AUTHIDS.c.digest == bindparam("shown"))
_SPEND = update(AUTHIDS).where(AUTHIDS.c.digest == bindparam("shown"), AUTHIDS.c.spent_at.is_(None))
_DROP = delete(AUTHIDS).where(AUTHIDS.c.digest == bindparam("shown"))
_SWEEP = delete(AUTHIDS).where(
    or_(AUTHIDS.c.expires < bindparam("now"), AUTHIDS.c.spent_at < bindparam("spent_before"))
)
_ADD = insert(AUTHIDS)


class Authids:
    """The authids of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._next_sweep = 0.0

    def issue(self, user: str, realm: str, address: str, lifetime: float, login_time: float | None = None) -> str:
        """A new authid for a user who logged in, bound to auth realm and client address."""
        now = time.time()
        began = now if login_time is None else login_time
        with self.store.begin() as connection:
            authid = secrets.token_hex(TOKEN_BYTES)
            connection.execute(_ADD, self._row(authid, user, realm, address, began, lifetime))
            if not self._next_sweep - SWEEP_SECONDS <= now <= self._next_sweep:  # also after the clock was set back
                self._next_sweep = now + SWEEP_SECONDS
                connection.execute(_SWEEP, {"now": now, "spent_before": now - KEEP_SPENT_SECONDS})
        return authid

    def look_up(
        self,
        authid: str,
        user: str,
        realm: str,
        address: str | None,
        arrived: float,
        lifetime: float,
        grace: float = 0.0,
    ) -> Standing | None:
        """What an authid shown by `user` in a request that `arrived` then stands for; None when it is unknown.

        `address` is None where addresses are not compared. `lifetime` is counted from the login, as configured now.
        One that was spent counts for `grace` seconds more. One that came from a wrong address is dropped: somebody else
        has it. A moment that no broker can have noted by now is of a clock that was ahead: it prolongs nothing.
        """
        if len(authid) > LONGEST_AUTHID:
            return None
        digest = digest_of(authid)
        latest = max(arrived, time.time()) + CLOCK_SECONDS
        with self.store.begin() as connection:
            row = connection.execute(_FIND, {"shown": digest}).one_or_none()
            if row is None or row.username != user or row.realm != realm:
                return None
            if row.spent_at is not None and not arrived - grace <= row.spent_at <= latest + LONGEST_GRACE:
                return Standing(digest, user, row.login_time, "authid was used before")
            if address is not None and row.address != address:
                connection.execute(_DROP, {"shown": digest})
                return Standing(digest, user, row.login_time, "authid is of another address")
            if min(row.expires, row.login_time + lifetime) < arrived or row.login_time > latest:
                return Standing(digest, user, row.login_time, "authid has expired")
            return Standing(digest, user, row.login_time, spent=self._is_spent(row.spent_at, arrived))

    @staticmethod
    def _is_spent(spent_at: float | None, arrived: float) -> bool:
        """Spent before the request arrived. A time to come means: by a report, whose grace has not ended."""
        return spent_at is not None and (spent_at < arrived or spent_at > time.time())

    def replace(self, standing: Standing, realm: str, address: str, lifetime: float, grace: float = 0.0) -> str:
        """Spend an authid, in `grace` seconds (LONGEST_GRACE at most), and give the next one of the same login, whose
        time goes on counting.
        """
        authid = secrets.token_hex(TOKEN_BYTES)
        row = self._row(authid, standing.user, realm, address, standing.login_time, lifetime)
        with self.store.begin() as connection:
            connection.execute(_SPEND.values(spent_at=time.time() + grace), {"shown": standing.digest})
            connection.execute(_ADD, row)
        return authid

    @staticmethod
    def _row(authid: str, user: str, realm: str, address: str, login_time: float, lifetime: float) -> dict[str, object]:
        return {
            "digest": digest_of(authid),
            "username": user,
            "realm": realm,
            "address": address,
            "login_time": login_time,
            "expires": login_time + lifetime,
            "spent_at": None,
        }
