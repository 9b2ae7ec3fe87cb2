"""Penalties in the store: growing waits, bans, nobody locked out by others, no secrets, right under concurrency."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from tests.support.marks import distinct_marks
from x2gobroker.model.penalty import AT_ONCE, ATTEMPT_SECONDS, PenaltyRules
from x2gobroker.store import penalties as module
from x2gobroker.store.database import FILE_NAME, Store
from x2gobroker.store.penalties import SWEEP_SECONDS, Admission, Attempt, Counted, Penalties
from x2gobroker.store.tables import ATTEMPTS, PENALTIES

NOW = 1_000_000.0
HERE = "192.0.2.7"
RULES = PenaltyRules()
FREE = Admission()
SECRET = "Tr0ub4dor&3-wrong"
DEADLINE = 60.0


def opened(folder: Path) -> Penalties:
    return Penalties(Store(URL.create("sqlite", database=str(folder / FILE_NAME))))


@pytest.fixture(autouse=True)
def marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted here does not depend on chance."""
    distinct_marks(monkeypatch)


@pytest.fixture
def penalties(tmp_path: Path) -> Penalties:
    """Penalties in a fresh store."""
    return opened(tmp_path)


def attempt(user: str = "anna", address: str = HERE, realm: str = "realm") -> Attempt:
    return Attempt.of(realm, user, address)


def fail(penalties: Penalties, count: int, now: float = NOW, tried: Attempt | None = None) -> None:
    """So many different wrong passwords, without regard to waits."""
    for number in range(count):
        penalties.failed(tried or attempt(), f"{now}-{number}", RULES, now)


def look(
    penalties: Penalties, now: float = NOW, tried: Attempt | None = None, rules: PenaltyRules = RULES
) -> Admission:
    """What somebody is told who sends a password; it is not looked at then."""
    found = penalties.admit(tried or attempt(), secrets.token_hex(), rules, now)
    penalties.released(found.place)
    return replace(found, place="")


def retry_after(penalties: Penalties, now: float = NOW, tried: Attempt | None = None) -> int:
    return look(penalties, now, tried).retry_after


def counted(penalties: Penalties, now: float = NOW) -> dict[tuple[str, str], Counted]:
    return {(row.block, row.account): row for row in penalties.listed(RULES, now)}


def failures(penalties: Penalties, now: float = NOW) -> tuple[int, int, int]:
    """At this address on this account, on this account from everywhere, at this address on all accounts."""
    rows = counted(penalties, now)
    keys = ((HERE, "anna"), ("", "anna"), (HERE, ""))
    here, everywhere, together = (rows[key].failures if key in rows else 0 for key in keys)
    return here, everywhere, together


def test_nobody_waits_at_first_and_nothing_is_counted(penalties: Penalties) -> None:
    assert look(penalties) == FREE
    assert counted(penalties) == {}


def test_waits_grow_and_end_in_a_ban(penalties: Penalties) -> None:
    now, waits = NOW, []
    for number in range(10):
        assert look(penalties, now).retry_after == 0
        penalties.failed(attempt(), f"guess {number}", RULES, now)
        row = counted(penalties, now)[HERE, "anna"]
        waits.append(row.not_before - now)
        assert look(penalties, row.not_before - 0.01).retry_after > 0
        now += 15
    assert waits == [0.5, 1, 2, 4, 8, 15, 15, 15, 15, 15]
    banned = look(penalties, now)
    assert (banned.banned, banned.retry_after) == (True, 285)
    assert retry_after(penalties, now + 285) == 0


def test_a_person_who_mistyped_once_or_twice_notices_nothing(penalties: Penalties) -> None:
    fail(penalties, 1)
    assert retry_after(penalties, NOW + 0.4) == 1
    assert retry_after(penalties, NOW + 0.5) == 0
    fail(penalties, 1, NOW + 3)
    assert retry_after(penalties, NOW + 4) == 0


def test_a_failure_after_a_ban_is_a_ban_again(penalties: Penalties) -> None:
    fail(penalties, 10)
    later = NOW + 301
    assert retry_after(penalties, later) == 0
    fail(penalties, 1, later)
    assert look(penalties, later + 100).banned


