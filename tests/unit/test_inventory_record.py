"""What has happened goes into the store: one transaction for a portion, as much read as is needed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL

from tests.unit.inventory_values import NOW, name_of, seen
from x2gobroker.errors import StoreError
from x2gobroker.inventory.happenings import Answered, Changed, Happening, Placed, Said, Silent, Told
from x2gobroker.inventory.merge import merge
from x2gobroker.inventory.reads import at_login
from x2gobroker.inventory.record import MOST_SERVERS, SWEEP_SECONDS, Inventory, News
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import CHECKLOAD, LISTED, WATCH, KnownServer, KnownSession, SessionKey, View
from x2gobroker.store import ServerSessions, Store

TS01, TS02 = Endpoint("ts01", "10.0.0.1"), Endpoint("ts02.example.org", "10.0.0.2")


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """It stands at NOW."""
    return Clock()


@pytest.fixture
def inventory(tmp_path: Path, clock: Clock) -> Iterator[Inventory]:
    """That of an empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    yield Inventory(store, clock)
    store.close()


def states(inventory: Inventory) -> dict[str, dict[str, str]]:
    """The states of all sessions, by name of the server and user."""
    return {
        view.server.name: {one.user: one.state for one in view.sessions.values()}
        for view in ServerSessions(inventory.store).all().values()
    }


def test_a_report_an_event_and_a_place(inventory: Inventory, clock: Clock) -> None:
    inventory.take([(TS01, Told(NOW - 1, NOW, (seen(), seen("bert", 51))))])
    inventory.take([(TS02, Placed(NOW, "carl", "inifile", "desk", NOW + 90))])
    clock.now += 5
    inventory.take([(TS01, Said(NOW + 5, "anna", name_of("anna"), "S"))])
    assert states(inventory) == {"ts01": {"anna": "S", "bert": "R"}, "ts02.example.org": {"carl": "E"}}
    inventory.take([(TS01, Placed(NOW + 5, "carl", "inifile", "desk", NOW + 95))])
    assert states(inventory) == {"ts01": {"anna": "S", "bert": "R", "carl": "E"}, "ts02.example.org": {}}


def test_what_happened_at_one_server_is_merged_in_its_order(inventory: Inventory, clock: Clock) -> None:
    clock.now += 10
    name = name_of("anna")
    inventory.take(
        [
            (TS01, Told(NOW, NOW + 1)),
            (TS02, Answered(NOW, NOW + 1, CHECKLOAD)),
            (TS01, Said(NOW + 2, "anna", name, "R")),
            (TS01, Told(NOW + 1, NOW + 3, ())),
            (TS01, Said(NOW + 4, "anna", name, "S")),
            (TS02, Silent(NOW + 5, "timeout")),
        ]
    )
    assert states(inventory) == {"ts01": {"anna": "S"}, "ts02.example.org": {}}
    assert ServerSessions(inventory.store).all()[TS02.key].server.trouble == "timeout"


def test_a_server_under_another_name_keeps_its_rows(inventory: Inventory) -> None:
    inventory.take([(TS01, Told(NOW, NOW, (seen(),)))])
    inventory.take([(Endpoint("renamed", "10.0.0.1"), Answered(NOW, NOW, CHECKLOAD))])
    assert states(inventory) == {"renamed": {"anna": "R"}}


def test_two_servers_of_one_name_are_two(inventory: Inventory) -> None:
    twin = Endpoint("ts01", "10.0.0.9")
    inventory.take([(TS01, Told(NOW, NOW, (seen(),))), (twin, Told(NOW, NOW, (seen("bert"),)))])
    found = ServerSessions(inventory.store).all()
    assert {key: [one.user for one in view.sessions.values()] for key, view in found.items()} == {
        TS01.key: ["anna"], twin.key: ["bert"],
    }  # fmt: skip


def test_a_watch_that_follows_nothing_is_to_tell_all_anew(inventory: Inventory, clock: Clock) -> None:
    clock.now += 20
    assert inventory.take([(TS01, Changed(NOW, NOW + 1, NOW + 2))]) == {TS01.key}
    assert inventory.take([(TS01, Told(NOW, NOW + 1, (seen(), seen("bert")), WATCH))]) == frozenset()
    gone = frozenset({("anna", name_of("anna"))})
    news = [(TS01, Changed(NOW, NOW + 3, NOW + 5)), (TS01, Changed(NOW + 3, NOW + 6, NOW + 8, (), gone))]
    assert inventory.take(news) == frozenset()
    assert states(inventory) == {"ts01": {"bert": "R"}}
    assert inventory.take([(TS01, Changed(NOW + 3, NOW + 9, NOW + 11))]) == {TS01.key}


