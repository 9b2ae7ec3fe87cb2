"""INI files: read as configparser does, and every mistake with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.properties import MANY
from x2gobroker.settings.ini import MAX_FILE_SIZE, IniError, Problem, parse_ini, read_ini

PIECES = (
    "[a]",
    "[b]",
    "[",
    "]",
    "x",
    "=",
    ":",
    " = 1",
    "\n",
    "\n ",
    "\n\n",
    "#",
    ";",
    "\t",
    "\0",
    "%(x)s",
    "\r",
    "\x0c",
)
INI = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=25).map("".join))


def test_sections_and_options_are_read_with_their_case_and_order() -> None:
    found = parse_ini("[B]\nKey = v\nkey: w\n\n[a]\nlong = 1\n  2\n# no = 1\n; no = 1\nempty =\n", "f")
    assert found.sections == {"B": {"Key": "v", "key": "w"}, "a": {"long": "1\n2", "empty": ""}}
    assert list(found.sections) == ["B", "a"]


def test_percent_signs_are_no_interpolation() -> None:
    assert parse_ini("[a]\nx = %h/.x2go %(y)s\n", "f").sections["a"]["x"] == "%h/.x2go %(y)s"


def test_default_is_a_section_like_any_other_here() -> None:
    assert parse_ini("[DEFAULT]\nx = 1\n[a]\ny = 2\n", "f").sections == {"DEFAULT": {"x": "1"}, "a": {"y": "2"}}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[a]\nx = 1\nnonsense\n", 3, "neither"),
        ("x = 1\n", 1, "before the first"),
        ("[a]\nx = 1\n[a]\n", 3, r"\[a\] stands twice"),
        ("[a]\nx = 1\ny = 2\nx = 3\n", 4, "'x' stands twice"),
        ("[a]\n= 1\n", 2, "neither"),
        ("[a\nx = 1\n", 1, "before the first"),
    ],
)
def test_what_cannot_be_understood_is_an_error_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(IniError, match=message) as caught:
        parse_ini(text, "/etc/f.conf")
    assert caught.value.problem.line == line
    assert caught.value.problem.blocks
    assert str(caught.value).startswith(f"/etc/f.conf:{line}: error: ")


def test_an_error_never_repeats_the_text_of_the_line() -> None:
    with pytest.raises(IniError) as caught:
        parse_ini("[global]\nmy-cookie s3cret\n", "f")
    assert "s3cret" not in str(caught.value)


@MANY
@given(INI)
@example("[a]\n b\n")
@example("[\0]\nx=1\n[a]\n")
@example("\x00")
def test_no_text_makes_parse_ini_raise_anything_but_ini_error(text: str) -> None:
    try:
        found = parse_ini(text, "f")
    except IniError as error:
        assert error.problem.path == "f"
        assert 0 <= error.problem.line <= text.count("\n") + 1
        return
    for section, options in found.sections.items():
        assert found.line_of(section) >= 0
        assert all(isinstance(value, str) for value in options.values())


NAMES = st.text("abcdefghij-_.é ", min_size=1).map(str.strip).filter(bool)


@MANY
@given(st.dictionaries(NAMES, st.dictionaries(NAMES, st.text("abc =:[]%,é"))))
def test_every_option_written_is_found_again_at_its_line(sections: dict[str, dict[str, str]]) -> None:
    lines: list[str] = []
    where: dict[tuple[str, str], int] = {}
    for section, options in sections.items():
        lines.append(f"[{section}]")
        where[section, ""] = len(lines)
        for name, text in options.items():
            lines.append(f"{name} = {text}")
            where[section, name] = len(lines)
    found = parse_ini("\n".join(lines), "f")
    wanted = {name: {key: text.strip() for key, text in options.items()} for name, options in sections.items()}
    assert found.sections == wanted
    assert {key: found.line_of(*key) for key in where} == where


def test_line_numbers_count_the_lines_that_an_editor_counts() -> None:
    found = parse_ini("[a]\nx = 1\x0c2\u20283\ny = 2\n", "f")
    assert found.line_of("a", "y") == 3


def test_a_place_that_is_not_there_has_line_0_and_is_shown_without_one() -> None:
    found = parse_ini("[a]\nx = 1\n", "f")
    assert found.line_of("a", "y") == 0
    assert str(found.problem("a", "y", "m")) == "f: error: m"
    assert str(found.problem("a", "x", "m", error=False)) == "f:2: warning: m"


def test_a_problem_blocks_only_when_told_so() -> None:
    assert Problem("f", 1, "m").blocks is False
    assert parse_ini("[a]\n", "f").problem("a", "", "m", blocks=True).blocks is True


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbf[a]\r\nx = 1\r\n")
    assert read_ini(path).sections == {"a": {"x": "1"}}


def test_a_file_that_is_no_utf8_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"[a]\nx = 1\ny = \xff\n")
    with pytest.raises(IniError, match="UTF-8") as caught:
        read_ini(path)
    assert caught.value.problem.line == 3


def test_a_missing_file_and_a_folder_are_errors_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(IniError, match="No such file"):
        read_ini(tmp_path / "missing")
    with pytest.raises(IniError, match="directory"):
        read_ini(tmp_path)


def test_an_endless_file_is_an_error() -> None:
    with pytest.raises(IniError, match=str(MAX_FILE_SIZE)):
        read_ini(Path("/dev/zero"))
