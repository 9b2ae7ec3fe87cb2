"""`x2gobroker-ssh`: what X2Go Client calls on the broker's host over SSH; also behind `x2gobroker --task ...`.

Every call is a new process, so that modules are imported where they are needed, and not before.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from x2gobroker import __version__
from x2gobroker.cli import streams
from x2gobroker.cli.ssh.caller import (
    DEFAULTS,
    PIPED,
    Call,
    Caller,
    CallError,
    broker_account,
    hand_over,
    pack,
    unpack,
    who_asks,
)
from x2gobroker.cli.streams import told
from x2gobroker.logs import LOGGERS, LogForm, broker_log, error_log, field, set_up_logging

PROGRAM = "x2gobroker-ssh"
NO_TASK = 254
DEADLINE_SECONDS = 120
LONGEST_LINE = 8192
SYSLOG = Path("/dev/log")
FIELDS = (
    "task sid authid login newpass pubkey event server client cmd display start elapsed version os".split()
)  # as in a form, see docs/reference/protocol.md
# their values may begin with a dash, which argparse would take for an option
FREE_TEXT = ("--newpass", "--cmd", "--sid", "--profile-id")


def build_parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    """The command line: the reference's, and what newer clients send with events and for a new password."""
    parser = argparse.ArgumentParser(
        program,
        description="The broker over SSH: performs one task for the user who calls it, and prints the answer. It asks "
        "for no password, because sshd has checked who the user is. Exit status 0: answered, even if an authid was "
        "refused; 1: the broker cannot answer; 2: the command line cannot be understood; 254: no task.",
        epilog="Anything after `--` is ignored, and so is --event without --task clientevent.",
    )
    add = parser.add_argument
    add("-V", action="version", version=f"x2gobroker {__version__}", help="show the program's version and exit")
    add("-M", "--mode", default="SSH", metavar="SSH", help="the mode; SSH is the only one here")
    add("-C", "--config-file", metavar="FILE", help="the main configuration file; for the broker's account only")
    add("-d", "--debug", action="store_true", help="log everything; for the broker's account only")
    add("-i", "--debug-interactively", action="store_true", help="the same, to the terminal instead of log files")
    add("-b", "--bind", metavar="ADDRESS", help="ignored, as is -D: they are for x2gobroker-daemon")
    add("-D", "--daemonize", action="store_true", help="ignored")
    add("--task", metavar="TASK", help="listsessions, selectsession, setpass, clientevent or testcon")
    add("--user", metavar="USER", help="act for this user; for the broker's account only, ignored for all others")
    add("--login", metavar="USER", help="user name on the X2Go Server (default: the one at the broker)")
    add("--backend", metavar="BACKEND", help="the backend, if not the default one")
    add("--auth-cookie", "--next-authid", "--authid", dest="authid", metavar="AUTHID", help="the authid given out last")
    add(
        "--profile-id",
        "--sid",
        dest="sid",
        metavar="ID",
        help="the session profile, or the session of an event",
    )
    add("--pubkey", metavar="KEY", help="selectsession: a public key to log in with on the X2Go Server")
    add("--newpass", metavar="PASSWORD", help="setpass: the new password; `-`: the first line of standard input")
    add("--event", metavar="EVENT", help="clientevent: CONNECTING, CONNECTED, ALIVE, SUSPENDING ...")
    add("--server", metavar="NAME", help="clientevent: the X2Go Server")
    add("--client", metavar="NAME", help="clientevent: the client's host name")
    add("--cmd", metavar="COMMAND", help="clientevent: what runs in the session")
    add("--display", metavar="NUMBER", help="clientevent: the session's display")
    add("--start", metavar="TIME", help="clientevent: when the session started")
    add("--elapsed", metavar="SECONDS", help="clientevent: how long the client has been connected")
    add("--version", metavar="VERSION", help="clientevent: the client's version")
    add("--os", metavar="NAME", help="clientevent: the client's operating system")
    return parser


