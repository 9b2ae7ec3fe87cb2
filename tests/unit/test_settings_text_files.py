"""Text files of administrators: whatever the editor, the same text; what is no text is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.settings.text_files import TextFileError, decode_text, read_text


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_mark_and_line_ends_of_an_editor_are_no_part_of_the_text(tmp_path: Path, mark: bytes, end: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(mark + end.join((b"a", b"", "b\u2028c\x0bd\x85".encode(), b"")))
    assert read_text(path) == "a\n\nb\u2028c\x0bd\x85\n"


@SOME
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0\ufeff"))), st.data())
def test_lines_are_the_same_whatever_ends_them(lines: list[str], data: st.DataObject) -> None:
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    # a line feed behind a carriage return belongs to it: an empty line between the two cannot be written like that
    text = "".join((line or "x") + data.draw(ends) for line in lines)
    assert decode_text(text.encode(), "f").split("\n") == [line or "x" for line in lines] + [""]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_other_encodings_of_an_editor_are_named(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "f"
    path.write_bytes("[a]\nx = 1\n".encode(codec))
    with pytest.raises(TextFileError, match="UTF-8") as caught:
        read_text(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("bad", [b"\xff", b"\0"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_bytes_that_are_no_text_are_an_error_with_their_line(tmp_path: Path, bad: bytes, end: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a" + end + b"b" + bad + end)
    with pytest.raises(TextFileError) as caught:
        read_text(path)
    assert caught.value.line == 2


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_text("12345")
    for name, reason in (("none", "No such file"), ("", "directory"), ("pipe", "pipe"), ("long", "larger than 4")):
        with pytest.raises(TextFileError, match=reason):
            read_text(tmp_path / name, 4)
    with pytest.raises(TextFileError, match="larger"):
        read_text(Path("/dev/zero"), 10)
    with pytest.raises(TextFileError, match="no path"):
        read_text(Path("a\0b"))
