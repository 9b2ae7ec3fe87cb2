"""Markdown, as the pages of docs/ have it, in the language of man(7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from generators import roff

PAGES = Path(__file__).resolve().parents[1] / "reference"
GENERATED = re.compile(r"<!-- Written by docs/generate.py.*?<!-- End of what docs/generate.py writes. -->", re.DOTALL)
NOT_MARKDOWN = re.compile(r"^(:::.*|\([a-z0-9-]+\)=)$", re.MULTILINE)  # of MyST: admonitions and targets
# where a link leads to a page that is a manual page as well
MANUALS = {
    "options.md": ("x2gobroker.conf", 5),
    "session-profiles.md": ("x2gobroker-sessionprofiles.conf", 5),
    "session-types.md": ("x2gobroker-session-types", 5),
    "commands.md": ("x2gobroker", 1),
    "agent.md": ("x2gobroker-agent", 8),
}
MEANING = "Meaning"
FONT_OF = {"strong": "\\fB", "em": "\\fI", "code": "\\fB"}


def read(name: str) -> str:
    """What is written by hand of a page of docs/reference, without its title."""
    text = GENERATED.sub("", (PAGES / name).read_text(encoding="utf-8"))
    return text.partition("# ")[2].partition("\n")[2]


def parts(name: str) -> dict[str, str]:
    """The same by the headings of its parts; the introduction is under the empty heading."""
    before, *others = re.split(r"^## (.+)$", read(name), flags=re.MULTILINE)
    return {"": before, **dict(zip(others[::2], others[1::2], strict=True))}


def tokens(text: str) -> list[Token]:
    """The tokens of Markdown."""
    return MarkdownIt("commonmark").enable("table").parse(NOT_MARKDOWN.sub("", text))


def inline(token: Token) -> str:
    """The text of a paragraph, heading or cell."""
    found, fonts, targets = "", ["\\fR"], []
    for child in token.children or ():
        if child.type == "code_inline":
            found += f"\\fB{roff.escape(child.content)}{fonts[-1]}"
        elif child.type in ("strong_open", "em_open"):
            fonts.append(FONT_OF[child.type.removesuffix("_open")])
            found += fonts[-1]
        elif child.type in ("strong_close", "em_close"):
            fonts.pop()
            found += fonts[-1]
        elif child.type == "link_open":
            targets.append(str(child.attrs["href"]).partition("#")[0])
        elif child.type == "link_close":
            manual = MANUALS.get(targets.pop())
            found += f" ({roff.reference(*manual)})" if manual else ""
        elif child.type in ("softbreak", "hardbreak"):
            found += " "
        elif child.type == "text":
            found += roff.escape(child.content)
        else:
            raise ValueError(f"{child.type} is not known here: {child.content!r}")
    return found


def closing(found: Sequence[Token], start: int) -> int:
    """Where the block that is opened at `start` ends."""
    name = found[start].type.removesuffix("_open")
    for number in range(start + 1, len(found)):
        if found[number].type == f"{name}_close" and found[number].level == found[start].level:
            return number
    raise ValueError(f"{name} has no end")


def row_of(cells: Sequence[str], names: Sequence[str]) -> list[str]:
    """A row of a table: the first cell is the term; of the others, the meaning comes first, the rest with its names.

    A cell that begins with `; ` is a remark.
    """
    term, *others = cells
    texts = []
    for name, text in zip(names[1:], others, strict=True):
        if text.startswith("; "):
            texts.append(roff.sentence(text.removeprefix("; ")))
        elif text and (len(others) == 1 or name == MEANING):
            texts.insert(0, roff.sentence(text))
        elif text:
            texts.append(roff.sentence(f"{name}: {text}"))
    return roff.item(term, " ".join(texts)) if texts else [".TP", term, "\\&"]


def table(found: Sequence[Token]) -> list[str]:
    """A table, as terms."""
    rows: list[list[str]] = []
    for number, token in enumerate(found):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and found[number - 1].type in ("th_open", "td_open"):
            rows[-1].append(inline(token))
    names, *body = rows
    return [line for cells in body for line in row_of(cells, names)]


def a_list(found: Sequence[Token], ordered: bool) -> list[str]:
    """A list of entries without lists in them."""
    made: list[str] = []
    number, count = 0, 0
    while number < len(found):
        if found[number].type == "list_item_open":
            end = closing(found, number)
            count += 1
            texts = [roff.lines(inline(token)) for token in found[number:end] if token.type == "inline"]
            made += roff.listed(f"{count}." if ordered else "\\(bu", 4 if ordered else 2, texts)
            number = end
        number += 1
    return made


def blocks(text: str) -> list[str]:
    """Markdown as lines of roff. Headings of the second level are sections, lower ones subsections."""
    found = tokens(text)
    made: list[str] = []
    number = 0
    while number < len(found):
        token = found[number]
        if token.type == "fence":
            made += roff.literal(token.content)
        elif token.type == "heading_open":
            title = re.sub(r"[`*]", "", found[number + 1].content)
            made += roff.section(title) if token.tag == "h2" else roff.subsection(title)
            number += 2
        elif token.type == "paragraph_open":
            made += roff.paragraph(inline(found[number + 1]))
            number += 2
        elif token.type in ("bullet_list_open", "ordered_list_open", "table_open"):
            end = closing(found, number)
            inner = found[number + 1 : end]
            made += table(inner) if token.type == "table_open" else a_list(inner, token.type.startswith("ordered"))
            number = end
        elif token.type != "html_block":
            raise ValueError(f"{token.type} is not known here")
        number += 1
    return made


def without_example(text: str) -> tuple[str, str]:
    """Markdown without its first block of code, and that."""
    block = next(token for token in tokens(text) if token.type == "fence")
    return re.sub(r"^```.*?^```\n", "", text, count=1, flags=re.MULTILINE | re.DOTALL), block.content


def first_table(name: str, part: str) -> list[str]:
    """The first table of a part of a page, as terms."""
    found = tokens(parts(name)[part])
    start = next(number for number, token in enumerate(found) if token.type == "table_open")
    return table(found[start : closing(found, start)])
