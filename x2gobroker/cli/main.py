"""`x2gobroker`: the administrator's program; started as the reference's (`x2gobroker -M HTTP ...`) it is the daemon."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from x2gobroker import __version__
from x2gobroker.cli import check_config, daemon, demo, explain, passwd, penalties, plugins, totp
from x2gobroker.errors import BrokerError

COMMANDS = (check_config, explain, passwd, totp, penalties, plugins, demo)


def build_parser() -> argparse.ArgumentParser:
    """The command line with all its sub-commands."""
    parser = argparse.ArgumentParser(
        "x2gobroker",
        description="X2Go Session Broker.",
        epilog="Used as `x2gobroker -M HTTP ...` it starts the daemon, with the options of x2gobroker-daemon.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def wants_daemon(arguments: Sequence[str]) -> bool:
    """Whether this is the reference's command line for its HTTP mode."""
    words = [word.partition("=")[0] for word in arguments]
    return (
        bool(words)
        and words[0].startswith("-")
        and any(word in ("-M", "--mode", "-D", "--daemonize") for word in words)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker`. Exit status 0: fine, 1: something is wrong, 2: the command line is."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if wants_daemon(arguments):
        return daemon.run(daemon.build_parser("x2gobroker").parse_args(arguments))
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except BrokerError as error:
        print(f"x2gobroker: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
