"""The reference page of the console programs, from their own argument parsers."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterator

from generators.common import notice
from x2gobroker.cli import authservice, keygen, loadchecker, main, pubkeyauthorizer, testagent, testauth
from x2gobroker.cli.daemon import program as daemon
from x2gobroker.cli.remote import service as remote
from x2gobroker.cli.ssh import broker as ssh_broker
from x2gobroker.cli.x2go import alone as x2go_alone

# in the order of the page
PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "x2gobroker": main.build_parser,
    "x2gobroker-daemon": daemon.build_parser,
    "x2gobroker-authservice": authservice.build_parser,
    "x2gobroker-loadchecker": loadchecker.build_parser,
    "x2gobroker-remote": remote.build_parser,
    "x2gobroker-testauth": testauth.build_parser,
    "x2gobroker-testagent": testagent.build_parser,
    "x2gobroker-ssh": ssh_broker.build_parser,
    "x2gobroker-keygen": keygen.build_parser,
    "x2gobroker-pubkeyauthorizer": pubkeyauthorizer.build_parser,
}
# of the package x2gobroker-x2go
ALONE: dict[str, Callable[[], argparse.ArgumentParser]] = {x2go_alone.PROGRAM: x2go_alone.build_parser}
EXIT_STATUSES = {0: "all went well", 1: "something is wrong", 2: "the command line cannot be understood"}
STATUSES = "{} (`check-config`: when there is an error in the configuration), {} or a daemon could not start".format(
    ", ".join(f"{status} when {EXIT_STATUSES[status]}" for status in (0, 1)), f"2 when {EXIT_STATUSES[2]}"
)
INTRODUCTION = """\
# Commands

The broker consists of several programs. All of them read the configuration as described in [options](options.md).

""" + textwrap.fill(
    f"Exit status: {STATUSES}. `x2gobroker-testauth` keeps those of the former broker; see there.\n", 120
)
USED_AS_DAEMON = """\
### `x2gobroker -M HTTP`

If the command line begins with an option, and `-M HTTP` or `-D` is among the options, `x2gobroker` acts as
`x2gobroker-daemon` and takes that program's options, so start scripts of the former broker still work.

### `x2gobroker --task`

If the command line begins with an option, and `--task`, `--event` or `-M SSH` is among the options, `x2gobroker` acts
as `x2gobroker-ssh`.
"""


def sub_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The sub-commands of a parser, by name."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def options_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The options and arguments of a parser, without its sub-commands."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            yield action


def value_of(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """What stands behind an option, or how an argument is written."""
    if action.nargs == 0:
        return ""
    return parser._get_formatter()._format_args(action, str(action.metavar or action.dest.upper()))


def meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """What an option or argument does, and what it may be."""
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    if action.choices:
        text += "; one of " + ", ".join(f"`{choice}`" for choice in action.choices)
    return text


def described(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """One option or argument: how it is written, and what it does."""
    value = value_of(action, parser)
    names = [f"{name} {value}".strip() for name in action.option_strings] or [value]
    return f"- {', '.join(f'`{name}`' for name in names)}: {meaning(action, parser)}"


def section(heading: str, parser: argparse.ArgumentParser) -> list[str]:
    """One program or sub-command."""
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    lines = [heading, "", str(parser.description), "", "```text", usage, "```", ""]
    lines += [*(described(action, parser) for action in options_of(parser)), ""]
    for action in sub_parsers(parser).values() if heading.startswith("### ") else ():
        lines += section(f"#### `{action.prog}`", action)
    return lines


def commands_page() -> str:
    """`reference/commands.md`."""
    lines = [notice("the argument parsers of x2gobroker/cli/"), INTRODUCTION, ""]
    for program, build_parser in PARSERS.items():
        parser = build_parser()
        lines += section(f"## `{program}`", parser)
        for name, command in sub_parsers(parser).items():
            lines += section(f"### `{program} {name}`", command)
        if program == "x2gobroker":
            lines.append(USED_AS_DAEMON)
    return "\n".join(lines).rstrip() + "\n"
