"""`x2gobroker passwd`: users and password hashes for the auth mechanism `htpasswd`."""

from __future__ import annotations

import argparse
import getpass
import grp
import sys
from pathlib import Path

from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import SCHEMES, hash_password
from x2gobroker.cli.broker_account import work_in
from x2gobroker.cli.common import add_config_options, source_of
from x2gobroker.errors import ConfigurationError
from x2gobroker.model.passwords import LONGEST_PASSWORD, new_password_fault
from x2gobroker.settings import AUTH_PREFIX, Settings


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "passwd",
        help="set a user's password in the file of the auth mechanism htpasswd",
        description="Asks for a password twice and writes its hash. You cannot give the password as an argument, "
        "because other users could read it in the process list. If users other than root can write into the folder of "
        "the file, root works there as the owner of the folder.",
    )
    add_config_options(parser)
    parser.add_argument("user", metavar="USER", help="user name")
    parser.add_argument("-f", "--file", metavar="FILE", help="the file (default: that of [authmech_htpasswd])")
    parser.add_argument("--scheme", choices=SCHEMES, default=SCHEMES[0], help="hash to write (default: %(default)s)")
    parser.add_argument("--stdin", action="store_true", help="read the password from the first line of standard input")
    parser.add_argument("--delete", action="store_true", help="remove the user")
    parser.set_defaults(run=run)


def ask_password(from_stdin: bool) -> str:
    """The new password. Raises ConfigurationError when there is none or the two do not agree."""
    if from_stdin:
        password = sys.stdin.readline(8 * LONGEST_PASSWORD).rstrip("\r\n")
    else:
        try:
            password = getpass.getpass("New password: ")
            if password != getpass.getpass("The same again: "):
                raise ConfigurationError("the two passwords differ; nothing was changed")
        except EOFError:
            password = ""
    if fault := new_password_fault(password):
        raise ConfigurationError(f"{fault}; nothing was changed")
    return password


def group_of(settings: Settings) -> int | None:
    """The group that is to read a new file of users: the broker's; None without one."""
    try:
        return grp.getgrnam(settings.environment("X2GOBROKER_DAEMON_GROUP")).gr_gid
    except KeyError:
        return None


def run(options: argparse.Namespace) -> int:
    """Set or remove one user. Raises ConfigurationError."""
    settings = source_of(options).current()
    path = Path(options.file or settings.text(AUTH_PREFIX + "htpasswd", "file"))
    try:
        hashed = None if options.delete else hash_password(ask_password(options.stdin), options.scheme)
        work_in(settings, path.parent)
        path = path.resolve()
        work_in(settings, path.parent)
        known = write_user(path, options.user, hashed, group_of(settings))
    except ValueError as error:
        raise ConfigurationError(f"{error}; nothing was changed") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be changed: {error.strerror}; nothing was changed") from None
    if options.delete and not known:
        print(f"{path}: there is no user {options.user}", file=sys.stderr)
        return 1
    print(f"{path}: user {options.user} {'removed' if options.delete else 'changed' if known else 'added'}")
    return 0