def test_what_a_ban_is_and_how_long_is_configured(penalties: Penalties) -> None:
    rules = PenaltyRules(ban_failures=2, ban_seconds=5000, forget_seconds=60)
    for number in range(2):
        penalties.failed(attempt(), str(number), rules, NOW)
    assert look(penalties, NOW + 1, rules=rules) == Admission(4999, True)
    penalties.failed(attempt("bert"), "x", rules, NOW + 200)
    assert look(penalties, NOW + 4999, rules=rules).banned, "a ban outlives the time to forget"
    assert look(penalties, NOW + 5000, rules=rules).retry_after == 0


def test_failures_are_forgotten_after_a_quiet_while(penalties: Penalties) -> None:
    fail(penalties, 5)
    assert retry_after(penalties, NOW + 901) == 0
    fail(penalties, 1, NOW + 901)
    assert failures(penalties, NOW + 901) == (1, 1, 1)
    assert counted(penalties, NOW + 901)[HERE, "anna"].not_before == NOW + 901.5


def test_failures_are_not_forgotten_before(penalties: Penalties) -> None:
    fail(penalties, 5)
    fail(penalties, 1, NOW + 900)
    assert failures(penalties, NOW + 900) == (6, 6, 6)


def test_the_same_wrong_password_counts_once(penalties: Penalties) -> None:
    for number in range(20):
        penalties.failed(attempt(), SECRET, RULES, NOW + number)
    assert failures(penalties) == (1, 1, 1)
    penalties.failed(attempt(), SECRET + "x", RULES, NOW)
    assert failures(penalties) == (2, 2, 2)
    penalties.failed(attempt(address="192.0.2.8"), SECRET, RULES, NOW)
    assert counted(penalties)["", "anna"].failures == 3, "at another address it is a guess of somebody else"


def test_the_last_wrong_password_is_known_again_until_failures_are_forgotten(penalties: Penalties) -> None:
    assert not penalties.is_last_wrong(attempt(), SECRET, RULES, NOW)
    penalties.failed(attempt(), SECRET, RULES, NOW)
    assert penalties.is_last_wrong(attempt("Anna"), SECRET, RULES, NOW + RULES.forget_seconds)
    assert not penalties.is_last_wrong(attempt(), SECRET, RULES, NOW + RULES.forget_seconds + 1)
    assert not penalties.is_last_wrong(attempt(), f"{SECRET}!", RULES, NOW)
    for other in (attempt("bert"), attempt(address="198.51.100.1"), attempt(realm="another")):
        assert not penalties.is_last_wrong(other, SECRET, RULES, NOW)
    penalties.failed(attempt(), "another", RULES, NOW)
    assert not penalties.is_last_wrong(attempt(), SECRET, RULES, NOW)
    penalties.succeeded(attempt())
    assert not penalties.is_last_wrong(attempt(), "another", RULES, NOW)


def test_a_guessed_code_counts_each_time(penalties: Penalties) -> None:
    for number in range(5):
        penalties.failed(attempt(), SECRET + "123456", RULES, NOW + number, guessed_code=True)
    assert failures(penalties) == (5, 5, 5)


def test_the_same_wrong_password_counts_again_when_all_was_forgotten(penalties: Penalties) -> None:
    for moment in (NOW, NOW + 901):
        penalties.failed(attempt(), SECRET, RULES, moment)
        assert failures(penalties, moment) == (1, 1, 1)
        assert counted(penalties, moment)[HERE, "anna"].last == moment


def test_a_success_clears_the_users_own_failures_and_no_others(penalties: Penalties) -> None:
    fail(penalties, 3)
    fail(penalties, 2, tried=attempt("bert"))
    fail(penalties, 4, tried=attempt(address="192.0.2.8"))
    penalties.succeeded(attempt())
    assert failures(penalties) == (0, 4, 2)
    assert look(penalties, NOW + 15) == FREE


def test_a_success_where_less_is_checked_clears_nothing(penalties: Penalties) -> None:
    fail(penalties, 6)
    penalties.succeeded(attempt(realm="another"))
    assert failures(penalties) == (6, 6, 6)
    assert retry_after(penalties) == 15


def test_a_room_full_of_people_who_mistype_and_get_in_never_waits(penalties: Penalties) -> None:
    for number in range(200):
        who = attempt(f"student{number}")
        assert retry_after(penalties, NOW + number, who) == 0
        penalties.failed(who, "tpyo", RULES, NOW + number)
        assert retry_after(penalties, NOW + number + 0.6, who) == 0
        penalties.succeeded(who)
    assert counted(penalties, NOW + 200) == {}