def parse(words: Sequence[str], program: str = PROGRAM) -> argparse.Namespace:
    """The options in a command line. Ends the process: status 2 for what cannot be understood, 254 without a task."""
    head = list(words)[: list(words).index("--")] if "--" in words else list(words)
    joined: list[str] = []
    while head:
        word = head.pop(0)
        joined.append(f"{word}={head.pop(0)}" if word in FREE_TEXT and head else word)
    parser = build_parser(program)
    options = parser.parse_args(joined)
    if options.mode.upper() != "SSH":
        parser.error(f"mode {options.mode} is not available here; the daemon is x2gobroker-daemon")
    if options.task is None and options.event is None:
        print()
        parser.print_usage(sys.stdout)
        print("No task was given; --task listsessions is one.\n")
        raise SystemExit(NO_TASK)
    return options


def fields_of(options: argparse.Namespace) -> dict[str, str]:
    """What a client would have sent in a form."""
    return {name: getattr(options, name) for name in FIELDS if getattr(options, name) is not None}


def say(text: str) -> None:
    """Tell the caller. X2Go Client does not show it; somebody who tries the command by hand sees it."""
    streams.say(PROGRAM, text)


def silence_logs() -> None:
    """Send nothing to the error stream: an ordinary user reads it."""
    for logger in LOGGERS:
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False


def log_to(
    path: Path, debug: bool, console: bool, trusted: bool, syslog: Path = SYSLOG, form: LogForm | None = None
) -> None:
    """Set up logging for a call; what is for the administrator goes where an ordinary user does not read it."""
    form = form or LogForm(PROGRAM)
    if trusted:
        set_up_logging(path, debug, console, form=form)
        return
    from logging.handlers import SysLogHandler

    logging.raiseExceptions = False  # a handler that fails would show its traceback to the user
    fallback: logging.Handler = logging.NullHandler()
    if syslog.is_socket():  # SysLogHandler itself does not say when nobody listens
        fallback = SysLogHandler(str(syslog), SysLogHandler.LOG_DAEMON)
    elif not path.is_file():
        say(f"note: nothing is logged: there is neither {path} nor a syslog service")
    set_up_logging(path, debug, fallback=fallback, form=form)


def user_of(options: argparse.Namespace, caller: Caller, broker: pwd.struct_passwd) -> tuple[str, str]:
    """For whom a task is performed, and how that is known."""
    if options.user is None or options.user == caller.user:
        return caller.user, "own account"
    if caller.trusted:
        return options.user, "named by the account of the broker"
    say(
        f"warning: acting for {caller.user}, not for {field(options.user)}: only {broker.pw_name} may act for others"
        + (f"; runuser -u {broker.pw_name} -- {PROGRAM} ... does" if caller.user == "root" else "")
    )
    return caller.user, "own account"


def variables_of(options: argparse.Namespace, caller: Caller, defaults: Path) -> dict[str, str]:
    """What configures this call. An ordinary user must not choose which files the broker's account reads."""
    variables = {} if defaults == DEFAULTS else {"X2GOBROKER_DEFAULTS": str(defaults)}
    if not caller.trusted:
        if options.config_file:
            raise CallError("-C is for the broker's account only; set X2GOBROKER_CONFIG in the file defaults.conf", 2)
        if options.debug or options.debug_interactively:
            say("warning: -d and -i are for the broker's account only")
        return variables
    from x2gobroker.settings.source import broker_variables

    variables = {**variables, **broker_variables(os.environ)}
    if options.config_file:
        variables["X2GOBROKER_CONFIG"] = options.config_file
    if options.debug or options.debug_interactively:
        variables["X2GOBROKER_DEBUG"] = "1"
    return variables


def protect() -> None:
    """A user who stops or starves this process must not hold up others: it may have the store locked at that moment."""
    os.umask(0o077)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(DEADLINE_SECONDS)
    with contextlib.suppress(PermissionError):  # it leads a group already: sudo made it a terminal of its own
        os.setsid()


def serve(words: Sequence[str], broker: pwd.struct_passwd, defaults: Path) -> int:
    """Answer a call, as the broker's account. Raises CallError."""
    gc.disable()  # loading modules takes most of the time of a call, and a tenth less without
    protect()
    piped = list(words) == [PIPED]
    caller = who_asks(broker, os.environ, piped)
    call = unpack(sys.stdin.buffer) if piped else Call(tuple(words), os.environ.get("SSH_CLIENT", ""))
    pack(call)  # behind a wrapper program as well, nobody has this account read without end
    options = parse(call.words)
    if ignored(options):
        return 0
    if options.newpass == "-":
        options.newpass = call.newpass if piped else read_password()
    return perform(options, call, caller, broker, defaults)


