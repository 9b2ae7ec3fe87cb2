"""Second factors in the store: one per user, whatever the spelling, and every code for one login only."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.store.database import FILE_NAME, Store
from x2gobroker.store.totp import Enrolment, Enrolments

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
OTHER = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
JOIN_DEADLINE = 30.0
THREADS = 8


@pytest.fixture
def enrolments(tmp_path: Path) -> Enrolments:
    """Second factors in a fresh store."""
    return opened(tmp_path)


def opened(folder: Path) -> Enrolments:
    return Enrolments(Store(URL.create("sqlite", database=str(folder / "state" / FILE_NAME))))


def found(enrolments: Enrolments, user: str = "anna") -> Enrolment:
    enrolment = enrolments.find(user)
    assert enrolment is not None
    return enrolment


def test_a_secret_is_kept_for_its_user_only(enrolments: Enrolments) -> None:
    assert enrolments.find("anna") is None
    assert enrolments.add("anna", SECRET, replace=False)
    assert (found(enrolments).secret, found(enrolments).last_step) == (SECRET, 0)
    assert enrolments.find("bert") is None


def test_a_secret_is_replaced_only_on_demand(enrolments: Enrolments) -> None:
    enrolments.add("anna", SECRET, replace=False)
    enrolments.advance(found(enrolments), 7)
    assert not enrolments.add("anna", OTHER, replace=False)
    assert found(enrolments).secret == SECRET
    assert enrolments.add("anna", OTHER, replace=True)
    assert (found(enrolments).secret, found(enrolments).last_step) == (OTHER, 0)


@pytest.mark.parametrize("spelling", ["ANNA", "Anna", " anna ", "ａnna"])
def test_another_spelling_of_a_name_is_the_same_user(enrolments: Enrolments, spelling: str) -> None:
    enrolments.add("anna", SECRET, replace=False)
    assert found(enrolments, spelling).secret == SECRET
    assert not enrolments.add(spelling, OTHER, replace=False)
    assert enrolments.remove(spelling)


def test_everybody_is_listed_by_name(enrolments: Enrolments) -> None:
    for user in ("cleo", "anna", "bert"):
        enrolments.add(user, SECRET, replace=False)
    assert [enrolment.username for enrolment in enrolments.everybody()] == ["anna", "bert", "cleo"]


def test_who_is_removed_is_gone(enrolments: Enrolments) -> None:
    enrolments.add("anna", SECRET, replace=False)
    assert enrolments.remove("anna")
    assert enrolments.find("anna") is None
    assert not enrolments.remove("anna")


def test_steps_go_forward_only(enrolments: Enrolments) -> None:
    enrolments.add("anna", SECRET, replace=False)
    anna = found(enrolments)
    assert [enrolments.advance(anna, step) for step in (5, 5, 4, 6, 6)] == [True, False, False, True, False]
    assert found(enrolments).last_step == 6


def test_a_step_of_a_secret_that_was_replaced_meanwhile_does_not_count(enrolments: Enrolments) -> None:
    enrolments.add("anna", SECRET, replace=False)
    before = found(enrolments)
    enrolments.add("anna", OTHER, replace=True)
    assert not enrolments.advance(before, 5)
    assert found(enrolments).last_step == 0


def test_one_of_many_who_come_at_once_with_the_same_step_gets_it(tmp_path: Path) -> None:
    opened(tmp_path).add("anna", SECRET, replace=False)
    gate, got = threading.Barrier(THREADS), []

    def come() -> None:
        mine = opened(tmp_path)  # a store of its own, as another worker process has it
        anna = found(mine)
        gate.wait(JOIN_DEADLINE)
        got.append(mine.advance(anna, 5))

    threads = [threading.Thread(target=come) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_DEADLINE)
    assert sorted(got) == [False] * (THREADS - 1) + [True]


def test_the_secret_is_not_shown_by_accident_nor_readable_for_others(enrolments: Enrolments, tmp_path: Path) -> None:
    enrolments.add("anna", SECRET, replace=False)
    assert SECRET not in repr(found(enrolments))
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    for file in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
