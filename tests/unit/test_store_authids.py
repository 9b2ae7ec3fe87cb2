"""Authids: one use each, bound to their login, only hashes at rest, nothing lost among processes and threads."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL

from x2gobroker.broker import EVENT_GRACE
from x2gobroker.model.inventory import CLOCK_SECONDS
from x2gobroker.store import authids as module
from x2gobroker.store.authids import (
    KEEP_SPENT_SECONDS,
    LONGEST_AUTHID,
    LONGEST_GRACE,
    SWEEP_SECONDS,
    Authids,
    Standing,
    digest_of,
)
from x2gobroker.store.database import FILE_NAME, Store
from x2gobroker.store.tables import AUTHIDS

ADDRESS = "192.0.2.7"
LIFETIME = 3600.0
JOIN_DEADLINE = 30.0


@dataclass
class Clock:
    """A clock that stands still until told otherwise; takes the place of the module `time`."""

    now: float = 1_000_000.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time as the authids see it."""
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def authids(tmp_path: Path) -> Authids:
    """Authids in a fresh store."""
    return opened(tmp_path)


def opened(folder: Path) -> Authids:
    return Authids(Store(URL.create("sqlite", database=str(folder / FILE_NAME))))


def issue(authids: Authids, user: str = "anna", lifetime: float = LIFETIME) -> str:
    return authids.issue(user, "realm", ADDRESS, lifetime)


def look_up(
    authids: Authids,
    authid: str,
    user: str = "anna",
    realm: str = "realm",
    address: str | None = ADDRESS,
    arrived: float | None = None,
    lifetime: float = LIFETIME,
) -> Standing | None:
    return authids.look_up(
        authid, user, realm, address, vars(module)["time"].time() if arrived is None else arrived, lifetime
    )


def good(standing: Standing | None) -> Standing:
    assert standing is not None
    assert standing.fault == ""
    return standing


def fault(standing: Standing | None) -> str:
    assert standing is not None
    assert standing.fault
    return standing.fault


def replace(authids: Authids, standing: Standing) -> str:
    return authids.replace(standing, "realm", ADDRESS, LIFETIME)


def count(authids: Authids) -> int:
    with authids.store.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(AUTHIDS)).scalar_one())


def test_an_authid_stands_for_the_user_who_logged_in(authids: Authids) -> None:
    assert good(look_up(authids, issue(authids))).user == "anna"


def test_an_authid_that_was_replaced_is_refused_when_used_again(authids: Authids, clock: Clock) -> None:
    authid = issue(authids)
    following = replace(authids, good(look_up(authids, authid)))
    clock.now += 0.001
    assert fault(look_up(authids, authid)) == "authid was used before"
    assert good(look_up(authids, following)).user == "anna"


def test_each_of_a_chain_of_authids_works_once(authids: Authids, clock: Clock) -> None:
    authid, seen = issue(authids), set()
    for _ in range(10):
        seen.add(authid)
        following = replace(authids, good(look_up(authids, authid)))
        clock.now += 1
        assert fault(look_up(authids, authid))
        authid = following
    assert len(seen) == 10


def test_a_static_authid_is_good_for_many_uses(authids: Authids, clock: Clock) -> None:
    authid = issue(authids)
    for _ in range(5):
        clock.now += 1
        good(look_up(authids, authid))


def test_requests_that_overlap_both_succeed_and_both_new_authids_work(authids: Authids, clock: Clock) -> None:
    authid = issue(authids)
    first_arrived, second_arrived = clock.now + 1, clock.now + 2
    first = good(look_up(authids, authid, arrived=first_arrived))
    second = good(look_up(authids, authid, arrived=second_arrived))
    clock.now += 3
    following = {replace(authids, first), replace(authids, second)}
    assert len(following) == 2
    clock.now += 1
    for new in following:
        good(look_up(authids, new))


def test_a_request_that_arrived_before_the_other_was_answered_is_good_even_if_looked_at_later(
    authids: Authids, clock: Clock
) -> None:
    authid = issue(authids)
    arrived = clock.now + 1
    clock.now += 2
    replace(authids, good(look_up(authids, authid)))
    clock.now += 1
    good(look_up(authids, authid, arrived=arrived))
    assert fault(look_up(authids, authid))


