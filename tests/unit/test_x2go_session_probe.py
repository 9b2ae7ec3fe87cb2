"""The command that lists sessions: when its answer may be used again, whatever the answer is."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.x2go.wire.session_probe import FRESH_SECONDS, MOST_REMEMBERED, Listing, Question

BEGAN = 1795271000
COOKIE = "f28b48c66f97bdba38e56856d0ea090f"
NAME = "anna-50-1795167317_stRxterm_dp24"
OLD = "2026-11-21 14:20:00.123456789 +0000"
ROOT = f"/|2|{BEGAN - 9000}|{OLD}"


def line(name: str = NAME, state: str = "R") -> str:
    """One session of a listing."""
    return f"14864|{name}|50|vm|{state}|2026-11-20T09:35:17|{COOKIE}|::1|1|2|2026-11-20T09:35:18|anna|25|3|-1|-1"


def changed(path: str, when: int = BEGAN - 100) -> str:
    """What stat says of a file."""
    return f"/tmp/.x2go-anna{path}|77|{when}|{OLD}"


def probed(*states: str, names: tuple[str, ...] = (NAME,), when: int = BEGAN - 100, alive: int = 1) -> str:
    """A fingerprint of these sessions."""
    lines = [f"{name}|{state}|{alive}" for name, state in zip(names, states, strict=True)]
    return "\n".join([*lines, ROOT, changed(""), *(changed(f"/C-{name}/state", when) for name in names), "end"])


def answer(question: Question, listing: str, fingerprint: str, status: int = 0, shadows: str = "") -> str:
    """What the server prints for this question."""
    mark = question._mark
    return f"{BEGAN}\n{listing}{mark} {status}\n{shadows}{mark}\n{fingerprint}\n"


def read(listing: str, fingerprint: str, status: int = 0, shadows: str = "") -> Listing:
    """A listing read from such an answer."""
    question = Question()
    found = question.read(answer(question, listing, fingerprint, status, shadows))
    assert found is not None
    return found


def test_a_settled_list_is_used_again() -> None:
    first = read(line() + "\n", probed("RUNNING"))
    assert list(first.sessions) == [NAME]
    assert first.is_fresh()
    again = Question(first)
    assert again.before is first
    assert again.read("same\n") is first
    assert shlex.split(again.command)  # it is whole words
    assert NAME in again.command
    assert read("", f"{ROOT}\nend").is_fresh()  # nothing at all, and no folder yet
    assert not read("", "end").is_fresh()  # this server has another kind of stat


def test_of_two_sessions_both_have_to_be_settled() -> None:
    other = NAME.replace("-50-", "-51-")
    both = f"{line()}\n{line(other, 'S')}\n"
    assert read(both, probed("RUNNING", "SUSPENDED", names=(NAME, other))).is_fresh()
    assert not read(both, probed("RUNNING", "RUNNING", names=(NAME, other))).is_fresh()
    assert not read(both, probed("RUNNING")).is_fresh()


@pytest.mark.parametrize(
    ("listing", "fingerprint"),
    [
        (line(), probed("STARTING")),
        (line(), probed("SUSPENDED")),
        (line(state="S"), probed("SUSPENDING")),
        (line(state="T"), probed("RUNNING")),
        (line(), probed("")),
        (line(), probed("RUNNING", alive=0)),
        (line(), probed("RUNNING", when=BEGAN - 1)),
        (line(), probed("RUNNING", when=BEGAN + 5)),
        (line(), probed("RUNNING").replace("|77|", "|")),
        (line(), probed("RUNNING").removesuffix("end")),
        (line(), "\n".join(probed("RUNNING").split("\n")[:2]) + "\nend"),
        (line(), ""),
        (f"{line()}\nrubbish", probed("RUNNING")),
        ("", f"{ROOT}\n{changed('', BEGAN)}\nend"),
        (line(), probed("RUNNING").replace(f"{ROOT}\n", "")),
        (line("anna-50-1795167317_stS0XSHADbertaXSHADPP51_dp24"), probed("RUNNING")),
    ],
)
def test_a_list_that_is_not_settled_is_not_used_again(listing: str, fingerprint: str) -> None:
    found = read(listing + "\n", fingerprint)
    assert not found.is_fresh()
    assert Question(found).before is None
    assert "same" not in Question(found).command


def test_old_failed_and_long_lists_are_not_used_again() -> None:
    found = read(line() + "\n", probed("RUNNING"))
    assert not replace(found, asked_at=found.asked_at - FRESH_SECONDS).is_fresh()
    assert not read(line() + "\n", probed("RUNNING"), status=1).is_fresh()
    many = [f"anna-{50 + number}-1795167317_stRxterm_dp24" for number in range(MOST_REMEMBERED + 1)]
    fingerprint = probed(*["RUNNING"] * len(many), names=tuple(many))
    found = read("".join(line(name) + "\n" for name in many), fingerprint)
    assert len(found.sessions) == len(many)
    assert not found.is_fresh()


def test_views_of_other_sessions_are_listed_with_the_own_ones() -> None:
    view = "anna-50-1795167317_stS0XSHADbertaXSHADPP51_dp24"
    found = read(line() + "\n", probed("RUNNING"), shadows=line(view) + "\n")
    assert sorted(found.sessions) == sorted([NAME, view])
    assert found.text == f"{line()}\n{line(view)}\n"


def test_a_failing_database_is_no_list() -> None:
    said = "DBD::SQLite::dbpreparefailed:databaseislockedat/usr/share/perl5/X2Go/Server/DB/SQLite3.pmline567."
    assert read(said + "\n", "end").failure == "the session database is locked"
    assert read("", "end", shadows=said + "\n").failure == "the session database is locked"
    assert read(line() + "\n", probed("RUNNING")).failure is None


def test_cookies_are_not_shown() -> None:
    assert COOKIE not in repr(read(line() + "\n", probed("RUNNING")))


def test_an_answer_to_another_question_is_none() -> None:
    question = Question()
    assert question.read("same\n") is None
    assert question.read("") is None
    assert question.read(answer(Question(), line(), probed("RUNNING"))) is None
    whole = answer(question, line() + "\n", probed("RUNNING"))
    assert question.read(whole[: whole.index(question._mark) + 5]) is None


def test_the_command_is_one_line_that_shells_understand() -> None:
    first = read(line() + "\n", probed("RUNNING"))
    for question in (Question(), Question(first)):
        one_line = question.command.replace(first.fingerprint, "")
        assert "\n" not in one_line
        for shell in ("sh", "bash"):
            done = subprocess.run([shell, "-n", "-c", question.command], capture_output=True, timeout=20, check=False)
            assert (done.returncode, done.stderr) == (0, b"")


@given(st.text(), st.text(), st.integers(0, 255), st.text())
def test_any_answer_is_read(listing: str, fingerprint: str, status: int, shadows: str) -> None:
    question = Question()
    question.read(listing)
    found = question.read(answer(question, f"{listing}\n", fingerprint, status, shadows))
    assert found is None or not found.sessions
    if found is not None and found.is_fresh():
        assert not found.sessions.unclear
