"""Who is signed in at the portal. Only a hash of each cookie's token is stored.

The user's password is kept with it, for X2Go Servers, where it is wanted: encrypted with AES-GCM. Its key comes from
the token by HKDF (RFC 5869), and the store does not have the token: who reads the store reads no password.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from x2gobroker.model.accounts import account_name
from x2gobroker.model.inventory import CLOCK_SECONDS
from x2gobroker.model.penalty import address_block
from x2gobroker.model.vouched import Vouched
from x2gobroker.store.authids import digest_of
from x2gobroker.store.database import Store
from x2gobroker.store.portal_tables import PORTAL_SESSIONS
from x2gobroker.store.sign_in_ties import SignInTie
from x2gobroker.store.user_locks import UserLocks

TOKEN_BYTES = 32
TOKEN = re.compile(r"[0-9a-f]{64}")
KEY_BYTES = 32
NONCE_BYTES = 12
PADDED_TO = 64
PURPOSE = b"x2gobroker portal password"
SEEN_SECONDS = 60.0  # what is written down of signs of life is this old at most; each of them would cost too much
AT_SIGN_IN = Vouched("signed in at the portal")
S = PORTAL_SESSIONS.c


@dataclass(frozen=True)
class PortalSession:
    """One sign-in: from where, since when, and until when at the latest. Times are seconds since the epoch.

    `vouched`: somebody has checked who this is, at the sign-in; None: nobody. `checked` is when that was done last.
    `sealed` is the encrypted password, None where none is kept.
    """

    digest: bytes = field(repr=False)
    username: str
    backend: str
    address: str
    vouched: Vouched | None
    created: float
    last_seen: float
    ends: float
    checked: float
    sealed: bytes | None = field(repr=False)

    def password(self, token: str) -> str | None:
        """The user's password, opened with the cookie's token; None where none is kept, or the token is not its own."""
        if self.sealed is None:
            return None
        nonce, hidden = self.sealed[:NONCE_BYTES], self.sealed[NONCE_BYTES:]
        try:
            text = AESGCM(_key(token)).decrypt(nonce, hidden, self.digest)
        except InvalidTag:
            return None
        return text.rstrip(b"\0").decode("utf-8", "surrogatepass")


class PortalSessions:
    """The sign-ins of one store. All methods raise StoreError; `now` is for tests, seconds since the epoch.

    Users are compared by `account_name`: `Anna` and `anna` are one. A moment still to come is of a clock that was
    ahead: a sign-in of then is over, and a sign of life of then counts as one of now.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def open(
        self,
        user: str,
        backend: str,
        address: str,
        lifetime: float,
        vouched: Vouched | None,
        password: str | None = None,
        now: float | None = None,
    ) -> str:
        """Sign a user in for `lifetime` seconds at most; the token for the cookie."""
        moment = _now(now)
        token = secrets.token_hex(TOKEN_BYTES)
        digest = digest_of(token)
        row = {
            "digest": digest,
            "username": user,
            "backend": backend,
            "address": address,
            "vouched": vouched is not None,
            "created": moment,
            "last_seen": moment,
            "ends": moment + lifetime,
            "checked": moment,
            "sealed": None if password is None else _sealed(token, digest, password),
        }
        with self.store.begin() as connection:
            connection.execute(insert(PORTAL_SESSIONS), row)
        return token

    def find(self, token: str, idle: float, now: float | None = None) -> PortalSession | None:
        """Whose token this is; None for an unknown one, one at its end, and one not seen for `idle` seconds.

        One that has ended is forgotten by this. None for a user who is locked out, too.
        """
        if not TOKEN.fullmatch(token):
            return None
        moment = _now(now)
        with self.store.begin() as connection:
            row = connection.execute(select(*S).where(S.digest == digest_of(token))).one_or_none()
            if row is None:
                return None
            last_seen = _seen_by_now(connection, row, moment)
            if row.ends < moment or last_seen + idle < moment or _is_to_come(row.created, moment):
                connection.execute(delete(PORTAL_SESSIONS).where(S.digest == row.digest))
                return None
        locked = UserLocks(self.store).find(row.username) is not None
        return None if locked else replace(_session(row), last_seen=last_seen)

    def seen(self, session: PortalSession, idle: float, moment: float) -> None:
        """Note that the user did something then; the sign-in ends after `idle` seconds without that.

        Nothing is written for less than SEEN_SECONDS, nor for less than a fourth of `idle`.
        """
        if moment < session.last_seen + _rarely(idle):
            return
        with self.store.begin() as connection:
            later = update(PORTAL_SESSIONS).where(S.digest == session.digest, S.last_seen < moment)
            connection.execute(later.values(last_seen=moment))

    def going_on(self, worked: Mapping[SignInTie, float], now: float | None = None) -> set[bytes]:
        """The hashes of those of these sign-ins that have not ended.

        `worked` has when each one's user last did something. That is written down, as by `seen`.
        """
        if not worked:
            return set()
        moment = _now(now)
        by_digest = {tie.digest: (tie.idle, min(at, moment)) for tie, at in worked.items()}
        going_on = set()
        with self.store.begin() as connection:
            found = select(S.digest, S.created, S.last_seen, S.ends).where(S.digest.in_(list(by_digest)))
            for row in connection.execute(found).all():
                idle, at = by_digest[row.digest]
                last_seen = _seen_by_now(connection, row, moment)
                if row.ends < moment or max(last_seen, at) + idle < moment or _is_to_come(row.created, moment):
                    continue
                going_on.add(row.digest)
                if at >= last_seen + _rarely(idle):
                    later = update(PORTAL_SESSIONS).where(S.digest == row.digest, S.last_seen < at)
                    connection.execute(later.values(last_seen=at))
        return going_on

    def checked(self, session: PortalSession, moment: float) -> bool:
        """Note that the user is being checked again; True for one caller only."""
        with self.store.begin() as connection:
            mine = update(PORTAL_SESSIONS).where(S.digest == session.digest, S.checked == session.checked)
            return connection.execute(mine.values(checked=moment)).rowcount == 1

    def close(self, token: str) -> None:
        """Sign one browser out."""
        with self.store.begin() as connection:
            connection.execute(delete(PORTAL_SESSIONS).where(S.digest == digest_of(token)))

    def all_of(self, user: str, idle: float, now: float | None = None) -> list[PortalSession]:
        """Where a user is signed in, the last seen first."""
        moment = _now(now)
        going_on = and_(S.ends >= moment, S.last_seen >= moment - idle)
        with self.store.begin() as connection:
            query = select(*S).where(_of(connection, user), going_on)
            return [_session(row) for row in connection.execute(query.order_by(S.last_seen.desc(), S.created))]

    def close_all(self, user: str) -> int:
        """Sign a user out everywhere; how many sign-ins there were."""
        with self.store.begin() as connection:
            return connection.execute(delete(PORTAL_SESSIONS).where(_of(connection, user))).rowcount

    def close_block(self, user: str, address: str) -> int:
        """Sign a user out in the address block of `address`, from which passwords are guessed; how many there were."""
        block = address_block(address)
        with self.store.begin() as connection:
            rows = connection.execute(select(S.digest, S.address).where(_of(connection, user))).all()
            near = [row.digest for row in rows if address_block(row.address) == block]
            return connection.execute(delete(PORTAL_SESSIONS).where(S.digest.in_(near))).rowcount if near else 0

    def leaving(self, idle: float, now: float | None = None) -> set[str]:
        """The users all of whose sign-ins have ended, and are not forgotten yet."""
        moment = _now(now)
        going_on = and_(S.ends >= moment, S.last_seen >= moment - idle)
        with self.store.begin() as connection:
            everybody = set(connection.execute(select(S.username).distinct()).scalars())
            there = connection.execute(select(S.username).where(going_on).distinct()).scalars()
            staying = {account_name(name) for name in there}
            return {name for name in everybody if account_name(name) not in staying}

    def sweep(self, idle: float, now: float | None = None) -> int:
        """Forget sign-ins that have ended; how many."""
        moment = _now(now)
        over = or_(S.ends < moment, S.last_seen < moment - idle)
        with self.store.begin() as connection:
            return connection.execute(delete(PORTAL_SESSIONS).where(over)).rowcount


