"""Write completions for bash, zsh and fish from the argument parsers: python docs/completion.py [--alone] FOLDER

FOLDER gets `x2gobroker` (bash), `_x2gobroker` (zsh) and a file for each program (fish). Packages install them.
`--alone`: for the package x2gobroker-x2go, which has the sub-command `x2go` only.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS)]
if not any((Path(folder) / "x2gobroker").is_dir() for folder in sys.path[1:]):
    sys.path.append(str(DOCS.parent))

from generators.commands import ALONE, PARSERS, options_of, sub_parsers  # noqa: E402

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]*|--?[A-Za-z0-9][A-Za-z0-9-]*")


@dataclass(frozen=True)
class Place:
    """What can be written behind some words of a command line: `x2gobroker totp`, say."""

    path: str
    commands: dict[str, str]  # and what each is for
    options: dict[str, str]
    values: dict[str, tuple[str, ...]]  # of options; none of them: a file name or free text


def plain(word: str) -> str:
    """A word of a parser that no shell reads as anything else. Raises ValueError."""
    if not PLAIN.fullmatch(word):
        raise ValueError(f"{word!r} needs quotes in completions")
    return word


def first_line(text: str | None, parser: argparse.ArgumentParser) -> str:
    """The help of an option or command, fit for single quotes."""
    words = " ".join((text or "").replace("%(default)s", "the usual one").replace("%(prog)s", parser.prog).split())
    return re.sub(r"[^A-Za-z0-9 ,.()/-]", "", words)[:70].strip()


def places(path: str, parser: argparse.ArgumentParser) -> Iterator[Place]:
    """The place of a parser, and those of its sub-commands."""
    helps: dict[str, str] = {}
    options: dict[str, str] = {}
    values: dict[str, tuple[str, ...]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {str(choice.dest): first_line(choice.help, parser) for choice in action._choices_actions}
    for option in options_of(parser):
        for name in option.option_strings if option.help != argparse.SUPPRESS else ():
            if name.startswith("---"):  # slips of the former broker, still taken
                continue
            options[plain(name)] = first_line(option.help, parser)
            if option.nargs != 0:
                values[name] = tuple(plain(str(choice)) for choice in option.choices or ())
    found = sub_parsers(parser)
    yield Place(path, {plain(name): helps.get(name, "") for name in found}, options, values)
    for name, child in found.items():
        yield from places(f"{path} {name}", child)


def cases(known: list[Place], files: str) -> Iterator[str]:
    """What bash and zsh share: the words that may follow, in `words`; `files` is run where it may be a file's name."""
    yield '    case "$where:$previous" in'
    for place in known:
        for name, choices in place.values.items():
            yield f"    '{place.path}:{name}') " + (f"words='{' '.join(choices)}'" if choices else files) + " ;;"
    yield "    *)"
    yield '        case "$where" in'
    for place in known:
        yield f"        '{place.path}') words='{' '.join([*place.commands, *place.options])}' ;;"
    yield "        esac ;;"
    yield "    esac"


def walk(known: list[Place]) -> str:
    """The pattern of all words that lead to a sub-command."""
    return " | ".join(f"'{place.path}'" for place in known if " " in place.path)


def bash(programs: Iterable[str], known: list[Place]) -> str:
    """The completion of all programs for bash."""
    lines = [
        "# Completion for bash. Written by docs/completion.py.",
        "_x2gobroker() {",
        '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}"',
        '    local where="${1##*/}" words= files= i',
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        f'        case "$where ${{COMP_WORDS[i]}}" in {walk(known)}) where="$where ${{COMP_WORDS[i]}}" ;; esac',
        "    done",
        *cases(known, "files=yes"),
        '    if [ -n "$files" ]; then mapfile -t COMPREPLY < <(compgen -f -- "$current")',
        '    else mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current"); fi',
        "}",
        f"complete -o filenames -F _x2gobroker {' '.join(programs)}",
    ]
    return "\n".join(lines) + "\n"


def zsh(programs: Iterable[str], known: list[Place]) -> str:
    """The completion of all programs for zsh."""
    lines = [
        f"#compdef {' '.join(programs)}",
        "# Completion for zsh. Written by docs/completion.py.",
        "_x2gobroker() {",
        '    local previous="${words[CURRENT-1]}" where="${words[1]:t}" word files=',
        '    local -a typed=("${(@)words[2,CURRENT-1]}")',
        '    for word in "${typed[@]}"; do',
        f'        case "$where $word" in {walk(known)}) where="$where $word" ;; esac',
        "    done",
        "    local words=",
        *cases(known, "files=yes"),
        '    if [[ -n "$files" ]]; then _files; else compadd -- ${=words}; fi',
        "}",
        '_x2gobroker "$@"',
    ]
    return "\n".join(lines) + "\n"


def fish(program: str, known: list[Place]) -> str:
    """The completion of one program for fish."""
    function = f"__{program.replace('-', '_')}_at"
    lines = [
        "# Completion for fish. Written by docs/completion.py.",
        f"function {function}",
        f"    set -l where {program}",
        "    for word in (commandline -opc)[2..-1]",
        f'        contains -- "$where $word" {walk(known).replace(" |", "")}; and set where "$where $word"',
        "    end",
        '    test "$where" = "$argv[1]"',
        "end",
    ]
    for place in known:
        start = f"complete -c {program} -n \"{function} '{place.path}'\""
        lines += [f"{start} -f -a {name} -d '{text}'" for name, text in place.commands.items()]
        for name, text in place.options.items():
            kind = f"-l {name[2:]}" if name.startswith("--") else f"-{'s' if len(name) == 2 else 'o'} {name[1:]}"
            choices = place.values.get(name)
            value = "" if choices is None else f" -x -a '{' '.join(choices)}'" if choices else " -r"
            lines.append(f"{start} {kind}{value} -d '{text}'")
    return "\n".join(lines) + "\n"


def write(folder: Path, parsers: dict[str, Callable[[], argparse.ArgumentParser]]) -> None:
    """Write all files, for the programs of these parsers. Raises OSError, and ValueError for words that need quotes."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {name: list(places(name, build())) for name, build in sorted(parsers.items())}
    everything = [place for found in known.values() for place in found]
    (folder / "x2gobroker").write_text(bash(known, everything), encoding="utf-8")
    (folder / "_x2gobroker").write_text(zsh(known, everything), encoding="utf-8")
    for name, found in known.items():
        (folder / f"{name}.fish").write_text(fish(name, found), encoding="utf-8")


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if word != "--alone"]
    if len(names) != 1:
        sys.exit("usage: completion.py [--alone] FOLDER")
    write(Path(names[0]), ALONE if "--alone" in sys.argv else PARSERS)