def test_an_authid_expires_after_its_lifetime(authids: Authids, clock: Clock) -> None:
    authid = issue(authids)
    clock.now += LIFETIME
    good(look_up(authids, authid))
    clock.now += 1
    assert fault(look_up(authids, authid)) == "authid has expired"


def test_the_lifetime_counts_from_the_login_across_rotations(authids: Authids, clock: Clock) -> None:
    authid = issue(authids)
    for _ in range(9):
        clock.now += LIFETIME / 10
        authid = replace(authids, good(look_up(authids, authid)))
    clock.now += LIFETIME / 10
    good(look_up(authids, authid))
    clock.now += 1
    assert fault(look_up(authids, authid)) == "authid has expired"


def test_a_lifetime_that_was_shortened_since_counts_and_one_that_was_lengthened_does_not(
    authids: Authids, clock: Clock
) -> None:
    authid = issue(authids)
    clock.now += 100
    assert fault(look_up(authids, authid, lifetime=99)) == "authid has expired"
    clock.now += LIFETIME
    assert fault(look_up(authids, authid, lifetime=LIFETIME * 10)) == "authid has expired"


@pytest.mark.parametrize("other", [{"user": "bert"}, {"user": ""}, {"user": "Anna"}, {"realm": "other"}])
def test_an_authid_of_another_user_or_realm_is_unknown_and_stays_good_for_its_owner(
    authids: Authids, other: dict[str, str]
) -> None:
    authid = issue(authids)
    assert look_up(authids, authid, **other) is None  # type: ignore[arg-type]
    good(look_up(authids, authid))


def test_f4_user_and_authid_are_never_one_text(authids: Authids) -> None:
    authid = issue(authids, "anna_x")
    assert look_up(authids, f"x_{authid}", "anna") is None
    assert look_up(authids, authid, "anna") is None


def test_an_authid_from_another_address_is_refused_and_gone(authids: Authids) -> None:
    authid = issue(authids)
    assert fault(look_up(authids, authid, address="192.0.2.8")) == "authid is of another address"
    assert look_up(authids, authid) is None


def test_addresses_do_not_count_where_they_are_not_compared(authids: Authids) -> None:
    good(look_up(authids, issue(authids), address=None))


@pytest.mark.parametrize("authid", ["", "x", "0" * 40, "../../etc/passwd", "\0", "é" * 50, "\ud800", "'; drop table"])
def test_an_authid_that_nobody_was_given_is_unknown(authids: Authids, authid: str) -> None:
    issue(authids)
    assert look_up(authids, authid) is None
    assert count(authids) == 1


def test_an_overlong_authid_is_unknown(authids: Authids) -> None:
    assert look_up(authids, "x" * (LONGEST_AUTHID + 1)) is None


def test_authids_have_at_least_128_random_bits(authids: Authids) -> None:
    issued = [issue(authids) for _ in range(200)]
    assert len(set(issued)) == 200
    numbers = [int(authid, 16) for authid in issued]
    assert all(len(authid) * 4 >= 128 for authid in issued)
    # every bit is set in some and clear in others: none of them is fixed
    ones = zeros = 0
    for number in numbers:
        ones |= number
        zeros |= ~number
    assert (ones & zeros & ((1 << 160) - 1)).bit_count() >= 128


def test_nothing_in_the_stores_files_holds_an_authid(tmp_path: Path) -> None:
    authids = opened(tmp_path)
    authid = issue(authids)
    following = replace(authids, good(look_up(authids, authid)))
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert f"{FILE_NAME}-wal" in files
    assert any(b"anna" in content for content in files.values())
    for secret in (authid, following):
        for content in files.values():
            assert secret.encode() not in content
            assert bytes.fromhex(secret) not in content
    authids.store.close()
    content = (tmp_path / FILE_NAME).read_bytes()
    assert b"anna" in content
    assert authid.encode() not in content
    assert following.encode() not in content


def test_two_stores_on_one_file_agree_as_two_processes_do(tmp_path: Path, clock: Clock) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    authid = issue(one)
    following = replace(other, good(look_up(other, authid)))
    clock.now += 1
    assert fault(look_up(one, authid)) == "authid was used before"
    good(look_up(one, following))
    assert fault(look_up(one, following, address="192.0.2.8"))
    assert look_up(other, following) is None


