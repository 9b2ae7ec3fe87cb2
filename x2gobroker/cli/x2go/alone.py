"""`x2gobroker` where there is no broker: its sub-command `x2go`, and nothing else.

The Debian package `x2gobroker-x2go` has it, with the rooms that it needs: debian/rules names them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from x2gobroker import __version__
from x2gobroker.cli.streams import run_told, told
from x2gobroker.cli.x2go import command as x2go

PROGRAM = "x2gobroker"
ELSEWHERE = "the commands of the broker are in the package x2gobroker"


class _Parser(argparse.ArgumentParser):
    """Says where the other sub-commands are."""

    understood = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # the stubs have overloads
        """Words of the sub-command that are left over are no matter of packages."""
        found = super().parse_known_args(args, namespace)
        self.understood = True
        return found

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        super().error(message if self.understood else f"{message}; {ELSEWHERE}")


def build_parser() -> argparse.ArgumentParser:
    """The command line with its one sub-command."""
    parser = _Parser(
        PROGRAM, description="Manages sessions on X2Go Servers.", epilog=f"{ELSEWHERE[0].upper()}{ELSEWHERE[1:]}."
    )
    parser.add_argument("-V", "--version", action="version", version=f"{PROGRAM} {__version__}")
    x2go.add_to(parser.add_subparsers(metavar="COMMAND", required=True, parser_class=argparse.ArgumentParser))
    return parser


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit status 0: fine, 1: refused or not possible, 2: the command line is wrong."""
    options = build_parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    return run_told(PROGRAM, lambda found: int(found.run(found)), options)


if __name__ == "__main__":
    sys.exit(main())
