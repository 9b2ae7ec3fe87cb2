"""`x2gobroker-daemon`: the broker as a program of its own, on gunicorn."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.util import daemonize

from x2gobroker import __version__
from x2gobroker.app import create_app, start_housekeeping
from x2gobroker.cli.background import LOG_FOLDER, add_background_options, redirect_output, write_pid_file
from x2gobroker.cli.broker_account import broker_account, go_on_as
from x2gobroker.cli.common import add_debug_options, check_usable, debug_variables
from x2gobroker.cli.daemon.account import TLS, tls_of_root, tls_options
from x2gobroker.cli.daemon.kept_socket import keep, passed_listener
from x2gobroker.cli.daemon.serving import PatientArbiter, hear_signals
from x2gobroker.cli.streams import told
from x2gobroker.errors import BrokerError, ConfigurationError
from x2gobroker.frontends.base import EXTENSION
from x2gobroker.frontends.forms import MAX_BODY
from x2gobroker.gate import FixedTls, Tls
from x2gobroker.gate.limits import Limits, most_connections
from x2gobroker.logs import LogForm, broker_log, error_log, set_up_logging
from x2gobroker.model.hosts import parse_port, split_address
from x2gobroker.model.penalty import is_within
from x2gobroker.privilege import TrustError, check_place
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings, SettingsSource

PROGRAM = "x2gobroker-daemon"
DEFAULT_PORT = 8080
PID_FILE = "/run/x2gobroker/x2gobroker-daemon.pid"
GRACEFUL_SECONDS = 30
LOOPBACK = ("127.0.0.0/8", "::1")
# no query string: in debug mode it may hold a password
ACCESS_FORMAT = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(B)s %(M)sms'


def parse_bind(text: str) -> str:
    """gunicorn's form of `[address:]port`; `*` or no address before the colon means all of them.

    Raises ConfigurationError with the forms that are right.
    """
    try:
        address, port = _split_bind(text.strip())
    except ValueError as error:
        forms = "8080, *:8080, 127.0.0.1:8080, broker.example.org:8080 or [::1]:8080"
        raise ConfigurationError(f"cannot listen on {text!r}: {error}; write {forms}") from None
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def check_bindable(bind: str) -> None:
    """Raises ConfigurationError when nobody can listen there: the port is taken, or the address is not ours."""
    bound(bind).close()


def bound_or_passed(bind: str) -> socket.socket:
    """A socket that is bound there, or the one of a socket unit. Raises ConfigurationError.

    Where systemd has started us it keeps the socket, so that a restart refuses nobody.
    """
    host, _, port = bind.rpartition(":")
    if passed := passed_listener((host.strip("[]"), int(port))):
        return passed
    listener = bound(bind)
    keep(listener)
    return listener


def bound(bind: str) -> socket.socket:
    """A socket that is bound there. Raises ConfigurationError."""
    host, _, port = bind.rpartition(":")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with contextlib.ExitStack() as failed:
            attempt = failed.enter_context(socket.socket(family, kind, protocol))
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
            failed.pop_all()
            return attempt
    except OSError as error:
        advice = "another program listens there, perhaps another broker; " if error.errno == errno.EADDRINUSE else ""
        raise ConfigurationError(f"cannot listen on {bind}: {error.strerror}; {advice}choose another with -b") from None


def _split_bind(text: str) -> tuple[str, int]:
    head, colon, tail = text.rpartition(":")
    if colon and head in ("", "*"):
        return "0.0.0.0", parse_port(tail)  # noqa: S104 - asked for
    if head.count(":") >= 2 and not head.startswith("["):
        address, port = split_address(f"[{head}]:{tail}")  # the reference's IPv6 form, without brackets
    else:
        address, port = split_address(text)
    return address or "127.0.0.1", port or DEFAULT_PORT


def build_parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    """The command line, as the reference has it."""
    parser = argparse.ArgumentParser(program, description="Runs the X2Go Session Broker as a program of its own.")
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    parser.add_argument("-M", "--mode", default="HTTP", metavar="HTTP", help="the mode; HTTP is the only one here")
    parser.add_argument("-C", "--config-file", "--config", metavar="FILE", help="the main configuration file")
    parser.add_argument("-b", "--bind", metavar="[ADDRESS:]PORT", help="where to listen (default: 127.0.0.1:8080)")
    add_debug_options(parser, "log everything, and answer GET requests as well")
    add_background_options(parser, PID_FILE)
    parser.add_argument(
        "--drop-privileges",
        action="store_true",
        help="when started by root: run as X2GOBROKER_DAEMON_USER and X2GOBROKER_DAEMON_GROUP",
    )
    return parser


def variables_of(options: argparse.Namespace) -> dict[str, str]:
    """What the command line overrides, as environment variables."""
    variables = debug_variables(options)
    if options.config_file:
        variables["X2GOBROKER_CONFIG"] = options.config_file
    if options.bind:
        variables["DAEMON_BIND_ADDRESS"] = options.bind
    return variables


def tls_files(settings: Settings) -> dict[str, str]:
    """gunicorn's TLS options. Raises ConfigurationError when only one is set or one cannot be read."""
    names = {"certfile": "X2GOBROKER_SSL_CERTFILE", "keyfile": "X2GOBROKER_SSL_KEYFILE"}
    files = {option: settings.environment(name) for option, name in names.items()}
    if not any(files.values()):
        return {}
    for option, path in files.items():
        if not path:
            raise ConfigurationError(f"TLS needs both files; {names[option]} is not set")
        if not os.access(path, os.R_OK):
            raise ConfigurationError(f"{names[option]}: {path} cannot be read")
    return files


