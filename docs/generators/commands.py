"""The reference page of the console programs, from their own argument parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from generators.common import notice
from x2gobroker.cli import (
    authservice,
    daemon,
    keygen,
    loadchecker,
    main,
    pubkeyauthorizer,
    remote,
    ssh_broker,
    testagent,
    testauth,
)

INTRODUCTION = """\
# Commands

Several programs are installed. All read the configuration as [options](options.md) says.

Exit status: 0 when all went well, 1 when something is wrong (`check-config`: when there is an error in the
configuration), 2 when the command line cannot be understood or a daemon could not start. `x2gobroker-testauth` has
those of the former broker, as said there.
"""
USED_AS_DAEMON = """\
### `x2gobroker -M HTTP`

Started with `-M` or `-D` first among its options, `x2gobroker` is `x2gobroker-daemon` and takes that program's options:
start scripts of the former broker go on working.

### `x2gobroker --task`

Started with an option first and `--task`, `--event` or `-M SSH` among its options, it is `x2gobroker-ssh`.
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


def described(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """One option or argument: how it is written, and what it does."""
    formatter = parser._get_formatter()
    value = formatter._format_args(action, str(action.metavar or action.dest.upper())) if action.nargs != 0 else ""
    names = [f"{name} {value}".strip() for name in action.option_strings] or [value]
    text = formatter._expand_help(action) if action.help else ""
    if action.choices:
        text += "; one of " + ", ".join(f"`{choice}`" for choice in action.choices)
    return f"- {', '.join(f'`{name}`' for name in names)}: {text}"


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
    administrator = main.build_parser()
    lines = [notice("the argument parsers of x2gobroker/cli/"), INTRODUCTION]
    lines += section("## `x2gobroker`", administrator)
    for name, parser in sub_parsers(administrator).items():
        lines += section(f"### `x2gobroker {name}`", parser)
    lines.append(USED_AS_DAEMON)
    lines += section("## `x2gobroker-daemon`", daemon.build_parser())
    lines += section("## `x2gobroker-authservice`", authservice.build_parser())
    lines += section("## `x2gobroker-loadchecker`", loadchecker.build_parser())
    lines += section("## `x2gobroker-remote`", remote.build_parser())
    lines += section("## `x2gobroker-testauth`", testauth.build_parser())
    lines += section("## `x2gobroker-testagent`", testagent.build_parser())
    lines += section("## `x2gobroker-ssh`", ssh_broker.build_parser())
    lines += section("## `x2gobroker-keygen`", keygen.build_parser())
    lines += section("## `x2gobroker-pubkeyauthorizer`", pubkeyauthorizer.build_parser())
    return "\n".join(lines).rstrip() + "\n"
