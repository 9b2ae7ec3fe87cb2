"""`x2gobroker x2go`: sessions on X2Go Servers, from a shell, with the library `x2gobroker.x2go`.

Only the command line is here. What does it is loaded when it is called for: other sub-commands do without paramiko.
"""

from __future__ import annotations

import argparse
from typing import Any

from x2gobroker.cli.x2go.options import (
    MANY,
    ONE,
    add_application_options,
    add_connection_options,
    add_session_options,
    add_start_options,
)


class _Parser(argparse.ArgumentParser):
    """Takes names of sessions behind options, too: argparse gives all arguments away before the first option."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # the stubs have overloads
        """What argparse leaves over, and is no option, is another word."""
        found, left = super().parse_known_args(args, namespace)
        if getattr(found, "takes", ONE) == MANY:
            words = [word for word in left if not word.startswith("-")]
            found.words = [*(found.words or ()), *words]
            left = [word for word in left if word.startswith("-")]
        return found, left


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command, which has sub-commands itself."""
    parser = commands.add_parser(
        "x2go",
        help="list, start, resume, suspend and terminate sessions on an X2Go Server",
        description="Does over SSH what an X2Go client does, as any user, without a broker or its configuration. Exit "
        "status 0: it is done, 1: it was refused or is not possible, 2: the command line cannot be understood.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, parser_class=_Parser)
    _add(actions, "list", "list your sessions on a server", "", ONE)
    starting = _add(
        actions,
        "start",
        "start a session and show it",
        "Keeps running until the session ends, is suspended, or another client takes it over. Ctrl-C suspends it. "
        "Needs a display and nxproxy. With --json, prints a line of JSON when the session is shown, and one at the "
        "end.",
        ONE,
    )
    add_start_options(starting)
    add_session_options(starting)
    resuming = _add(
        actions,
        "resume",
        "show an existing session",
        "By default, this is the only one, or the only suspended one. If another client shows the session, this one "
        "takes it over. Keeps running as start does.",
        MANY,
    )
    add_session_options(resuming)
    for name, text in (
        ("suspend", "suspend sessions: they go on without a client"),
        ("terminate", "end sessions and all programs in them"),
    ):
        ending = _add(actions, name, text, "Waits until the server says that it is done.", MANY)
        ending.add_argument("--all", action="store_true", help=f"{name} all your sessions on the server")
    sharing = "These are your own, and those of users who share theirs; `start --view` shows one."
    _add(actions, "desktops", "list desktops that can be viewed", sharing, ONE)
    commands_of = "Shows each with the command that `start --command` takes."
    listing = _add(actions, "apps", "list the applications that a server publishes", commands_of, ONE)
    add_application_options(listing)


def _add(actions: argparse._SubParsersAction[_Parser], name: str, text: str, more: str, words: str) -> _Parser:
    """One action, with what all have in common. `words` says whether it takes names of sessions."""
    description = f"{text[0].upper()}{text[1:]}. {more}".strip()
    # `--password SECRET` must not be taken for --password-file
    parser = actions.add_parser(name, help=text, description=description, allow_abbrev=False)
    add_connection_options(parser, words)
    parser.set_defaults(run=run, action=name, parser=parser, takes=words)
    return parser


def run(options: argparse.Namespace) -> int:
    """Do it; the exit status. Raises CommandError."""
    from x2gobroker.cli.x2go.actions import perform

    return perform(options)
