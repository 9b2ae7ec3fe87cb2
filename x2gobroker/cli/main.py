"""`x2gobroker`: the administrator's program.

Started as the reference's (`x2gobroker -M HTTP ...`, `x2gobroker --task ...`), it is the daemon or the broker over SSH.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from x2gobroker import __version__
from x2gobroker.cli.admin import (
    check_config,
    demo,
    desktops,
    drain,
    explain,
    load,
    lockout,
    migrate,
    passwd,
    penalties,
    plugins,
    sessions,
    store,
    totp,
)
from x2gobroker.cli.broker_account import as_broker
from x2gobroker.cli.common import source_of
from x2gobroker.cli.daemon import program as daemon
from x2gobroker.cli.remote import admin as remote_admin
from x2gobroker.cli.remote import setup as remote_setup
from x2gobroker.cli.ssh import broker as ssh_broker
from x2gobroker.cli.streams import run_told, told
from x2gobroker.cli.x2go import command as x2go

# these touch no state store, or see to the account and the folder that they work in themselves
STAY = tuple(
    module.__name__ for module in (check_config, explain, passwd, remote_admin, remote_setup, plugins, demo, store)
)
COMMANDS = (
    check_config,
    explain,
    passwd,
    totp,
    penalties,
    load,
    sessions,
    drain,
    lockout,
    desktops,
    store,
    remote_admin,
    plugins,
    migrate,
    demo,
    x2go,
)


def build_parser() -> argparse.ArgumentParser:
    """The command line with all its sub-commands."""
    parser = argparse.ArgumentParser(
        "x2gobroker",
        description="Administers an X2Go Session Broker: says what is wrong with its configuration and who is offered "
        "what, sets passwords and second factors, lifts penalties, drains X2Go Servers, locks users out, and handles "
        "desktops in the browser.",
        epilog="Used as `x2gobroker -M HTTP ...` it starts the daemon, with the options of x2gobroker-daemon; used as "
        "`x2gobroker --task ...` it answers as x2gobroker-ssh.",
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
        as_broker(source_of(options).current())
    return int(options.run(options))


@told("x2gobroker")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker`. Exit status 0: fine, 1: something is wrong, 2: the command line is."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if wants_task(arguments):
        return ssh_broker.main(arguments, program=Path(os.path.abspath(sys.argv[0])).with_name(ssh_broker.PROGRAM))
    if wants_daemon(arguments):
        return daemon.run(daemon.build_parser("x2gobroker").parse_args(arguments))
    options = build_parser().parse_args(arguments)
    return run_told("x2gobroker", run_as_broker, options)


if __name__ == "__main__":
    sys.exit(main())
