"""Text values as X2Go Client reads them: it takes the list of profiles for an INI file of Qt (QSettings).

There, bytes outside ASCII are taken for Latin-1, a comma makes a list, a backslash begins an escape, and quotes hold a
text together. So `name = Büro, 2. Stock` would show as an empty name and `user = SITE\\anna` as another user. What
needs it is written between quotes with `\\xHH` escapes, as QSettings itself writes it; all else stays as it is.
Source: Qt 5's documentation of QSettings::IniFormat, tried on X2Go Client 4.1.2.2.
"""

from __future__ import annotations

from string import hexdigits

from x2gobroker.model.options import Kind, Value
from x2gobroker.model.profile_options import BY_NAME, PYHOCA_TEXTS

ONE_TEXT = PYHOCA_TEXTS | {name for name, option in BY_NAME.items() if option.kind is Kind.TEXT}


def ini_text(text: str, comma_splits: bool = True) -> str:
    """`text` such that QSettings reads it as it is meant; `comma_splits` says whether a comma must not make a list."""
    special = '"\\,' if comma_splits else '"\\'
    if text.isascii() and not any(character in special for character in text):
        return text
    written: list[str] = []
    after_escape = False
    for character in text:
        # QSettings reads as many hex digits behind \x as there are: one that is meant as itself is escaped, too
        after_escape = not character.isascii() or (after_escape and character in hexdigits)
        if after_escape:
            units = character.encode("utf-16-be", "surrogatepass")
            written.extend(f"\\x{units[at] << 8 | units[at + 1]:x}" for at in range(0, len(units), 2))
        else:
            written.append("\\" + character if character in '"\\' else character)
    return f'"{"".join(written)}"'


def value_text(name: str, value: Value) -> str:
    """A profile value as the plain protocol writes it: booleans 1 and 0, lists with commas."""
    match value:
        case bool():
            return "1" if value else "0"
        case tuple():
            return ",".join(map(ini_text, value))
        case str():
            return ini_text(value, name in ONE_TEXT)
        case _:
            return str(value)


def text_between_quotes(text: str) -> str:
    """The text that double quotes around it stand for in an INI file of Qt; any other text as it stands."""
    return text
