"""Connecting for `x2gobroker x2go`: passwords, and who is asked about host keys."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from x2gobroker.cli.x2go.options import KNOWN_HOSTS, CommandError
from x2gobroker.cli.x2go.target import Target
from x2gobroker.logs import field
from x2gobroker.x2go import X2GoSession
from x2gobroker.x2go.errors import (
    AuthenticationException,
    PasswordRequiredException,
    X2GoHostKeyException,
    X2GoSSHProxyAuthenticationException,
    X2GoSSHProxyHostKeyException,
)

LONGEST_PASSWORD = 8192
MOST_QUESTIONS = 3  # sshd counts failed passwords, and so does who locks accounts
YES = ("y", "yes")
STANDARD_INPUT = "-"
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


class ShellSession(X2GoSession):
    """A session whose user sits at a terminal, or nobody does."""

    accepts_new_host_keys = False

    def HOOK_check_host_dialog(  # noqa: N802 - the library's name
        self, host: str, port: int, fingerprint: str = "no fingerprint", fingerprint_type: str = "UNKNOWN"
    ) -> bool:
        """Show the fingerprint of a server that is not known; whether it is to be trusted from now on."""
        kind = fingerprint_type.removeprefix("SSH-").partition("-")[0]
        print(f"x2gobroker: the host key of {host}, port {port}, is not known: {kind} {fingerprint}", file=sys.stderr)
        if self.accepts_new_host_keys:
            print("x2gobroker: it is trusted from now on", file=sys.stderr)
            return True
        if not is_terminal():
            return False
        return ask("Is this the fingerprint that the server's administrator told you? [y/N] ").strip().lower() in YES


def is_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str) -> str:
    """An answer from the terminal; empty at its end. The question is no part of the output."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline(LONGEST_PASSWORD)


def read_password(path: str | None) -> str | None:
    """The first line of a file, of standard input for `-`; None without a file. Raises CommandError."""
    if not path:
        return None
    try:
        if path == STANDARD_INPUT:
            text = sys.stdin.readline(LONGEST_PASSWORD)
        else:
            with open(path, encoding="utf-8") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o044:
                    print(f"x2gobroker: others may read {path}; chmod 600 keeps them from it", file=sys.stderr)
                text = file.readline(LONGEST_PASSWORD)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise CommandError(f"the password in {path} cannot be read: {reason}") from None
    password = text.rstrip("\r\n")
    if not password:
        raise CommandError(f"there is no password in {'the standard input' if path == STANDARD_INPUT else path}")
    return password


@contextlib.contextmanager
def connected(target: Target, options: argparse.Namespace) -> Iterator[X2GoSession]:
    """A connected session for the length of a `with` block.

    Raises CommandError where the login or the host key is refused, and what X2GoSession.connect raises.
    """
    known = os.path.abspath(os.path.expanduser(options.known_hosts or KNOWN_HOSTS))
    session = ShellSession(
        target.host,
        port=target.port,
        profile_name=target.profile or target.shown,
        known_hosts=known,
        **target.params,
    )
    session.accepts_new_host_keys = options.accept_new_host_key
    control = session.get_control_session()
    if control is not None and not options.known_hosts and SYSTEM_KNOWN_HOSTS.is_file():
        control.load_system_host_keys(str(SYSTEM_KNOWN_HOSTS))
    try:
        _log_in(session, target, options)
        yield session
    finally:
        session.disconnect()


def _log_in(session: X2GoSession, target: Target, options: argparse.Namespace) -> None:
    """Connect, with the passwords that were given, or that the user is asked for when keys are not enough."""
    if options.password_file == options.proxy_password_file == STANDARD_INPUT:
        options.parser.error("only one password can come from standard input")
    given: dict[str, Any] = {
        "password": read_password(options.password_file),
        "sshproxy_password": read_password(options.proxy_password_file),
    }
    refused: Exception
    for asked in range(MOST_QUESTIONS + 1):
        try:
            session.connect(**{name: value for name, value in given.items() if value})
            return
        except X2GoSSHProxyAuthenticationException as error:
            proxy = f"{target.params.get('sshproxy_user')}@{target.params.get('sshproxy_host')}"
            refused, name, who = error, "sshproxy_password", f"the proxy {proxy}"
        except AuthenticationException as error:
            refused, name, who = error, "password", target.shown
        except (X2GoHostKeyException, X2GoSSHProxyHostKeyException) as error:
            raise CommandError(_unknown_key(str(error))) from None
        given[name] = _asked_password(refused, name, who, asked, options)


def _asked_password(refused: Exception, name: str, who: str, asked: int, options: argparse.Namespace) -> str:
    """A password from the terminal. Raises CommandError when nobody can be asked, or has been asked enough."""
    option = "--password-file" if name == "password" else "--proxy-password-file"
    was_given = getattr(options, option.removeprefix("--").replace("-", "_"))
    if was_given or not is_terminal():
        advice = f"; give another password with {option}, or a key with --key or --agent"
        raise CommandError(f"{refused}{advice}") from None
    if asked == MOST_QUESTIONS:
        raise CommandError(str(refused)) from None
    if asked:
        print("x2gobroker: this is not right; try again", file=sys.stderr)
    try:
        what = "Passphrase of the key" if isinstance(refused, PasswordRequiredException) else "Password"
        password = getpass.getpass(f"{what} for {field(who, 200)}: ".replace("\\x20", " "), stream=sys.stderr)
    except EOFError:
        password = ""
    if not password:
        raise CommandError("no password was given") from None
    return password


def _unknown_key(text: str) -> str:
    """What to do about it with this command."""
    said = text.partition("; compare")[0]
    return f"{said}; compare the fingerprint on the server, then say --accept-new-host-key"
