"""Choosing one server of a session profile, without a look at sessions: with real sockets on loopback."""

from __future__ import annotations

import random

import pytest

from tests.unit.test_scheduling_probe import LOOPBACK, bound, listening
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.scheduling.choice import NO_SERVER, NO_SERVER_UP, Scheduler, Selection


def profile(**texts: str) -> SessionProfile:
    return build_profile("p", texts, {}, lambda _option, _message: None)


def chosen(made: SessionProfile | None, probe: bool = True) -> tuple[str, int]:
    selection: Selection = Scheduler().glance(made, probe)
    return selection.server, selection.port


def test_no_profile_has_no_server() -> None:
    assert chosen(None) == (NO_SERVER, 22)


def test_a_profile_without_hosts_has_no_server_and_its_own_port(said: pytest.LogCaptureFixture) -> None:
    assert chosen(profile(host="", sshport="2222")) == (NO_SERVER, 2222)
    assert "[p] has no usable host" in said.text


def test_f16_shadow_without_hosts_has_no_server() -> None:
    assert chosen(profile(host="", command="SHADOW")) == (NO_SERVER, 22)


def test_a_single_host_is_given_out_down_or_not() -> None:
    with bound() as down:
        assert chosen(profile(host=f"h ({LOOPBACK}:{down})")) == (LOOPBACK, down)


def test_a_host_that_is_written_twice_is_a_single_one() -> None:
    with bound() as down:
        assert chosen(profile(host=f"h ({LOOPBACK}:{down}), other ({LOOPBACK}:{down})")) == (LOOPBACK, down)


def test_of_several_hosts_those_that_answer_are_given_out() -> None:
    with listening() as up, bound() as down:
        made = profile(host=f"a ({LOOPBACK}:{down}), b ({LOOPBACK}:{up})")
        assert {chosen(made) for _ in range(5)} == {(LOOPBACK, up)}


def test_of_several_hosts_that_are_all_down_none_is_given_out(said: pytest.LogCaptureFixture) -> None:
    with bound() as one, bound() as other:
        made = profile(host=f"{LOOPBACK}:{one}, {LOOPBACK}:{other}", sshport="2222")
        assert chosen(made) == (NO_SERVER_UP, 2222)
        assert f"{LOOPBACK}:{one}" in said.text


def test_without_probing_each_of_several_is_given_out_sooner_or_later() -> None:
    with bound() as one, bound() as other:
        made = profile(host=f"{LOOPBACK}:{one}, {LOOPBACK}:{other}")
        assert {chosen(made, probe=False) for _ in range(60)} == {(LOOPBACK, one), (LOOPBACK, other)}


def test_of_several_that_are_up_each_is_given_out_sooner_or_later() -> None:
    scheduler = Scheduler(dice=random.Random(1))
    with listening() as one, listening() as other:
        made = profile(host=f"{LOOPBACK}:{one}, {LOOPBACK}:{other}")
        ports = {scheduler.glance(made, probe=True).port for _ in range(60)}
        assert ports == {one, other}


def test_desktop_sharing_gets_its_first_host_down_or_not() -> None:
    with listening() as up, bound() as down:
        made = profile(host=f"{LOOPBACK}:{down}, {LOOPBACK}:{up}", command="SHADOW")
        assert {chosen(made) for _ in range(5)} == {(LOOPBACK, down)}


def test_f14_several_hosts_on_a_port_that_does_not_exist_do_no_harm() -> None:
    server, port = chosen(profile(host="127.0.0.1, 127.0.0.2", sshport="99999"))
    assert server in (NO_SERVER_UP, "127.0.0.1", "127.0.0.2")
    assert 1 <= port <= 65535


@pytest.mark.parametrize(
    ("host", "selected"),
    [
        ("h", ("h", 2222)),
        ("h:22", ("h", 22)),
        ("h (10.0.0.1)", ("10.0.0.1", 2222)),
        ("h (10.0.0.1:22)", ("10.0.0.1", 22)),
        ("h (2001:db8::7)", ("2001:db8::7", 2222)),
    ],
)
def test_the_address_and_port_of_the_host_win_over_name_and_port_of_the_profile(
    host: str, selected: tuple[str, int]
) -> None:
    assert chosen(profile(host=host, sshport="2222")) == selected