def server_options(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """All gunicorn options of this daemon. Raises ConfigurationError."""
    chosen: dict[str, Any] = {
        "bind": parse_bind(settings.environment("DAEMON_BIND_ADDRESS")),
        "worker_class": "x2gobroker.cli.daemon.serving.DoorWorker",
        "workers": settings.integer(ENVIRONMENT, "X2GOBROKER_WORKERS"),
        "threads": settings.integer(ENVIRONMENT, "X2GOBROKER_THREADS"),
        "graceful_timeout": GRACEFUL_SECONDS,
        "timeout": 60,
        "preload_app": True,
        # what clients may say of themselves is for model/forwarded.py alone; gunicorn believes the loopback by default
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "proc_name": PROGRAM,
        "logger_class": "x2gobroker.cli.daemon.serving.GunicornLogger",
        "access_log_format": ACCESS_FORMAT,
        "control_socket_disable": True,
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108 - heartbeat, no data
        **tls_files(settings),
    }
    if options.pidfile or options.daemonize:
        chosen["pidfile"] = options.pidfile or PID_FILE
    return chosen


class Daemon(BaseApplication):  # type: ignore[misc]
    """gunicorn, serving the broker's application."""

    def __init__(self, app: Flask, chosen: dict[str, Any], source: SettingsSource | None = None) -> None:
        self._app = app
        self._chosen = chosen
        self.tls: Tls | None = chosen.get(TLS)  # made before there are workers: these begin with what was good
        self._source = source
        super().__init__()

    def limits(self) -> Limits:
        """How long, how large and how many, for a worker process; to be called there."""
        if self._source is None:
            return Limits()
        settings = self._source.current()
        wanted = settings.integer(ENVIRONMENT, "X2GOBROKER_CONNECTIONS")
        return Limits(
            body_bytes=MAX_BODY,
            connections=most_connections(wanted),
            per_address=settings.integer(ENVIRONMENT, "X2GOBROKER_CONNECTIONS_PER_ADDRESS"),
        )

    def is_exempt(self, address: str) -> bool:
        """Whether many clients share this address: a web server that passes their requests on."""
        if not address or is_within(address, LOOPBACK):
            return True
        proxies = self._source.current().value(GLOBAL, "trusted-proxies") if self._source else ()
        return isinstance(proxies, tuple) and is_within(address, proxies)

    def load_config(self) -> None:
        """Hand our options to gunicorn; those it does not know in this version are left out."""
        for name, value in self._chosen.items():
            if name in self.cfg.settings and value is not None:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """The WSGI application."""
        return self._app

    def run(self) -> None:
        """Serve until a signal ends it. Raises SystemExit."""
        try:
            PatientArbiter(self).run()
        except RuntimeError as error:  # gunicorn's way to say that a PID file is taken, or cannot be written
            error_log.error("not started: %s", error)
            print(f"{Path(sys.argv[0]).name}: not started: {error}", file=sys.stderr)
            sys.exit(1)


def start_worker(app: Flask) -> None:
    """What a worker process does before its first request."""
    hear_signals()
    start_housekeeping(app)


def tell_certificate(app: Flask, tls: Tls | None) -> None:
    """Let the application know of a certificate that is served whatever its files are: its account cannot read them."""
    if isinstance(tls, FixedTls):
        app.extensions[EXTENSION].readiness.served_certificate = tls.certificate


def run(options: argparse.Namespace, *variables: dict[str, str]) -> int:
    """Serve until a signal ends it. Returns the exit status."""
    set_up_logging(None, form=LogForm.at_first(PROGRAM))
    source = SettingsSource.of_process(*variables, variables_of(options))
    settings = source.current()
    with contextlib.ExitStack() as ending:
        try:
            check_usable(source)
            if options.mode.upper() != "HTTP":
                raise ConfigurationError(f"mode {options.mode} is not available; the broker runs with -M HTTP")
            chosen = prepared(settings, options, ending)
        except BrokerError as error:
            if not options.drop_privileges:  # else this may still be root
                log_for(settings)
                error_log.error("not started: %s", error)
            print(f"{Path(sys.argv[0]).name}: not started: {error}", file=sys.stderr)
            return 2
        app = create_app(source=source)
        tell_certificate(app, chosen.get(TLS))
        Daemon(app, {**chosen, "post_worker_init": lambda worker: start_worker(app)}, source).run()
    return 0


def log_for(settings: Settings) -> None:
    """Set up logging as it is configured: files are opened here, by the account that this process is."""
    console = settings.boolean(ENVIRONMENT, "X2GOBROKER_DEBUG_INTERACTIVELY")
    form = LogForm(PROGRAM, settings.environment("X2GOBROKER_LOGFORMAT"))
    set_up_logging(Path(settings.environment("X2GOBROKER_LOGCONFIG")), settings.debug(), console, form=form)


def prepared(settings: Settings, options: argparse.Namespace, ending: contextlib.ExitStack) -> dict[str, Any]:
    """gunicorn's options, after what comes before it: port, keys, background, PID file, account, and at last the logs.

    `ending` gets what is to be done at the end. Raises BrokerError.
    """
    chosen = server_options(settings, options)
    place, as_root = chosen["bind"], os.geteuid() == 0
    drops = options.drop_privileges and as_root
    account = broker_account(settings) if drops else None
    chosen["bind"] = f"fd://{bound_or_passed(place).detach()}"  # ports below 1024 are root's to take
    fixed = tls_of_root(chosen) if drops else None
    redirects = options.daemonize
    if redirects and (not drops or _is_roots(options)):
        redirect_output(Path(options.logdir or LOG_FOLDER), PROGRAM)
        redirects = False
    if options.daemonize:
        daemonize(enable_stdio_inheritance=True)
    if as_root and "pidfile" in chosen:
        ending.enter_context(write_pid_file(Path(chosen.pop("pidfile"))))
    if account is not None:
        go_on_as(account)
        # gunicorn takes for granted that it runs as whom it was loaded by
        chosen |= {"user": account.uid, "group": account.gid}
    chosen |= tls_options(chosen, fixed)
    if redirects:
        redirect_output(Path(options.logdir or LOG_FOLDER), PROGRAM)
    log_for(settings)
    broker_log.info("x2gobroker %s starts on %s", __version__, place)
    if os.geteuid() == 0:
        broker_log.warning("serving as root: start with --drop-privileges, or as another user")
    return chosen


def _is_roots(options: argparse.Namespace) -> bool:
    """Whether the output goes to a folder that is root's alone: then root opens the files, as nobody else may."""
    try:
        check_place(Path(options.logdir or LOG_FOLDER))
    except TrustError:
        return False
    return True


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker-daemon`."""
    return run(build_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
