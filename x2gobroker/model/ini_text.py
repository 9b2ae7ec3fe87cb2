"""Names and text values as X2Go Client reads them: it takes the list of profiles for an INI file of Qt (QSettings).

There, bytes outside ASCII are taken for Latin-1, a comma makes a list, a semicolon ends the value, a backslash begins
an escape, an `@` a value with a type, and quotes hold a text together. So `name = Büro, 2. Stock` would show as an
empty name, `export = a:1;b:1;` share one folder, and `user = SITE\\anna` be another user. What needs it is written
between quotes with escapes, as QSettings itself writes it; all else stays as it is. The other way round, a value that
stands between quotes in a file is the text that QSettings would read there.
Source: Qt 5.15's qsettings.cpp; the tests ask QSettings itself, and X2Go Client 4.1.2.2.
"""

from __future__ import annotations

import re
from string import hexdigits

from x2gobroker.model.options import Kind, Value
from x2gobroker.model.profile_options import BY_NAME, CLIENT_NAMES

SPECIAL = '";\\'
SHORT = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", '"': '"', "\\": "\\"}
LONG = {letter: character for character, letter in SHORT.items()} | {"?": "?", "'": "'"}
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,8})|([0-7]{1,6})|(.))", re.DOTALL)
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
WRITTEN_BY_QT = re.compile(r'(?:[^\\"\x00-\x1f\x7f-\U0010ffff]|\\["\\]|\\x[0-9a-f]+)+')
PLAIN_IN_A_NAME = re.compile(r"[A-Za-z0-9_. (){}<>:!?$&*+'^`|~@-]")


def ini_text(text: str, comma_splits: bool = True) -> str:
    """`text` such that QSettings reads it as it is meant; `comma_splits` says whether a comma must not make a list."""
    if text.startswith("@"):
        text = f"@{text}"
    special = SPECIAL + "," if comma_splits else SPECIAL
    if (
        text.isascii()
        and (text.isprintable() and text == text.strip())
        and not any(character in special for character in text)
    ):
        return text
    written: list[str] = []
    after_escape = False
    for character in text:
        # QSettings reads as many hex digits behind \x as there are: one that is meant as itself is escaped, too
        short = SHORT.get(character)
        after_escape = (not short and not (character.isascii() and character.isprintable())) or (
            after_escape and character in hexdigits
        )
        if after_escape:
            written.extend(f"\\x{unit:x}" for unit in _utf16(character))
        else:
            written.append(f"\\{short}" if short else character)
    return f'"{"".join(written)}"'


def ini_name(name: str, is_section: bool = False) -> str:
    """The name of a section or an option such that QSettings reads it as it is meant."""
    written: list[str] = []
    for character in name:
        if PLAIN_IN_A_NAME.fullmatch(character) or (is_section and character in "/="):
            written.append(character)
        else:
            written.extend(f"%{unit:02X}" if unit < 0x100 else f"%U{unit:04X}" for unit in _utf16(character))
    text = "".join(written)
    if is_section and text.lower() == "general":
        return f"%{text}"  # [General] is where options without a section stand
    return text


def value_text(name: str, value: Value) -> str:
    """A profile value as the plain protocol writes it: booleans 1 and 0, lists with commas."""
    match value:
        case bool():
            return "1" if value else "0"
        case tuple():
            return ",".join(map(ini_text, value))
        case str():
            return ini_text(value) if name in CLIENT_NAMES else _unknown_text(value)
        case _:
            return str(value)


def _unknown_text(text: str) -> str:
    """The value of an option that is not known here: it may be a list, unless it stands in quotes."""
    inside = QUOTED.fullmatch(text)
    return ini_text(_unescaped(inside[1])) if inside else ini_text(text, comma_splits=False)


def text_of(name: str, text: str) -> str:
    """The text that the value of an option stands for, where that is known to be one text; else as it stands."""
    option = BY_NAME.get(name)
    is_text = name in CLIENT_NAMES if option is None else option.kind is Kind.TEXT
    return text_between_quotes(text) if is_text else text


def text_between_quotes(text: str) -> str:
    """The text that a value between double quotes stands for, or one as X2Go Client writes it into its own file.

    Any other text as it stands: nobody who writes `user = SITE\\anna` by hand means an escape.
    """
    meant = text
    if inside := QUOTED.fullmatch(text):
        meant = _unescaped(inside[1])
    elif "\\" in text and WRITTEN_BY_QT.fullmatch(text):
        unescaped = _unescaped(text)
        meant = unescaped if unescaped.isprintable() else text
    return meant[1:] if meant.startswith("@@") else meant


def _unescaped(text: str) -> str:
    read = ESCAPE.sub(_character, text)
    return read.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _character(escape: re.Match[str]) -> str:
    hexadecimal, octal, letter = escape.groups()
    if hexadecimal or octal:
        return chr((int(hexadecimal, 16) if hexadecimal else int(octal, 8)) & 0xFFFF)
    return LONG.get(letter, "")


def _utf16(character: str) -> list[int]:
    units = character.encode("utf-16-be", "surrogatepass")
    return [units[at] << 8 | units[at + 1] for at in range(0, len(units), 2)]
