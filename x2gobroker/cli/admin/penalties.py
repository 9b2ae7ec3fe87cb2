"""`x2gobroker penalties`: who has to wait after wrong passwords; lifts it."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime

from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import field
from x2gobroker.model.accounts import account_name
from x2gobroker.model.acl import parse_client
from x2gobroker.model.penalty import address_block
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import Penalties
from x2gobroker.store.penalties import Counted, penalty_rules

ROW = "{:<24} {:<20} {:>8}  {:<19}  {}"
EVERY = "(all)"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "penalties",
        help="list and lift penalties for wrong passwords on addresses and accounts",
        description="Lists the failed logins that count at present: by address for one account, by address for all "
        "accounts, and by account from all addresses (these only lengthen the wait of those who fail themselves).",
    )
    add_config_options(parser)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--lift", metavar="ADDRESS|USER", help="forget the failures of an address or for an account")
    action.add_argument("--lift-all", action="store_true", help="forget all failures")
    parser.set_defaults(run=run)


def opened(settings: Settings) -> Penalties:
    """The penalties of the store, which is the broker's to make: ConfigurationError while there is none."""
    penalties = Services().of(Penalties, settings)
    check_made(penalties.store)
    return penalties


def block_of(text: str) -> str | None:
    """The address block that is meant by an address or by a block as it is listed; None for a user's name."""
    address = text.partition("/")[0]
    return address_block(address) if parse_client(address) is not None else None


def outcome(counted: Counted, now: float) -> str:
    """What somebody has to do about it."""
    if counted.banned_until > now:
        return f"banned until {moment(counted.banned_until)}"
    if counted.not_before > now:
        return f"waits until {moment(counted.not_before)}"
    return "-"


def moment(seconds: float) -> str:
    """A point in time, as of this machine's clock."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def show(found: list[Counted], now: float) -> None:
    """Print one line for each."""
    if found:
        print(ROW.format("ADDRESS", "ACCOUNT", "FAILURES", "LAST", "PENALTY"))
    for counted in found:
        block = field(counted.block) if counted.block else EVERY
        account = field(counted.account) if counted.account or not counted.block else EVERY
        print(ROW.format(block, account, counted.failures, moment(counted.last), outcome(counted, now)))


def run(options: argparse.Namespace) -> int:
    """List, or lift; 1 when there is nothing to lift. Raises ConfigurationError, StoreError."""
    settings = source_of(options).current()
    rules = penalty_rules(settings)
    penalties = opened(settings)
    if options.lift_all:
        print(f"{penalties.lift()} entries removed")
        return 0
    if options.lift is not None:
        block = block_of(options.lift)
        account = None if block is not None else account_name(options.lift)
        if account == "":
            raise ConfigurationError("--lift needs an address or a user name")
        removed = penalties.lift(block, account)
        if not removed:
            print(f"nothing is counted against {field(options.lift)}", file=sys.stderr)
            return 1
        print(f"{field(options.lift)}: {removed} entries removed")
        return 0
    now = time.time()
    show(penalties.listed(rules, now), now)
    if not rules.enabled:
        print("penalties are off: penalties = false", file=sys.stderr)
    return 0
