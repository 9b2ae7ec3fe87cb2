"""`x2gobroker`: the administrator's program.

Started as the reference's (`x2gobroker -M HTTP ...`, `x2gobroker --task ...`), it is the daemon or the broker over SSH.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from x2gobroker import __version__
from x2gobroker.cli.streams import run_told, told

# Where each sub-command is. Only the one that is asked for is imported: all of them with what they need take several
# times as long as most of them run.
COMMANDS = {
    "check-config": "x2gobroker.cli.admin.check_config",
    "explain": "x2gobroker.cli.admin.explain",
    "passwd": "x2gobroker.cli.admin.passwd",
    "totp": "x2gobroker.cli.admin.totp",
    "penalties": "x2gobroker.cli.admin.penalties",
    "load": "x2gobroker.cli.admin.load",
    "sessions": "x2gobroker.cli.admin.sessions",
    "drain": "x2gobroker.cli.admin.drain",
    "lockout": "x2gobroker.cli.admin.lockout",
    "desktops": "x2gobroker.cli.admin.desktops",
    "store": "x2gobroker.cli.admin.store",
    "remote": "x2gobroker.cli.remote.admin",
    "plugins": "x2gobroker.cli.admin.plugins",
    "migrate": "x2gobroker.cli.admin.migrate",
    "demo": "x2gobroker.cli.admin.demo",
    "x2go": "x2gobroker.cli.x2go.command",
}
# these touch no state store, or see to the account and the folder that they work in themselves
STAY = frozenset(
    {COMMANDS[name] for name in ("check-config", "explain", "passwd", "remote", "plugins", "demo", "store")}
    | {"x2gobroker.cli.remote.setup"}
)


def build_parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line with these sub-commands, which are imported for it; by default all."""
    parser = argparse.ArgumentParser(
        "x2gobroker",
        description="Administers an X2Go Session Broker: reports what is wrong with its configuration and who is "
        "offered what, sets passwords and second factors, lifts penalties, drains X2Go Servers, locks users out, and "
        "manages desktops in the browser.",
        epilog="`x2gobroker -M HTTP ...` starts the daemon, with the options of x2gobroker-daemon; `x2gobroker --task "
        "...` works like x2gobroker-ssh.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        importlib.import_module(COMMANDS[name]).add_to(commands)
    return parser


def _asked_for(arguments: Sequence[str]) -> Iterable[str]:
    """Which sub-commands are needed to understand this command line: all, where it names none."""
    first = "".join(arguments[:1])
    if first in ("-V", "--version"):
        return ()
    return (first,) if first in COMMANDS else COMMANDS


def wants_daemon(arguments: Sequence[str]) -> bool:
    """Whether this is the reference's command line for its HTTP mode."""
    words = [word.partition("=")[0] for word in arguments]
    return (
        bool(words)
        and words[0].startswith("-")
        and any(word in ("-M", "--mode", "-D", "--daemonize") for word in words)
    )


def wants_task(arguments: Sequence[str]) -> bool:
    """Whether this is the reference's command line for its SSH mode, the one it has without `-M`."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    if not words or not words[0].startswith("-") or "-D" in words or "--daemonize" in words:
        return False
    modes = [words[at + 1 : at + 2] for at, word in enumerate(words) if word in ("-M", "--mode")]
    if modes:
        return [mode.upper() for mode in modes[-1]] == ["SSH"]
    return "--task" in words or "--event" in words


def run_as_broker(options: argparse.Namespace) -> int:
    """Run a command; root first becomes who the state store belongs to. Raises BrokerError."""
    if os.geteuid() == 0 and hasattr(options, "config_file") and options.run.__module__ not in STAY:
        from x2gobroker.cli.broker_account import as_broker
        from x2gobroker.cli.common import source_of

        as_broker(source_of(options).current())
    return int(options.run(options))


@told("x2gobroker")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker`. Exit status 0: fine, 1: something is wrong, 2: the command line is."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if wants_task(arguments):
        from x2gobroker.cli.ssh import broker as ssh_broker

        return ssh_broker.main(arguments, program=Path(os.path.abspath(sys.argv[0])).with_name(ssh_broker.PROGRAM))
    if wants_daemon(arguments):
        from x2gobroker.cli.daemon import program as daemon

        return daemon.run(daemon.build_parser("x2gobroker").parse_args(arguments))
    options = build_parser(_asked_for(arguments)).parse_args(arguments)
    return run_told("x2gobroker", run_as_broker, options)


if __name__ == "__main__":
    sys.exit(main())