def test_a_load_checker_that_takes_over_from_one_whose_clock_was_ahead_is_heard_at_once(
    inventory: Inventory, clock: Clock
) -> None:
    ahead = Inventory(inventory.store, lambda: clock.now + 30)
    ahead.take([(TS01, Told(NOW + 28, NOW + 30, (seen(),), WATCH))])
    with inventory.store.begin() as connection:
        assert at_login(connection, "anna", [TS01.key], -1.0, NOW)[0].unknown == {TS01.key}, "it may be of any age"
    clock.now += 9
    assert inventory.take([(TS01, Told(NOW + 8, NOW + 9, (), WATCH))]) == frozenset()
    assert states(inventory) == {"ts01": {}}
    clock.now += 8
    assert inventory.take([(TS01, Changed(NOW + 8, NOW + 15, NOW + 17, (seen("bert"),)))]) == frozenset()
    assert states(inventory) == {"ts01": {"bert": "R"}}
    with inventory.store.begin() as connection:
        assert at_login(connection, "bert", [TS01.key], -1.0, clock.now)[0].unknown == frozenset()


def test_a_sign_of_life_makes_the_servers_word_count(inventory: Inventory, clock: Clock) -> None:
    clock.now += 20
    inventory.take([(TS01, Told(NOW, NOW + 1, (seen(), seen("bert")), WATCH))])
    inventory.take([(TS01, Said(NOW + 5, "anna", name_of("anna"), "S")), (TS01, Said(NOW + 5, "carl", "carl-5", "R"))])
    assert states(inventory) == {"ts01": {"anna": "S", "bert": "R", "carl": "R"}}
    inventory.take([(TS01, Changed(NOW, NOW + 10, NOW + 12))])
    assert states(inventory) == {"ts01": {"anna": "R", "bert": "R"}}


def test_a_sign_of_life_reads_and_writes_next_to_nothing(inventory: Inventory, clock: Clock) -> None:
    clock.now += 20
    inventory.take([(TS01, Told(NOW, NOW + 1, tuple(seen("anna", number) for number in range(200)), WATCH))])
    seen_rows: Counter[str] = Counter()
    with inventory.store.begin() as connection:
        engine = connection.engine

    def count(_conn: object, cursor: object, statement: str, values: object, context: object, many: bool) -> None:
        seen_rows["server_sessions, writing"] += "server_sessions" in statement and not statement.startswith("SELECT")

    event.listen(engine, "after_cursor_execute", count)
    inventory.take([(TS01, Changed(NOW, NOW + 10, NOW + 12))])
    assert seen_rows == {"server_sessions, writing": 0}
    inventory.take([(TS01, Told(NOW + 14, NOW + 15, tuple(seen("anna", number) for number in range(200)), WATCH))])
    assert seen_rows == {"server_sessions, writing": 0}, "nor does a report in which nothing is new"


def test_one_session_that_changes_costs_the_same_beside_any_number_of_others(
    inventory: Inventory, clock: Clock
) -> None:
    clock.now += 20
    inventory.take([(TS01, Told(NOW, NOW + 1, tuple(seen(f"u{number}", number) for number in range(2000)), WATCH))])
    rows: list[int] = []
    read = ServerSessions.read

    def counted(*arguments: object) -> dict[str, View]:
        found = read(*arguments)  # type: ignore[arg-type]
        rows.append(sum(len(view.sessions) for view in found.values()))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServerSessions, "read", staticmethod(counted))
        inventory.take([(TS01, Changed(NOW, NOW + 10, NOW + 12, (seen("u7", 7, "S"),)))])
        inventory.take([(TS01, Changed(NOW + 10, NOW + 14, NOW + 16, (), frozenset({("u9", name_of("u9", 9))})))])
    assert rows == [1, 1]
    assert Counter(states(inventory)["ts01"].values()) == {"R": 1998, "S": 1}


@pytest.mark.parametrize("seed", range(8))
def test_what_is_read_is_enough_for_whatever_happens(inventory: Inventory, clock: Clock, seed: int) -> None:
    """The store reads parts only; the same happenings, merged with all that is known, come to the same."""
    dice = random.Random(seed)
    view, known = View(KnownServer(TS01.key, TS01.name)), NOW
    users = [f"u{number}" for number in range(6)]
    for _ in range(150):
        clock.now += dice.choice([0.1, 1.0, 5.0])
        now = clock.now
        user, state = dice.choice(users), dice.choice("RS")
        some = tuple(seen(one, state=dice.choice("RS"), since=now - 5) for one in dice.sample(users, 3))
        asked = now - dice.choice([0.0, 1.0, 3.0])
        possible: list[Happening] = [
            Told(asked, now, some, WATCH),
            Told(asked, now, tuple(one for one in some if one.user == user), LISTED, user),
            Changed(known, asked, now, some[:2], frozenset({(some[2].user, some[2].name)})),
            Changed(known, asked, now),
            Changed(known - 1, asked, now, some[:1]),
            Answered(asked, now, CHECKLOAD),
            Silent(asked, "timeout"),
            Said(asked, user, name_of(user), state),
            Placed(asked, user, "inifile", "desk", now + 90),
        ]
        happening = dice.choice(possible)
        inventory.take([(TS01, happening)])
        view = merge(view, happening, now)
        known = view.server.known
        (stored,) = ServerSessions(inventory.store).all().values()
        assert stored.server == view.server
        assert living_at(stored, now) == living_at(view, now)


