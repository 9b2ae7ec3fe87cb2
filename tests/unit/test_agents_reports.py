"""Reports of whole servers, and the stream of one that is watched: what is read, and what no server can bring about."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.agents.reports import (
    MOST_NOISE,
    MOST_REPORT_LINES,
    Alive,
    Changed,
    Gone,
    Reported,
    Trouble,
    WatchEvent,
    WatchStream,
    parse_report,
)
from x2gobroker.model.load import LoadReport
from x2gobroker.model.server_report import MOST_SESSIONS, SeenSession, ServerReport

NOW = 1_800_000_000.5
THERE = 1_795_167_400  # the server's clock is far behind
FIGURES = ["loadavgXX:102", "memAvail:2999", "myMemAvail:2500", "numCPU:4", "typeCPU:2600", "numSessions:2"]
LOAD = LoadReport(102, 2999, 4, 2600, 2)
NAME = "anna-50-1795167317_stRxterm_dp24"
OTHER = "bert-51-1795167318_stDMATE_dp24"
ROW = f"{NAME}|anna|50|R|1795167390|10.1.2.3|38091|38092|38093"
OTHER_ROW = f"{OTHER}|bert|51|S|1795167300||38094|-1|-1"
REPORT = ["server:ts01", f"time:{THERE}", *FIGURES, f"session:{ROW}", f"session:{OTHER_ROW}", "leftOut:3"]
ANNA = SeenSession(NAME, "anna", 50, "R", 1_799_999_990, "10.1.2.3", "ts01", (38091, 38092, 38093))
BERT = SeenSession(OTHER, "bert", 51, "S", 1_799_999_900, "", "ts01", (38094, -1, -1))


def said(*lines: str) -> bytes:
    """Lines as they come from an agent."""
    return "".join(f"{line}\n" for line in lines).encode()


# --- reports ---


def test_a_report() -> None:
    assert parse_report(REPORT, NOW) == ServerReport(LOAD, (ANNA, BERT), 3, "ts01")
    empty = [*REPORT[:8], "leftOut:0"]
    assert parse_report(empty, NOW) == ServerReport(LOAD, (), 0, "ts01")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (ROW.replace(NAME, "anna"), "no name of a session"),
        (ROW.replace("|anna|", "||"), "nobody's"),
        (ROW.replace("|anna|", "|an na|"), "no user"),
        (ROW.replace("|R|", "|F|"), "finished"),
        (ROW.replace("|R|", "|RR|"), "no state"),
        (ROW.replace("10.1.2.3", "$(id)"), "no address"),
        (ROW.replace("|50|", "|99999|"), "no display"),
        (ROW.replace("|38091|", "|99999|"), "no port"),
    ],
)
def test_a_session_that_cannot_be_is_left_out_and_counted(row: str, why: str) -> None:
    report = parse_report([*REPORT[:8], f"session:{row}", *REPORT[9:]], NOW)
    assert report == ServerReport(LOAD, (BERT,), 4, "ts01"), why


def test_of_two_sessions_with_one_name_the_first_counts() -> None:
    again = f"session:{ROW.replace('|anna|', '|mallory|')}"
    assert parse_report([*REPORT[:9], again, "leftOut:0"], NOW) == ServerReport(LOAD, (ANNA,), 1, "ts01")


@pytest.mark.parametrize(
    ("since", "expected"),
    [(THERE, NOW), (THERE + 4000, NOW), (99999999999, NOW), (THERE - 60, NOW - 60), (0, NOW - THERE)],
)
def test_times_are_those_of_this_host_and_never_to_come(since: int, expected: float) -> None:
    row = ROW.replace("|1795167390|", f"|{since}|")
    (session,) = parse_report([*REPORT[:8], f"session:{row}", "leftOut:0"], NOW).sessions
    assert session.since == int(expected)
    (session,) = parse_report(["server:ts01", "time:99999999999", *FIGURES, f"session:{row}", "leftOut:0"], 5).sessions
    assert session.since in (0, 5)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "lines"),
        (REPORT[:-1], "last line"),
        ([*REPORT[:-1], "leftOut:-1"], "last line"),
        ([*REPORT[:-1], "leftOut:99999999"], "last line"),
        (REPORT[1:], "which server"),
        (["server:a b", *REPORT[1:]], "which server"),
        (["server:", *REPORT[1:]], "which server"),
        ([REPORT[0], *REPORT[2:]], "when"),
        ([REPORT[0], "time:-5", *REPORT[2:]], "when"),
        ([*REPORT[:2], *REPORT[3:]], "loadavgXX"),
        ([*REPORT[:5], "nonsense", *REPORT[5:]], "name:number"),
        ([*REPORT[:9], "numCPU:4", *REPORT[9:]], "in between"),
        ([*REPORT[:9], REPORT[-1], *REPORT[9:]], "in between"),
        ([*REPORT[:8], f"session:{ROW}|more", REPORT[-1]], "10 fields"),
        ([*REPORT[:8], "session:", REPORT[-1]], "1 fields"),
        ([*REPORT[:8], f"session:{ROW.replace('|R|', '|' + 'R' * 2000 + '|')}", REPORT[-1]], "very long"),
        ([*REPORT[:8], f"session:{ROW.replace('|50|', '|x|')}", REPORT[-1]], "numbers"),
        ([*REPORT[:8], f"session:{ROW.replace('|1795167390|', '|soon|')}", REPORT[-1]], "numbers"),
        ([*REPORT[:8], *[f"session:{ROW}"] * (MOST_SESSIONS + 1), REPORT[-1]], "more than"),
        ([*REPORT[:8], *[f"session:{ROW}"] * 1_000_000, REPORT[-1]], "lines"),
    ],
)
def test_what_is_no_report(lines: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_report(lines, NOW)


WORDS = st.sampled_from(["server:", "time:", "session:", "leftOut:", "gone:", "alive:", "trouble:", "OK", ""])
PIECES = st.one_of(
    st.sampled_from(["|", ":", "R", "0", "-1", NAME, ROW, "99999999999", "anna", "ts01", "\0", "\x1b[2J", "\u2028"]),
    st.text(max_size=5),
)
LINES = st.one_of(st.sampled_from(REPORT), st.builds(lambda word, more: word + "".join(more), WORDS, st.lists(PIECES)))


@given(st.lists(LINES, max_size=20), st.floats(0, 1e11))
def test_any_report_is_refused_or_within_its_bounds(lines: list[str], now: float) -> None:
    try:
        report = parse_report(lines, now)
    except ValueError:
        return
    check(report, now)


def check(report: ServerReport, now: float) -> None:
    """What nobody can bring about."""
    assert len({session.name for session in report.sessions}) == len(report.sessions) <= MOST_SESSIONS
    assert report.left_out >= 0
    for session in report.sessions:
        assert session.server == report.server
        assert 0 <= session.since <= now
        assert f"{session}".isprintable()


def test_a_million_lines_are_refused_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match="lines"):
        parse_report(["x"] * 1_000_000, NOW)
    assert time.monotonic() - begun < 1


# --- the stream ---


def fed(data: bytes, pieces: random.Random | None = None) -> list[WatchEvent]:
    """All events of these bytes, however they are cut."""
    stream, events = WatchStream(), []
    while data:
        size = pieces.randint(1, 200) if pieces else len(data)
        events += stream.feed(data[:size], NOW)
        data = data[size:]
    return events


@given(st.randoms(use_true_random=False))
def test_events_come_through_however_the_bytes_are_cut(pieces: random.Random) -> None:
    moved = ROW.replace("|R|1795167390|", f"|S|{THERE + 30}|")
    data = b"Last login: today\n" + said(
        "OK",
        *REPORT,
        f"session:{moved}",
        f"gone:{OTHER}",
        f"alive:{THERE + 30}|{'|'.join(FIGURES[:-1])}",
        "trouble:session database: database is locked",
        f"alive:{THERE + 60}|{'|'.join(FIGURES)}",
        *REPORT,
    )
    whole = ServerReport(LOAD, (ANNA, BERT), 3, "ts01")
    suspended = SeenSession(NAME, "anna", 50, "S", int(NOW), "10.1.2.3", "ts01", (38091, 38092, 38093))
    assert fed(data, pieces) == [
        Reported(whole),
        Changed(suspended),
        Gone(OTHER),
        Alive(LoadReport(102, 2999, 4, 2600)),
        Trouble("session database: database is locked"),
        Alive(LOAD),
        Reported(whole),
    ]


def test_moments_follow_the_servers_clock() -> None:
    stream = WatchStream()
    stream.feed(said("OK", *REPORT), NOW)
    (event,) = stream.feed(said(f"session:{ROW.replace('|1795167390|', f'|{THERE + 100}|')}"), NOW + 130)
    assert isinstance(event, Changed)
    assert event.session.since == int(NOW) + 100
    stream.feed(said(f"alive:{THERE + 3600}|{'|'.join(FIGURES)}"), NOW + 140)  # somebody has set it
    (event,) = stream.feed(said(f"session:{ROW.replace('|1795167390|', f'|{THERE + 3590}|')}"), NOW + 150)
    assert isinstance(event, Changed)
    assert event.session.since == int(NOW) + 130


def test_words_of_users_that_cannot_be_are_passed_over() -> None:
    strange = ROW.replace(NAME, "anna-50-1795167317_strange")
    data = said("OK", *REPORT[:8], f"session:{strange}", "leftOut:0", f"session:{strange}", "gone:nobody-knows")
    assert fed(data) == [Reported(ServerReport(LOAD, (), 1, "ts01"))]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"x" * (MOST_NOISE + 1), "too long"),
        (b"x\n" * MOST_NOISE, "does not say OK"),
        (said("OK", f"session:{ROW}"), "before its first report"),
        (said("OK", f"gone:{NAME}"), "before its first report"),
        (said("OK", *REPORT, "trouble:x", f"session:{ROW}"), "before its first report"),
        (said("OK", *REPORT, "hello"), "no meaning"),
        (said("OK", *REPORT, ""), "no meaning"),
        (said("OK", *REPORT, "trouble:\x1b[2J"), "control characters"),
        (said("OK", *REPORT) + b"trouble:\xff\n", "UTF-8"),
        (said("OK", *REPORT, "session:x"), "1 fields"),
        (said("OK", *REPORT, "alive:"), "without the time"),
        (said("OK", *REPORT, f"alive:{THERE}"), "lacks"),
        (said("OK", REPORT[0], REPORT[0], REPORT[-1]), "when"),
        (said("OK", REPORT[0], *["x"] * MOST_REPORT_LINES), "does not end"),
        (said("OK", REPORT[0], *["x" * 1900] * 1200), "does not end"),
    ],
)
def test_a_stream_that_cannot_be_is_over(data: bytes, why: str) -> None:
    stream = WatchStream()
    with pytest.raises(ValueError, match=why):
        for place in range(0, len(data), 1000):
            stream.feed(data[place : place + 1000], NOW)
    with pytest.raises(ValueError, match=why):
        stream.feed(said("OK", *REPORT), NOW)


def test_a_line_that_does_not_end() -> None:
    stream = WatchStream()
    stream.feed(said("OK", *REPORT), NOW)
    with pytest.raises(ValueError, match="too long"):
        for _ in range(10):
            stream.feed(b"trouble:" + b"x" * 900, NOW)


def test_more_sessions_than_there_can_be() -> None:
    stream = WatchStream()
    stream.feed(said("OK", *REPORT), NOW)
    with pytest.raises(ValueError, match="more than"):
        for number in range(MOST_SESSIONS + 1):
            stream.feed(said(f"session:{ROW.replace('1795167317', str(1_000_000_000 + number))}"), NOW)


@given(st.lists(st.one_of(LINES.map(str.encode), st.binary(max_size=30)), max_size=30), st.booleans())
def test_any_stream_is_over_or_within_its_bounds(lines: list[bytes], begun: bool) -> None:
    stream = WatchStream()
    if begun:
        stream.feed(said("OK", *REPORT), NOW)
    try:
        for line in lines:
            for event in stream.feed(line + b"\n", NOW):
                if isinstance(event, Reported):
                    check(event.report, NOW)
                elif isinstance(event, Changed):
                    assert event.session.since <= NOW
                    assert f"{event}".isprintable()
                elif isinstance(event, Trouble):
                    assert event.text.isprintable()
    except ValueError as error:
        assert str(error).isprintable()
