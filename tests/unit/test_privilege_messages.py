"""What an unprivileged process may tell a privileged one."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.privilege import Flag, Form, MessageError, Number, OneOf, Text, read_message, write_message

FORMS: dict[str, Form] = {
    "start": {"user": Text(8, re.compile("[a-z]+")), "number": Number(0, 9)},
    "end": {"group": Flag(), "how": OneOf(frozenset({"now", "soon"}))},
}
GOOD = {"do": "start", "user": "anna", "number": 3}


def test_a_message_that_fits_is_read() -> None:
    assert read_message(write_message("start", {"user": "anna", "number": 3}, FORMS), FORMS) == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"do": "stop"},
        {"do": ["start"]},
        {"user": "anna\n"},
        {"user": "a" * 9},
        {"user": None},
        {"number": True},
        {"number": 10},
        {"number": 1.0},
        {"more": 1},
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        read_message(json.dumps({**GOOD, **change}).encode(), FORMS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 60000,
        b'{"do":"start","user":"anna","number":3,"number":4}',
        b'{"do":"start","user":"anna"}',
        b" " * 70000,
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        read_message(data, FORMS)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        found = read_message(data, FORMS)
    except MessageError:
        return
    assert found["do"] in FORMS


def test_a_fault_of_the_sender_is_found_there() -> None:
    with pytest.raises(MessageError):
        write_message("start", {"user": "Anna", "number": 3}, FORMS)
