"""Options: what one is, and how its text in an INI file or an environment variable becomes a typed value.

The spellings are those the reference broker accepts (Python's configparser): booleans `1 yes true on` and
`0 no false off` in any case, decimal integers, lists separated by commas. The reference evaluates lists in
brackets as Python code; here `[a, 'b']` is read as the list of a and b, and nothing is ever evaluated. Quotes around an
item hold it together, commas and all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

Value = bool | int | str | tuple[str, ...]

BOOLEANS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
NOT_SET = "not-set"
QUOTES = ("'", '"')
QUOTED_ITEM = {quote: re.compile(rf"{quote}(?P<text>[^{quote}]*){quote}\s*(?:,|$)") for quote in QUOTES}


class Kind(Enum):
    """The type of an option's value."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    TEXT = "text"
    LIST = "list"
    PATH = "path"
    CHOICE = "choice"


@dataclass(frozen=True)
class Option:
    """One option of one section.

    `section` is the name of an INI section (`broker_*` stands for every backend section) or `environment`.
    `environment` names the variables that override the file. `on_error` is used, instead of `default`, where the
    text cannot be read and the default would be the less safe choice. `since` is the first version to know it.
    `check` raises ValueError, with what would be right, for texts that the option does not take.
    """

    section: str
    name: str
    kind: Kind
    default: Value
    help: str
    since: str = "0.0.4"
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    deprecated: str = ""
    secret: bool = False
    environment: tuple[str, ...] = ()
    on_error: Value | None = None
    check: Callable[[str], object] | None = None

    @property
    def fallback(self) -> Value:
        """The value to go on with when the configured text cannot be read."""
        return self.default if self.on_error is None else self.on_error


def parse_boolean(text: str) -> bool:
    """`1 yes true on` or `0 no false off`, in any case. Raises ValueError with what would be right."""
    try:
        return BOOLEANS[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{text!r} is not a boolean; write true or false") from None


def parse_integer(text: str, minimum: int | None = None, maximum: int | None = None) -> int:
    """A decimal integer within the limits. Raises ValueError with what would be right."""
    stripped = text.strip()
    digits = stripped[1:] if stripped[:1] in ("-", "+") else stripped
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise ValueError(f"{text!r} is not an integer; write digits only")
    number = int(stripped)
    if minimum is not None and number < minimum:
        raise ValueError(f"{number} is too small; the least is {minimum}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{number} is too large; the most is {maximum}")
    return number


@dataclass(frozen=True)
class Item:
    """One item of a list; `quoted` says that it stood in quotes, and so is exactly this text."""

    text: str
    quoted: bool = False


def parse_list(text: str) -> tuple[str, ...]:
    """Items between commas, without surrounding blanks; empty items (a trailing comma) are dropped."""
    return tuple(item.text for item in split_list(text))


def split_list(text: str) -> tuple[Item, ...]:
    """The items of a list, with or without brackets around it. A comma between quotes is part of the item."""
    text = text.strip()
    if is_bracketed_list(text):
        text = text[1:-1]
    items = []
    while text:
        item, text = _next_item(text)
        if item.text:
            items.append(item)
    return tuple(items)


def _next_item(text: str) -> tuple[Item, str]:
    """The first item of `text`, and what stands behind the comma after it."""
    text = text.lstrip()
    if text[:1] in QUOTES and (quoted := QUOTED_ITEM[text[0]].match(text)):
        return Item(quoted["text"], True), text[quoted.end() :]
    plain, _, rest = text.partition(",")
    return Item(plain.strip()), rest


def is_bracketed_list(text: str) -> bool:
    """Whether brackets hold a whole list, `[a, 'b']`, and not one or several IPv6 addresses, `[::1]:22, [::2]`."""
    if not (text.startswith("[") and text.endswith("]")):
        return False
    inside = text[1:-1]
    is_one_address = ":" in inside and not any(mark in inside for mark in ",'\"")
    return not is_one_address and "[" not in inside and "]" not in inside


def unquote(text: str) -> str:
    """`text` without one pair of quotes around it; administrators write paths both ways."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def parse_path(text: str) -> str:
    """A path, without quotes around it. Raises ValueError for one that holds line ends or control characters."""
    path = unquote(text.strip())
    if not path.isprintable():
        raise ValueError(f"{path!r} is no path; a line that begins with a blank continues the one before it")
    return path


def parse_choice(text: str, choices: tuple[str, ...]) -> str:
    """One of `choices`, compared without case. Raises ValueError that names them and the nearest."""
    wanted = text.strip().lower()
    for choice in choices:
        if choice.lower() == wanted:
            return choice
    known = ", ".join(filter(None, choices))
    raise ValueError(f"{text!r} is not one of {known}{did_you_mean(text, choices)}")


def parse_value(option: Option, text: str) -> Value:
    """The typed value of `option` for its `text`. Raises ValueError with what would be right."""
    match option.kind:
        case Kind.BOOLEAN:
            return parse_boolean(text)
        case Kind.INTEGER:
            return parse_integer(text, option.minimum, option.maximum)
        case Kind.LIST:
            return parse_list(text)
        case Kind.CHOICE:
            return parse_choice(text, option.choices)
        case Kind.PATH:
            return parse_path(text)
        case Kind.TEXT:
            if option.check is not None:
                option.check(text)
            return text


def format_value(value: Value) -> str:
    """`value` as one would write it into a file."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return ", ".join(value)
        case _:
            return str(value)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the nearest known name, or nothing."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{matches[0]}"?' if matches else ""
