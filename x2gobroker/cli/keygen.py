"""`x2gobroker-keygen`: the broker's own SSH key, with which it logs in on X2Go Servers to reach their agents."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from x2gobroker import __version__
from x2gobroker.agents.rules import ssh_folder
from x2gobroker.cli.broker_account import broker_account, go_on_as
from x2gobroker.cli.common import source_of
from x2gobroker.cli.streams import run_told, told
from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import Account, SafeFolder, safe_folder, worker_in
from x2gobroker.settings import Settings
from x2gobroker.ssh.keys import KINDS, OLD, described, generate_key

PROGRAM = "x2gobroker-keygen"
DSA_REFUSED = (
    "DSA keys are refused: OpenSSH stopped taking them in 7.0 (2015) and dropped them in 10.0; use ED25519 or RSA"
)


def key_type(text: str) -> str:
    """The kind of key as `generate_key` wants it. Raises ArgumentTypeError."""
    if text.lower() in ("dsa", "dss"):
        raise argparse.ArgumentTypeError(DSA_REFUSED)
    if text.lower() not in KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(kind.upper() for kind in KINDS)}")
    return text.lower()


def build_parser() -> argparse.ArgumentParser:
    """The command line: the reference's, with more types of keys."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Makes the SSH key that the broker uses to log in to X2Go Servers, writes it where the broker "
        "looks for it, and shows its fingerprint. Run it as root, or as the user that the broker runs as.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    parser.add_argument("-C", "--config-file", metavar="FILE", help="the main configuration file")
    parser.add_argument(
        "-t",
        "--key-type",
        "---key-type",
        type=key_type,
        default="rsa",
        metavar="TYPE",
        help="RSA (3072 bits, the default: what the former x2gobroker-pubkeyauthorizer takes), ECDSA or ED25519",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--keep-old",
        action="store_true",
        help=f"keep an existing key as id_TYPE{OLD}: the broker tries it after the new one, until you remove it. So "
        "you can authorise the new key on X2Go Servers one by one",
    )
    choice.add_argument(
        "-f",
        "--force",
        action="store_true",
        help="overwrite an existing key. You then have to authorise the new one on X2Go Servers with "
        "x2gobroker-pubkeyauthorizer",
    )
    return parser


def keep_old(folder: SafeFolder, kind: str) -> None:
    """Copy the key that is there to where the broker finds the one before; none is fine.

    Raises ConfigurationError when there is an old one already, OSError.
    """
    name = f"id_{kind}"
    with folder.locked():
        private, public = folder.read(name), folder.read(f"{name}.pub")
        if private is None or folder.read(f"{name}{OLD}") == private:  # the latter: no new key could be written then
            return
        with contextlib.ExitStack() as drafts:
            put = drafts.enter_context(folder.draft(f"{name}{OLD}", private, 0o600))
            put_public = drafts.enter_context(folder.draft(f"{name}{OLD}.pub", public or b"", 0o644))
            try:
                put(False)
            except FileExistsError:
                raise ConfigurationError(
                    f"{folder.path / name}{OLD} is there already, and nothing was changed. Remove it, and its .pub, "
                    "once all X2Go Servers have the key that came after it"
                ) from None
            if public is not None:
                try:
                    put_public(True)
                except OSError:
                    folder.remove(f"{name}{OLD}")  # it would be in the way of the next try
                    raise


def owner_of(settings: Settings) -> Account:
    """Whose key it will be. Raises ConfigurationError when this process may not give it to that user."""
    account = broker_account(settings)
    if os.geteuid() not in (0, account.uid):
        raise ConfigurationError(f"run this program as root or as {account.name}: the key is that user's")
    return account


def write_key(folder: SafeFolder, kind: str, comment: str, force: bool) -> str:
    """Make a key and write both its files; the key as people compare it.

    Raises ConfigurationError when there is one already and `force` is false, OSError.
    """
    name = f"id_{kind}"
    pair = generate_key(kind)
    public = (pair.public.line("", comment) + "\n").encode("ascii")
    # both are written before one of them takes its place: a disk that is full leaves the old pair
    with (
        folder.locked(),
        folder.draft(name, pair.private.encode("ascii"), 0o600) as put,
        folder.draft(f"{name}.pub", public, 0o644) as put_public,
    ):
        try:
            put(force)
        except FileExistsError:
            raise ConfigurationError(
                f"{folder.path / name} is there already, and nothing was changed. With --keep-old it stays beside a "
                "new one, with --force it is overwritten; X2Go Servers then have to be told the new key with "
                "x2gobroker-pubkeyauthorizer"
            ) from None
        try:
            put_public(True)
        except OSError as error:
            raise ConfigurationError(
                f"{folder.path / name} is a new key, but {name}.pub beside it could not be written, and does not "
                f"belong to it: {error.strerror}. Run this again with --force"
            ) from None
    return described(pair.public.kind, pair.public.blob)


def run(options: argparse.Namespace) -> int:
    """Make the key and say where it is. Raises BrokerError."""
    settings = source_of(argparse.Namespace(config_file=options.config_file, session_profiles=None)).current()
    owner, path = owner_of(settings), ssh_folder(settings)
    if worker_in(path, lambda: owner) is not None:
        go_on_as(owner)  # the folder, or one above it, is not root's: what root would do there, others could direct
    try:
        with safe_folder(path, owner.uid, owner.gid) as folder:
            comment = f"{owner.name}@{socket.gethostname()}"
            if options.keep_old:
                keep_old(folder, options.key_type)
            shown = write_key(folder, options.key_type, comment, options.force or options.keep_old)
    except OSError as error:
        raise ConfigurationError(f"no key can be written to {path}: {_why(error, path)}") from None
    print(f"{path / f'id_{options.key_type}'}: new key {shown}, and beside it the public one, .pub")
    print("Now run `x2gobroker-pubkeyauthorizer --broker-url https://BROKER/pubkeys/` on every X2Go Server.")
    return 0


def _why(error: OSError, path: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path.parent} is missing; make it, or set X2GOBROKER_SSH_FOLDER to another folder"
    return error.strerror or str(error)


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker-keygen`. Exit status 0: a new key, 1: none, 2: the command line is wrong."""
    return run_told(PROGRAM, run, build_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
