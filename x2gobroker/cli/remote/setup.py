"""`x2gobroker remote setup`: asks what desktops in the browser need, and writes it into x2gobroker.conf."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import ssl
import sys
from pathlib import Path

import x2gobroker
from x2gobroker.cli.broker_account import work_in
from x2gobroker.cli.common import add_config_options, check_usable, source_of
from x2gobroker.cli.remote.web import reachable
from x2gobroker.errors import ConfigurationError
from x2gobroker.model.options import did_you_mean, format_value, parse_value
from x2gobroker.privilege import TrustError, own_folder
from x2gobroker.remote.check import PASSWORD, remote_problems, unlimited
from x2gobroker.remote.keys import PAM_SERVICE
from x2gobroker.remote.types import types_path
from x2gobroker.settings import GLOBAL, Settings, SettingsSource, options_of
from x2gobroker.settings.edit import change_file

LONGEST_ANSWER = 4096
ENABLE, TYPES, LISTEN = "enable-portal", "remote-session-config", "remote-listen"
CERTIFICATE, KEY, PROXIES = "remote-tls-certificate", "remote-tls-key", "trusted-proxies"
SETTABLE = (ENABLE, TYPES, LISTEN, CERTIFICATE, KEY, PROXIES)
USUAL_TYPES = "/etc/x2go/broker/session-types.json"
NGINX_PROXIES = "127.0.0.1, ::1"
NONE = "-"
PAM_FOLDER = Path("/etc/pam.d")
PAM_SAMPLE = Path(x2gobroker.__file__).parent / "samples/etc/pam.d" / PAM_SERVICE
PAM_INCLUDED = ("common-auth", "common-account", "common-session")
EXAMPLE = {
    "Desktop": {
        "script": "tigervnc.py",
        "count": 10,
        "description": "A desktop on this server.",
        "idle-minutes": 240,
    }
}
INTRODUCTION = """\
Users can have a desktop in their browser. It needs a file of session types, and x2gobroker-remote behind your web
server. Enter takes what stands in brackets; - takes out what is set.
"""


def add_to(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this action."""
    parser = actions.add_parser(
        "setup",
        help="ask for the settings, and write them into x2gobroker.conf",
        description="Asks for the settings that desktops in the browser need, and writes them into the main "
        "configuration file. The file keeps its comments, owner and mode. An answer that cannot be right changes "
        "nothing.",
    )
    add_config_options(parser)
    parser.add_argument(
        "--yes", action="store_true", help="ask nothing: turn it on, with the current settings or the usual ones"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="answer in advance, with an option of [global]: " + ", ".join(SETTABLE),
    )
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the VNC password from the first line of standard input"
    )
    parser.add_argument(
        "--example", action="store_true", help="write a file of session types with a TigerVNC desktop, if there is none"
    )
    parser.set_defaults(run=run_setup)


def run_setup(options: argparse.Namespace) -> int:
    """Ask, write and check; 1 when something is wrong with the session types. Raises ConfigurationError."""
    settings = check_usable(source_of(options))
    interview = Interview(settings, read_answers(options.set), silent=options.yes)
    if options.password_stdin:
        interview.given[PASSWORD] = read_line("the VNC password")
    changes, wants_example = ask_everything(interview, options.example)
    check_answers(changes)
    path = settings.path("environment", "X2GOBROKER_CONFIG")
    if wants_example:
        write_example(Path(changes[TYPES]))
    if changes[ENABLE] == "true" and os.geteuid() == 0:
        write_pam_service()
    work_in(settings, path.parent)
    change_file(path, GLOBAL, changes, settings.environment("X2GOBROKER_DAEMON_GROUP"))
    print(f"{path}: " + ("written" if changes[ENABLE] == "true" else "the portal is off"))
    return report(source_of(options), changes, path) if changes[ENABLE] == "true" else 0


