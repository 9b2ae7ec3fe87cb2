"""`x2gobroker-testauth`: try a user name and a password, as the broker would check them."""

from __future__ import annotations

import argparse
import getpass
import os
import stat
import sys
from collections.abc import Sequence

from x2gobroker import __version__
from x2gobroker.auth.base import AuthMechanism, Credentials, Outcome
from x2gobroker.cli.common import log_to_stderr, settings_of
from x2gobroker.cli.streams import told
from x2gobroker.errors import ConfigurationError, PluginError
from x2gobroker.logs import field as log_field
from x2gobroker.model.passwords import LONGEST_TYPED
from x2gobroker.plugins import AUTH_MECHANISMS, BACKENDS, registered
from x2gobroker.services import Services
from x2gobroker.settings import Settings

PROGRAM = "x2gobroker-testauth"
SUCCEEDED, FAILED, NO_BACKEND, NOT_ENABLED, CANNOT_TELL = 0, 255, 254, 253, 252
SHOWN_PASSWORD = "the password in the command line can be read by other users and in the history of the shell"  # noqa: S105


class UntestableError(Exception):
    """No answer can be had. `status` is the exit status, the text says what to do."""

    def __init__(self, message: str, status: int = CANNOT_TELL) -> None:
        super().__init__(message)
        self.status = status


