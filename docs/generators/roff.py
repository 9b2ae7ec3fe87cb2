"""Manual pages in the language of man(7), from plain texts, from Markdown and from terms with their meanings."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 78
LONG_TITLE, LONGEST_TITLE = 24, 28
FIXED = "\N{NO-BREAK SPACE}"  # a blank at which no line ends, until the text is in lines
SPECIAL = {
    "\\": "\\(rs",
    "-": "\\-",  # what stands in manual pages is copied: a hyphen would be another character
    "'": "\\(aq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
    "\N{NON-BREAKING HYPHEN}": "\\-",
}
TABLE = str.maketrans(SPECIAL)
LITERAL = re.compile(r"`([^`]+)`")
UNHYPHENATED = re.compile(r"[\\\\/_=0-9]|x2go")
SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?]\\fR))(?<!\.\.\.) +(?=\S)")


def escape(text: str) -> str:
    """Text that means itself to roff."""
    return text.translate(TABLE)


def bold(text: str) -> str:
    """Text to be typed as it stands."""
    return f"\\fB{escape(text)}\\fR"


def italic(text: str) -> str:
    """Text that stands for something else."""
    return f"\\fI{escape(text)}\\fR"


def words(text: str) -> str:
    """Plain text in which backticks stand around what is typed as it stands."""
    parts = LITERAL.split(text)
    return "".join(bold(part) if number % 2 else escape(part) for number, part in enumerate(parts))


def reference(name: str, section: int) -> str:
    """Another manual page."""
    return f"{bold(name)}({section})"


def guarded(line: str) -> str:
    """A line that is text, whatever it begins with."""
    return f"\\&{line}" if line.startswith((".", "'")) else line


def lines(text: str) -> list[str]:
    """Roff text in lines that mean no requests; each sentence begins one, as roff wants it for its spacing."""
    found = []
    for part in SENTENCE_END.split(text):
        for line in textwrap.wrap(part, WIDTH, break_long_words=False, break_on_hyphens=False):
            found.append(guarded(line).replace(FIXED, "\\ "))
    return found


def argument(text: str) -> str:
    """Text as one argument of a macro."""
    return '"' + escape(text).replace('"', "\\(dq") + '"'


def head(name: str, section: int, date: str, version: str) -> list[str]:
    """The first lines of a page."""
    comment = '.\\" Made by docs/man.py: change what it is made of.'
    # 80 columns have to have room for the name twice, and what stands between
    title = name.removeprefix("x2gobroker-") if len(name) > LONGEST_TITLE else name
    manual = "X2Go Session Broker" if len(title) <= LONG_TITLE else "X2Go"
    title = f".TH {argument(title.upper())} {section} {date} {argument(version)} {argument(manual)}"
    return [comment, ".nr HY 0", title, ".ad l"]  # names of programs and options are not to be hyphenated


def page(lines: Iterable[str]) -> str:
    """The text of a page; a paragraph that is the first one below a heading needs no mark."""
    found: list[str] = []
    for line in lines:
        if line != ".PP" or not found[-1].startswith((".SH", ".SS")):
            found.append(line)
    return "\n".join(found) + "\n"


def section(title: str) -> list[str]:
    """A heading of a page."""
    return [f".SH {argument(title.upper())}"]


def subsection(title: str) -> list[str]:
    """A heading below that."""
    return [f".SS {argument(title)}"]


def paragraph(text: str) -> list[str]:
    """A paragraph of roff text."""
    return [".PP", *lines(text)]


def item(term: str, *texts: str) -> list[str]:
    """A term, and behind it paragraphs that say what it means, all of them roff text."""
    found = [".TP", term]
    first, *others = texts
    found += lines(first)
    for other in others:
        found += [".IP", *lines(other)]
    return found


def items(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Several terms with a paragraph each."""
    return [line for term, text in rows for line in item(term, text)]


def listed(mark: str, width: int, blocks: Sequence[Sequence[str]]) -> list[str]:
    """An entry of a list: paragraphs of lines, of which the first one has the mark."""
    first, *others = blocks
    found = [f".IP {mark} {width}", *first]
    for other in others:
        found += [f'.IP "" {width}', *other]
    return found


def literal(text: str) -> list[str]:
    """Lines to be shown as they are."""
    shown = [escape(line) for line in text.rstrip("\n").split("\n")]
    shown = [guarded(line) or "\\&" for line in shown]
    return [".PP", ".RS 4", ".nf", *shown, ".fi", ".RE"]


NAMES = ("listsessions", "selectsession", "setpass", "clientevent")  # words that are typed as they stand


def sentence(text: str) -> str:
    """A phrase as argparse has it in its help, with a capital and a full stop where that does not spoil a word."""
    first = text.partition(" ")[0].rstrip(",;:")
    if first.isalpha() and first.islower() and first not in NAMES:
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
