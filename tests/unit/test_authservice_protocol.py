"""Lines and frames of the authentication service: what goes in comes out, and anything else is a ProtocolError."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.authservice.protocol import (
    LENGTH,
    MAX_FRAME,
    ProtocolError,
    decode_body,
    encode_frame,
    frame_length,
    parse_line,
    seconds_of,
    text_of,
)
from x2gobroker.model.passwords import LONGEST_TYPED

FIELDS = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=60)
SECRET = "Not-for-messages"


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=100), max_size=5))
def test_a_frame_holds_what_was_put_in(message: dict[str, str]) -> None:
    frame = encode_frame(message)
    assert frame_length(frame[: LENGTH.size]) == len(frame) - LENGTH.size
    assert decode_body(frame[LENGTH.size :]) == message


@given(FIELDS, FIELDS, FIELDS)
def test_a_line_holds_what_was_put_in(user: str, password: str, service: str) -> None:
    request = parse_line(f"{user}\r{password}\r{service}".encode())
    assert (request["user"], request["password"], request["service"]) == (user, password, service)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_an_error(data: bytes) -> None:
    try:
        request = parse_line(data)
    except ProtocolError:
        assert data.count(b"\r") != 2 or data.decode("utf-8", "replace").encode() != data
    else:
        assert "\r".join((request["user"], request["password"], request["service"])).encode() == data


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_an_error(data: bytes) -> None:
    try:
        message = decode_body(data)
    except ProtocolError:
        return
    assert message == json.loads(data)


@given(st.integers(0, 2**32 - 1))
def test_a_length_is_allowed_from_one_to_the_greatest(length: int) -> None:
    head = LENGTH.pack(length)
    if 0 < length <= MAX_FRAME:
        assert frame_length(head) == length
    else:
        with pytest.raises(ProtocolError):
            frame_length(head)


def test_the_longest_frame_and_one_more() -> None:
    room = MAX_FRAME - len(encode_frame({"a": ""})) + LENGTH.size
    assert len(encode_frame({"a": "x" * room})) == MAX_FRAME + LENGTH.size
    with pytest.raises(ProtocolError):
        encode_frame({"a": "x" * (room + 1)})


@pytest.mark.parametrize("body", [b"[" * 16384, b'{"a":' * 3000, b"[]", b"1", b"null", b'"a"', b"{}{}", b"\xff"])
def test_nested_and_other_things_are_no_object(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_body(body)


@pytest.mark.parametrize("value", [None, 1, ["a"], {"a": 1}, "a\0b", "x" * (LONGEST_TYPED + 1), "\ud800", "a\udcff"])
def test_what_is_no_possible_text(value: object) -> None:
    with pytest.raises(ProtocolError):
        text_of({"name": value}, "name")


@pytest.mark.parametrize(
    "line", [SECRET.encode(), f"a\r{SECRET}".encode(), f"a\r{SECRET}\rb\rc".encode(), SECRET.encode() + b"\r\xff\rx"]
)
def test_an_error_says_nothing_of_what_was_sent(line: bytes) -> None:
    for read in (parse_line, decode_body):
        with pytest.raises(ProtocolError) as error:
            read(line)
        assert SECRET not in str(error.value)
        assert error.value.__cause__ is None


@given(st.one_of(st.integers(), st.booleans(), st.none(), st.floats(), st.text(max_size=5), st.lists(st.integers())))
def test_seconds_are_a_whole_number_within_bounds(value: object) -> None:
    for message in ({"seconds": value}, {}):
        try:
            taken = seconds_of(message, "seconds", 3600)
        except ProtocolError:
            continue
        assert type(taken) is int
        assert 1 <= taken <= 3600
        assert taken == value


def test_the_bounds_of_seconds_are_within() -> None:
    assert [seconds_of({"older": value}, "older", 60) for value in (1, 60)] == [1, 60]
    for value in (0, 61, -1, True, 1.0, "1"):
        with pytest.raises(ProtocolError, match="older is missing"):
            seconds_of({"older": value}, "older", 60)
