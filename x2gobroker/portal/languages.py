"""The portal's languages. Texts stand in the code in English; `languages/<code>.po` has them in others.

`_("text")` is the text in the language of the present request: that of the cookie, else of the browser. What is read is
`languages/<code>.mo`, which `scripts/languages` and the build of the package make of the .po file.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from flask import Request, g, has_request_context, request

from x2gobroker.errors import PluginError

FOLDER = Path(__file__).with_name("languages")
DEFAULT = "en"
NAMES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "it": "Italiano"}
COOKIE = "__Host-x2gobroker-language"
# the entry of a .mo file that says of which .po file it was made, as scripts/languages writes it
CONTEXT, DIGEST = "x2gobroker", "SHA-256 of the .po file"


@dataclass(frozen=True)
class Language:
    """One language, with its texts; without any it is English."""

    code: str
    texts: NullTranslations = field(default_factory=NullTranslations, repr=False)

    def gettext(self, text: str) -> str:
        """The text in this language, the English one where there is no other."""
        return self.texts.gettext(text) if text else ""  # gettext has the head of its file under the empty text

    def ngettext(self, one: str, many: str, number: int) -> str:
        """The form of the text for this number of things, by the language's own rule; else one of the English two."""
        return self.texts.ngettext(one, many, number)


@cache
def language(code: str) -> Language:
    """The language of this code, English for one that does not ship. Raises PluginError when its texts are unusable."""
    if code == DEFAULT or code not in NAMES:
        return Language(DEFAULT)
    return Language(code, read(code, FOLDER))


def read(code: str, folder: Path) -> GNUTranslations:
    """The texts of one language.

    Raises PluginError, with what to do, when the .mo file is missing or broken, or was made of another .po file than
    the one beside it. In an installation there is none beside it.
    """
    compiled, source = folder / f"{code}.mo", folder / f"{code}.po"
    remedy = "run scripts/languages" if source.exists() else "install the broker again"
    try:
        with compiled.open("rb") as stream:
            texts = GNUTranslations(stream)
        made_of = texts.pgettext(CONTEXT, DIGEST)
        if source.exists() and made_of != hashlib.sha256(source.read_bytes()).hexdigest():
            raise PluginError(f"{compiled} was made of another {source.name}: {remedy}")
    except FileNotFoundError as error:
        raise PluginError(f"{compiled} is missing: {remedy}") from error
    except (OSError, ValueError, struct.error) as error:
        raise PluginError(f"{compiled} cannot be read: {error}; {remedy}") from error
    return texts


@cache
def faults() -> tuple[str, ...]:
    """What is wrong with the languages that ship, as this process found them first: it serves the portal by that."""
    found = []
    for code in NAMES:
        try:
            language(code)
        except PluginError as error:
            found.append(str(error))
    return tuple(found)


def read_all() -> None:
    """Read every language that ships: what is missing is said at the start. Raises PluginError."""
    if found := faults():
        raise PluginError("; ".join(found))


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
