"""`x2gobroker desktops`: list desktops in the browser, stop them, free their places, and have no new ones."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime

from x2gobroker import desktops
from x2gobroker.cli.admin.drain import operator
from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.desktops import (
    CANNOT,
    ENDED,
    GOING_ON,
    SEE_LIST,
    Listed,
    chosen,
    find_numbered,
    find_slots,
    listed,
    shown,
)
from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import field, printable
from x2gobroker.remote.stopping import NUMBER_LETTERS
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import Closing, DesktopOrders, Slot
from x2gobroker.store.remote_desktops import BROKEN, FAILED, STOPPING

LONGEST_REASON = 200
LONGEST_NAME = 256
LONGEST_NOTE = 200
WAIT_SECONDS = 20
MOST_SECONDS = 3600
ROW = "{:<8}  {:<16} {:<20} {:<9} {:>6} {:>6}  {:<11} {:>5}  {:<16} {}"
HEADS = ("NUMBER", "USER", "TYPE/PLACE", "STATE", "AGE", "IDLE", "SIZE", "CONN", "HOST", "ENDS")
WHY = {"grace": "nobody is connected", "idle": "idle", "absolute": "its time is up"}
UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"))
AFTER = {
    ENDED: "ended",
    STOPPING: "is still being stopped",
    CANNOT: "cannot be stopped: end it by hand, then: x2gobroker desktops free {number}",
    GOING_ON: "goes on: x2gobroker-remote on {host} has not heard of it yet; does it run?",
}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "desktops",
        help="list and stop desktops in the browser, free their places, allow no new ones",
        description="Shows and manages desktops in the browser on all hosts that share the state store: who has "
        "which, and what happens to them.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = _action(actions, "list", run_list, "list desktops (who, what, since when, idle for how long)")
    _add_selection(listing)
    listing.add_argument("--json", action="store_true", help="print JSON")
    stopping = _action(
        actions,
        "stop",
        run_stop,
        "stop desktops; unsaved work in them is lost",
        "Has x2gobroker-remote stop desktops, and reports the result. Exit status 0: all have ended, 1: some have "
        "not, or not yet.",
    )
    stopping.add_argument(
        "number", nargs="*", metavar="NUMBER", help="number of the desktop, as `list` and the user see it"
    )
    _add_selection(stopping)
    stopping.add_argument("--all", action="store_true", help="all desktops")
    stopping.add_argument(
        "--wait",
        type=_seconds,
        default=WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for them to end (default: %(default)s; 0: not at all)",
    )
    freeing = _action(
        actions,
        "free",
        run_free,
        "free the place of a desktop that could not be stopped",
        "Frees the place of a desktop that could not be stopped. End its programs by hand first: x2gobroker-remote "
        "does nothing more about them.",
    )
    freeing.add_argument("number", metavar="NUMBER", help="number of the desktop, as `list` and the user see it")
    freeing.add_argument(
        "--host-gone", action="store_true", help="also free one that was not stopped, of a host that will not come back"
    )
    closing = _action(
        actions,
        "close",
        run_close,
        "allow no new desktops; existing ones go on",
        "From now on, nobody gets a new desktop in the browser from any broker that shares the state store. Running "
        "desktops go on, and users can come back to theirs.",
    )
    closing.add_argument("--reason", default="", metavar="TEXT", help="why; shown to users, and in the list")
    _action(actions, "open", run_open, "allow new desktops again")
    leaving = _action(
        actions,
        "sign-out",
        run_sign_out,
        "sign a user out of the portal, in all browsers",
        "Ends all sign-ins of a user at the portal, the connections to the user's desktops, and links for guests. The "
        "desktops go on. The user may sign in again: to prevent that, use x2gobroker lockout.",
    )
    leaving.add_argument("user", metavar="USER", help="the user's name, as in the broker's log")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    description: str = "",
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=description or f"{text[0].upper()}{text[1:]}.")
    add_config_options(parser)
    parser.set_defaults(run=run)
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", default="", metavar="USER", help="desktops of this user")
    parser.add_argument("--type", default="", metavar="TYPE", help="desktops of this session type")


def _seconds(text: str) -> float:
    """How long to wait. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {MOST_SECONDS}")
    return seconds


def opened(options: argparse.Namespace) -> tuple[Settings, Services]:
    """The settings, and services with their store, which is the broker's to make. Raises ConfigurationError."""
    settings = source_of(options).current()
    services = Services()
    check_made(services.store(settings))
    return settings, services


def time_text(seconds: float | None) -> str:
    """A length of time in a few letters, such as `2h05m`."""
    if seconds is None:
        return "-"
    for large, sign, small, other in UNITS:
        if seconds >= large:
            return f"{int(seconds // large)}{sign}{int(seconds % large // small):02}{other}"
    return f"{int(seconds // 60)}m" if seconds >= 60 else f"{int(seconds)}s"


