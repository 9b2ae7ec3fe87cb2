"""Notices, their times, and addresses of other pages."""

from __future__ import annotations

import time

import pytest

from x2gobroker.model.notices import check_link, check_notice, parse_moment


@pytest.mark.parametrize(
    "text", ["2027-01-31 08:00", " 2027-01-31 8:00 ", "2027-01-31T08:00:00", "2027-01-31 08:00:00"]
)
def test_times_are_those_of_this_host(text: str) -> None:
    assert parse_moment(text) == time.mktime((2027, 1, 31, 8, 0, 0, 0, 0, -1))


def test_no_time_is_no_limit() -> None:
    assert parse_moment("") is None
    assert parse_moment(" ") is None


@pytest.mark.parametrize(
    "text",
    ["2027-01-31", "08:00", "2027-02-30 08:00", "31.01.2027 08:00", "2027-01-31 25:00", "0000-01-01 00:00", "now"],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as 2027-01-31 08:00"):
        parse_moment(text)


def test_notices() -> None:
    check_notice("")
    check_notice("Wartung am Sonntag, 8 Uhr:\nbitte speichern ☃")
    with pytest.raises(ValueError, match="1001 characters"):
        check_notice("x" * 1001)
    for text in ("a\x1bb", "a\x00b", "a\u202eb", "a\ud800b"):
        with pytest.raises(ValueError, match="cannot be shown"):
            check_notice(text)


@pytest.mark.parametrize(
    "text",
    ["", "https://www.example.org/help?a=b#c", "http://[2001:db8::1]:8080/", "mailto:help@example.org?subject=Desktop"],
)
def test_addresses_that_are_some(text: str) -> None:
    check_link(text)


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "JAVASCRIPT:alert(1)",
        "www.example.org",
        "//www.example.org",
        "/help",
        "https://",
        "https:///help",
        "https://www.example.org:port/",
        "https://www.example.org/a b",
        "https://www.example.org/\x1b",
        "https://[::1",
        "mailto:",
        "mailto:help",
        "ftp://www.example.org",
        "https://www.example.org/" + "x" * 1000,
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"write one such as https://www\.example\.org/help"):
        check_link(text)