class Interview:
    """Gets the answers: from the command line, from what is set, from whoever is at the keyboard."""

    def __init__(self, settings: Settings, given: dict[str, str], silent: bool) -> None:
        self.settings = settings
        self.given = given
        self.silent = silent

    def text(self, option: str, question: str, usual: str = "") -> str:
        """What this option is to be; empty: not set."""
        if option in self.given:
            return self.given[option]
        usual = shown(self.settings, option) or usual
        if self.silent:
            return usual
        answer = read_line(f"{question} [{usual}]: ", ask=True) or usual
        return "" if answer == NONE else answer

    def password(self) -> str | None:
        """The VNC password; None: it stays as it is."""
        if PASSWORD in self.given:
            return self.given[PASSWORD]
        if self.silent:
            return None
        known = "unchanged" if self.settings.text(GLOBAL, PASSWORD) else ""
        question = f"VNC server session password (if any) [{known}]: "
        answer = getpass.getpass(question) if sys.stdin.isatty() else read_line(question, ask=True)
        return None if not answer else "" if answer == NONE else answer

    def agreed(self, question: str, usual: bool) -> bool:
        """Whether the answer is yes."""
        if self.silent:
            return usual
        answer = read_line(f"{question} ([{'Y/n' if usual else 'y/N'}]): ", ask=True).lower()
        if answer not in ("", "y", "yes", "n", "no"):
            raise ConfigurationError(f"{answer!r} is neither y nor n; nothing was changed")
        return usual if not answer else answer.startswith("y")


def ask_everything(interview: Interview, example: bool) -> tuple[dict[str, str], bool]:
    """All answers, and whether a file of session types is to be written."""
    if not interview.silent:
        print(INTRODUCTION)
    if ENABLE in interview.given:
        check_answers({ENABLE: interview.given[ENABLE]})
        wanted = bool(parse_value(options_of(GLOBAL)[ENABLE], interview.given[ENABLE]))
    else:
        usual = interview.silent or interview.settings.boolean(GLOBAL, ENABLE)
        wanted = interview.agreed("Do you want to enable desktops in the browser", usual)
    if not wanted:
        return {ENABLE: "false"}, False
    changes = {ENABLE: "true", TYPES: interview.text(TYPES, "Session types file", USUAL_TYPES)}
    missing = bool(changes[TYPES]) and not Path(changes[TYPES]).exists()
    if missing and not example:
        question = f"{changes[TYPES]} does not exist. Write one, with a TigerVNC desktop for everybody"
        example = not interview.silent and interview.agreed(question, True)
    password = interview.password()
    if password is not None:
        changes[PASSWORD] = password
    port = interview.text(LISTEN, "Port over which the web server connects to x2gobroker-remote")
    changes[LISTEN] = f"127.0.0.1:{port}" if port.isdigit() else port
    changes[CERTIFICATE] = interview.text(
        CERTIFICATE, "If x2gobroker-remote itself is to use TLS, its certificate file"
    )
    question = "Its key file, where that is another one"
    changes[KEY] = interview.text(KEY, question) if changes[CERTIFICATE] else interview.given.get(KEY, "")
    if PROXIES in interview.given:
        changes[PROXIES] = interview.given[PROXIES]
    elif not shown(interview.settings, PROXIES) and interview.agreed("Is nginx in front of the broker", False):
        changes[PROXIES] = NGINX_PROXIES
    return changes, missing and example


def check_answers(changes: dict[str, str]) -> None:
    """Raises ConfigurationError for an answer that cannot be right; it never holds the password."""
    known = options_of(GLOBAL)
    for name, text in changes.items():
        try:
            parse_value(known[name], text)
        except ValueError as error:
            raise ConfigurationError(f"{name}: {error}; nothing was changed") from None
        if not text.isprintable():
            raise ConfigurationError(f"{name}: this is no single line of text; nothing was changed")
    if changes[ENABLE] != "true" or TYPES not in changes:
        return
    if not changes[TYPES]:
        raise ConfigurationError("without a file of session types there are no desktops; nothing was changed")
    if not changes[TYPES].startswith("/"):
        raise ConfigurationError(f"{changes[TYPES]}: write the whole path, from / on; nothing was changed")
    if not changes[LISTEN].startswith("/"):
        reachable(changes[LISTEN])
    if changes[KEY] and not changes[CERTIFICATE]:
        raise ConfigurationError("a key file needs a certificate; nothing was changed")
    if changes[CERTIFICATE]:
        check_certificate(changes[CERTIFICATE], changes[KEY])


