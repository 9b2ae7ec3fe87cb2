"""`x2gobroker store`: what the state store holds, its schema, and backups of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from x2gobroker.cli.broker_account import as_broker, asked_as_broker
from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import TrustError, own_folder
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import Store
from x2gobroker.store.backup import SIGN_INS, backup, counts, restore
from x2gobroker.store.schema import newest, steps_after

LARGEST_BACKUP = 4 << 30
MODE = 0o600


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "store",
        help="show the state store, upgrade it, back it up and restore it",
        description="Manages the state store, which holds what brokers have to remember: second factors, locked "
        "users, sign-ins, drained servers and more.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _action(actions, run_status, "status", "show where the store is, its schema, and how many rows it has")
    _action(
        actions,
        run_upgrade,
        "upgrade",
        "upgrade the store to the schema of this release",
        " Every program of the broker does so when it opens the store; use this if the broker's own account on the "
        "database server may not change tables.",
    )
    backup_parser = _action(
        actions,
        run_backup,
        "backup",
        "write the whole store into one file, even while brokers are running",
        " The file holds secrets of second factors: keep it as safe as /etc/shadow. This release and later ones can "
        "restore it into SQLite and into PostgreSQL.",
    )
    restore_parser = _action(
        actions,
        run_restore,
        "restore",
        "replace the contents of the store with a backup",
        " Brokers may keep running meanwhile. Either the restored rows replace all others, or nothing changes.",
    )
    for action in (backup_parser, restore_parser):
        action.add_argument("file", metavar="FILE", type=Path, help="the backup file")
    restore_parser.add_argument(
        "--replace", action="store_true", help="restore even if the store is in use already: forget what it has"
    )
    restore_parser.add_argument(
        "--without-sign-ins",
        action="store_true",
        help="leave out who was signed in: all users have to sign in again. Advisable for a backup from before "
        "somebody was last locked out",
    )


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int],
    name: str,
    text: str,
    more: str = "",
) -> argparse.ArgumentParser:
    """One of the actions, with the options that say which configuration is meant."""
    action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + "." + more)
    add_config_options(action)
    action.set_defaults(run=run)
    return action


def opened(settings: Settings, must_be_there: bool = True) -> Store:
    """The store. Raises ConfigurationError while there is none, StoreError."""
    store = Services().store(settings)
    if must_be_there:
        check_made(store)
    return store


def run_status(options: argparse.Namespace) -> int:
    """Print it. Raises ConfigurationError, StoreError."""
    settings = source_of(options).current()
    as_broker(settings)
    store = opened(settings)
    standing = store.standing()
    print(f"store:   {store.place}")
    print(f"schema:  {standing.number}, by x2gobroker {standing.program}; this release works with {newest()}")
    for step in steps_after(standing.number):
        print(f"         {step.number} is to come: {step.what}")
    if standing.number == newest():
        for name, count in counts(store).items():
            print(f"{count:>9}  {name}")
    return 0


def run_upgrade(options: argparse.Namespace) -> int:
    """Bring it up. Raises ConfigurationError, StoreError."""
    settings = source_of(options).current()
    as_broker(settings)
    store = opened(settings)
    before = store.standing().number
    with store.begin():
        pass  # opening it is what brings it up
    after = store.standing().number
    for step in steps_after(before):
        print(f"{step.number}: {step.what}")
    print(f"{store.place}: schema {after}" + ("" if before != after else ", as before"))
    return 0


def run_backup(options: argparse.Namespace) -> int:
    """Write it. Raises ConfigurationError, StoreError."""
    settings = source_of(options).current()
    path = Path(os.path.abspath(options.file))
    try:
        with own_folder(path.parent) as folder:  # of whoever asks; the store is read as whom it belongs to
            data = asked_as_broker(settings, lambda: backup(opened(settings)), LARGEST_BACKUP)
            folder.write(path.name, data, MODE, replace=False)
    except TrustError as error:
        raise ConfigurationError(f"root writes no backup there: {error}") from None
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already; name a new file") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    print(f"{path}: {len(data)} bytes")
    return 0


def run_restore(options: argparse.Namespace) -> int:
    """Put it back. Raises ConfigurationError, StoreError."""
    settings = source_of(options).current()
    try:
        with open(options.file, "rb") as stream:
            data = stream.read(LARGEST_BACKUP + 1)
    except OSError as error:
        raise ConfigurationError(f"{options.file} cannot be read: {error.strerror}; nothing was changed") from None
    if len(data) > LARGEST_BACKUP:
        raise ConfigurationError(f"{options.file} is too large for a backup; nothing was changed")
    as_broker(settings)
    store = opened(settings, must_be_there=False)
    done = restore(store, data, options.replace, sign_ins=not options.without_sign_ins)
    for name, count in done.items():
        if count:
            print(f"{count:>9}  {name}")
    if options.without_sign_ins:
        print("left out: " + ", ".join(sorted(SIGN_INS)))
    print(f"{store.place}: restored")
    return 0