def living_at(view: View, now: float) -> dict[SessionKey, KnownSession]:
    """What is there: what is over stays in the store until it is swept."""
    return {key: one for key, one in view.sessions.items() if one.is_living(now)}


def test_one_transaction_for_a_portion(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()
    begin = Store.begin

    def counting(store: Store) -> AbstractContextManager[Connection]:
        counted["transactions"] += 1
        return begin(store)

    monkeypatch.setattr(Store, "begin", counting)
    farm = [Endpoint(f"ts{number}", f"10.1.0.{number}") for number in range(2 * MOST_SERVERS + 1)]
    inventory.take([(server, Told(NOW, NOW, (seen(),))) for server in farm])
    assert counted["transactions"] == 3
    assert len(states(inventory)) == len(farm)
    assert inventory.take([]) == frozenset()


def test_a_transaction_that_fails_changes_nothing(inventory: Inventory) -> None:
    inventory.take([(TS01, Told(NOW, NOW, (seen(),)))])
    with pytest.raises(KeyError), inventory.store.begin() as connection:
        inventory.take_within(connection, [(TS01, Told(NOW, NOW))])
        raise KeyError
    assert states(inventory) == {"ts01": {"anna": "R"}}


def test_a_store_that_is_gone_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    broken = Inventory(Store(URL.create("sqlite", database=str(tmp_path / "file" / "store.sqlite"))))
    with pytest.raises(StoreError):
        broken.take([(TS01, Told(NOW, NOW))])


def test_news_that_come_again_do_no_harm(inventory: Inventory) -> None:
    news: list[News] = [(TS01, Told(NOW - 1, NOW, (seen(),))), (TS01, Said(NOW, "anna", name_of("anna"), "S"))]
    inventory.take(news)
    before = ServerSessions(inventory.store).all()
    inventory.take(news)
    assert ServerSessions(inventory.store).all() == before


def test_what_is_past_is_swept_once_an_hour(inventory: Inventory, clock: Clock) -> None:
    inventory.sweep()
    inventory.take([(TS01, Placed(NOW, "anna", "inifile", "desk", NOW + 90))])
    clock.now += SWEEP_SECONDS - 1
    inventory.sweep()
    assert states(inventory) == {"ts01": {"anna": "E"}}
    clock.now += 2
    inventory.sweep()
    assert states(inventory) == {}


def test_many_who_write_at_once_lose_nothing(inventory: Inventory) -> None:
    """Each client's last word is there in the end, whatever reports come in between, which were asked for before."""
    inventory.take([(TS01, Told(NOW - 5, NOW - 4, tuple(seen("anna", number) for number in range(40)), WATCH))])
    names = [name_of("anna", number) for number in range(40)]
    failed: list[BaseException] = []

    def clients(portion: list[str]) -> None:
        try:
            for state in "RS":
                for name in portion:
                    inventory.take([(TS01, Said(NOW, "anna", name, state))])
        except StoreError as error:
            failed.append(error)

    def reports() -> None:
        dice = random.Random(1)
        for number in range(20):
            sessions = tuple(seen("anna", number, dice.choice("RST")) for number in range(40))
            inventory.take([(TS01, Told(NOW - 4 + number / 10, NOW, sessions))])

    threads = [threading.Thread(target=clients, args=(names[number::4],)) for number in range(4)]
    threads.append(threading.Thread(target=reports))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    found = ServerSessions(inventory.store).all()[TS01.key]
    assert {one.name: one.state for one in found.sessions.values()} == dict.fromkeys(names, "S")


def test_ten_thousand_sessions_of_a_farm_are_taken_quickly(inventory: Inventory) -> None:
    farm = [Endpoint(f"ts{number}", f"10.1.0.{number}") for number in range(200)]
    news = [(server, Told(NOW, NOW, tuple(seen("anna", number) for number in range(50)))) for server in farm]
    began = time.process_time()
    inventory.take(news)
    assert time.process_time() - began < 10
    began = time.process_time()
    inventory.take(news)
    assert time.process_time() - began < 5
