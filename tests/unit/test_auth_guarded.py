"""A check under penalties: what each outcome does to what is counted, and that none leaves its place taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from x2gobroker.auth.base import Outcome, Verdict, granted, refused, unavailable
from x2gobroker.auth.guarded import Guarded
from x2gobroker.errors import StoreError
from x2gobroker.model.penalty import PenaltyRules
from x2gobroker.store import Admission, Attempt, Penalties, Store
from x2gobroker.store.database import FILE_NAME
from x2gobroker.store.tables import ATTEMPTS

NOW = 1_000_000.0
RULES = PenaltyRules()
WHO = Attempt.of("realm", "anna", "192.0.2.7")


@pytest.fixture
def penalties(tmp_path: Path) -> Penalties:
    """Penalties in a fresh store."""
    return Penalties(Store(URL.create("sqlite", database=str(tmp_path / FILE_NAME))))


def guarded(penalties: Penalties, password: str = "tried") -> Guarded:  # noqa: S107
    return Guarded(penalties, RULES, WHO, password, lambda: NOW)


def taken(penalties: Penalties) -> list[bool]:
    """The places that are taken: for each, whether it is held."""
    with penalties.store.begin() as connection:
        return list(connection.execute(select(ATTEMPTS.c.held)).scalars())


@pytest.mark.parametrize(
    ("verdict", "failures", "places"),
    [
        (granted("anna", "right password"), 0, []),
        (refused("anna", "wrong password"), 1, []),
        (refused("anna", "no possible password", looked=False), 0, []),
        (unavailable("anna", "the server is down", looked=False), 0, []),
        (unavailable("anna", "no answer in time"), 0, [True]),
    ],
    ids=["right", "wrong", "nobody-looked", "down", "broke-off"],
)
def test_only_a_wrong_password_is_counted(
    penalties: Penalties, verdict: Verdict, failures: int, places: list[bool]
) -> None:
    assert guarded(penalties).check(lambda: verdict, forgives=True) is verdict
    assert [row.failures for row in penalties.listed(RULES, NOW) if row.account and row.block] == [failures][:failures]
    assert taken(penalties) == places


def test_a_check_that_ends_in_an_exception_is_no_free_guess(penalties: Penalties) -> None:
    """A store that fails in the middle, say: nothing is counted, and the place stays taken."""

    def fail() -> Verdict:
        raise StoreError("the store is gone")

    for number in range(RULES.ban_failures):
        with pytest.raises(StoreError):
            guarded(penalties, f"guess {number}").check(fail, forgives=True)
    answer = guarded(penalties, "one more").check(fail, forgives=True)
    assert isinstance(answer, Admission)
    assert answer.retry_after == RULES.ban_seconds
    assert penalties.listed(RULES, NOW) == []


@pytest.mark.parametrize(("forgives", "left"), [(True, 0), (False, 2)])
def test_a_right_password_makes_up_for_wrong_ones_at_a_login_only(
    penalties: Penalties, forgives: bool, left: int
) -> None:
    for number in range(2):
        penalties.failed(WHO, f"wrong {number}", RULES, NOW - 20)
    guarded(penalties).check(lambda: granted("anna", "right password"), forgives)
    assert sum(row.failures for row in penalties.listed(RULES, NOW) if row.account and row.block) == left


@pytest.mark.parametrize("outcome", [True, False, None, "granted", 1])
def test_what_is_no_outcome_makes_no_verdict(outcome: object) -> None:
    make: Callable[..., Verdict] = Verdict
    with pytest.raises(TypeError, match="Outcome"):
        make(outcome, "anna", "")
    assert not Verdict(Outcome.UNAVAILABLE, "anna", "").granted
