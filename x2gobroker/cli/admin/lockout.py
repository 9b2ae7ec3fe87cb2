"""`x2gobroker lockout`: users who may not come in, from now on and on all brokers that share the store."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import asdict
from datetime import datetime

from x2gobroker.cli.admin.drain import operator
from x2gobroker.cli.broker_account import as_broker
from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.errors import ConfigurationError
from x2gobroker.locks import Ended, Wanted, end_sessions, lift, lock_out
from x2gobroker.logs import field
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import TakenAway, UserLock, UserLocks

LONGEST_NAME = 256
LONGEST_REASON = 200
DURATION = re.compile(r"(\d{1,5})([mhd])")
SECONDS = {"m": 60, "h": 3600, "d": 86400}
ROW = "{:<24} {:<19}  {:<19}  {:<12} {}"
FOR_EVER = "lifted"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "lockout",
        help="lock a user out, at once and on all brokers",
        description="Locks a user out, lifts the lock, or lists who is locked out. The lock applies at once on all "
        "brokers that share the state store: to logins, existing authids and sign-ins, selections, autologin keys, "
        "desktops in the browser and links to them. Sessions on X2Go Servers go on unless you give --end-sessions. It "
        "locks nobody out of the X2Go Servers themselves: use usermod or chage there, or the directory.",
    )
    add_config_options(parser)
    parser.add_argument("user", nargs="?", metavar="USER", help="the user's name, as in the broker's log")
    parser.add_argument(
        "--until",
        metavar="WHEN",
        help="when the lock ends by itself: 30m, 8h, 2d, 2027-01-31 or '2027-01-31 08:00' (default: when you lift it)",
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; shown in the list")
    parser.add_argument(
        "--tell-reason", action="store_true", help="also tell the user the reason, after the right password"
    )
    parser.add_argument(
        "--end-sessions",
        action="store_true",
        help="stop the user's desktops in the browser, terminate the sessions on X2Go Servers that have a broker "
        "agent, and report the result for each",
    )
    parser.add_argument("--lift", action="store_true", help="let the user in again")
    parser.add_argument("--list", action="store_true", help="list who is locked out (the default without USER)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def parse_until(text: str, now: float) -> float:
    """The point in time, in seconds since the epoch. Raises ConfigurationError for what is none, or is past."""
    found = DURATION.fullmatch(text.strip())
    if found:
        return now + int(found[1]) * SECONDS[found[2]]
    try:
        moment = datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigurationError(
            f"--until {field(text)} is no time; write 30m, 8h, 2d, 2027-01-31 or '2027-01-31 08:00'"
        ) from None
    if moment <= now:
        raise ConfigurationError(f"--until {text} is past")
    return moment


def moment_text(seconds: float | None) -> str:
    """A point in time, as of this machine's clock."""
    if seconds is None:
        return FOR_EVER
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def show(found: list[UserLock], as_json: bool) -> None:
    """Print one line for each."""
    if as_json:
        print(json.dumps([asdict(lock) for lock in found], indent=2))
        return
    if found:
        print(ROW.format("USER", "SINCE", "UNTIL", "BY", "REASON"))
    for lock in found:
        reason = f"{lock.reason or '-'}{' (told to the user)' if lock.for_user else ''}"
        since, until = moment_text(lock.since), moment_text(lock.until)
        print(ROW.format(field(lock.username), since, until, field(lock.by), reason))


def tell(wanted: Wanted, taken: TakenAway, ended: list[Ended], as_json: bool) -> None:
    """Print what was done."""
    if as_json:
        values = {"user": wanted.user, "until": wanted.until, "taken_away": asdict(taken)}
        print(json.dumps({**values, "sessions": [asdict(one) for one in ended]}, indent=2))
        return
    until = "until that is lifted" if wanted.until is None else f"until {moment_text(wanted.until)}"
    print(f"{wanted.user}: locked out {until}; lift that with: x2gobroker lockout {wanted.user} --lift")
    print(
        f"  taken away: {taken.authids} authids, {taken.sign_ins} sign-ins at the portal, {taken.links} links, "
        f"{taken.keys} autologin keys; desktops in the browser {'being stopped' if wanted.stop else 'cut off'}: "
        f"{taken.desktops}"
    )
    for one in ended:
        print(f"  {field(one.server)}: {one.session + ': ' if one.session else ''}{one.outcome}")


def wanted_of(options: argparse.Namespace, by: str) -> Wanted:
    """Whom to lock out. Raises ConfigurationError for what cannot be."""
    name = options.user.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"{field(options.user)} is no name of a user")
    if len(options.reason) > LONGEST_REASON or not options.reason.isprintable():
        raise ConfigurationError(f"a reason is one line of at most {LONGEST_REASON} characters")
    if options.tell_reason and not options.reason:
        raise ConfigurationError("--tell-reason needs --reason")
    until = None if options.until is None else parse_until(options.until, time.time())
    return Wanted(name, by, options.reason, options.tell_reason, until, options.end_sessions)


def opened(settings: Settings) -> Services:
    """The services with their store, which is the broker's to make: ConfigurationError while there is none."""
    as_broker(settings)
    services = Services()
    check_made(services.store(settings))
    return services


def run(options: argparse.Namespace) -> int:
    """Lock out, lift, or list.

    1: there is nothing to lift, or the user is locked out and a session could not be ended. Raises BrokerError.
    """
    settings = source_of(options).current()
    by = operator()
    if options.user is None:
        if any((options.lift, options.until, options.reason, options.tell_reason, options.end_sessions)):
            raise ConfigurationError("which user? x2gobroker lockout USER ...")
        show(opened(settings).of(UserLocks, settings).all(), options.json)
        return 0
    wanted = wanted_of(options, by)
    services = opened(settings)
    if options.list:
        lock = services.of(UserLocks, settings).find(wanted.user)
        show([] if lock is None else [lock], options.json)
        return 0 if lock is not None else 1
    if options.lift:
        if lift(settings, services, wanted.user, by):
            print(f"{wanted.user}: may come in again")
            return 0
        print(f"{wanted.user} is not locked out; x2gobroker lockout lists who is", file=sys.stderr)
        return 1
    taken = lock_out(settings, services, wanted)
    ended = end_sessions(settings, services, wanted.user) if wanted.stop else []
    tell(wanted, taken, ended, options.json)
    if wanted.stop and not ended and not options.json:
        print("note: no session profile has servers with broker agents: end sessions there yourself", file=sys.stderr)
    return 0 if all(one.good for one in ended) else 1