def moment_text(seconds: float) -> str:
    """A point in time, as of this machine's clock."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def closed_text(closing: Closing) -> str:
    """Who has closed desktops for new ones, since when and why."""
    reason = f": {closing.reason}" if closing.reason else ""
    since = moment_text(closing.since)
    return f"closed for new ones since {since} by {field(closing.by)}{reason}; x2gobroker desktops open ends that"


def _ends_text(one: Listed, now: float) -> str:
    if one.ends is None:
        return "-"
    why = WHY.get(one.ends_why, one.ends_why)
    return f"in {time_text(max(0.0, one.ends - now))}" + (f", {why}" if why else "")


def _show(found: Sequence[Listed], now: float) -> None:
    if found:
        print(ROW.format(*HEADS))
    for one in found:
        words = (
            one.number,
            field(one.user),
            f"{field(one.type)}/{one.place}",
            one.state,
            time_text(one.age),
            time_text(one.idle),
            one.size or "-",
            str(one.connections),
            one.host or "-",
            _ends_text(one, now),
        )
        print(ROW.format(*words).rstrip())
        if one.state == BROKEN:
            print(f"          it cannot be stopped: the log of x2gobroker-remote on {one.host} says why")
        elif one.note:
            print(f"          {printable(one.note, LONGEST_NOTE)}")


def run_list(options: argparse.Namespace) -> int:
    """List desktops. Raises BrokerError."""
    settings, services = opened(options)
    now = time.time()
    meant = chosen(find_slots(settings, services, now), options.user, options.type)
    found = [listed(slot, now) for slot in meant]
    closing = services.of(DesktopOrders, settings).closing()
    if options.json:
        closed = None if closing is None else asdict(closing)
        print(json.dumps({"closed": closed, "desktops": [asdict(one) for one in found]}, indent=2))
        return 0
    _show(found, now)
    if closing is not None:
        print(f"note: {closed_text(closing)}", file=sys.stderr)
    return 0


def run_stop(options: argparse.Namespace) -> int:
    """Stop desktops; 1 when some have not ended. Raises BrokerError."""
    settings, services = opened(options)
    meant = _meant(options, [slot for slot in find_slots(settings, services) if slot.state != FAILED])
    if not meant:
        print("there is no such desktop; x2gobroker desktops list shows which there are", file=sys.stderr)
        return 1
    desktops.stop(settings, services, [slot for slot in meant if slot.state != BROKEN], operator())
    outcomes = desktops.wait_for_end(settings, services, meant, options.wait)
    for slot in meant:
        outcome = outcomes[slot.id]
        if not options.wait and outcome == GOING_ON:
            print(f"{shown(slot)}: x2gobroker-remote is asked to stop it")
            continue
        words = {"number": slot.id[:NUMBER_LETTERS], "host": slot.node or "its host"}
        print(f"{shown(slot)}: {AFTER[outcome].format(**words)}")
    wrong = {CANNOT} if not options.wait else {CANNOT, GOING_ON, STOPPING}
    return 1 if wrong & set(outcomes.values()) else 0


def _meant(options: argparse.Namespace, slots: list[Slot]) -> list[Slot]:
    """The desktops that a command line means. Raises ConfigurationError."""
    by_rule = bool(options.user or options.type)
    if sum((bool(options.number), by_rule, options.all)) != 1:
        raise ConfigurationError(f"which ones? Give numbers, or --user and --type, or --all; {SEE_LIST}")
    if options.number:
        return list({slot.id: slot for slot in (find_numbered(slots, number) for number in options.number)}.values())
    return chosen(slots, options.user, options.type)


def run_free(options: argparse.Namespace) -> int:
    """Give a place back. Raises BrokerError."""
    settings, services = opened(options)
    slot = find_numbered(find_slots(settings, services), options.number)
    desktops.free(settings, services, slot, operator(), options.host_gone)
    print(f"{shown(slot)}: its place is free")
    return 0


def run_close(options: argparse.Namespace) -> int:
    """Close for new desktops. Raises BrokerError."""
    if len(options.reason) > LONGEST_REASON or not options.reason.isprintable():
        raise ConfigurationError(f"a reason is one line of at most {LONGEST_REASON} characters")
    settings, services = opened(options)
    unused = desktops.close(settings, services, operator(), options.reason)
    print("no new desktops from now on; end that with: x2gobroker desktops open")
    if unused:
        print(f"  places given back that nobody had connected to yet: {unused}")
    return 0


def run_open(options: argparse.Namespace) -> int:
    """Open again; 1 where it was open. Raises BrokerError."""
    settings, services = opened(options)
    if desktops.open_again(settings, services, operator()):
        print("there are new desktops again")
        return 0
    print("there were new desktops all the time", file=sys.stderr)
    return 1


def run_sign_out(options: argparse.Namespace) -> int:
    """Sign a user out; 1 where there was nothing to end. Raises BrokerError."""
    name = options.user.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"{field(options.user)} is no name of a user")
    settings, services = opened(options)
    ended = desktops.sign_out(settings, services, name, operator())
    if not ended.sign_ins and not ended.desktops:
        print(f"{name} is not signed in, and has no desktop", file=sys.stderr)
        return 1
    print(f"{name}: sign-ins ended: {ended.sign_ins}; desktops cut off, which go on: {ended.desktops}")
    return 0
