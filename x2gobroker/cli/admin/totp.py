"""`x2gobroker totp`: enrol users for the second factor."""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import datetime
from pathlib import Path

import segno

from x2gobroker.auth.base import LONGEST_USER
from x2gobroker.auth.totp import STEP_SECONDS, new_secret, provisioning_uri, split_code, use_code
from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import field
from x2gobroker.services import Services
from x2gobroker.store import Enrolment, Enrolments

ISSUER = "X2Go"
ROW = "{:<24}  {:<16}  {}"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "totp",
        help="enrol users for the second factor, a code from their phone",
        description="Manages the secrets that the broker shares with users' phones. Anybody who can read them, or the "
        "state store that holds them, can make codes.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    enroll = actions.add_parser(
        "enroll",
        help="make a secret for a user and show it as a QR code",
        description="Makes a secret and prints it as a URI and a QR code, for an application such as FreeOTP to read. "
        "It cannot be shown again. Names that differ only in upper and lower case belong to one user.",
    )
    enroll.add_argument("--force", action="store_true", help="replace the secret of a user who already has one")
    enroll.add_argument(
        "--issuer", default=ISSUER, help="name under which the application lists it (default: %(default)s)"
    )
    enroll.add_argument("--no-qr", action="store_true", help="print the URI only")
    remove = actions.add_parser("remove", help="forget the secret of a user", description="Forgets a user's secret.")
    verify = actions.add_parser(
        "verify",
        help="try a code, and use it up",
        description="Reads a code from standard input and says whether it is right. This uses the code up, as a login "
        "does.",
    )
    listing = actions.add_parser(
        "list", help="list the users who are enrolled", description="Lists the users who are enrolled."
    )
    for action, run in ((enroll, run_enroll), (remove, run_remove), (verify, run_verify), (listing, run_list)):
        add_config_options(action)
        if action is not listing:
            action.add_argument("user", metavar="USER", help="user name at the broker")
        action.set_defaults(run=run)


def opened(options: argparse.Namespace, make: bool = False) -> Enrolments:
    """The second factors of the broker's store. Raises ConfigurationError where there is none that could be read."""
    enrolments = Services().of(Enrolments, source_of(options).current())
    if not make:
        check_made(enrolments.store)
    return enrolments


def show_qr(uri: str) -> None:
    """Draw a QR code for the terminal: with half blocks, or with blanks alone where its encoding has no half blocks."""
    try:
        "█▀▄".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        compact = False
    else:
        compact = True
    segno.make(uri, micro=False).terminal(sys.stdout, compact=compact)


def warn_of_owner(enrolments: Enrolments) -> None:
    """Say so when the store is root's: it was made by this command, and a broker of another user cannot write it."""
    path = Path(enrolments.store.url.database or "")
    if enrolments.store.url.get_backend_name() == "sqlite" and os.geteuid() == 0 and path.stat().st_uid == 0:
        print(f"note: {path} belongs to root; give it and its folder to the broker's user", file=sys.stderr)


def run_enroll(options: argparse.Namespace) -> int:
    """Make and show a secret. Raises ConfigurationError, StoreError."""
    if len(options.user) > LONGEST_USER:
        raise ConfigurationError("the user name is too long; nothing was changed")
    secret = new_secret()
    try:
        uri = provisioning_uri(options.user, secret, options.issuer)
    except ValueError as error:
        raise ConfigurationError(f"{error}; nothing was changed") from None
    enrolments = opened(options, make=True)
    if not enrolments.add(options.user, secret, options.force):
        raise ConfigurationError(f"user {options.user} is enrolled already; --force makes a new secret")
    print(uri)
    if not options.no_qr:
        show_qr(uri)
    warn_of_owner(enrolments)
    return 0


def run_remove(options: argparse.Namespace) -> int:
    """Forget a secret; 1 when there is none. Raises ConfigurationError, StoreError."""
    if not opened(options).remove(options.user):
        return not_enrolled(options.user)
    print(f"user {field(options.user)} removed")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """Print one line for each user. Raises ConfigurationError, StoreError."""
    found = opened(options).everybody()
    if found:
        print(ROW.format("USER", "ENROLLED", "LAST CODE"))
    else:
        print("nobody is enrolled", file=sys.stderr)
    for enrolment in found:
        print(ROW.format(field(enrolment.username), moment(enrolment.enrolled), last_code(enrolment)))
    return 0


def run_verify(options: argparse.Namespace) -> int:
    """Try a code; 1 when it does not count. Raises ConfigurationError, StoreError."""
    enrolments = opened(options)
    enrolment = enrolments.find(options.user)
    if enrolment is None:
        return not_enrolled(options.user)
    if sys.stdin.isatty():
        print("Code: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline(100).strip()
    before, code = split_code(typed)
    if before or not code:
        raise ConfigurationError("a code is six digits")
    fault = use_code(enrolments, enrolment, code)
    if fault:
        print(f"refused: {fault}; this machine's clock says {time.strftime('%H:%M:%S %Z')}", file=sys.stderr)
        return 1
    print("right, and used up")
    return 0


def not_enrolled(user: str) -> int:
    """Say that a user has no secret."""
    print(f"user {field(user)} is not enrolled", file=sys.stderr)
    return 1


def last_code(enrolment: Enrolment) -> str:
    """When the last code was made that was accepted."""
    return moment(enrolment.last_step * STEP_SECONDS) if enrolment.last_step else "never"


def moment(seconds: float) -> str:
    """A point in time, as of this machine's clock."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
