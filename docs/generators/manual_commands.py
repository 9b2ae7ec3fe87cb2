"""Command lines in manual pages: synopses, options, sub-commands, exit statuses, from the argument parsers."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from generators import roff
from generators.commands import EXIT_STATUSES, meaning, options_of, sub_parsers, value_of

EXIT = re.compile(r"Exit status (\d.*?\.)(?= [A-Z]|$)")
STATUS = re.compile(r"(?:^|[,;] )(\d+): ")
GROUP = re.compile(r"\[[^][]*(?:\[[^][]*\][^][]*)*\]|\S+")
MARKED = re.compile(r"(?<![\w-])(-{1,3}[A-Za-z][\w-]*)|\b([A-Z][A-Z@:|]*[A-Z])\b")
SHARED = "OPTIONS"  # in a synopsis: those that are described once for all sub-commands
Place = tuple[tuple[str, ...], str]


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of sub-commands that have none themselves; the parser, where there are none."""
    below = sub_parsers(parser)
    for action in below.values():
        yield from leaves(action)
    if not below:
        yield parser


def place(action: argparse.Action, parser: argparse.ArgumentParser) -> Place:
    """What an option or argument has in common with its like in other sub-commands."""
    return (tuple(action.option_strings) or (value_of(action, parser),)), meaning(action, parser)


def shared(parsers: Sequence[argparse.ArgumentParser]) -> set[Place]:
    """What more than half of these sub-commands have, to be described once."""
    counts = Counter(place(action, parser) for parser in parsers for action in options_of(parser))
    return {found for found, count in counts.items() if len(parsers) > 2 and count * 2 > len(parsers)}


def usage(parser: argparse.ArgumentParser, left_out: set[Place]) -> str:
    """A command line in roff text, with one word for all options that are left out."""
    formatter = parser._get_formatter()
    out = [action for action in parser._actions if action.option_strings and place(action, parser) in left_out]
    actions = [action for action in parser._actions if action not in out or len(out) == 1]  # --help needs no other word
    formatter.add_usage(None, actions, parser._mutually_exclusive_groups, "")
    text = " ".join(formatter.format_help().split()).removeprefix(parser.prog).strip()
    words = [f"[{SHARED}]"] if len(actions) < len(parser._actions) else []
    words += GROUP.findall(text)
    return " ".join(marked(word) for word in words)


def marked(word: str) -> str:
    """One part of a synopsis, at whose blanks no line ends."""
    found, end = "", 0
    for match in MARKED.finditer(word):
        found += roff.escape(word[end : match.start()])
        found += roff.bold(match[1]) if match[1] else roff.italic(match[2])
        end = match.end()
    return (found + roff.escape(word[end:])).replace(" ", roff.FIXED)


def synopsis(command: str, rest: str) -> list[str]:
    """A command line; what does not fit stands below its own beginning."""
    return [f".SY {roff.argument(command)}", *roff.lines(rest), ".YS"]


def term(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """How an option or argument is written."""
    value = value_of(action, parser)
    shown = roff.italic(value) if value else ""
    names = ", ".join(roff.bold(name) for name in action.option_strings)
    return f"{names} {shown}".strip()


def options(parsers: Iterable[argparse.ArgumentParser], wanted: set[Place] | None, left_out: set[Place]) -> list[str]:
    """Options and arguments, each once: the wanted ones, or all but those that are left out."""
    found: dict[Place, list[str]] = {}
    for parser in parsers:
        for action in options_of(parser):
            key = place(action, parser)
            if key not in left_out and (wanted is None or key in wanted):
                found.setdefault(key, roff.item(term(action, parser), roff.words(roff.sentence(key[1]))))
    return [line for lines in found.values() for line in lines]


def description(parser: argparse.ArgumentParser) -> str:
    """What it does, without its exit statuses."""
    return EXIT.sub("", str(parser.description)).strip()


def exit_statuses(parser: argparse.ArgumentParser, service: bool = False) -> dict[int, str]:
    """The exit statuses, by the sentence in the description of the parser; else those that all programs have."""
    found = EXIT.search(str(parser.description))
    if found is None:
        return {**EXIT_STATUSES, 2: EXIT_STATUSES[2] + (", or the service could not start" if service else "")}
    _, *parts = STATUS.split(found[1])
    return {int(status): text for status, text in zip(parts[::2], parts[1::2], strict=True)}


def exit_section(statuses: dict[int, str]) -> list[str]:
    """The section of exit statuses."""
    rows = [(roff.bold(str(status)), roff.words(roff.sentence(text))) for status, text in sorted(statuses.items())]
    return [*roff.section("Exit status"), *roff.items(rows)]


def commands(parser: argparse.ArgumentParser, left_out: set[Place], elsewhere: dict[str, str]) -> list[str]:
    """Every sub-command with its options, and what each says of its exit status. `elsewhere` are pages, by program."""
    lines: list[str] = []
    for leaf in sub_parsers(parser).values():
        name = leaf.prog
        if name in elsewhere:
            lines += [*roff.subsection(name), *roff.paragraph(f"{roff.words(str(leaf.description))} {elsewhere[name]}")]
            continue
        below = sub_parsers(leaf)
        if below:
            lines += [*roff.subsection(name), *roff.paragraph(roff.words(str(leaf.description)))]
            lines += commands(leaf, left_out, elsewhere)
            continue
        lines += [*roff.subsection(name), *synopsis(name, usage(leaf, left_out))]
        lines += [*roff.paragraph(roff.words(str(leaf.description))), *options((leaf,), None, left_out)]
    return lines
