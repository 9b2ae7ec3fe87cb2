"""Passwords that are being checked at this moment, for all workers and broker hosts.

Each holds a place from before it is checked until it is known whether it was right. So however many are sent at once,
no more are checked than may be wrong. One that could not be checked keeps its place for a while. The same password,
sent once more, needs no place of its own: it is the same guess.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from x2gobroker.model.penalty import AT_ONCE, ATTEMPT_SECONDS, PenaltyRules
from x2gobroker.store.tables import ATTEMPTS

A = ATTEMPTS.c
PLACE_BYTES = 12


@dataclass(frozen=True)
class Guess:
    """One password, of which the store keeps a mark, for an account at a block."""

    realm: str
    account: str
    block: str
    mark: bytes


@dataclass(frozen=True)
class UnderWay:
    """What is under way at a block beside a guess.

    `same`: the guess itself is. `active` and `held`: so many others for its account; `at_block`: so many at its block.
    `free_at`: when the first of those held gives its place back.
    """

    same: bool
    active: int
    held: int
    at_block: int
    free_at: float

    def seconds_to_wait(self, rules: PenaltyRules, failures: int, block_failures: int, now: float) -> float:
        """How long there is no place for one more guess, behind so many failures; 0 where there is one."""
        if self.active >= AT_ONCE or self.at_block >= rules.places_at_block(block_failures):
            return 1.0
        if self.active + self.held >= rules.places_for_account(failures):
            return 1.0 if self.active else max(1.0, self.free_at - now)
        return 0.0


def under_way(connection: Connection, guess: Guess, rules: PenaltyRules, now: float, has_place: bool) -> UnderWay:
    """What is under way at this block; the caller has locked it. Without `has_place` nobody knows who is at it."""
    running = and_(A.expires > now, A.expires <= now + rules.longest_attempt)
    rows = connection.execute(select(ATTEMPTS).where(A.block == guess.block, running)).all()
    mine = [row for row in rows if (row.realm, row.account) == (guess.realm, guess.account)]
    others = [row for row in mine if row.mark != guess.mark]
    return UnderWay(
        same=len(others) < len(mine),
        active=len({row.mark for row in others if not row.held}),
        held=len({row.mark for row in others if row.held}),
        at_block=len({(row.realm, row.account, row.mark) for row in rows if has_place and not row.held}),
        free_at=min((row.expires for row in others if row.held), default=now),
    )


def take_place(connection: Connection, guess: Guess, now: float) -> str:
    """Note that a guess is being checked; what it is to be settled by."""
    place = secrets.token_hex(PLACE_BYTES)
    values = {"realm": guess.realm, "account": guess.account, "block": guess.block, "mark": guess.mark}
    connection.execute(insert(ATTEMPTS).values(place=place, held=False, expires=now + ATTEMPT_SECONDS, **values))
    return place


def give_back(connection: Connection, place: str) -> None:
    """The guess has been checked, or will not be."""
    connection.execute(delete(ATTEMPTS).where(A.place == place))


def give_back_held(connection: Connection, realm: str, account: str, block: str, place: str) -> None:
    """The guess was right: those that nobody could tell about, of the same user at the same block, were slips."""
    mine = and_(A.realm == realm, A.account == account, A.block == block, A.held)
    connection.execute(delete(ATTEMPTS).where(or_(A.place == place, mine)))


def hold(connection: Connection, place: str, until: float) -> None:
    """The guess was looked at, but nobody can tell whether it was right: it keeps its place."""
    connection.execute(update(ATTEMPTS).where(A.place == place).values(held=True, expires=until))


def forget(connection: Connection, block: str | None, account: str | None) -> None:
    """Free the places of a block, an account, or everybody."""
    statement = delete(ATTEMPTS)
    if block is not None:
        statement = statement.where(A.block == block)
    if account is not None:
        statement = statement.where(A.account == account)
    connection.execute(statement)


def is_over(rules: PenaltyRules, now: float) -> ColumnElement[bool]:
    """The condition that finds what nobody will settle any more."""
    return or_(A.expires <= now, A.expires > now + rules.longest_attempt)