def test_one_who_tries_account_after_account_waits_and_is_banned(penalties: Penalties) -> None:
    waits = []
    for number in range(100):
        penalties.failed(attempt(f"user{number}"), "Summer2026", RULES, NOW)
        waits.append(retry_after(penalties, NOW, attempt("fresh")))
    assert waits[:10] == [0, 0, 0, 0, 0, 2, 4, 8, 15, 15]
    assert waits[-2:] == [15, 300]
    assert look(penalties, NOW + 299, attempt("fresh")).banned
    assert look(penalties, NOW, attempt("fresh", "192.0.2.8")) == FREE


def test_an_attacker_elsewhere_locks_nobody_out(penalties: Penalties) -> None:
    home, fresh = attempt(address="198.51.100.1"), attempt(address="198.51.100.2")
    fail(penalties, 1, NOW - 10, home)
    penalties.succeeded(home)
    for number in range(1000):
        address = f"10.{number // 250}.{number % 250}.1" if number % 2 else f"2001:db8:{number:x}::1"
        penalties.failed(attempt(address=address), f"guess {number}", RULES, NOW)
    assert counted(penalties)["", "anna"].failures == 1000
    assert look(penalties, NOW, home) == FREE
    assert look(penalties, NOW, fresh) == FREE


def test_who_fails_during_an_attack_waits_the_longer_of_both_waits_but_is_not_banned(penalties: Penalties) -> None:
    for number in range(50):
        penalties.failed(attempt(address=f"10.0.0.{number}"), "x", RULES, NOW)
    penalties.failed(attempt(), "typo", RULES, NOW)
    assert look(penalties, NOW) == Admission(15)
    assert retry_after(penalties, NOW + 15) == 0


def test_an_ipv6_network_of_64_bits_is_one_address(penalties: Penalties) -> None:
    for number in range(6):
        penalties.failed(attempt(address=f"2001:db8:1:2::{number + 1}"), str(number), RULES, NOW)
    assert retry_after(penalties, NOW, attempt(address="2001:db8:1:2:ffff::1")) == 15
    assert retry_after(penalties, NOW, attempt(address="2001:db8:1:3::1")) == 0


def test_other_spellings_of_a_name_do_not_begin_anew(penalties: Penalties) -> None:
    for number, name in enumerate(("anna", "Anna", "ANNA", "anna ", " aNNa", "\uff41nna", "\uff21\uff2e\uff2e\uff21")):
        penalties.failed(attempt(name), str(number), RULES, NOW)
    assert failures(penalties) == (7, 7, 7)


def test_guesses_sent_at_once_are_admitted_one_by_one(penalties: Penalties) -> None:
    fail(penalties, 3)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: retry_after(penalties, NOW + 2), range(64)))
    assert answers.count(0) == 1
    assert {answer for answer in answers if answer} == {4}


def all_at_once(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in so many threads, which begin together."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> None:
        barrier.wait(DEADLINE)
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(begin, number) for number in range(count)]:
            future.result(DEADLINE)


def test_sixteen_threads_that_fail_at_once_count_sixteen(tmp_path: Path) -> None:
    stores = [opened(tmp_path) for _ in range(4)]
    all_at_once(16, lambda number: stores[number % 4].failed(attempt(), f"guess {number}", RULES, NOW))
    assert failures(stores[0]) == (16, 16, 16)
    assert look(stores[3], NOW).banned


def test_threads_that_fail_on_different_accounts_and_blocks_lose_none(tmp_path: Path) -> None:
    stores = [opened(tmp_path) for _ in range(2)]

    def guess(number: int) -> None:
        for turn in range(5):
            who = attempt(f"user{number % 3}", f"192.0.2.{turn % 2}")
            stores[number % 2].failed(who, f"{number} {turn}", RULES, NOW)

    all_at_once(12, guess)
    rows = counted(stores[1])
    assert sum(row.failures for (block, account), row in rows.items() if not block) == 60
    assert sum(row.failures for (block, account), row in rows.items() if not account) == 60
    assert sum(row.failures for (block, account), row in rows.items() if block and account) == 60


