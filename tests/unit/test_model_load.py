"""Load reports of agents: what they say, what cannot be, and the factor that is made of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY, SOME
from x2gobroker.model.load import LIMITS, MOST_LINES, LoadReport, parse_load

REAL = ["loadavgXX:394", "memAvail:23545", "myMemAvail:23640", "numCPU:2", "typeCPU:2597"]


def changed(**values: str) -> list[str]:
    report = dict(line.split(":") for line in REAL) | values
    return [f"{name}:{value}" for name, value in report.items()]


def test_a_real_report() -> None:
    report = parse_load(REAL)
    assert report == LoadReport(394, 23545, 2, 2597)
    assert report.factor == int(23545 / 1000 * 2 * 2597 * 100 / 394) == 31038


def test_our_agent_says_how_many_sessions_there_are() -> None:
    assert parse_load([*REAL, "numSessions:7"]).sessions == 7
    assert parse_load([*REAL, "numSessions:0"]).sessions == 0


def test_lines_that_are_not_known_are_passed_over() -> None:
    assert parse_load([*REAL, "somethingNew:1.5"]) == parse_load(REAL)


def test_old_kernels_do_not_say_what_is_available() -> None:
    assert parse_load(changed(memAvail="0")).memory == 23640


def test_what_an_agent_cannot_tell_of_the_processor_is_taken_for_one_of_one_ghz() -> None:
    report = parse_load(changed(numCPU="0", typeCPU="0"))
    assert (report.cpus, report.cpu_mhz) == (1, 1000)


@pytest.mark.parametrize("missing", ["loadavgXX", "memAvail", "numCPU", "typeCPU"])
def test_a_report_that_lacks_something_is_an_error_that_names_it(missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        parse_load([line for line in REAL if not line.startswith(missing)])


def test_memory_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="lacks myMemAvail"):
        parse_load(["loadavgXX:1", "memAvail:0", "numCPU:1", "typeCPU:1"])
    with pytest.raises(ValueError, match="memory"):
        parse_load(changed(memAvail="0", myMemAvail="0"))


@pytest.mark.parametrize(
    ("name", "value", "figure"),
    [
        ("loadavgXX", "0", "load"),
        ("loadavgXX", "-1", "load"),
        ("loadavgXX", str(LIMITS["load"] + 1), "load"),
        ("memAvail", "-5", "memory"),
        ("memAvail", "0.5", "memory"),
        ("memAvail", "999999999999999", "memory"),
        ("numCPU", "-1", "cpus"),
        ("numCPU", "999999999", "cpus"),
        ("typeCPU", "-1", "mhz"),
        ("typeCPU", "999999999", "mhz"),
        ("numSessions", "-1", "sessions"),
        ("numSessions", "99999999", "sessions"),
    ],
)
def test_figures_that_cannot_be_are_errors(name: str, value: str, figure: str) -> None:
    with pytest.raises(ValueError, match=f"cannot be: {figure}"):
        parse_load(changed(**{name: value}))


@pytest.mark.parametrize(
    "line", ["", "numCPU", "numCPU:", ":1", "numCPU:nan", "numCPU:inf", "numCPU:1e9", "a b:1", "x:١"]
)
def test_lines_that_are_no_figures_are_errors(line: str) -> None:
    with pytest.raises(ValueError, match="name:number"):
        parse_load([*REAL, line])


def test_an_endless_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="name:number"):
        parse_load([*REAL, *["x:1"] * MOST_LINES])


@MANY
@given(st.lists(st.text(max_size=30) | st.sampled_from(REAL), max_size=12))
def test_any_lines_are_a_report_or_a_value_error(lines: list[str]) -> None:
    try:
        report = parse_load(lines)
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert report.factor >= 1


@SOME
@given(
    st.integers(1, LIMITS["load"]),
    st.integers(1, LIMITS["memory"]),
    st.integers(0, LIMITS["cpus"]),
    st.integers(0, LIMITS["mhz"]),
)
def test_the_factor_is_a_number_that_grows_with_what_is_free(load: int, memory: int, cpus: int, mhz: int) -> None:
    def factor(load: int, memory: int) -> int:
        return parse_load(changed(loadavgXX=str(load), memAvail=str(memory), numCPU=str(cpus), typeCPU=str(mhz))).factor

    assert factor(load, memory) >= 1
    assert factor(min(load + 100, LIMITS["load"]), memory) <= factor(load, memory)
    assert factor(load, min(memory * 2, LIMITS["memory"])) >= factor(load, memory)
