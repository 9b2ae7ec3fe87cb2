"""Choosing a server for a new session: down, drained, full, loaded, reserved."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.unit.scheduling_world import START, World, taken_port, world
from x2gobroker.agents.base import LOGIN, TIMEOUT
from x2gobroker.agents.rules import LOCAL, NONE
from x2gobroker.scheduling.choice import NO_SERVER, NO_SERVER_UP, Stores
from x2gobroker.store import Drains, Loads, Reservations, Store


@pytest.fixture
def three(tmp_path: Path) -> Iterator[World]:
    """Three servers that are up, without sessions."""
    with world(tmp_path, 3) as made:
        made.count(ts01=0, ts02=0, ts03=0)
        yield made


@contextlib.contextmanager
def down(made: World, name: str) -> Iterator[None]:
    """A server at whose port nobody answers."""
    with taken_port() as port:
        number = made.names.index(name)
        made.hosts = made.hosts.replace(str(made.ports[number]), str(port))
        before, made.ports[number] = made.ports[number], port
        made.agents.broken[made.key(name)] = "unreachable"
        yield
        made.ports[number] = before


def test_the_server_with_the_fewest_sessions_is_chosen(three: World) -> None:
    three.count(ts01=4, ts02=2, ts03=3)
    selection = three.select()
    assert selection.host is not None
    assert selection.host.name == "ts02.example.org"
    assert (selection.server, selection.port) == ("127.0.0.1", three.ports[1])
    assert [endpoint.key for endpoint in selection.endpoints] == [three.key("ts02")]
    assert selection.session_lines == ()


def test_a_server_that_was_handed_out_counts_as_taken(three: World) -> None:
    assert Counter(three.server(f"user{number}") for number in range(30)) == {"ts01": 10, "ts02": 10, "ts03": 10}
    assert len(three.reserved()) == 30


def test_places_are_free_again_when_they_expire(three: World) -> None:
    three.count(ts01=0, ts02=5, ts03=5)
    assert [three.server(f"user{number}") for number in range(5)] == ["ts01"] * 5
    three.now += 91
    assert three.server("later") == "ts01"


def test_one_user_choosing_again_holds_one_place(three: World) -> None:
    for _ in range(6):
        three.server()
    assert len(three.reserved()) == 1


def test_people_who_share_an_account_hold_a_place_each(three: World) -> None:
    three.account = "kiosk"
    assert Counter(three.server(f"user{number}") for number in range(9)) == {"ts01": 3, "ts02": 3, "ts03": 3}
    assert sorted(row.user for row in three.reserved()) == [f"user{number}" for number in range(9)]


def test_a_server_that_does_not_answer_is_not_chosen(three: World) -> None:
    three.count(ts01=9, ts02=9)
    with down(three, "ts03"):
        assert {three.server(f"user{number}") for number in range(6)} == {"ts01", "ts02"}


def test_no_server_is_said_with_the_reason_for_each(three: World, said: pytest.LogCaptureFixture) -> None:
    three.stores.drains.start("ts02", "root")
    three.limit = 1
    assert three.server("other") in ("ts01", "ts03")
    with down(three, "ts03"), down(three, "ts01"):
        assert three.server() == NO_SERVER_UP
        assert f"ts01.example.org[{three.key('ts01')}] is down" in said.text
        assert f"ts02.example.org[{three.key('ts02')}] is drained" in said.text


def test_a_full_server_is_left_out_and_then_there_is_none(three: World, said: pytest.LogCaptureFixture) -> None:
    three.limit = 2
    assert Counter(three.server(f"user{number}") for number in range(6)) == {"ts01": 2, "ts02": 2, "ts03": 2}
    assert three.server("one-more") == NO_SERVER_UP
    assert f"ts01.example.org[{three.key('ts01')}] has 2 new logins under way" in said.text
    assert len(three.reserved()) == 6


def test_ones_own_place_is_not_in_ones_way(three: World) -> None:
    three.limit = 1
    for number in range(3):
        three.server(f"user{number}")
    assert three.server("user1") != NO_SERVER_UP
    assert three.server("user3") == NO_SERVER_UP


def test_a_session_that_showed_up_makes_room_for_the_next(three: World) -> None:
    three.limit = 1
    for number in range(3):
        three.server(f"user{number}")
    held = three.reserved()[1]
    assert three.stores.reservations.confirm(held.user, held.server, three.now)
    assert three.key(three.server("one-more")) == held.server


@pytest.mark.parametrize("name", ["ts02", "ts02.example.org", "TS02.Example.org"])
def test_a_drained_server_gets_no_new_sessions(three: World, name: str) -> None:
    three.stores.drains.start(name, "root")
    assert {three.server(f"user{number}") for number in range(9)} == {"ts01", "ts03"}
    assert three.stores.drains.end(name)
    assert "ts02" in {three.server(f"more{number}") for number in range(9)}


def test_a_server_is_drained_by_its_address_and_port(three: World) -> None:
    three.stores.drains.start(three.key("ts02"), "root")
    assert {three.server(f"user{number}") for number in range(9)} == {"ts01", "ts03"}


def test_a_name_in_another_domain_drains_nothing(three: World) -> None:
    three.stores.drains.start("ts02.example.net", "root")
    assert len({three.server(f"user{number}") for number in range(9)}) == 3


def test_a_single_host_is_given_out_down_or_not_but_not_when_drained(tmp_path: Path) -> None:
    with world(tmp_path, 1) as made, down(made, "ts01"):
        assert made.server() == "ts01"
        assert len(made.reserved()) == 1
        made.stores.drains.start("ts01", "root")
        assert made.server() == NO_SERVER_UP


def test_one_server_under_two_names_counts_once(three: World) -> None:
    port = three.ports[0]
    three.hosts = f"ts01 (127.0.0.1:{port}), also-ts01 (127.0.0.1:{port}), {three.hosts}"
    chosen = Counter(three.select(f"user{number}").port for number in range(30))
    assert chosen == dict.fromkeys(three.ports, 10)


def test_localhost_is_a_host_like_others(three: World) -> None:
    three.hosts = f"localhost:{three.ports[0]}, {three.hosts.partition(', ')[2]}"
    three.count(ts02=3, ts03=3)
    selection = three.select()
    assert (selection.server, selection.port) == ("localhost", three.ports[0])


def test_a_desktop_sharing_profile_gets_its_first_host_and_asks_nobody(three: World) -> None:
    three.texts["command"] = "SHADOW"
    assert {three.server(f"user{number}") for number in range(5)} == {"ts01"}
    assert three.agents.asked == []
    assert three.reserved() == []


def test_a_profile_without_hosts_has_no_server(three: World) -> None:
    three.hosts = ""
    assert three.server() == NO_SERVER


def test_the_load_checkers_figures_decide(three: World) -> None:
    three.use_loads = True
    three.load("ts01", factor=100, sessions=4)
    three.load("ts02", factor=400, sessions=4)
    three.load("ts03", factor=100, sessions=3)
    assert Counter(three.server(f"user{number}") for number in range(11)) == {"ts02": 11}
    assert three.server("more") in ("ts02", "ts03")
    assert "getservers" not in {task for _, task in three.agents.asked}


def test_agents_that_do_not_count_in_their_load_reports_are_asked(three: World) -> None:
    three.use_loads = True
    for name in three.names:
        three.load(name, sessions=None)
    three.count(ts01=5, ts02=1, ts03=5)
    assert three.server() == "ts02"


def test_a_server_without_a_fresh_report_ranks_behind(three: World) -> None:
    three.use_loads = True
    three.load("ts01", sessions=50)
    three.load("ts02", sessions=0, ago=901)
    assert {three.server(f"user{number}") for number in range(6)} == {"ts01"}
    three.stores.drains.start("ts01", "root")
    assert three.server() in ("ts02", "ts03")


def test_where_the_load_checker_has_stopped_sessions_are_counted(three: World) -> None:
    three.use_loads = True
    for name in three.names:
        three.load(name, ago=5000)
    three.count(ts01=5, ts02=1, ts03=5)
    assert three.server() == "ts02"


def test_reservations_since_the_report_count_even_when_they_have_expired(three: World) -> None:
    three.use_loads = True
    for name in three.names:
        three.load(name, sessions=0, ago=1)
    three.stores.drains.start("ts03", "root")
    three.stores.drains.start("ts02", "root")
    for number in range(5):
        three.server(f"early{number}")
    three.stores.drains.end("ts02")
    three.now += 120
    assert Counter(three.server(f"late{number}") for number in range(5)) == {"ts02": 5}


def test_a_server_that_the_load_checker_found_dead_is_not_asked(three: World) -> None:
    three.load("ts03", state="unreachable")
    three.server()
    assert three.agents.tasks_of(three.key("ts03")) == []


def test_a_dead_server_that_is_back_is_found_by_its_port(three: World) -> None:
    three.load("ts03", state="timeout")
    three.stores.drains.start("ts01", "root")
    three.stores.drains.start("ts02", "root")
    assert three.server() == "ts03"


def test_without_a_probe_dead_servers_are_left_out_unless_all_are(three: World) -> None:
    three.probe = False
    three.count(ts01=9, ts02=9)
    three.load("ts03", state="unreachable")
    assert {three.server(f"user{number}") for number in range(6)} == {"ts01", "ts02"}
    for name in three.names:
        three.load(name, state="login", ago=0)
    assert three.server("late") in three.names
    three.stores.drains.start("ts01", "root")
    three.stores.drains.start("ts02", "root")
    assert three.server("later") == "ts03"


def test_servers_whose_agents_fail_rank_behind(three: World) -> None:
    three.count(ts01=7, ts02=7)
    three.agents.broken[three.key("ts03")] = LOGIN
    assert {three.server(f"user{number}") for number in range(8)} == {"ts01", "ts02"}


def test_where_no_agent_answers_each_server_is_chosen_sooner_or_later(three: World) -> None:
    three.agents.broken.update({three.key(name): TIMEOUT for name in three.names})
    assert {three.server(f"user{number}") for number in range(30)} == set(three.names)


def test_a_server_that_does_not_count_ranks_behind_and_one_without_sessions_does_not(three: World) -> None:
    three.count(ts01=7, ts02=None)
    three.agents.counts[three.key("ts03")] = {}
    assert {three.server(f"user{number}") for number in range(5)} == {"ts03"}


def test_with_a_shared_session_database_two_answers_are_enough(three: World) -> None:
    three.set_rules(shared_database=True)
    three.agents.counts.update({three.key(name): {"ts01": 3, "ts03": 2} for name in three.names})
    assert three.server() == "ts02"
    assert len([task for _, task in three.agents.asked if task == "getservers"]) <= 2


def test_in_query_mode_local_the_agent_of_this_host_knows_all(three: World) -> None:
    three.set_rules(mode=LOCAL)
    three.agents.counts["localhost:0"] = {"ts01": 3, "ts02": 2}
    assert three.server() == "ts03"


@pytest.mark.parametrize("user", ["", "anna"])
def test_without_agents_the_reservations_alone_spread_the_users(three: World, user: str) -> None:
    if user:
        three.set_rules(mode=NONE)
    for number in range(60):
        three.server(f"{user}{number}" if user else "")
    assert three.agents.asked == []
    shares = Counter(row.server for row in three.reserved())
    assert len(shares) == 3
    assert max(shares.values()) - min(shares.values()) <= 6


def test_weights_give_shares(three: World) -> None:
    three.set_rules(mode=NONE)
    three.texts["broker-host-weights"] = "ts01:4, ts02:1, rubbish, ts03.example.org:1"
    chosen = Counter(three.server(f"user{number}") for number in range(120))
    assert 72 <= chosen["ts01"] <= 88


def test_weights_give_shares_where_logins_are_rare(three: World) -> None:
    three.set_rules(mode=NONE)
    three.texts["broker-host-weights"] = "ts01:4"
    chosen: Counter[str] = Counter()
    for number in range(150):
        three.now += 600
        chosen[three.server(f"user{number}")] += 1
    assert 75 < chosen["ts01"] < 125


def test_a_weight_of_zero_is_a_spare(three: World) -> None:
    three.texts["broker-host-weights"] = "ts02:0"
    three.count(ts01=50, ts03=50)
    assert {three.server(f"user{number}") for number in range(9)} == {"ts01", "ts03"}
    three.stores.drains.start("ts01", "root")
    three.stores.drains.start("ts03", "root")
    assert three.server() == "ts02"


def test_weights_count_only_where_no_load_report_does(three: World) -> None:
    three.use_loads = True
    three.texts["broker-host-weights"] = "ts01:0, ts02:9"
    three.load("ts01", factor=500)
    three.load("ts02", factor=100)
    assert three.server() == "ts01"


def test_the_probe_and_the_agents_are_asked_at_the_same_time(three: World) -> None:
    for name in three.names:
        three.agents.delays[three.key(name)] = 2.0
    begun = time.monotonic()
    three.server()
    # sessions and counts one after the other would take 4 s, one server after the other 12 s
    assert time.monotonic() - begun < 3.9


def test_a_slow_agent_costs_its_deadline_once(three: World) -> None:
    three.set_rules(timeout=0.5)
    three.agents.delays[three.key("ts02")] = 3.0
    begun = time.monotonic()
    assert three.server() in ("ts01", "ts03")
    assert time.monotonic() - begun < 2.5


def test_who_was_waited_for_in_vain_is_known(three: World) -> None:
    three.agents.broken.update({three.key("ts01"): TIMEOUT, three.key("ts02"): LOGIN})
    assert three.select().silent == {three.key("ts01")}


def test_the_agent_of_a_server_whose_port_is_known_to_be_closed_is_not_waited_for(three: World) -> None:
    with down(three, "ts03"):
        three.server("first")
        three.agents.asked.clear()
        three.server("second")
        assert three.agents.tasks_of(three.key("ts03")) == []


def test_each_choice_leaves_one_line(three: World, said: pytest.LogCaptureFixture) -> None:
    three.count(ts01=4, ts02=2, ts03=3)
    three.stores.drains.start("ts01", "root")
    three.server()
    (line,) = [record.getMessage() for record in said.records if record.getMessage().startswith("selectsession")]
    first, second, third = (f"{name}.example.org[{three.key(name)}]" for name in three.names)
    assert f"user=anna backend=inifile profile=desk server={second} by=sessions" in line
    assert f"order={second} (2 sessions, load 3), {third} (3 sessions, load 4)" in line
    assert f"out={first} is drained" in line


def test_a_store_that_fails_keeps_nobody_out(three: World, said: pytest.LogCaptureFixture) -> None:
    broken = Store(make_url("sqlite:////dev/null/store.sqlite"))
    three.count(ts01=4, ts02=2, ts03=3)
    selection = three.scheduler.choose(three.wish(), Stores(Reservations(broken), Loads(broken), Drains(broken)))
    assert selection.port == three.ports[1]
    assert said.text.count("without reservations and loads") == 1


def test_reservations_that_fail_keep_nobody_out(three: World, said: pytest.LogCaptureFixture) -> None:
    with three.store.begin() as connection:
        connection.exec_driver_sql("DROP TABLE reservations")
    three.count(ts01=4, ts02=2, ts03=3)
    assert three.server() == "ts02"
    assert "without reservations and loads" in said.text


def test_no_reservations_are_kept_where_they_are_off(three: World) -> None:
    three.seconds = 0
    assert three.server() in three.names
    assert three.reserved() == []


def test_time_is_of_the_clock(three: World) -> None:
    three.server()
    assert three.reserved()[0].made == START