def check_certificate(certificate: str, key: str) -> None:
    """Raises ConfigurationError for a certificate that no TLS server could use."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise ConfigurationError(f"{certificate} cannot be used: {reason}; nothing was changed") from None


def report(source: SettingsSource, changes: dict[str, str], path: Path) -> int:
    """Say what is wrong with password and session types, and what comes next. Gives the exit status."""
    settings = source.current()
    for name in changes:
        if name != PASSWORD and shown(settings, name) != shown_text(name, changes[name]):
            print(f"note: {name} is overridden by a variable of the environment", file=sys.stderr)
    has_password = bool(settings.text(GLOBAL, PASSWORD))
    if has_password and path.stat().st_mode & 0o004:
        print(f"note: everybody can read the VNC password in {path}: chmod o-r {path}", file=sys.stderr)
    problems = remote_problems(settings)
    for problem in problems:
        print(problem, file=sys.stderr)
    if types_path(settings) is None:
        return 1
    if any(problem.error for problem in problems):
        print("mend this, and ask: x2gobroker check-config", file=sys.stderr)
        return 1
    if remark := unlimited(settings):
        print(f"note: {remark}", file=sys.stderr)
    server = "nginx" if shown(settings, PROXIES) else "apache"
    print("next, as root:")
    print("  systemctl enable x2gobroker-remote && systemctl restart x2gobroker-remote")
    print(f"  x2gobroker remote print-config {server}")
    return 0


def write_example(path: Path) -> None:
    """Write a file of session types. Raises ConfigurationError; a file that is there stays."""
    try:
        with own_folder(path.parent) as folder:
            data = (json.dumps(EXAMPLE, indent=2) + "\n").encode()
            folder.write(path.name, data, 0o644, replace=False)
    except TrustError as error:
        raise ConfigurationError(f"{path} cannot be written by root: {error}; nothing was changed") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}; nothing was changed") from None
    print(f"{path}: written, with one session type")


def write_pam_service() -> None:
    """Put the PAM service of desktops in place, where none is; nothing where the host has no such files as it includes.

    Raises ConfigurationError.
    """
    path = PAM_FOLDER / PAM_SERVICE
    if path.exists() or not all((PAM_FOLDER / name).exists() for name in PAM_INCLUDED):
        return
    try:
        with own_folder(PAM_FOLDER) as folder:
            folder.write(path.name, PAM_SAMPLE.read_bytes(), 0o644, replace=False)
    except (TrustError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path} cannot be written: {reason}") from None
    print(f"{path}: written, the PAM service of desktops")


def read_answers(words: list[str]) -> dict[str, str]:
    """The answers of `--set`. Raises ConfigurationError."""
    given = {}
    for word in words:
        name, is_set, value = word.partition("=")
        name = name.strip()
        if name == PASSWORD:
            raise ConfigurationError("everybody can see a command line: give the password with --password-stdin")
        if name not in SETTABLE or not is_set:
            raise ConfigurationError(
                f"--set {name}: write OPTION=VALUE with one of {', '.join(SETTABLE)}{did_you_mean(name, SETTABLE)}"
            )
        given[name] = value.strip()
    return given


def read_line(what: str, ask: bool = False) -> str:
    """One line of standard input; with `ask`, `what` is the question. Raises ConfigurationError at its end."""
    if ask:
        print(what, end="", flush=True)
    line = sys.stdin.readline(LONGEST_ANSWER)
    if not sys.stdin.isatty() and ask:
        print()
    if not line.endswith("\n") and (ask or not line):
        raise ConfigurationError("standard input has ended before all answers were given; nothing was changed")
    return line.strip()


def shown(settings: Settings, option: str) -> str:
    """An option as it stands in a file."""
    return format_value(settings.value(GLOBAL, option))


def shown_text(option: str, text: str) -> str:
    """The same for a text that is not in a file yet."""
    known = options_of(GLOBAL)[option]
    return shown(Settings({(GLOBAL, option): parse_value(known, text)} if text else {}), option)
