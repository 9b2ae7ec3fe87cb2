"""INI files: read as configparser does, and every mistake with file and line."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.properties import MANY
from x2gobroker.settings.ini import IniError, Problem, parse_ini, read_ini
from x2gobroker.settings.text_files import MAX_FILE_SIZE

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
        assert 0 <= error.problem.line <= text.count("\n") + text.count("\r") + 1
        return
    for section, options in found.sections.items():
        assert found.line_of(section) >= 0
        assert all(isinstance(value, str) for value in options.values())


@MANY
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_what_is_read_without_a_fault_is_what_configparser_reads(text: str) -> None:
    try:
        found = parse_ini(text, "f")
    except IniError:
        return
    reference = RawConfigParser(default_section="\0")
    reference.optionxform = str  # type: ignore[assignment,method-assign]
    reference.read_string(text.replace("\r\n", "\n").replace("\r", "\n"))
    headers = {name.partition("]")[0]: name for name in reference.sections()}
    assert found.sections == {name: dict(reference.items(headers[name])) for name in headers}


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


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1e", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize(
    "text", ["[a]\nx = 1{}y = 2\n", "[a]{}x = 1\n", "# a{}[a]\n", "[a]\nx = 1\n  2{}[b]\n", "[a]\nx{}y=\n"]
)
def test_what_only_some_editors_take_for_a_line_end_is_an_error(mark: str, text: str) -> None:
    with pytest.raises(IniError, match="line feeds"):
        parse_ini(text.format(mark), "f", keep_faults=True)


def test_a_page_break_on_a_line_of_its_own_is_a_blank_line() -> None:
    assert parse_ini("[a]\nx = 1\n\x0c\n[b]\n", "f").sections == {"a": {"x": "1"}, "b": {}}


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_every_line_end_ends_a_line_also_side_by_side(end: str) -> None:
    found = parse_ini(f"# one{end}[a]\nx = 1{end}y = 2\r\n", "f")
    assert found.sections == {"a": {"x": "1", "y": "2"}}
    assert found.line_of("a", "y") == 4


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[a] x = 1\n", 1, "behind the section's header"),
        ("[a] [b]\nx = 1\n", 1, "behind the section's header"),
        ("[a]]\n", 1, "behind the section's header"),
        ("[a]\nx = 1\n  y = 2\n", 3, "an option that is indented"),
        ("[a]\nx = 1\n\n\ty-z = 2\n", 4, "an option that is indented"),
        ("[a]\nx = 1\n# why\n  y z = 2\n", 4, "an option that is indented"),
        ("[a]\nx = 1\n\xa0y = 2\n", 3, "an option that is indented"),
        ("[a]\nx = 1\n [b]\ny = 2\n", 3, "a section that is indented"),
        ("[ a]\n", 1, "blanks around"),
        ("[a\xa0]\n", 1, "blanks around"),
    ],
)
def test_what_would_be_dropped_or_taken_for_something_else_is_a_fault_of_its_section(
    text: str, line: int, message: str
) -> None:
    with pytest.raises(IniError, match=message) as caught:
        parse_ini(text, "f")
    assert caught.value.problem.line == line
    assert caught.value.problem.blocks
    found = parse_ini(text, "f", keep_faults=True)
    assert [fault.section.strip() for fault in found.faults] == ["a"]
    assert found.faults[0].problem == caught.value.problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[a] # why\nx = 1,\n  2\n", "1,\n2"),
        ("[a] ; why\nx = one,\n two words\n", "one,\ntwo words"),
        ("[a]\nx = [2001:db8::7],\n  [2001:db8::8]\n", "[2001:db8::7],\n[2001:db8::8]"),
        ("[a]\nx = [2001:db8::7],\n  [2001:db8::8]:22\n", "[2001:db8::7],\n[2001:db8::8]:22"),
        ("[a]\nx = [1,\n  'b', c]\n", "[1,\n'b', c]"),
        ("[a]\nx = sh -c\n  do --this=1\n", "sh -c\ndo --this=1"),
        ("  [a]\n  x = 1\n  y = 2\n", "1"),
    ],
)
def test_values_may_go_on_on_indented_lines(text: str, value: str) -> None:
    assert parse_ini(text, "f").sections["a"]["x"] == value


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
