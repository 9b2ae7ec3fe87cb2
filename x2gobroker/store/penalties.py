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
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, select, tuple_, update

from x2gobroker.model.accounts import account_name
from x2gobroker.model.forwarded import UNKNOWN_ADDRESS
from x2gobroker.model.penalty import WAITS, Penalty, PenaltyRules, address_block
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store.attempts import Guess, forget, give_back, give_back_held, hold, is_over, take_place, under_way
from x2gobroker.store.database import Store
from x2gobroker.store.rows import upsert
from x2gobroker.store.tables import ATTEMPTS, PENALTIES

SWEEP_SECONDS = 60
SALT_BYTES = 16
MARK_BYTES = 2
LONGEST_WAIT = max(WAITS)
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
    """Whether an attempt may go on: `retry_after` is 0, else the seconds to wait.

    One that may go on has a `place`, and has to be settled by it: by `failed`, `succeeded`, `undecided` or `released`.
    """

    retry_after: int = 0
    banned: bool = False
    place: str = ""


@dataclass(frozen=True)
class Score:
    """What counts against an attempt at this moment; of the last wrong password there is a mark."""

    failures: int
    not_before: float
    banned_until: float
    salt: bytes
    mark: bytes | None


# what counts against all who come from an unknown place together
NO_BLOCK = Score(0, 0.0, 0.0, b"", None)


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

    def admit(self, attempt: Attempt, password: str, rules: PenaltyRules, now: float) -> Admission:
        """Whether an attempt may go on to the auth mechanism.

        It reserves its place here, before its password is checked: whoever sends a hundred guesses at once gets no more
        of them checked than whoever waits for each answer. Several requests with the same password are one guess.
        """
        self._sweep_now_and_then(rules, now)
        with self.store.begin() as connection:
            mine = self._current(connection, attempt, rules, now)
            block = self._current(connection, attempt.on_all_accounts, rules, now) if attempt.has_place else NO_BLOCK
            guess = Guess(attempt.realm, attempt.account, attempt.block, mark_of(mine.salt, password))
            beside = under_way(connection, guess, rules, now, attempt.has_place)
            banned_until = max(mine.banned_until, block.banned_until)
            if banned_until > now:
                return Admission(math.ceil(banned_until - now), banned=True)
            if not beside.same:
                wait = max(mine.not_before - now, block.not_before - now)
                wait = max(wait, beside.seconds_to_wait(rules, mine.failures, block.failures, now))
                if wait > 0:
                    return Admission(math.ceil(wait))
                if mine.failures:
                    ahead = now + rules.ahead(mine.failures)
                    connection.execute(update(PENALTIES).where(attempt.row).values(not_before=ahead))
            return Admission(place=take_place(connection, guess, now))

    def released(self, place: str) -> None:
        """Settle an attempt whose password nobody has looked at."""
        with self.store.begin() as connection:
            give_back(connection, place)

    def undecided(self, place: str, rules: PenaltyRules, now: float) -> None:
        """Settle an attempt that was looked at, without anybody being able to tell whether it was right.

        It is no failure, and refuses nobody who sends the same password again. But it keeps its place for as long as a
        ban lasts: whoever can make a check break off gets no more passwords looked at than somebody who lets it end.
        """
        with self.store.begin() as connection:
            hold(connection, place, now + rules.ban_seconds)

    def failed(
        self,
        attempt: Attempt,
        password: str,
        rules: PenaltyRules,
        now: float,
        guessed_code: bool = False,
        place: str = "",
    ) -> None:
        """Count a wrong password, unless it is the same as the last of this block on this account.

        With `guessed_code` it counts in any case: what is guessed then is a code, which is another one each time.
        """
        with self.store.begin() as connection:
            row = self._current(connection, attempt, rules, now)
            give_back(connection, place)
            mark = mark_of(row.salt, password)
            if not guessed_code and row.failures and row.mark is not None and hmac.compare_digest(row.mark, mark):
                return
            failures = row.failures + 1
            everywhere = self._count(connection, attempt.anywhere, rules, now)
            mine = rules.for_account(failures, everywhere)
            self._write(connection, attempt, failures, mine, now, mark)
            if not attempt.has_place:
                return
            together = self._count(connection, attempt.on_all_accounts, rules, now)
            self._write(connection, attempt.on_all_accounts, together, rules.for_block(together), now)
        self._sweep_now_and_then(rules, now)

    def is_last_wrong(self, attempt: Attempt, password: str, rules: PenaltyRules, now: float) -> bool:
        """Whether this is the last wrong password of this block on this account, and that is not forgotten yet."""
        with self.store.begin() as connection:
            query = select(T.failures, T.last, T.salt, T.mark).where(attempt.row)
            row = connection.execute(query).one_or_none()
        if row is None or not row.failures or row.mark is None or row.last + rules.forget_seconds < now:
            return False
        return hmac.compare_digest(row.mark, mark_of(row.salt, password))

    def succeeded(self, attempt: Attempt, place: str = "") -> None:
        """Forget the failures of this block on this account: they were slips of the user's own.

        They no longer count against the block and the account either, so that a room full of people who mistype and
        then get in is not taken for somebody who tries one account after the other.
        """
        with self.store.begin() as connection:
            row = connection.execute(select(T.failures).where(attempt.row).with_for_update()).one_or_none()
            give_back_held(connection, attempt.realm, attempt.account, attempt.block, place)
            if row is None or not row.failures:
                return
            connection.execute(delete(PENALTIES).where(attempt.row))
            for other in (attempt.anywhere, attempt.on_all_accounts):
                enough = and_(other.row, T.failures >= row.failures)
                connection.execute(update(PENALTIES).where(enough).values(failures=T.failures - row.failures))

    def listed(self, rules: PenaltyRules, now: float) -> list[Counted]:
        """What is counted at present, the last failure first."""
        query = select(T.block, T.account, T.failures, T.last, T.not_before, T.banned_until)
        query = query.where(T.failures > 0, ~_over(rules, now)).order_by(T.last.desc(), T.block, T.account)
        with self.store.begin() as connection:
            return [
                Counted(block, account, failures, last, *_plausible(not_before, banned_until, rules, now))
                for block, account, failures, last, not_before, banned_until in connection.execute(query)
            ]

    def lift(self, block: str | None = None, account: str | None = None) -> int:
        """Remove what is counted against an address block, an account, or everybody; how many rows that were."""
        statement = delete(PENALTIES).returning(T.failures)
        if block is not None:
            statement = statement.where(T.block == block)
        if account is not None:
            statement = statement.where(T.account == account)
        with self.store.begin() as connection:
            lifted = sum(1 for row in connection.execute(statement).all() if row.failures)
            forget(connection, block, account)
            return lifted

    @staticmethod
    def _locked(connection: Connection, attempt: Attempt, now: float) -> Row[Any]:
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

    def _current(self, connection: Connection, attempt: Attempt, rules: PenaltyRules, now: float) -> Score:
        """What counts at this moment, locked until the transaction ends.

        No time of the rules lies further ahead than they allow: where one does, the clock was wrong then.
        """
        row = self._locked(connection, attempt, now)
        last = min(row.last, now)
        not_before, banned_until = _plausible(row.not_before, row.banned_until, rules, now)
        if (last, not_before, banned_until) != (row.last, row.not_before, row.banned_until):
            values = {"last": last, "not_before": not_before, "banned_until": banned_until}
            connection.execute(update(PENALTIES).where(attempt.row).values(values))
        fresh = last + rules.forget_seconds >= now
        return Score(row.failures if fresh else 0, not_before, banned_until, row.salt, row.mark)

    def _count(self, connection: Connection, attempt: Attempt, rules: PenaltyRules, now: float) -> int:
        failures = self._current(connection, attempt, rules, now).failures + 1
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

    def _sweep_now_and_then(self, rules: PenaltyRules, now: float) -> None:
        if now > self._next_sweep or self._next_sweep > now + 2 * SWEEP_SECONDS:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(rules, now)

    def _sweep(self, rules: PenaltyRules, now: float) -> None:
        """Drop what is over. Rows that are just being counted on are left alone, so that nobody waits for anybody."""
        key = tuple_(T.realm, T.account, T.block)
        over = select(T.realm, T.account, T.block).where(_over(rules, now)).with_for_update(skip_locked=True)
        with self.store.begin() as connection:
            connection.execute(delete(PENALTIES).where(key.in_(over)))
            connection.execute(delete(ATTEMPTS).where(is_over(rules, now)))


def _plausible(not_before: float, banned_until: float, rules: PenaltyRules, now: float) -> tuple[float, float]:
    return min(not_before, now + LONGEST_WAIT), min(banned_until, now + rules.ban_seconds)


def _over(rules: PenaltyRules, now: float) -> ColumnElement[bool]:
    return and_(T.last < now - rules.forget_seconds, T.not_before <= now, T.banned_until <= now)
