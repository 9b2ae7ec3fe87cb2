"""Text for QSettings, which X2Go Client reads profiles with, asked of Qt's QSettings itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.qsettings import Reader, qsettings
from tests.unit.properties import SOME
from x2gobroker.backends.inifile import compile_profiles
from x2gobroker.broker import Offer
from x2gobroker.frontends.plain_text import ProfileTexts
from x2gobroker.model.ini_text import ini_name, ini_text, text_between_quotes, value_text
from x2gobroker.settings.ini import IniError, parse_ini
from x2gobroker.settings.text_files import decode_text

PIECES = [*"ab01=;,\"\\@ \n\r\t\0#%[]'é€\U0001f600\x85\x7f", "@Invalid()", "\\x41"]
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.sampled_from(PIECES)).map("".join),
)


@pytest.fixture(scope="module")
def qt() -> Iterator[Reader]:
    """Qt's QSettings."""
    with qsettings() as reader:
        yield reader


@pytest.mark.qt
@SOME
@given(st.lists(TEXT, min_size=1, max_size=12))
@example(
    [
        "/home/anna/a:1;/home/anna/b:0;",
        "a, b",
        "SITE\\anna",
        "@ByteArray(x)",
        " a ",
        "a\n[desk]\nhost=evil",
        "=",
        "#a",
        "",
    ]
)
@example(["\0" + "0", "é1", "@", "@@", "\t", "x\\", '"', '"a"', ";", "a ;b"])
def test_qsettings_reads_every_text_as_it_is(qt: Reader, texts: list[str]) -> None:
    lines = "".join(f"option{number}={value_text('command', text)}\n" for number, text in enumerate(texts))
    found = qt.read(f"[desk]\n{lines}")
    assert {name for name in found if name} == {"desk"}
    assert [found["desk"][f"option{number}"] or "" for number in range(len(texts))] == texts


@pytest.mark.qt
@SOME
@given(st.lists(TEXT.filter(bool), min_size=2, max_size=6))
def test_qsettings_reads_every_list_as_it_is(qt: Reader, items: list[str]) -> None:
    assert (
        qt.read(f"[desk]\napplications={value_text('applications', tuple(items))}\n")["desk"]["applications"] == items
    )


NAME = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\"), min_size=1).map(str.strip).filter(bool)
)


@pytest.mark.qt
@SOME
@given(NAME, NAME)
@example("General", "General")
@example("general", "%41")
@example("a]b", 'a"b;=')
@example("Büro €", "ö")
def test_qsettings_reads_every_name_as_it_is(qt: Reader, section: str, option: str) -> None:
    found = qt.read(f"[{ini_name(section, is_section=True)}]\n{ini_name(option)}=1\n[other]\nx=2\n")
    found.pop("other")
    assert found[section.replace("GENERAL", "General") if section.lower() == "general" else section] == {option: "1"}


@pytest.mark.qt
@SOME
@given(TEXT)
@example("/home/anna/a:1;/home/anna/b:0;")
@example("Büro")
@example("SITE\\anna")
def test_what_x2go_client_writes_into_its_own_file_reads_the_same_here(qt: Reader, text: str) -> None:
    written = qt.written({"desk/command": text})
    if b"@String(" in written:
        return  # so it writes texts with NUL
    found = parse_ini(decode_text(written, "sessions"), "sessions", keep_faults=True).sections["desk"]["command"]
    read = compile_profiles(parse_ini(f"[desk]\ncommand = {found}\n", "p")).profiles.profiles[0].options["command"]
    if text == text.strip() and text.isprintable():
        assert read == text or read == text.upper()
    elif found.startswith('"'):
        assert read == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('"/home/anna/a:1;/home/anna/b:0;"', "/home/anna/a:1;/home/anna/b:0;"),
        ('"Quoted name"', "Quoted name"),
        ("\"/usr/bin/xterm -e 'echo; hi'\"", "/usr/bin/xterm -e 'echo; hi'"),
        ('"say \\"x\\""', 'say "x"'),
        ("B\\xfcro", "Büro"),
        ("SITE\\\\anna", "SITE\\anna"),
        ("SITE\\anna", "SITE\\anna"),
        ("\\\\server\\share", "\\\\server\\share"),
        ("C:\\xampp", "C:\\xampp"),
        ('"a" and "b"', '"a" and "b"'),
        ('"', '"'),
        ("'a'", "'a'"),
        ('""', ""),
    ],
)
def test_a_value_between_quotes_is_the_text_between_them(text: str, meant: str) -> None:
    assert text_between_quotes(text) == meant


def test_what_was_right_without_quotes_has_none() -> None:
    for text in ("/usr/bin/xterm -e 'a = b'", "", "TERMINAL", "x2go@host", "a # b", "a%20b"):
        assert ini_text(text) == text


LINES = st.lists(
    st.sampled_from(
        ["name = x", "  [desk]", "  host = evil", "  more", "command = a", "zzz = 1, 2", "[b]", "zzz", "host = h\x0b"]
    )
)


@pytest.mark.qt
@SOME
@given(LINES)
@example(["name = X", "  [desk]", "  host = evil"])
@example(["name = two", "  lines"])
def test_no_file_makes_a_listing_with_other_sections_than_its_profiles(qt: Reader, lines: list[str]) -> None:
    try:
        found = compile_profiles(parse_ini("\n".join(["[a]", *lines]), "p", keep_faults=True)).profiles.profiles
    except IniError:
        return
    listing = "".join(ProfileTexts().text_of(Offer(profile, "anna", autologin=False)) for profile in found)
    read = qt.read(listing)
    assert {name for name in read if name} == {profile.id for profile in found}
    assert all("\n" not in str(value) or name in ("name", "command", "zzz") for name, value in read["a"].items())
