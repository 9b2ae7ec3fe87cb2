"""Names of files: what a page may say, what people see, and names that are taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.privilege import MessageError, read_message
from x2gobroker.remote.files.messages import FROM_PAGE
from x2gobroker.remote.files.names import (
    LONGEST,
    is_partial,
    item_of,
    names_of,
    new_name,
    numbered,
    partial_name,
    shown,
)
from x2gobroker.remote.files.refusals import RefusedError

FILE_NAMES = st.binary(min_size=1, max_size=LONGEST).filter(
    lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name
)


@given(st.lists(FILE_NAMES, min_size=1, max_size=4))
def test_every_name_of_a_file_system_has_a_form(names: list[bytes]) -> None:
    path = "/".join(item_of(name) for name in names)
    assert names_of(path) == names
    assert read_message(f'{{"do": "list", "folder": "{path}", "hidden": false}}'.encode(), FROM_PAGE)


@pytest.mark.parametrize("path", ["..", ".", "a/..", "%2E%2E/x", "%2e", "a//b", "/etc", "a/", "%2F", "a%00", "%", "ä"])
def test_no_path_leads_up_or_elsewhere(path: str) -> None:
    with pytest.raises((RefusedError, MessageError)):
        names_of(str(read_message(f'{{"do":"list","folder":"{path}","hidden":true}}'.encode(), FROM_PAGE)["folder"]))


@given(st.text(max_size=30))
def test_what_is_no_path_is_no_name_either(text: str) -> None:
    """Whatever the grammar lets through is refused, or is names that stay in the folder."""
    if FROM_PAGE["list"]["folder"].fits(text):
        try:
            found = names_of(text)
        except RefusedError as error:
            assert error.why == "name"
        else:
            assert all(b"/" not in name and b"\0" not in name and name not in (b"", b".", b"..") for name in found)


def test_an_empty_path_is_the_home_folder() -> None:
    assert names_of("") == []


@pytest.mark.parametrize("name", [".", "..", "   ", "x" * 256, "ü" * 128, ".a.0123456789abcdef.x2goupload"])
def test_names_that_no_file_gets(name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        new_name(name)
    assert caught.value.why == "name"


@pytest.mark.parametrize("name", ["a/b", "a\0", "a\nb", "\x1b[31m", "a\u2028b", "\ud800", ""])
def test_names_that_are_no_message(name: str) -> None:
    assert not FROM_PAGE["upload"]["name"].fits(name)


@pytest.mark.parametrize("name", ["-rf", " a ", "a b.txt", "ü" * 127, "*", "$(x)", "日本.pdf", "..a", "a\\b", "<b>"])
def test_odd_names_are_names(name: str) -> None:
    assert FROM_PAGE["upload"]["name"].fits(name)
    assert new_name(name) == name.encode()


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        (b"report.pdf", 1, b"report (1).pdf"),
        (b"report", 2, b"report (2)"),
        (b"old.tar.gz", 1, b"old (1).tar.gz"),
        (b".bashrc", 1, b".bashrc (1)"),
        (b".tar.gz", 1, b".tar (1).gz"),
        (b"a.b c and so on and on", 1, b"a.b c and so on and on (1)"),
        ("ü".encode() * 127, 1, "ü".encode() * 125 + b" (1)"),
        (b"x" * 251 + b".txt", 12, b"x" * 246 + b" (12).txt"),
        (b"\xff" * 255, 1, b"\xff" * 251 + b" (1)"),
    ],
)
def test_a_name_that_is_taken_gets_a_number(name: bytes, number: int, expected: bytes) -> None:
    assert numbered(name, number) == expected


@given(FILE_NAMES, st.integers(1, 999))
def test_a_numbered_name_is_a_name(name: bytes, number: int) -> None:
    made = numbered(name, number)
    assert 0 < len(made) <= LONGEST
    assert f" ({number})".encode() in made


@given(FILE_NAMES, st.integers(0, 1 << 50), st.integers(0, 1 << 43), st.integers(0, 1 << 32))
def test_an_upload_is_kept_under_a_name_of_its_own(name: bytes, size: int, modified: int, owner: int) -> None:
    made = partial_name(name, size, modified, owner)
    assert len(made) <= LONGEST
    assert is_partial(made)
    assert made == partial_name(name, size, modified, owner)
    others = [(name + b"x", size, modified, owner), (name, size + 1, modified, owner)]
    others += [(name, size, modified + 1, owner), (name, size, modified, owner + 1)]
    assert made not in [partial_name(*other) for other in others]


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"a\xff", "a\ufffd"), (b"a\nb", "a\ufffdb"), ("ü".encode(), "ü"), (b"\xe2\x80\xaexcod", "\ufffdxcod")],
)
def test_what_people_see(name: bytes, text: str) -> None:
    assert shown(name) == text
