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
            assert set(VALUE.findall(form)) - {"number", "num"} == wanted - {"number", "num"}, message.id
            assert "%" not in VALUE.sub("", form), message.id


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
        ("", "fr, de;q=0.3", "de"),
        ("", "fr", "en"),
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
    assert language("../../etc/passwd").code == language("fr").code == DEFAULT
