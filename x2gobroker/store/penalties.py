"""Failed logins, counted for all workers and broker hosts, and how long who has to wait for them.

There are three kinds of rows: failures of one address block on one account, on all accounts (`account` is empty), and
of all blocks on one account (`block` is empty). The last kind refuses nobody: else anybody could lock a user out. It
only makes a block wait longer that fails on this account itself.

Of a wrong password, 16 bits of a salted hash are kept: enough to know it again, too few to find out what it was.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, or_, select, tuple_, update

from x2gobroker.model.accounts import account_name
from x2gobroker.model.forwarded import UNKNOWN_ADDRESS
from x2gobroker.model.penalty import Penalty, PenaltyRules, address_block
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store.database import PENALTIES, Store, upsert

SWEEP_SECONDS = 60
SALT_BYTES = 16
MARK_BYTES = 2
T = PENALTIES.c


@dataclass(frozen=True)
class Attempt:
    """Somebody tries a password: for this account, as one auth realm knows it, from this address block."""

    realm: str
    account: str
    block: str

    @classmethod
    def of(cls, realm: str, user: str, address: str) -> Attempt:
        """The attempt of a user at a client's address."""
        return cls(realm, account_name(user), address_block(address))

    @property
    def anywhere(self) -> Attempt:
        """The same account, from all blocks."""
        return Attempt(self.realm, self.account, "")

    @property
    def on_all_accounts(self) -> Attempt:
        """The same block, on all accounts."""
        return Attempt("", "", self.block)

    @property
    def has_place(self) -> bool:
        """Whether it is known where it comes from. All who are not known are no block: one would ban the others."""
        return self.block != UNKNOWN_ADDRESS

    @property
    def row(self) -> ColumnElement[bool]:
        """The condition that finds it."""
        return and_(T.realm == self.realm, T.account == self.account, T.block == self.block)


@dataclass(frozen=True)
class Admission:
    """Whether an attempt may go on: `retry_after` is 0, else the seconds to wait. `known`: it has failed before."""

    retry_after: int = 0
    banned: bool = False
    known: bool = False


@dataclass(frozen=True)
class Counted:
    """What is counted against somebody; an empty account or block stands for all of them."""

    block: str
    account: str
    failures: int
    last: float
    not_before: float
    banned_until: float


def penalty_rules(settings: Settings) -> PenaltyRules:
    """The rules as configured."""
    trusted = settings.value(GLOBAL, "penalty-trusted-networks")
    return PenaltyRules(
        settings.boolean(GLOBAL, "penalties"),
        settings.integer(GLOBAL, "penalty-ban-failures"),
        settings.integer(GLOBAL, "penalty-ban-seconds"),
        settings.integer(GLOBAL, "penalty-forget-seconds"),
        trusted if isinstance(trusted, tuple) else (),
    )


