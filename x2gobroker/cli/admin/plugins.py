"""`x2gobroker plugins`: what is installed, by family, and which package it comes from."""

from __future__ import annotations

import argparse

from x2gobroker.plugins import installed


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "plugins",
        help="list the installed frontends, backends, auth mechanisms and name services",
        description="Lists the installed plug-ins by entry-point group, and the package that each comes with.",
    )
    parser.set_defaults(run=run)


def run(_options: argparse.Namespace) -> int:
    """Print one line per plug-in."""
    group = ""
    for plugin in installed():
        if plugin.group != group:
            group = plugin.group
            print(group)
        print(f"  {plugin.name:<12} {plugin.package:<24} {plugin.target}")
    return 0
