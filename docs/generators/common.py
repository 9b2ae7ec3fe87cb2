"""What several generated pages need: values and cells as Markdown."""

from __future__ import annotations

import inspect
import re

from x2gobroker.model.options import Kind, Option, Value, format_value

NOTICE = "<!-- Written by docs/generate.py from {source}: change it there. -->\n"


def notice(source: str) -> str:
    """The first line of a generated page."""
    return NOTICE.format(source=source)


def shown(value: Value) -> str:
    """A value as inline code, or the word for an empty one."""
    text = format_value(value)
    return f"`{text}`" if text else "empty"


def cell(text: str) -> str:
    """Text that cannot break out of a table cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def type_of(option: Option) -> str:
    """The type of an option with its choices or limits, in words."""
    words: str = option.kind.value
    if option.kind is Kind.CHOICE:
        words = "one of " + ", ".join(shown(choice) for choice in option.choices)
    elif option.minimum is not None and option.maximum is not None:
        words += f", {option.minimum} to {option.maximum}"
    elif option.minimum is not None:
        words += f", at least {option.minimum}"
    return words


def anchor(*words: str) -> str:
    """A target name for Sphinx out of any words."""
    return "-".join(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words)


def sentences(thing: object) -> str:
    """The docstring of a class or function as paragraphs of one line each."""
    text = inspect.getdoc(thing) or ""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