def build_parser() -> argparse.ArgumentParser:
    """The command line: the reference's, with more."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Checks a user name and a password as the broker would, and says whether they are right. "
        "Penalties do not apply here. It does not ask for a second factor, so leave out its code. Exit status 0: they "
        "are right, 255: they are wrong, or there is no user name, 254: no such backend, 253: the backend is not "
        "enabled, 252: the auth mechanism cannot tell, or the configuration cannot be read.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    parser.add_argument("-u", "-U", "--user", "--username", metavar="USER", help="the user name to try")
    parser.add_argument(
        "-p",
        "--password",
        metavar="PASSWORD",
        help="the password to try. It is better to leave it out and be asked for it: other users can read a command "
        "line",
    )
    parser.add_argument("--stdin", action="store_true", help="read the password from the first line of standard input")
    parser.add_argument("-C", "--config-file", "--config", metavar="FILE", help="the main configuration file")
    parser.add_argument("-b", "--backend", metavar="BACKEND", help="try the auth mechanism of this backend")
    parser.add_argument(
        "-a", "--auth-mech", metavar="MECHANISM", help="try this auth mechanism, whatever the backend has"
    )
    parser.add_argument("-d", "--debug", action="store_true", help="say more about what it does")
    return parser


def read_password(options: argparse.Namespace) -> str:
    """The password to try. Raises UntestableError when nobody is there to be asked."""
    if options.password is not None:
        _say(f"warning: {SHOWN_PASSWORD}; leave out -p to be asked, or use --stdin")
        return str(options.password)
    if options.stdin:
        return sys.stdin.readline(8 * LONGEST_TYPED).rstrip("\r\n")
    try:
        return getpass.getpass()
    except EOFError:
        raise UntestableError("no password was given; use --stdin where there is no terminal", FAILED) from None


def mechanism_of(settings: Settings, options: argparse.Namespace, services: Services) -> AuthMechanism:
    """The auth mechanism to try. Raises UntestableError."""
    name = options.auth_mech
    if not name:
        backend = options.backend or settings.environment("X2GOBROKER_DEFAULT_BACKEND")
        if backend not in registered(BACKENDS):
            raise UntestableError(f"there is no backend {backend}; there are {_names(BACKENDS)}", NO_BACKEND)
        if not settings.backend_enabled(backend):
            raise UntestableError(
                f"the backend {backend} is not enabled; set enable = true in [broker_{backend}], or name an auth "
                "mechanism with -a",
                NOT_ENABLED,
            )
        name = settings.for_backend(backend, "auth-mech")
    try:
        return services.mechanism(name.lower())
    except PluginError as error:
        raise UntestableError(f"{error}; there are {_names(AUTH_MECHANISMS)}") from None


def check(settings: Settings, mechanism: AuthMechanism, user: str, password: str) -> bool:
    """Whether the mechanism lets the user in. Raises UntestableError when it cannot tell."""
    verdict = mechanism.authenticate(settings, Credentials(user, password, "127.0.0.1"))
    if verdict.outcome is Outcome.UNAVAILABLE:
        raise UntestableError(advice(settings, mechanism.name))
    _say(f"mechanism {mechanism.name}: {verdict.reason}")
    return verdict.granted


def advice(settings: Settings, name: str) -> str:
    """What to do about a mechanism that could not tell; the reason is in the line before."""
    if name != "pam":
        return f"the auth mechanism {name} cannot tell: mend what the line above names, in [authmech_{name}] or around"
    path = settings.environment("X2GOBROKER_AUTHSERVICE_SOCKET")
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except PermissionError:
        return f"this user may not reach {path}; run this program as the broker's user, or as root"
    except OSError:
        return f"there is no {path}; start the authentication service: systemctl start x2gobroker-authservice.socket"
    if not is_socket:
        return f"{path} is no socket; remove it and start the authentication service again"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"this user may not use {path}; run this program as the broker's user, or as root"
    return f"the authentication service at {path} cannot tell; journalctl -u x2gobroker-authservice says why"


def hide_password(options: argparse.Namespace) -> None:
    """Start this program anew with the password on standard input, so that it leaves the list of processes.

    Returns when there is none to hide.
    """
    if options.password is None:
        return
    _say(f"warning: {SHOWN_PASSWORD}; leave out -p to be asked, or use --stdin")
    read, write = os.pipe()
    os.write(write, options.password.encode("utf-8", "surrogateescape")[: 4 * LONGEST_TYPED] + b"\n")
    os.close(write)
    os.dup2(read, 0)
    os.close(read)
    head = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    os.execv(sys.executable, [sys.executable, *head, *_arguments_without_password(options)])  # noqa: S606 - this very program


def _arguments_without_password(options: argparse.Namespace) -> list[str]:
    values = {
        "--user": options.user,
        "--config-file": options.config_file,
        "--backend": options.backend,
        "--auth-mech": options.auth_mech,
    }
    given = [f"{name}={value}" for name, value in values.items() if value is not None]
    return [*given, "--stdin", *(["--debug"] if options.debug else [])]


def _names(group: str) -> str:
    return ", ".join(sorted(registered(group)))


def _say(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)


def _untested(reason: str, status: int) -> int:
    _say(reason)
    print("Authentication failed!")
    return status


def run(options: argparse.Namespace) -> int:
    """Try the credentials; say how it went, and return the exit status."""
    log_to_stderr(PROGRAM, options.debug)
    try:
        if not options.user:
            raise UntestableError("a user name is needed: -u USER", FAILED)
        settings = settings_of(options.config_file)
        mechanism = mechanism_of(settings, options, Services())
        if not mechanism.needs_password:
            raise UntestableError(
                f"the auth mechanism {mechanism.name} cannot be tried here: it checks no password, but believes what "
                "the web server says. Log in through the web server"
            )
        if os.geteuid() == 0:
            account = settings.environment("X2GOBROKER_DAEMON_USER")
            _say(f"note: root may do more than the broker may; runuser -u {account} -- {PROGRAM} tries as the broker")
        if options.debug:
            _say(f"user {log_field(options.user)}, mechanism {mechanism.name} ({type(mechanism).__module__})")
        granted = check(settings, mechanism, options.user, read_password(options))
    except UntestableError as reason:
        return _untested(str(reason), reason.status)
    except ConfigurationError as error:
        return _untested(str(error), CANNOT_TELL)
    print("Authentication succeeded." if granted else "Authentication failed!")
    return SUCCEEDED if granted else FAILED


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker-testauth`."""
    options = build_parser().parse_args(arguments)
    if arguments is None:
        hide_password(options)
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
