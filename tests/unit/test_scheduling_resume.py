"""Finding the sessions that a user has left: which are offered, in which order, at which address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_farm import COOKIE, session_line
from tests.unit.scheduling_world import World, taken_port, world
from x2gobroker.agents.rules import LOCAL, NONE
from x2gobroker.model.sessions import parse_session, resume_order


@pytest.fixture
def two(tmp_path: Path) -> Iterator[World]:
    """Two servers that are up."""
    with world(tmp_path, 2) as made:
        made.count(ts01=0, ts02=9)
        yield made


def offered(made: World, user: str = "anna") -> list[tuple[str, str]]:
    """Address and name of each session that is offered."""
    lines = [line.split("|") for line in made.select(user).session_lines]
    return [(fields[3], fields[1]) for fields in lines]


def test_a_suspended_session_is_resumed_where_it_is(two: World) -> None:
    two.hosts = f"ts01 (127.0.0.1:{two.ports[0]}), ts02 (localhost:{two.ports[1]})"
    two.agents.sessions[f"localhost:{two.ports[1]}"] = [session_line("ts02")]
    selection = two.select()
    assert (selection.server, selection.port) == ("localhost", two.ports[1])
    assert [line.split("|")[3] for line in selection.session_lines] == ["localhost"]
    assert [endpoint.key for endpoint in selection.endpoints] == [f"localhost:{two.ports[1]}"]
    assert two.reserved() == []


def test_who_has_a_session_that_cannot_be_offered_still_gets_the_idlest_server(two: World) -> None:
    two.agents.sessions[two.key("ts02")] = [session_line("elsewhere")]
    two.count(ts01=3, ts02=9)
    assert {two.server() for _ in range(8)} == {"ts01"}


def test_the_cookie_shows_in_no_text_of_a_selection(two: World, said: pytest.LogCaptureFixture) -> None:
    two.agents.sessions[two.key("ts02")] = [session_line("ts02")]
    selection = two.select()
    assert f"|{COOKIE}|" in selection.session_lines[0]
    assert COOKIE not in repr(selection)
    assert COOKIE not in said.text


def test_the_line_in_the_log_names_the_session(two: World, said: pytest.LogCaptureFixture) -> None:
    two.agents.sessions[two.key("ts02")] = [session_line("ts02")]
    two.select()
    assert f"server=ts02.example.org[{two.key('ts02')}] by=session order=anna-50-" in said.text


def test_suspended_comes_before_running_and_younger_before_older(two: World) -> None:
    port = two.ports[0]
    two.hosts = f"ts01 (127.0.0.1:{port}), ts02 (localhost:{port})"
    two.agents.sessions[f"127.0.0.1:{port}"] = [
        session_line("ts01", state="R", age=10, display=51),
        session_line("ts01", state="S", age=900, display=52),
    ]
    two.agents.sessions[f"localhost:{port}"] = [
        session_line("ts02", state="S", age=60, display=53),
        session_line("ts02", state="R", age=5, display=54, kind="SSHADOW"),
    ]
    assert [name.split("-")[1] for _, name in offered(two)] == ["53", "52", "51"]
    selection = two.select()
    assert selection.server == "localhost"
    assert [endpoint.address for endpoint in selection.endpoints] == ["localhost", "127.0.0.1"]


def test_sessions_behind_another_port_than_the_first_are_left_out(two: World) -> None:
    two.agents.sessions[two.key("ts01")] = [session_line("ts01", age=900)]
    two.agents.sessions[two.key("ts02")] = [session_line("ts02", age=60)]
    selection = two.select()
    assert selection.port == two.ports[1]
    assert len(selection.session_lines) == 1


def test_a_session_on_a_server_of_no_profile_is_not_offered(two: World) -> None:
    two.agents.sessions[two.key("ts01")] = [session_line("elsewhere"), session_line("ts02.example.net")]
    selection = two.select()
    assert selection.session_lines == ()
    assert selection.port == two.ports[0]


def test_a_session_of_somebody_else_is_not_offered(two: World) -> None:
    two.agents.sessions[two.key("ts01")] = [session_line("ts01", user="bert")]
    assert offered(two) == []


def test_a_session_on_a_server_that_is_down_is_ignored(two: World, said: pytest.LogCaptureFixture) -> None:
    two.set_rules(shared_database=True)
    for name in two.names:
        two.agents.sessions[two.key(name)] = [session_line("ts02")]
    with taken_port() as port:
        two.hosts = two.hosts.replace(str(two.ports[1]), str(port))
        two.agents.broken[f"127.0.0.1:{port}"] = "unreachable"
        selection = two.select()
    assert selection.session_lines == ()
    assert selection.port == two.ports[0]
    assert "is not offered: ts02.example.org" in said.text


def test_without_a_probe_a_session_on_a_server_known_dead_is_ignored(two: World) -> None:
    two.probe = False
    two.set_rules(shared_database=True)
    two.agents.sessions.update({two.key(name): [session_line("ts02")] for name in two.names})
    two.load("ts02", state="unreachable")
    assert offered(two) == []
    two.load("ts02", state="ok", ago=5)
    assert len(offered(two)) == 1


def test_the_next_session_is_offered_where_the_first_is_a_ghost(two: World) -> None:
    two.set_rules(shared_database=True)
    lines = [session_line("ts02", age=60, display=51), session_line("ts01", state="R", age=900, display=52)]
    two.agents.sessions.update({two.key(name): lines for name in two.names})
    with taken_port() as port:
        two.hosts = two.hosts.replace(str(two.ports[1]), str(port))
        two.agents.broken[f"127.0.0.1:{port}"] = "unreachable"
        assert [name.split("-")[1] for _, name in offered(two)] == ["52"]


def test_a_drained_and_full_server_still_lets_sessions_resume(two: World) -> None:
    two.limit = 1
    two.stores.drains.start("ts01", "root")
    two.stores.drains.start("ts02", "root")
    two.agents.sessions[two.key("ts02")] = [session_line("ts02")]
    assert [name.split("-")[1] for _, name in offered(two)] == ["50"]


def test_a_single_host_is_not_probed_and_its_session_is_offered(tmp_path: Path) -> None:
    with world(tmp_path, 1) as made, taken_port() as port:
        made.hosts = f"ts01:{port}"
        made.agents.sessions[f"ts01:{port}"] = [session_line("ts01")]
        assert len(offered(made)) == 1


def test_a_single_host_with_an_agent_that_fails_is_given_out(tmp_path: Path) -> None:
    with world(tmp_path, 1) as made:
        made.agents.broken[made.key("ts01")] = "unreachable"
        selection = made.select()
        assert (selection.port, selection.session_lines) == (made.ports[0], ())


def test_localhost_means_this_host(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "vm")
    two.set_rules(mode=LOCAL)
    two.hosts = f"localhost:{two.ports[0]}"
    two.agents.sessions["localhost:0"] = [session_line("vm")]
    assert offered(two) == [("localhost", "anna-50-1699999400_stDKDE_dp24")]


def test_without_agents_nobody_is_asked(two: World) -> None:
    two.agents.sessions[two.key("ts01")] = [session_line("ts01")]
    assert offered(two, user="") == []
    two.set_rules(mode=NONE)
    assert offered(two) == []
    assert two.agents.asked == []


def test_a_session_in_a_listing_confirms_the_place_that_was_reserved(two: World) -> None:
    assert two.server() == "ts01"
    two.now += 20
    two.agents.sessions[two.key("ts01")] = [session_line("ts01", age=15)]
    assert len(offered(two)) == 1
    (row,) = two.reserved()
    assert row.began == two.now - 15
    assert row.session.startswith("anna-50-")


def test_resuming_goes_on_where_the_store_fails(two: World, said: pytest.LogCaptureFixture) -> None:
    with two.store.begin() as connection:
        connection.exec_driver_sql("DROP TABLE reservations")
    two.agents.sessions[two.key("ts02")] = [session_line("ts02")]
    assert len(offered(two)) == 1
    assert "without reservations and loads" in said.text


sessions = st.builds(
    session_line,
    st.sampled_from(["ts01", "ts02"]),
    state=st.sampled_from("RS"),
    age=st.integers(0, 100_000),
    display=st.integers(50, 99),
    kind=st.sampled_from(["DKDE", "RTERMINAL", "SSHADOW"]),
).map(parse_session)


@given(st.lists(sessions, max_size=12))
def test_the_order_of_resuming(found: list[object]) -> None:
    ordered = resume_order(found)  # type: ignore[arg-type]
    assert {session.name for session in ordered} == {one.name for one in found if not one.is_shadow}  # type: ignore[attr-defined]
    keys = [(session.state != "S", session.age) for session in ordered]
    assert keys == sorted(keys)
