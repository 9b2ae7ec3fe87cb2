"""`x2gobroker explain`: which session profiles and session types a user is offered, and which rule decided."""

from __future__ import annotations

import argparse
import sys

from x2gobroker.broker import Broker
from x2gobroker.cli.broker_account import asked_as_broker
from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.errors import BrokerError, ConfigurationError, PluginError
from x2gobroker.logs import printable
from x2gobroker.model.acl import parse_client
from x2gobroker.model.json_text import JsonError
from x2gobroker.portal.explained import LARGEST_ANSWER, Places, explain_types, places_of
from x2gobroker.remote.types import SessionTypes, read_types, types_path
from x2gobroker.services import Services
from x2gobroker.settings import GLOBAL, IniError, Settings
from x2gobroker.store.portal_sessions import AT_SIGN_IN

LONGEST_REASON = 500


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "explain",
        help="say which session profiles and session types a user is offered, and why",
        description="Says for each session profile and each session type of the portal whether this user is offered "
        "it at this address, and which rule decided. For session types, it also says what else is in the way: a type "
        "that is out of service, a locked account, no free place, a portal that is closed for new desktops.",
    )
    add_config_options(parser)
    parser.add_argument("--user", required=True, metavar="USER", help="user name at the broker")
    parser.add_argument(
        "--address", default="127.0.0.1", metavar="ADDRESS", help="the client's address (default: 127.0.0.1)"
    )
    parser.add_argument("--backend", metavar="BACKEND", help="the backend, if not the default one")
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
    _explain_types(settings, services, options.user, options.address)
    return 0


def _explain_types(settings: Settings, services: Services, user: str, address: str) -> None:
    """One line per session type; nothing where no file of them is configured. Raises ConfigurationError."""
    path = types_path(settings)
    if path is None:
        return
    name = settings.text(GLOBAL, "portal-backend") or settings.environment("X2GOBROKER_DEFAULT_BACKEND")
    try:
        broker = Broker(services.backend(name), services)
    except PluginError as error:
        raise ConfigurationError(f"portal-backend: {error}") from None
    try:
        found = read_types(path)
    except IniError as error:
        print(f"note: no session type is in service: {error}", file=sys.stderr)
        return
    print(f"session types in {path}, for the portal with backend {name}")
    places = _places(settings, user, found)
    for one in explain_types(found, broker.requester(settings, user, address), places):
        shown = printable(one.reason, LONGEST_REASON)
        print(f"{'offered ' if one.offered else 'denied  '} [{printable(one.name)}]  {shown}")
    if not settings.boolean(GLOBAL, "enable-portal"):
        print("note: enable-portal is off, so nobody can open any of them", file=sys.stderr)
    elif broker.still_vouched(settings, AT_SIGN_IN) is None:
        print("note: the portal checks nobody's name, so nobody gets a desktop in the browser", file=sys.stderr)


def _places(settings: Settings, user: str, found: SessionTypes) -> Places | None:
    """What the state store says; None where it cannot be asked."""

    def ask() -> bytes:
        services = Services()
        check_made(services.store(settings))
        return places_of(settings, services, user, found).to_json()

    try:
        return Places.read(asked_as_broker(settings, ask, LARGEST_ANSWER))
    except (BrokerError, JsonError) as error:
        print(f"note: who is locked out, and which places are taken, is not known: {error}", file=sys.stderr)
        return None
