"""`x2gobroker explain`: which session profiles a user is offered, and which rule decided."""

from __future__ import annotations

import argparse
import sys

from x2gobroker.broker import Broker
from x2gobroker.cli.common import add_config_options, source_of
from x2gobroker.errors import ConfigurationError, PluginError
from x2gobroker.model.acl import parse_client
from x2gobroker.services import Services


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "explain",
        help="say which session profiles a user is offered, and why",
        description="For each session profile: whether this user is offered it at this address, and which rule of the "
        "profile decided.",
    )
    add_config_options(parser)
    parser.add_argument("--user", required=True, metavar="USER", help="user name at the broker")
    parser.add_argument("--address", default="127.0.0.1", metavar="ADDRESS", help="the client's (default: 127.0.0.1)")
    parser.add_argument("--backend", metavar="BACKEND", help="another than the default backend")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print one line per session profile. Raises ConfigurationError for what is not there."""
    settings = source_of(options).current()
    name = options.backend or settings.environment("X2GOBROKER_DEFAULT_BACKEND")
    if parse_client(options.address) is None:
        raise ConfigurationError(f"{options.address!r} is no IP address; write one such as 192.0.2.7 or 2001:db8::7")
    services = Services()
    try:
        broker = Broker(services.backend(name), services)
    except PluginError as error:
        raise ConfigurationError(str(error)) from None
    who = broker.requester(settings, options.user, options.address)
    groups = who.groups()
    known = services.name_service(settings.for_backend(name, "user-db").lower()).has_user(options.user)
    note = "" if known else " (unknown to the name service)"
    print(f"user {options.user}{note} at {options.address}, backend {name}")
    print(f"groups: {', '.join(sorted(groups)) if groups else 'none' if groups is not None else 'not to be had'}")
    explained = broker.backend.explain(settings, who)
    for profile, decision in explained:
        print(f"{'offered ' if decision else 'denied  '} [{profile.id}]  {decision.reason}")
    if not explained:
        print("there are no session profiles", file=sys.stderr)
    if not settings.backend_enabled(name):
        print(f"note: backend {name} is not enabled, so nobody is offered anything", file=sys.stderr)
    return 0