def _now(now: float | None) -> float:
    return time.time() if now is None else now


def _is_to_come(noted: float, now: float) -> bool:
    """Whether no broker can have noted this moment by now, whose clocks agree to within CLOCK_SECONDS."""
    return noted > now + CLOCK_SECONDS


def _seen_by_now(connection: Connection, row: Any, now: float) -> float:
    """When a sign-in was seen last. Written anew where a clock was ahead then: else it could not end for want of it."""
    if not _is_to_come(row.last_seen, now):
        return float(row.last_seen)
    connection.execute(update(PORTAL_SESSIONS).where(S.digest == row.digest).values(last_seen=now))
    return now


def _rarely(idle: float) -> float:
    """By how many seconds a sign of life has to be later than the last to be written down."""
    return min(SEEN_SECONDS, idle / 4)


def _spellings(connection: Connection, user: str) -> set[str]:
    written = connection.execute(select(S.username).distinct()).scalars()
    return {name for name in written if account_name(name) == account_name(user)}


def _of(connection: Connection, user: str) -> ColumnElement[bool]:
    """The condition for the sign-ins of a user, in whatever spelling the name is written there."""
    return S.username.in_(_spellings(connection, user))


def _session(row: Any) -> PortalSession:
    values = dict(row._mapping)
    return PortalSession(**{**values, "vouched": AT_SIGN_IN if values["vouched"] else None})


def _key(token: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(bytes.fromhex(token))


def _sealed(token: str, digest: bytes, password: str) -> bytes:
    """The nonce and the ciphertext. Padded: the length of a password is nobody's business."""
    text = password.encode("utf-8", "surrogatepass")
    padded = text + b"\0" * (-len(text) % PADDED_TO or PADDED_TO * (not text))
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(_key(token)).encrypt(nonce, padded, digest)
