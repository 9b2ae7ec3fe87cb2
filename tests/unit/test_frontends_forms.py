"""Forms: whatever a client sends becomes fields or a refusal with a status, never anything else."""

from __future__ import annotations

from urllib.parse import quote_plus, urlencode

import pytest
from flask import Request
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from tests.unit.properties import MANY, SOME
from x2gobroker.errors import RequestError
from x2gobroker.frontends.fields import clean
from x2gobroker.frontends.forms import MAX_BODY, MAX_FIELDS, parse_urlencoded, read_fields

FORM = "application/x-www-form-urlencoded"


def request(
    body: bytes = b"", content_type: str | None = FORM, query: str = "", method: str = "POST", length: int | None = None
) -> Request:
    environ = EnvironBuilder("/plain/", method=method, query_string=query, data=body).get_environ()
    environ["CONTENT_LENGTH"] = str(len(body) if length is None else length)
    environ.pop("CONTENT_TYPE", None)
    if content_type is not None:
        environ["CONTENT_TYPE"] = content_type
    made = Request(environ)
    made.max_content_length = MAX_BODY
    return made


def multipart(*parts: bytes, boundary: bytes = b"B") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def part(name: str, value: bytes) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value


@pytest.mark.parametrize("content_type", [FORM, None, "", "text/plain", "application/json", "nonsense", "multipart/x"])
def test_any_content_type_is_read_as_a_form(content_type: str | None) -> None:
    assert read_fields(request(b"user=anna&task=", content_type)) == {"user": "anna", "task": ""}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a", {"a": ""}),
        (b"&&=&a=1", {"": "", "a": "1"}),
        (b"a=1+2%20%2b", {"a": "1 2 +"}),
        (b"a=100%&b=%zz", {"a": "100%", "b": "%zz"}),
        (b"a=%C3%A9", {"a": "é"}),
        ("a=é".encode(), {"a": "é"}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=1;b=2", {"a": "1;b=2"}),
        (b"user=%20anna%C2%A0", {"user": "anna"}),
        (b"user=a%00b%07c%1f", {"user": "a b c"}),
        (b"user=a%0Ab%0Dc%09d", {"user": "a\nb\rc\td"}),
        (b"password=%20p%00w%20&newpass=+n+", {"password": " p\0w ", "newpass": " n "}),
    ],
)
def test_forms_are_read_as_the_reference_reads_them(body: bytes, fields: dict[str, str]) -> None:
    assert read_fields(request(body)) == fields


def test_the_body_wins_over_the_query_and_both_count() -> None:
    assert read_fields(request(b"a=body", query="a=query&b=1")) == {"a": "body", "b": "1"}


def test_the_body_of_a_get_does_not_count() -> None:
    assert read_fields(request(b"a=body", query="b=1", method="GET")) == {"b": "1"}


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"\xff=1", b"%C3=1", b"a=%ED%A0%80"])
def test_what_is_no_utf8_text_is_a_400(body: bytes) -> None:
    for made in (request(body), request(body, "text/plain")):
        with pytest.raises(RequestError) as caught:
            read_fields(made)
        assert caught.value.status == 400


def test_a_query_that_is_no_utf8_text_is_a_400() -> None:
    with pytest.raises(RequestError) as caught:
        read_fields(request(query="a=%ff"))
    assert caught.value.status == 400


def test_a_body_too_large_is_a_413() -> None:
    with pytest.raises(RequestError) as caught:
        read_fields(request(b"", length=MAX_BODY + 1))
    assert caught.value.status == 413
    with pytest.raises(RequestError) as caught:
        read_fields(request(b"a=" + b"x" * MAX_BODY))
    assert caught.value.status == 413


def test_the_largest_body_is_read() -> None:
    assert len(read_fields(request(b"a=" + b"x" * (MAX_BODY - 2)))["a"]) == MAX_BODY - 2


def test_a_body_that_ends_too_early_is_a_400() -> None:
    with pytest.raises(RequestError) as caught:
        read_fields(request(b"a=1", length=50))
    assert caught.value.status == 400


def test_too_many_fields_are_a_400_and_the_most_are_read() -> None:
    most = urlencode([(f"f{number}", "x") for number in range(MAX_FIELDS)]).encode()
    assert len(parse_urlencoded(most)) == MAX_FIELDS
    with pytest.raises(RequestError) as caught:
        parse_urlencoded(most + b"&more=x")
    assert caught.value.status == 400


def test_multipart_forms_are_read_and_their_last_field_counts() -> None:
    body = multipart(part("user", b" anna "), part("a", b"1"), part("a", b"2"), part("password", " é ".encode()))
    fields = read_fields(request(body, "multipart/form-data; boundary=B"))
    assert fields == {"user": "anna", "a": "2", "password": " é "}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"user=anna", "multipart/form-data"),
        (b"user=anna", "multipart/form-data; boundary="),
        (b"user=anna", "multipart/form-data; boundary=B"),
        (multipart(part("user", b"\xff")), "multipart/form-data; boundary=B"),
        (multipart(b"nonsense\r\n\r\nx"), "multipart/form-data; boundary=B"),
        (b"--B\r\n" + part("user", b"anna"), "multipart/form-data; boundary=B"),
    ],
)
def test_multipart_that_is_none_is_a_400(body: bytes, content_type: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_fields(request(body, content_type))
    assert caught.value.status == 400


def test_multipart_with_too_many_parts_is_refused() -> None:
    body = multipart(*(part(f"f{number}", b"x") for number in range(MAX_FIELDS + 100)))
    with pytest.raises(RequestError) as caught:
        read_fields(request(body, "multipart/form-data; boundary=B"))
    assert caught.value.status in (400, 413)


CONTENT_TYPES = st.sampled_from(
    [
        FORM,
        None,
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=B",
        "multipart/form-data; boundary",
    ]
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.text("ab=&%+ é\0", max_size=60).map(str.encode),
    st.lists(st.sampled_from([b"--B", b"\r\n", b"--", b'Content-Disposition: form-data; name="a"', b"x", b"\xff"])).map(
        b"".join
    ),
)


@MANY
@given(BODIES, CONTENT_TYPES, st.text("ab=&%+é", max_size=20))
@example(b"a=%ff", FORM, "")
def test_no_body_raises_anything_but_request_error_and_fields_are_text(
    body: bytes, content_type: str | None, query: str
) -> None:
    try:
        fields = read_fields(request(body, content_type, query))
    except RequestError as error:
        assert error.status in (400, 413)
        return
    for name, value in fields.items():
        assert (name + value).encode("utf-8").decode("utf-8") == name + value
        assert "\ufffd" not in name + value
        if name not in ("password", "newpass"):
            assert value == value.strip()
            assert "\0" not in value


FIELDS = st.dictionaries(st.text(min_size=1), st.text())


@SOME
@given(FIELDS)
def test_what_a_client_encodes_is_what_is_read(fields: dict[str, str]) -> None:
    assert parse_urlencoded(urlencode(fields).encode()) == clean(fields)


@SOME
@given(st.text())
def test_passwords_arrive_as_they_were_typed(password: str) -> None:
    assert parse_urlencoded(f"password={quote_plus(password)}".encode()) == {"password": password}


@SOME
@given(FIELDS)
def test_cleaning_twice_is_cleaning_once(fields: dict[str, str]) -> None:
    assert clean(clean(fields)) == clean(fields)
