"""The portal's texts: each of them is there in every language, and says the same with the same values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from flask import Flask, g

from x2gobroker.portal.languages import DEFAULT, NAMES, _, _n, choose, language

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "x2gobroker"
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "_n": (1, 2)}
VALUE = re.compile(r"%\((\w+)\)[a-z]")
SCRIPT_VALUE = re.compile(r"\{(\w*)\}")  # those that scripts of the pages put in
NUMBERS = {"number", "num"}  # what decides on the form; a form for one thing may do without it
# how many forms each language has, and which of them counts 0, 1, 2 and 11 things
PLURALS = {"de": (2, (1, 0, 1, 1)), "es": (2, (1, 0, 1, 1)), "fr": (2, (0, 0, 1, 1)), "it": (2, (1, 0, 1, 1))}
NO_BREAK = "\N{NO-BREAK SPACE}"
OTHERS = sorted(set(NAMES) - {DEFAULT})


def found_in_code() -> dict[str | tuple[str, ...], str]:
    """All texts of the portal, singular and plural as a pair, and where each stands."""
    texts: dict[str | tuple[str, ...], str] = {}
    places = (
        (PACKAGE / "portal", [("**.py", "python")]),
        (PACKAGE / "frontends", [("portal.py", "python")]),
        (ROOT / "templates" / "portal", [("**.html", "jinja2.ext:babel_extract")]),
    )
    for folder, methods in places:
        options = {"**.html": {"trimmed": "true", "silent": "false"}}
        for name, line, text, _comments, _context in extract_from_dir(folder, methods, options, KEYWORDS):
            texts.setdefault(text, f"{folder.name}/{name}:{line}")
    return texts


def catalog(code: str) -> Catalog:
    with (PACKAGE / "portal" / "languages" / f"{code}.po").open("rb") as stream:
        return read_po(stream, locale=code)


def key(message: Message) -> str | tuple[str, ...]:
    return message.id if isinstance(message.id, str) else tuple(message.id)


def forms(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def test_texts_are_found_at_all() -> None:
    texts = found_in_code()
    assert len(texts) > 25
    assert "Sign in" in texts
    assert ("%(number)s minute", "%(number)s minutes") in texts


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_there_in_every_language(code: str) -> None:
    known = {key(message) for message in catalog(code) if message.id and all(forms(message)) and not message.fuzzy}
    missing = {text: place for text, place in found_in_code().items() if text not in known}
    assert not missing


@pytest.mark.parametrize("code", OTHERS)
def test_no_text_is_there_that_is_nowhere_shown(code: str) -> None:
    shown = found_in_code()
    assert not [key(message) for message in catalog(code) if message.id and key(message) not in shown]


@pytest.mark.parametrize("code", OTHERS)
def test_translations_have_the_values_of_the_text(code: str) -> None:
    for message in catalog(code):
        if not message.id:
            continue
        texts = [message.id] if isinstance(message.id, str) else list(message.id)
        wanted = set(VALUE.findall(texts[-1]))
        for form in forms(message):
            assert set(VALUE.findall(form)) - NUMBERS == wanted - NUMBERS, message.id
            assert "%" not in VALUE.sub("", form), message.id
            assert sorted(SCRIPT_VALUE.findall(form)) == sorted(SCRIPT_VALUE.findall(texts[-1])), message.id
        assert NUMBERS & set(VALUE.findall(forms(message)[-1])) == NUMBERS & wanted, message.id


@pytest.mark.parametrize("code", OTHERS)
def test_numbers_have_all_forms_of_the_language(code: str) -> None:
    count, which = PLURALS[code]
    file = catalog(code)
    assert file.num_plurals == count
    plurals = [message for message in file if isinstance(message.id, tuple | list)]
    assert len(plurals) > 10
    for message in plurals:
        assert len(forms(message)) == count, message.id
        one, many = str(message.id[0]), str(message.id[1])
        found = [language(code).ngettext(one, many, number) for number in (0, 1, 2, 11)]
        assert found == [forms(message)[index] for index in which], message.id


def test_a_text_with_a_count_has_a_form_for_one() -> None:
    """A number stands before a word: `in 1 minutes` is nothing that a page may say, in whatever language."""
    counted = re.compile(r"%\((number|num)\)[a-z]")
    for text, place in found_in_code().items():
        if isinstance(text, str):
            assert not counted.search(text) or text in {"display %(number)s"}, place


@pytest.mark.parametrize("code", OTHERS)
def test_translations_are_set_as_the_language_is(code: str) -> None:
    for message in catalog(code):
        for form in forms(message) if message.id else []:
            text = SCRIPT_VALUE.sub("x", VALUE.sub("x", form)).replace("https://", "x")
            assert "..." not in text, form
            assert "  " not in text, form
            assert text == text.strip(), form
            assert "'" not in text, form
            assert '"' not in text, form
            if code == "fr":  # punctuation in two parts does not begin a line
                assert not re.search(rf"(?<!{NO_BREAK})[:;?!»]", text), form
                assert not re.search(rf"«(?!{NO_BREAK})", text), form
            else:
                assert not re.search(r"\s[:;?!,.]", text), form


@pytest.mark.parametrize("code", OTHERS)
def test_only_what_is_the_same_in_both_is_left_in_english(code: str) -> None:
    """Names of keys and programs, and words that both languages have."""
    same = {message.id for message in catalog(code) if isinstance(message.id, str) and message.string == message.id}
    assert same <= {
        "Alt", "Application", "Ctrl", "Desktop", "Esc", "Home", "In X2Go Client", "Insert", "Link", "Name", "Password",
        "Privacy", "Session", "Sessions", "Super", "Tab", "Zoom", "display %(number)s",
    }  # fmt: skip


def test_the_languages_that_are_offered_are_those_that_ship() -> None:
    """What the foot of the pages offers is what is there."""
    assert {path.stem for path in (PACKAGE / "portal" / "languages").glob("*.po")} == set(OTHERS) == set(PLURALS)
    assert NAMES == {
        "en": "English",
        "de": "Deutsch",
        "fr": "Français",
        "es": "Español",
        "it": "Italiano",
    }


@pytest.mark.parametrize("code", OTHERS)
def test_a_text_stands_once_in_its_file(code: str) -> None:
    text = (PACKAGE / "portal" / "languages" / f"{code}.po").read_text(encoding="utf-8")
    ids = re.findall(r"^msgid (.+)$", text, re.MULTILINE)
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize(
    ("cookie", "accepted", "code"),
    [
        ("", "", "en"),
        ("", "de", "de"),
        ("", "de-CH, en;q=0.5", "de"),
        ("", "nl, de;q=0.3", "de"),
        ("", "fr-CA, en;q=0.5", "fr"),
        ("", "es-MX", "es"),
        ("", "it, fr;q=0.9", "it"),
        ("", "nl", "en"),
        ("", "*", "en"),
        ("", "\N{SNOWMAN};q=x,,", "en"),
        ("de", "en", "de"),
        ("xx", "de", "de"),
        ("../de", "en", "en"),
    ],
)
def test_the_cookie_counts_then_what_the_browser_accepts(cookie: str, accepted: str, code: str) -> None:
    headers = {"Accept-Language": accepted}
    if cookie:
        headers["Cookie"] = f"__Host-x2gobroker-language={cookie}"
    with Flask("test").test_request_context("/portal/", headers=headers) as context:
        assert choose(context.request) == code


def test_texts_outside_of_a_request_are_english() -> None:
    assert _("Sign in") == "Sign in"
    assert _n("%(number)s minute", "%(number)s minutes", 1) == "1 minute"


def test_texts_of_a_request_are_in_its_language() -> None:
    with Flask("test").test_request_context("/portal/"):
        g.language = language("de")
        assert _("Sign in") == "Anmelden"
        assert _("a text that nobody has translated") == "a text that nobody has translated"
        assert _n("%(number)s minute", "%(number)s minutes", 2) == "2 Minuten"
        assert "5 Minuten" in _("Too many wrong passwords. Wait %(time)s, then try again.", time="5 Minuten")


def test_a_language_that_does_not_ship_is_english() -> None:
    assert language("../../etc/passwd").code == language("nl").code == DEFAULT
