"""The bytes of the load checker's socket: queries, and answers as clients of the reference read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.loadchecker.answers import (
    CLIENT_BYTES,
    Query,
    answer,
    fitted,
    joined,
    parse_query,
    wanted_keys,
)
from x2gobroker.model.load import LoadReport
from x2gobroker.store.loads import ServerLoad

NOW = 1_800_000_000.0
INTERVAL = 300.0
# (23.545 GB * 2 cores * 2597 MHz * 100) / 394: the figures of a real agent
REPORT = LoadReport(394, 23545, 2, 2597)
FACTOR = b"31038"
HOSTS = (("ts1", "10.0.0.1:22"), ("ts2", "10.0.0.2:22"), ("ts3", "10.0.0.3:22"))


def load(key: str, state: str = "ok", report: LoadReport | None = REPORT, age: float = 10.0) -> ServerLoad:
    return ServerLoad(key, "name", state, report, NOW - age, NOW - age if report else 0.0, 0.1)


def told(query: Query, *loads: ServerLoad) -> bytes:
    return answer(query, HOSTS, {one.key: one for one in loads}, INTERVAL, NOW)


@pytest.mark.parametrize(
    ("line", "query"),
    [
        (b"inifile\rboth\rts1", Query("inifile", "both", "ts1")),
        (b"inifile\rboth\r", Query("inifile", "both")),
        (b"inifile\rboth", Query("inifile", "both")),
        (b"\r\r", Query("", "")),
        ("inifile\rBüro\rts1".encode(), Query("inifile", "Büro", "ts1")),
    ],
)
def test_queries(line: bytes, query: Query) -> None:
    assert parse_query(line) == query


@pytest.mark.parametrize("line", [b"", b"garbage", b"a\rb\rc\rd", b"a\r\xff\rc", b"a\r" + b"b" * 1023])
def test_what_is_no_query(line: bytes) -> None:
    with pytest.raises(ValueError, match="quer"):
        parse_query(line)


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_query_or_none(line: bytes) -> None:
    try:
        query = parse_query(line)
    except ValueError:
        return
    assert "\r" not in query.backend + query.profile + query.host
    assert answer(query, (), {}, INTERVAL, NOW) in (b"\n", b"LOAD-UNAVAILABLE")


def test_a_host_has_its_factor_without_a_line_end() -> None:
    assert told(Query("inifile", "both", "ts1"), load("10.0.0.1:22")) == FACTOR


@pytest.mark.parametrize(
    "known",
    [
        [],
        [load("10.0.0.2:22")],
        [load("10.0.0.1:22", "unreachable")],
        [load("10.0.0.1:22", "nonsense", None)],
        [load("10.0.0.1:22", age=3 * INTERVAL + 1)],
    ],
    ids=["never-asked", "another-server", "down", "nonsense", "too-old"],
)
def test_a_host_whose_load_is_not_known(known: list[ServerLoad]) -> None:
    assert told(Query("inifile", "both", "ts1"), *known) == b"LOAD-UNAVAILABLE"


def test_a_host_that_the_profile_does_not_have() -> None:
    assert told(Query("inifile", "both", "ts9"), load("10.0.0.1:22")) == b"LOAD-UNAVAILABLE"
    assert wanted_keys(Query("inifile", "both", "ts9"), HOSTS) == []
    assert wanted_keys(Query("inifile", "both", "ts2"), HOSTS) == ["10.0.0.2:22"]


def test_a_profile_has_a_line_for_each_host_the_best_first() -> None:
    busy = load("10.0.0.2:22", report=LoadReport(788, 23545, 2, 2597))
    said = told(Query("inifile", "both"), busy, load("10.0.0.3:22"), load("10.0.0.1:22", "unreachable"))
    assert said == b"ts3:31038\nts2:15519\nts1:HOST-UNREACHABLE\n"


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("unreachable", b"HOST-UNREACHABLE"),
        ("timeout", b"HOST-UNREACHABLE"),
        ("nonsense", b"LOAD-DATA-BOGUS"),
        ("host-key", b"LOAD-UNAVAILABLE"),
        ("login", b"LOAD-UNAVAILABLE"),
        ("refused", b"LOAD-UNAVAILABLE"),
    ],
)
def test_words_instead_of_numbers(state: str, word: bytes) -> None:
    hosts = HOSTS[:1]
    known = {"10.0.0.1:22": load("10.0.0.1:22", state, None)}
    assert answer(Query("inifile", "both"), hosts, known, INTERVAL, NOW) == b"ts1:" + word + b"\n"


def test_one_answer_that_went_wrong_leaves_the_report_before_it_in_force() -> None:
    known = {"10.0.0.1:22": load("10.0.0.1:22", "nonsense")}
    assert answer(Query("inifile", "both"), HOSTS[:1], known, INTERVAL, NOW) == b"ts1:" + FACTOR + b"\n"


def test_a_profile_that_is_not_known_is_an_empty_line() -> None:
    assert answer(Query("inifile", "none"), (), {}, INTERVAL, NOW) == b"\n"


def test_a_long_answer_is_not_cut_within_a_line_by_a_client_that_reads_once() -> None:
    lines = [f"server-number-{number}.example.org:{number * 1000}\n".encode() for number in range(1, 61)]
    said = fitted(lines)
    first, rest = said[:CLIENT_BYTES], said[CLIENT_BYTES:]
    assert first.endswith(b"\n")
    assert [line for line in (first + rest).split(b"\n") if line] == [line.strip() for line in lines]
    assert {line + b"\n" for line in first.split(b"\n") if line} == set(lines[: first.count(b":")])
    assert first.count(b":") > 20


@given(st.lists(st.binary(min_size=1, max_size=300).filter(lambda line: b"\n" not in line), max_size=40))
def test_all_lines_arrive_whole(texts: list[bytes]) -> None:
    said = fitted([text + b"\n" for text in texts])
    assert [line for line in said.split(b"\n") if line] == texts
    assert len(said) <= CLIENT_BYTES or said[CLIENT_BYTES - 1 : CLIENT_BYTES] == b"\n"


def test_answers_to_several_queries_can_be_told_apart() -> None:
    one, all_of_them = Query("inifile", "both", "ts1"), Query("inifile", "both")
    assert joined([(one, b"5")]) == b"5"
    assert joined([(one, b"5"), (one, b"6")]) == b"5\n6"
    assert joined([(one, b"5"), (all_of_them, b"ts1:5\n"), (one, b"6")]) == b"5\nts1:5\n6"
    assert joined([]) == b""