def test_a_login_survives_a_restart(tmp_path: Path) -> None:
    before = opened(tmp_path)
    authid = issue(before)
    before.store.close()
    good(look_up(opened(tmp_path), authid))


def test_a_login_sweeps_what_expired_and_what_was_spent_a_while_ago(authids: Authids, clock: Clock) -> None:
    issue(authids, lifetime=10)
    spent = issue(authids)
    kept = replace(authids, good(look_up(authids, spent)))
    assert count(authids) == 3
    clock.now += SWEEP_SECONDS + KEEP_SPENT_SECONDS + 1
    issue(authids)
    assert count(authids) == 2
    good(look_up(authids, kept))
    assert look_up(authids, spent) is None


def test_what_was_spent_a_moment_ago_stays_known_as_spent(authids: Authids, clock: Clock) -> None:
    spent = issue(authids)
    replace(authids, good(look_up(authids, spent)))
    clock.now += SWEEP_SECONDS + 1
    issue(authids)
    assert fault(look_up(authids, spent)) == "authid was used before"


def test_a_clock_that_was_ahead_prolongs_no_login(authids: Authids, clock: Clock) -> None:
    clock.now += 86_400
    authid = issue(authids)
    following = replace(authids, good(look_up(authids, issue(authids))))
    clock.now -= 86_400
    for one in (authid, following):
        assert fault(look_up(authids, one)) == "authid has expired"
    clock.now += CLOCK_SECONDS - 1  # by which the clocks of two brokers may differ
    near = issue(authids)
    clock.now -= CLOCK_SECONDS - 1
    good(look_up(authids, near))


def test_an_authid_that_was_spent_by_a_clock_that_was_ahead_stays_spent(authids: Authids, clock: Clock) -> None:
    spent, reported = issue(authids), issue(authids)
    clock.now += 86_400
    authids.replace(Standing(digest_of(spent), "anna", clock.now), "realm", ADDRESS, LIFETIME)
    clock.now -= 86_400
    assert fault(look_up(authids, spent)) == "authid was used before"
    assert EVENT_GRACE <= LONGEST_GRACE
    authids.replace(good(look_up(authids, reported)), "realm", ADDRESS, LIFETIME, EVENT_GRACE)
    assert good(look_up(authids, reported)).spent, "a report of a client does not wait for the answer to another one"


def test_a_sweep_waits_no_longer_after_the_clock_was_ahead(authids: Authids, clock: Clock) -> None:
    clock.now += 86_400
    issue(authids)
    clock.now -= 86_400
    issue(authids, lifetime=10)
    clock.now += SWEEP_SECONDS + 1
    issue(authids)
    assert count(authids) == 2


def test_eight_threads_of_one_login_lose_nothing(authids: Authids) -> None:
    authid = issue(authids)
    arrived = time.time()
    barrier = threading.Barrier(8)
    following: list[str] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            barrier.wait(JOIN_DEADLINE)
            standing = good(look_up(authids, authid, arrived=arrived))
            following.append(replace(authids, standing))
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    _run_all([threading.Thread(target=ask) for _ in range(8)])
    assert errors == []
    assert len(set(following)) == 8
    for new in following:
        good(look_up(authids, new))
    assert fault(look_up(authids, authid))


def test_eight_threads_with_a_login_each_go_their_own_way(tmp_path: Path) -> None:
    stores = [opened(tmp_path), opened(tmp_path)]
    assert [count(store) for store in stores] == [0, 0]
    errors: list[BaseException] = []

    def session(number: int) -> None:
        try:
            mine = stores[number % 2]
            authid = issue(mine, f"user{number}")
            for _ in range(10):
                used = authid
                authid = replace(mine, good(look_up(mine, authid, f"user{number}")))
                assert fault(look_up(mine, used, f"user{number}"))
                assert look_up(mine, authid, f"user{number + 1}") is None
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    _run_all([threading.Thread(target=session, args=(number,)) for number in range(8)])
    assert errors == []
    assert count(stores[0]) == 8 * 11


def _run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_DEADLINE)
        assert not thread.is_alive()
