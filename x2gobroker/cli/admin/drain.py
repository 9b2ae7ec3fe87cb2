"""`x2gobroker drain`: X2Go Servers that get no new sessions, before their maintenance."""

from __future__ import annotations

import argparse
import os
import pwd
import sys
from collections.abc import Iterator
from datetime import datetime

from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.errors import ConfigurationError, PluginError
from x2gobroker.logs import field
from x2gobroker.model.hosts import Host
from x2gobroker.placement import scheduling_stores
from x2gobroker.plugins import BACKENDS, registered
from x2gobroker.scheduling.choice import is_drained
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import Drain, Drains

LONGEST_NAME = 280
STARTED_AS = os.getuid()  # commands of root become the broker's account before they run
LONGEST_REASON = 200
ROW = "{:<32} {:<19}  {:<12} {}"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "drain",
        help="send no new sessions to an X2Go Server; existing sessions can still be resumed",
        description="Drains an X2Go Server, ends that, or lists the drained servers. It applies to all brokers that "
        "share the state store, from the next selection on.",
    )
    add_config_options(parser)
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="the server as a session profile names it, its address, or `address:port`; a name without a domain means "
        "every host of that name (default: list the drained servers)",
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; shown in the list")
    parser.add_argument("--end", action="store_true", help="send new sessions to the server again")
    parser.set_defaults(run=run)


def opened(settings: Settings, services: Services) -> Drains:
    """The drained servers of the store, which is the broker's to make: ConfigurationError while there is none."""
    drains = services.of(scheduling_stores, settings).drains
    check_made(drains.store)
    return drains


def hosts_named(settings: Settings, services: Services, name: str) -> Iterator[str]:
    """The profiles' hosts that are meant, each with its profile. Backends that do not load have none."""
    for backend in registered(BACKENDS):
        if not settings.backend_enabled(backend):
            continue
        try:
            profiles = services.backend(backend).all_profiles(settings)
        except PluginError as error:
            print(f"x2gobroker: {error}", file=sys.stderr)
            continue
        for profile in profiles:
            for host in profile.hosts:
                if _is(host, profile.sshport, name):
                    yield f"{host.name} of [{field(profile.id)}]"


def _is(host: Host, port: int, name: str) -> bool:
    return is_drained(host, host.endpoint(port).key, name.strip().lower())


def operator() -> str:
    """Who is at the keyboard, behind sudo as well."""
    by_sudo = os.environ.get("SUDO_USER", "")
    if by_sudo and STARTED_AS == 0:
        return by_sudo
    try:
        return pwd.getpwuid(STARTED_AS).pw_name
    except KeyError:
        return str(STARTED_AS)


def show(found: list[Drain]) -> None:
    """Print one line for each."""
    if found:
        print(ROW.format("SERVER", "SINCE", "BY", "REASON"))
    for drain in found:
        since = datetime.fromtimestamp(drain.since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        print(ROW.format(field(drain.name), since, field(drain.by), drain.reason or "-").rstrip())


def run(options: argparse.Namespace) -> int:
    """Drain, end it, or list; 1 when there is nothing to end. Raises ConfigurationError, StoreError."""
    settings = source_of(options).current()
    services = Services()
    drains = opened(settings, services)
    name = options.name
    if name is None:
        if options.end or options.reason:
            raise ConfigurationError("--end and --reason need the name of a server")
        show(drains.all())
        return 0
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"{field(name)} is no name of a server")
    if options.end:
        if drains.end(name):
            print(f"{name}: gets new sessions again")
            return 0
        print(f"{name} is not drained; x2gobroker drain lists what is", file=sys.stderr)
        return 1
    if len(options.reason) > LONGEST_REASON or not options.reason.isprintable():
        raise ConfigurationError(f"a reason is one line of at most {LONGEST_REASON} characters")
    drains.start(name, operator(), options.reason)
    meant = list(dict.fromkeys(hosts_named(settings, services, name)))
    print(f"{name}: no new sessions from now on; end that with: x2gobroker drain {name} --end")
    for line in meant:
        print(f"  {line}")
    if not meant:
        print(f"note: no session profile has a host {name}", file=sys.stderr)
    return 0
