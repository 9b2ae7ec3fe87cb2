"""HTTP Basic credentials as UCCS greeters send them (F12 of the reference)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.frontends.uccs import LONGEST_CREDENTIALS, basic_credentials


def header(text: bytes, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text).decode()}"


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_user_and_password_are_read(scheme: str) -> None:
    assert basic_credentials(header(b"anna:secret", scheme)) == ("anna", "secret")


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        (b"anna:a:b:c", ("anna", "a:b:c")),
        (b"anna:", ("anna", "")),
        (b":secret", ("", "secret")),
        (b":", ("", "")),
        ("anna:é ☃".encode(), ("anna", "é ☃")),
        ("änna:é".encode("latin-1"), ("änna", "é")),
    ],
)
def test_f12_passwords_with_colons_empty_ones_and_both_character_sets_are_read(
    text: bytes, credentials: tuple[str, str]
) -> None:
    assert basic_credentials(header(text)) == credentials


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YW5uYQ",
        "Basic YW5uYTp4 YW5uYTp4",
        "Basic é",
        "Bearer YW5uYTp4",
        "YW5uYTp4",
        "Basic\tYW5uYTp4",
        "Negotiate x",
        header(b"no colon"),
        header(b""),
        header(b"a:" + b"x" * LONGEST_CREDENTIALS),
    ],
)
def test_f12_anything_else_is_no_credentials(text: str) -> None:
    assert basic_credentials(text) is None


@SOME
@given(st.text().filter(lambda user: ":" not in user), st.text())
def test_whatever_is_sent_in_utf8_is_read_back(user: str, password: str) -> None:
    assert basic_credentials(header(f"{user}:{password}".encode())) == (user, password)


@SOME
@given(st.one_of(st.text(), st.text().map("Basic ".__add__), st.binary().map(header)))
def test_no_header_raises(text: str) -> None:
    found = basic_credentials(text)
    assert found is None or ":" not in found[0]
