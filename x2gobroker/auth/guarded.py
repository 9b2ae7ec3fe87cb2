"""A check of a password under penalties: admitted before, settled after, whatever comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from x2gobroker.auth.base import Outcome
from x2gobroker.model.penalty import PenaltyRules
from x2gobroker.store import Admission, Attempt, Penalties


class Found(Protocol):
    """What came of a check. `looked`: whether anybody has compared the password. `guessed_code`: see penalties."""

    @property
    def outcome(self) -> Outcome:
        """Right, wrong, or that nobody can tell."""

    @property
    def looked(self) -> bool:
        """Whether anybody has compared the password."""

    @property
    def guessed_code(self) -> bool:
        """Whether the password was right, and the code behind it wrong."""


F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class Guarded:
    """The penalties for one attempt with one password. `clock` says the seconds since the epoch."""

    penalties: Penalties
    rules: PenaltyRules
    attempt: Attempt
    password: str
    clock: Callable[[], float]

    def check(self, ask: Callable[[], F], forgives: bool) -> F | Admission:
        """What `ask` finds, or why nobody is asked. Raises StoreError, and what `ask` raises.

        A refusal counts where somebody has looked at the password. What nobody could tell is no failure. `forgives`:
        whether a right password makes up for wrong ones before it.
        """
        admission = self.penalties.admit(self.attempt, self.password, self.rules, self.clock())
        if admission.retry_after:
            return admission
        try:
            found = ask()
        except BaseException:
            self._undecided(admission)
            raise
        if found.outcome is Outcome.GRANTED and forgives:
            self.penalties.succeeded(self.attempt, admission.place)
        elif found.outcome is Outcome.GRANTED or not found.looked:
            self.penalties.released(admission.place)
        elif found.outcome is Outcome.UNAVAILABLE:
            self._undecided(admission)
        else:
            now = self.clock()
            self.penalties.failed(
                self.attempt, self.password, self.rules, now, found.guessed_code, place=admission.place
            )
        return found

    def is_known(self) -> bool:
        """Whether the password is the one that was wrong last time. Raises StoreError."""
        return self.penalties.is_last_wrong(self.attempt, self.password, self.rules, self.clock())

    def _undecided(self, admission: Admission) -> None:
        self.penalties.undecided(admission.place, self.rules, self.clock())
