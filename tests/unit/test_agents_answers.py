"""What agents answer: the OK, what may stand before it, and the formats behind it."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY, SOME
from x2gobroker.agents.answers import (
    MOST_BYTES,
    MOST_LINES,
    RefusalError,
    errors_said,
    parse_busy_servers,
    parse_servers,
    parse_sessions,
    parse_tasks,
    payload,
)
from x2gobroker.agents.reports import MOST_NOISE

COOKIE = "f28b48c66f97bdba38e56856d0ea090f"
AT = "2026-11-20T09:35:17"
LINE = f"1|anna-50-1795167317_stRxterm_dp24|50|vm|R|{AT}|{COOKIE}|127.0.0.1|2|3|{AT}|anna|25|4|-1|-1"


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"OK\n", []),
        (b"OK\r\na\r\nb\r\n", ["a", "b"]),
        (b"OK\n\na\n\n", ["a"]),
        (b"Welcome to ts01\n\nOK\na\n", ["a"]),
        (b"\xff\xfe binary banner\n\x00\nOK\na\n", ["a"]),
        (b"OKAY\n OK\nOK \nOK\na\n", ["a"]),
        (b"OK\na\nOK\n", ["a", "OK"]),
    ],
)
def test_the_answer_is_what_stands_behind_the_first_ok(output: bytes, lines: list[str]) -> None:
    assert payload(output, b"", changes=False) == lines


@pytest.mark.parametrize(
    ("output", "wrong"),
    [
        (b"welcome OK\n", "without OK"),
        (b"ok\n", "without OK"),
        (b"OK", "without OK"),
        (b"welcomeOK\na\n", "without OK"),
        (b"OK\na\nhalf", "half a line"),
        (b"OK\n\xff\n", "UTF-8"),
        (b"OK\n" + b"a\n" * (MOST_LINES + 1), "lines"),
        (b"OK\n" + b"a" * MOST_BYTES, "bytes"),
        (b"x" * MOST_NOISE + b"\nOK\n", "without OK"),
    ],
)
def test_other_answers_cannot_be(output: bytes, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        payload(output, b"", changes=False)
    assert not isinstance(caught.value, RefusalError)


@pytest.mark.parametrize(
    ("output", "errors", "status", "says"),
    [
        (b"", b"", 0, "does not know this task"),
        (b"", b"Died at /usr/lib/x2go/x2gobroker-agent.pl line 37.\n", 255, "line 37"),
        (b"", b"", 255, "exit status 255"),
        (b"This account is currently not available.\n", b"", 1, "has its account a login shell"),
        (b"OK\n", b"", 1, "did not work"),
        (b"OK\n", b"Illegal division by zero at /usr/lib/x2go/x2gobroker-agent.pl line 320.\n", 0, "division"),
        (b"bash: banner\n", b"bash: line 1: /usr/lib/x2go/x2gobroker-agent: No such file or directory\n", 127, "such"),
    ],
)
def test_a_no_is_told_apart_from_nonsense(output: bytes, errors: bytes, status: int, says: str) -> None:
    with pytest.raises(RefusalError, match=says):
        payload(output, errors, changes=False, status=status)


def test_the_end_may_be_open_only_where_it_is_known_to_be() -> None:
    assert payload(b"OK\nvm", b"", changes=False, open_end=True) == ["vm"]


def test_reading_tasks_put_up_with_words_on_stderr() -> None:
    words = b"stty: 'standard input': Inappropriate ioctl for device\n"
    assert payload(b"OK\na\n", words, changes=False) == ["a"]
    assert payload(b"OK\n", words, changes=False) == []
    with pytest.raises(RefusalError):
        payload(b"OK\n", words, changes=True)


def test_a_listing_that_died_is_no_empty_listing() -> None:
    errors = b"DBI connect('dbname=x2go_sessions') failed: connection refused at /usr/bin/x2golistsessions line 120.\n"
    with pytest.raises(RefusalError, match="refused"):
        payload(b"OK\n", errors, changes=False)
    assert payload(b"OK\na\n", errors, changes=False) == ["a"]


def test_what_perl_and_bash_say_of_a_missing_locale_is_noise() -> None:
    wrong = {"PATH": os.environ["PATH"], "LC_ALL": "xx_XX.UTF-8", "LANGUAGE": "xx"}
    for argv in (["perl", "-e", "1"], ["bash", "-c", "LC_ALL=yy_YY.UTF-8; :"]):
        done = subprocess.run(argv, env=wrong, capture_output=True, timeout=30, check=True)
        assert b"locale" in done.stderr
        assert errors_said(done.stderr) == ""
    assert errors_said(b"sudo: unable to resolve host ts01: Name or service not known\nsudo: no\n") == "sudo: no"


def test_a_long_stderr_is_cut() -> None:
    with pytest.raises(RefusalError) as caught:
        payload(b"", b"x" * 1_000_000, changes=False, status=1)
    assert len(str(caught.value)) < 400


@MANY
@given(st.binary(max_size=300), st.binary(max_size=60), st.booleans(), st.sampled_from([None, -9, 0, 1, 255]))
def test_any_bytes_are_an_answer_or_a_value_error(
    output: bytes, errors: bytes, changes: bool, status: int | None
) -> None:
    try:
        lines = payload(output, errors, changes, status)
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert status == 0
    assert b"OK" in output
    assert all(line.strip() for line in lines)


@SOME
@given(st.binary(max_size=200).filter(lambda noise: b"OK" not in noise), st.lists(st.sampled_from(["a", "b|c", "é"])))
def test_noise_before_the_ok_changes_nothing(noise: bytes, lines: list[str]) -> None:
    answer = "".join(f"{line}\n" for line in ["OK", *lines]).encode()
    assert payload(noise + b"\n" + answer, b"", changes=False) == lines


@SOME
@given(st.lists(st.sampled_from(["a", "b|c", "d"]), min_size=1), st.data())
def test_an_answer_that_is_cut_is_shorter_or_none(lines: list[str], data: st.DataObject) -> None:
    whole = "".join(f"{line}\n" for line in ["OK", *lines]).encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        assert payload(cut, b"", changes=False) == lines[: len(cut.decode().splitlines()) - 1]
    except ValueError:
        assert not cut.endswith(b"\n")


def test_tasks_are_names() -> None:
    assert parse_tasks(["ping", "findbusyservers_by_sessionstats"]) == {"ping", "findbusyservers_by_sessionstats"}
    with pytest.raises(ValueError, match="no names"):
        parse_tasks(["ping", "rm -rf"])


def test_servers_have_counts_or_not() -> None:
    assert parse_servers(["vm", "ts01.example.org 12", "ts02\t0"]) == {"vm": None, "ts01.example.org": 12, "ts02": 0}
    for line in ("ts01 many", "ts01 -1", "ts01 1 2", "../x 1", "a;b"):
        with pytest.raises(ValueError, match="no names"):
            parse_servers([line])


def test_busy_servers_have_percentages() -> None:
    assert parse_busy_servers(["100:a", "0:b"]) == {"a": 100, "b": 0}
    for line in ("101:a", "-1:a", "a:1", "1:a b", "50", ":a", "1.5:a"):
        with pytest.raises(ValueError, match="percent"):
            parse_busy_servers([line])


def test_sessions_come_once_and_rubbish_is_told() -> None:
    sessions, rubbish = parse_sessions([LINE, LINE, "half|a|line", LINE.replace("anna", "bert")], "anna")
    assert [session.server for session in sessions] == ["vm"]
    assert len(rubbish) == 2
    assert COOKIE not in "".join(rubbish)


@MANY
@given(st.lists(st.text(max_size=40), max_size=5))
def test_parsers_take_any_lines_or_say_value_error(lines: list[str]) -> None:
    assert parse_sessions(lines, "anna")[0] == []
    for parse in (parse_tasks, parse_servers, parse_busy_servers):
        try:
            parse(lines)
        except ValueError as error:
            assert str(error).isprintable()
