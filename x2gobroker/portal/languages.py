"""The portal's languages. Texts stand in the code in English; `languages/<code>.po` has them in others.

`_("text")` is the text in the language of the present request: that of the cookie, else of the browser.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po
from flask import Request, g, has_request_context, request

FOLDER = Path(__file__).with_name("languages")
DEFAULT = "en"
NAMES = {"en": "English", "de": "Deutsch"}
COOKIE = "__Host-x2gobroker-language"


@dataclass(frozen=True)
class Language:
    """One language: its texts by the English ones, plural forms as a pair by the English singular."""

    code: str
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    plurals: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def gettext(self, text: str) -> str:
        """The text in this language, the English one where there is no other."""
        return self.texts.get(text, text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """The form of the text for this number of things; English and German have the same two forms."""
        forms = self.plurals.get(one, (one, many))
        return forms[0] if number == 1 else forms[1]


@cache
def language(code: str) -> Language:
    """The language of this code, English for one that does not ship."""
    if code == DEFAULT or code not in NAMES:
        return Language(DEFAULT)
    texts: dict[str, str] = {}
    plurals: dict[str, tuple[str, ...]] = {}
    with (FOLDER / f"{code}.po").open("rb") as stream:
        catalog = read_po(stream, locale=code)
    for message in catalog:
        if not message.id or message.fuzzy:
            continue
        found = message.string
        if not isinstance(message.id, str):
            if isinstance(found, tuple | list) and all(found):
                plurals[message.id[0]] = tuple(found)
        elif isinstance(found, str) and found:
            texts[message.id] = found
    return Language(code, texts, plurals)


def choose(asked: Request) -> str:
    """The code of the language for a request."""
    chosen = asked.cookies.get(COOKIE, "")
    if chosen in NAMES:
        return chosen
    # best first; `de-CH` is German, and comes before `en;q=0.5`
    wanted = (tag.partition("-")[0].lower() for tag, quality in asked.accept_languages if quality > 0)
    return next((code for code in wanted if code in NAMES), DEFAULT)


def present() -> Language:
    """The language of the present request; English outside of one."""
    if not has_request_context():
        return language(DEFAULT)
    if "language" not in g:
        g.language = language(choose(request))
    found = g.language
    assert isinstance(found, Language)  # noqa: S101 - for the type checker
    return found


def gettext(text: str) -> str:
    """The text in the language of the present request, for templates: Jinja2 puts the values in."""
    return present().gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    """The same for a number of things."""
    return present().ngettext(one, many, number)


def _(text: str, **values: object) -> str:
    """The text in the language of the present request, with values for its `%(name)s`."""
    found = present().gettext(text)
    return found % values if values else found


def _n(one: str, many: str, number: int, **values: object) -> str:
    """The same for a number of things, which is `%(number)s`."""
    return present().ngettext(one, many, number) % {"number": number, **values}