def perform(options: argparse.Namespace, call: Call, caller: Caller, broker: pwd.struct_passwd, defaults: Path) -> int:
    """Load the configuration, have the broker answer, and print it."""
    from x2gobroker.autologin.stock import KeyStock
    from x2gobroker.errors import StoreError
    from x2gobroker.frontends.ssh_command import NO_ADDRESS, Command, Reply, answer_command, client_address
    from x2gobroker.services import Services
    from x2gobroker.settings import ENVIRONMENT, SettingsSource

    silence_logs()
    source = SettingsSource(variables_of(options, caller, defaults), program="ssh")
    settings = source.current()
    console = options.debug_interactively or settings.boolean(ENVIRONMENT, "X2GOBROKER_DEBUG_INTERACTIVELY")
    form = LogForm(PROGRAM, settings.environment("X2GOBROKER_LOGFORMAT"))
    loggers = Path(settings.environment("X2GOBROKER_LOGCONFIG"))
    log_to(loggers, settings.debug(), console, caller.trusted, form=form)
    for fault in source.faults:
        error_log.error("configuration: %s", fault)
    user, reason = user_of(options, caller, broker)
    address = client_address(call.ssh_client) if call.ssh_client else NO_ADDRESS
    if address is None:
        say(f"warning: SSH_CLIENT begins with no address; {NO_ADDRESS} is taken")
        broker_log.warning("ssh user=%s: SSH_CLIENT is %s, which begins with no address", user, field(call.ssh_client))
    command = Command(user, reason, fields_of(options), address or NO_ADDRESS, options.backend or "")
    try:
        reply = answer_command(settings, Services(KeyStock(most=0)), command)  # no keys for later: this process ends
    except StoreError as error:
        error_log.error("%s", error)
        reply = Reply(complaint="the broker cannot answer at present; its log says why", status=1)
    except Exception as error:  # noqa: BLE001 - an ordinary user must see no traceback of the broker; the log has it
        error_log.error("%s %s failed", "ssh", field(options.task), exc_info=error)
        reply = Reply(complaint="something went wrong in the broker; its log says what", status=1)
    if reply.complaint:
        say(reply.complaint)
    if reply.text:
        sys.stdout.buffer.write(f"{reply.text}\n".encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    return reply.status


def ignored(options: argparse.Namespace) -> bool:
    """Whether this is an event in the reference's form, which has always been ignored."""
    return options.event is not None and options.task != "clientevent"


def read_password() -> str:
    """The new password on standard input: there other users cannot see it, as they can in a command line."""
    return sys.stdin.readline(LONGEST_LINE).rstrip("\r\n")


def call_of(words: Sequence[str]) -> Call | None:
    """What a process of the broker's account is to be asked; None for what needs no answer."""
    options = parse(words)
    if ignored(options):
        return None
    newpass = read_password() if options.newpass == "-" else ""
    return Call(tuple(words), os.environ.get("SSH_CLIENT", ""), newpass)


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None, defaults: Path = DEFAULTS, program: Path | None = None) -> int:
    """Entry point of `x2gobroker-ssh`.

    A launcher of another broker on the same host passes its own `defaults`, the file of variables; `program` is what
    sudo is to start, by default the program that was called.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        silence_logs()
        if list(words) != [PIPED]:
            parse(words)  # --help and mistakes need no account
        broker = broker_account(defaults)
        if os.geteuid() == broker.pw_uid:
            return serve(words, broker, defaults)
        call = call_of(words)
        if call is not None:
            hand_over(call, broker.pw_name, program or Path(os.path.abspath(sys.argv[0])))
        return 0
    except CallError as error:
        say(str(error))
        return error.status
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - an ordinary user must see no traceback of the broker
        error_log.error("ssh: a call failed before it was answered", exc_info=error)
        say("something went wrong in the broker; its log says what")
        return 1


if __name__ == "__main__":
    sys.exit(main())