def mark_of(salt: bytes, password: str) -> bytes:
    """What is kept of a wrong password."""
    whole = hmac.digest(salt, password.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return whole[:MARK_BYTES]


class Penalties:
    """The penalties of one store. `now` is seconds since the epoch."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._next_sweep = 0.0

    def admit(self, attempt: Attempt, rules: PenaltyRules, now: float) -> Admission:
        """Whether an attempt may go on to the auth mechanism.

        One that failed before reserves its wait here, before its password is checked: whoever sends a hundred guesses
        at once gets no more of them checked than whoever waits for each answer.
        """
        with self.store.begin() as connection:
            admission, failures = self._look(connection, attempt, rules, now)
            if admission.retry_after or not failures:
                return admission
            free = and_(attempt.row, T.not_before <= now, T.banned_until <= now)
            reserved = connection.execute(
                update(PENALTIES).where(free).values(not_before=now + rules.ahead(failures)).returning(T.failures)
            )
            if reserved.one_or_none() is not None:
                return admission
            # somebody else was faster, or the row has just gone
            return self._look(connection, attempt, rules, now)[0]

    @staticmethod
    def _look(connection: Connection, attempt: Attempt, rules: PenaltyRules, now: float) -> tuple[Admission, int]:
        counted = or_(attempt.row, attempt.on_all_accounts.row) if attempt.has_place else attempt.row
        rows = connection.execute(select(PENALTIES).where(counted)).all()
        until = max((max(row.not_before, row.banned_until) for row in rows), default=0.0)
        mine = [row for row in rows if row.account or row.realm]
        failures = sum(row.failures for row in mine if row.last + rules.forget_seconds >= now)
        if until > now:
            return Admission(math.ceil(until - now), any(row.banned_until > now for row in rows), bool(mine)), failures
        return Admission(known=bool(mine)), failures

    def failed(
        self, attempt: Attempt, password: str, rules: PenaltyRules, now: float, guessed_code: bool = False
    ) -> None:
        """Count a wrong password, unless it is the same as the last of this block on this account.

        With `guessed_code` it counts in any case: what is guessed then is a code, which is another one each time.
        """
        with self.store.begin() as connection:
            row = self._locked(connection, attempt, now)
            fresh = row.last + rules.forget_seconds >= now
            mark = mark_of(row.salt, password)
            if not guessed_code and fresh and row.mark is not None and hmac.compare_digest(row.mark, mark):
                return
            failures = row.failures + 1 if fresh else 1
            everywhere = self._count(connection, attempt.anywhere, rules, now)
            mine = rules.for_account(failures, everywhere)
            self._write(connection, attempt, failures, mine, now, mark)
            if not attempt.has_place:
                return
            together = self._count(connection, attempt.on_all_accounts, rules, now)
            self._write(connection, attempt.on_all_accounts, together, rules.for_block(together), now)
        if now > self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(rules, now)

    def succeeded(self, attempt: Attempt) -> None:
        """Forget the failures of this block on this account: they were slips of the user's own.

        They no longer count against the block and the account either, so that a room full of people who mistype and
        then get in is not taken for somebody who tries one account after the other.
        """
        with self.store.begin() as connection:
            gone = connection.execute(delete(PENALTIES).where(attempt.row).returning(T.failures)).one_or_none()
            if gone is None:
                return
            for other in (attempt.anywhere, attempt.on_all_accounts):
                enough = and_(other.row, T.failures >= gone.failures)
                connection.execute(update(PENALTIES).where(enough).values(failures=T.failures - gone.failures))

    def listed(self, rules: PenaltyRules, now: float) -> list[Counted]:
        """What is counted at present, the last failure first."""
        query = select(T.block, T.account, T.failures, T.last, T.not_before, T.banned_until)
        query = query.where(T.failures > 0, ~_over(rules, now)).order_by(T.last.desc(), T.block, T.account)
        with self.store.begin() as connection:
            return [Counted(*row) for row in connection.execute(query)]

    def lift(self, block: str | None = None, account: str | None = None) -> int:
        """Remove what is counted against an address block, an account, or everybody; how many rows that were."""
        statement = delete(PENALTIES).returning(T.failures)
        if block is not None:
            statement = statement.where(T.block == block)
        if account is not None:
            statement = statement.where(T.account == account)
        with self.store.begin() as connection:
            return len(connection.execute(statement).all())

    @staticmethod
    def _locked(connection: Connection, attempt: Attempt, now: float) -> Row[tuple[object, ...]]:
        """The row, made when it is missing, and locked until the transaction ends.

        All who need several rows lock them in the same order: account at a block, account, block.
        """
        statement = upsert(connection, PENALTIES).values(
            realm=attempt.realm, account=attempt.account, block=attempt.block, failures=0, last=now,
            not_before=0.0, banned_until=0.0, salt=secrets.token_bytes(SALT_BYTES), mark=None,
        )  # fmt: skip
        locked = statement.on_conflict_do_update(
            index_elements=[T.realm, T.account, T.block], set_={"failures": T.failures}
        )
        return connection.execute(locked.returning(*PENALTIES.c)).one()

    def _count(self, connection: Connection, attempt: Attempt, rules: PenaltyRules, now: float) -> int:
        row = self._locked(connection, attempt, now)
        failures = int(row.failures) + 1 if row.last + rules.forget_seconds >= now else 1
        self._write(connection, attempt, failures, Penalty(), now)
        return failures

    @staticmethod
    def _write(
        connection: Connection, attempt: Attempt, failures: int, penalty: Penalty, now: float, mark: bytes | None = None
    ) -> None:
        values: dict[str, object] = {"failures": failures, "last": now, "mark": mark}
        if penalty.wait:
            values["not_before"] = now + penalty.wait
        if penalty.ban:
            values["banned_until"] = now + penalty.ban
        connection.execute(update(PENALTIES).where(attempt.row).values(values))

    def _sweep(self, rules: PenaltyRules, now: float) -> None:
        """Drop what is over. Rows that are just being counted on are left alone, so that nobody waits for anybody."""
        key = tuple_(T.realm, T.account, T.block)
        over = select(T.realm, T.account, T.block).where(_over(rules, now)).with_for_update(skip_locked=True)
        with self.store.begin() as connection:
            connection.execute(delete(PENALTIES).where(key.in_(over)))


def _over(rules: PenaltyRules, now: float) -> ColumnElement[bool]:
    return and_(T.last < now - rules.forget_seconds, T.not_before <= now, T.banned_until <= now)