def test_two_stores_on_one_file_agree(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    fail(one, 6)
    assert retry_after(other) == 15
    assert retry_after(other, NOW + 15) == 0
    assert retry_after(one, NOW + 15) == 15, "the other has let an attempt through, which is being checked"
    other.succeeded(attempt())
    assert look(one, NOW + 15) == FREE


def test_penalties_survive_a_restart(tmp_path: Path) -> None:
    before = opened(tmp_path)
    fail(before, 10)
    before.store.close()
    assert look(opened(tmp_path), NOW).banned


def test_nothing_of_a_password_is_in_the_stores_files(tmp_path: Path) -> None:
    penalties = opened(tmp_path)
    penalties.failed(attempt(), SECRET, RULES, NOW)
    with penalties.store.begin() as connection:
        rows = connection.execute(select(PENALTIES)).all()
    marks = [row.mark for row in rows if row.mark is not None]
    assert [len(mark) for mark in marks] == [module.MARK_BYTES] == [2]
    assert len({row.salt for row in rows}) == len(rows)
    for part in (False, True):
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert any(b"anna" in content for content in files.values())
        for content in files.values():
            assert SECRET.encode() not in content
        if not part:
            penalties.store.close()


def test_passwords_of_all_kinds_are_counted(penalties: Penalties) -> None:
    for password in ("", "\0", "é☃", "\ud800", "x" * 1024):
        penalties.failed(attempt(), password, RULES, NOW)
    assert failures(penalties) == (5, 5, 5)


def test_what_is_over_is_swept_and_the_rest_stays(penalties: Penalties) -> None:
    fail(penalties, 1)
    long_ban = PenaltyRules(ban_failures=1, ban_seconds=10_000)
    penalties.failed(attempt("bert", "192.0.2.8"), "x", long_ban, NOW)
    later = NOW + 901 + SWEEP_SECONDS
    fail(penalties, 1, later, attempt("carl", "192.0.2.9"))
    with penalties.store.begin() as connection:
        left = {(row.block, row.account) for row in connection.execute(select(PENALTIES))}
    assert left == {("192.0.2.8", "bert"), ("192.0.2.9", "carl"), ("", "carl"), ("192.0.2.9", "")}


def test_the_list_has_the_last_failure_first_and_nothing_that_is_over(penalties: Penalties) -> None:
    fail(penalties, 2)
    fail(penalties, 1, NOW + 5, attempt("bert", "2001:db8::1"))
    rows = penalties.listed(RULES, NOW + 5)
    assert [(row.block, row.account, row.failures) for row in rows] == [
        ("", "bert", 1), ("2001:db8::/64", "", 1), ("2001:db8::/64", "bert", 1),
        ("", "anna", 2), (HERE, "", 2), (HERE, "anna", 2),
    ]  # fmt: skip
    assert [row.account for row in penalties.listed(RULES, NOW + 902) if row.block and row.account] == ["bert"]


def test_penalties_are_lifted_by_block_by_account_and_all(penalties: Penalties) -> None:
    def fill() -> None:
        for who, where in (("anna", HERE), ("bert", HERE), ("anna", "192.0.2.8")):
            fail(penalties, 1, tried=attempt(who, where))

    fill()
    assert penalties.lift(block=HERE) == 3
    assert retry_after(penalties) == 0
    assert retry_after(penalties, tried=attempt(address="192.0.2.8")) == 1
    assert penalties.lift(account="anna") == 2
    assert penalties.lift(account="anna") == 0
    fill()
    assert penalties.lift() > 3
    assert counted(penalties) == {}


# -- under way ---------------------------------------------------------------------------------------------------------


def volley(penalties: list[Penalties], count: int, password: Callable[[int], str]) -> list[Admission]:
    """What so many requests are told that come at the same moment, before any password has been looked at."""
    answers: dict[int, Admission] = {}

    def send(number: int) -> None:
        answers[number] = penalties[number % len(penalties)].admit(attempt(), password(number), RULES, NOW)

    all_at_once(count, send)
    return list(answers.values())


def test_of_a_first_volley_of_guesses_few_are_looked_at(tmp_path: Path) -> None:
    answers = volley([opened(tmp_path) for _ in range(4)], 40, lambda number: f"guess {number}")
    assert sum(not answer.retry_after for answer in answers) == AT_ONCE


def test_of_volley_after_volley_no_more_are_looked_at_than_before_a_ban(penalties: Penalties) -> None:
    looked, now = 0, NOW
    for number in range(200):
        admission = penalties.admit(attempt(), f"guess {number}", RULES, now)
        if admission.place:
            looked += 1
            penalties.failed(attempt(), f"guess {number}", RULES, now, place=admission.place)
        now += 1
    assert looked == RULES.ban_failures


def test_one_password_sent_many_times_at_once_is_one_guess(penalties: Penalties) -> None:
    """A client sends several requests with the right password: none of them has to wait."""
    fail(penalties, 2)
    now = NOW + 20
    answers = [penalties.admit(attempt(), "the right one", RULES, now) for _ in range(30)]
    assert not any(answer.retry_after for answer in answers)
    assert penalties.admit(attempt(), "another", RULES, now).retry_after > 0
    for answer in answers:
        penalties.succeeded(attempt(), answer.place)
    assert look(penalties, now) == FREE


def test_an_attempt_whose_process_died_gives_its_place_back(penalties: Penalties) -> None:
    for number in range(AT_ONCE):
        assert penalties.admit(attempt(), f"guess {number}", RULES, NOW).place
    assert retry_after(penalties, NOW + ATTEMPT_SECONDS - 1) > 0
    assert retry_after(penalties, NOW + ATTEMPT_SECONDS) == 0


def test_what_nobody_can_tell_is_no_failure_and_the_same_password_is_welcome_again(penalties: Penalties) -> None:
    for _ in range(50):
        admission = penalties.admit(attempt(), "the right one", RULES, NOW)
        assert admission.retry_after == 0
        penalties.undecided(admission.place, RULES, NOW)
    assert counted(penalties) == {}
    assert look(penalties) == FREE


def test_who_makes_checks_break_off_gets_no_more_guesses_than_before_a_ban(penalties: Penalties) -> None:
    looked = 0
    for number in range(50):
        admission = penalties.admit(attempt(), f"guess {number}", RULES, NOW + number)
        if admission.place:
            looked += 1
            penalties.undecided(admission.place, RULES, NOW + number)
    assert looked == RULES.ban_failures
    assert look(penalties, NOW + 50, attempt("bert")) == FREE
    assert look(penalties, NOW + 50, attempt(address="192.0.2.8")) == FREE
    assert retry_after(penalties, NOW + 50) == 250
    assert retry_after(penalties, NOW + 300) == 0


def test_a_right_password_frees_what_nobody_could_tell_about(penalties: Penalties) -> None:
    for number in range(10):
        admission = penalties.admit(attempt(), f"typo {number}", RULES, NOW)
        penalties.undecided(admission.place, RULES, NOW)
    right = penalties.admit(attempt(), "typo 3", RULES, NOW)
    penalties.succeeded(attempt(), right.place)
    assert look(penalties) == FREE


def test_a_block_that_tries_many_accounts_at_once_is_looked_at_up_to_a_ban(penalties: Penalties) -> None:
    answers = [penalties.admit(attempt(f"user{number}"), "Summer2026", RULES, NOW) for number in range(120)]
    assert sum(not answer.retry_after for answer in answers) == 10 * RULES.ban_failures
    assert look(penalties, NOW, attempt("user1", "192.0.2.8")) == FREE


def test_lifting_frees_what_is_under_way(penalties: Penalties) -> None:
    for number in range(AT_ONCE):
        penalties.admit(attempt(), f"guess {number}", RULES, NOW)
    assert penalties.lift(account="anna") == 0
    assert look(penalties) == FREE


def test_no_ban_outlasts_the_rule_after_the_clock_was_wrong(penalties: Penalties) -> None:
    ahead = NOW + 86_400
    fail(penalties, 10, ahead)
    penalties.undecided(penalties.admit(attempt("bert"), "x", RULES, ahead).place, RULES, ahead)
    assert look(penalties) == Admission(300, True)
    assert counted(penalties)[HERE, "anna"].banned_until <= NOW + 300
    assert retry_after(penalties, NOW + 300) == 0
    assert look(penalties, NOW + 300, attempt("bert")) == FREE


def test_of_passwords_under_way_nothing_more_is_kept_than_of_wrong_ones(tmp_path: Path) -> None:
    penalties = opened(tmp_path)
    penalties.admit(attempt(), SECRET, RULES, NOW)
    with penalties.store.begin() as connection:
        marks = connection.execute(select(ATTEMPTS.c.mark)).scalars().all()
    assert [len(mark) for mark in marks] == [module.MARK_BYTES]
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.iterdir())
