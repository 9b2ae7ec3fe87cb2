"""`x2gobroker-daemon`: the broker as a program of its own, on gunicorn."""

from __future__ import annotations

import argparse
import errno
import grp
import os
import pwd
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
from x2gobroker.cli.background import LOG_FOLDER, add_background_options, redirect_output
from x2gobroker.cli.common import add_debug_options, check_usable, debug_variables
from x2gobroker.cli.serving import PatientArbiter, hear_signals
from x2gobroker.errors import ConfigurationError
from x2gobroker.frontends.forms import MAX_BODY
from x2gobroker.gate.limits import Limits, most_connections
from x2gobroker.logs import broker_log, error_log, set_up_logging
from x2gobroker.model.hosts import parse_port, split_address
from x2gobroker.model.penalty import is_within
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings, SettingsSource

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
    host, _, port = bind.rpartition(":")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
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


def build_parser(program: str = "x2gobroker-daemon") -> argparse.ArgumentParser:
    """The command line, as the reference has it."""
    parser = argparse.ArgumentParser(program, description="X2Go Session Broker, as a program of its own.")
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    parser.add_argument("-M", "--mode", default="HTTP", metavar="HTTP", help="how to run; HTTP is the only way here")
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


def account(settings: Settings) -> dict[str, int]:
    """gunicorn's options for the user and group to run as. Raises ConfigurationError for unknown ones."""
    user, group = settings.environment("X2GOBROKER_DAEMON_USER"), settings.environment("X2GOBROKER_DAEMON_GROUP")
    try:
        return {"user": pwd.getpwnam(user).pw_uid, "group": grp.getgrnam(group).gr_gid}
    except KeyError:
        raise ConfigurationError(
            f"there is no user {user} or no group {group}; make them (adduser --system --group {user}) "
            "or set X2GOBROKER_DAEMON_USER and X2GOBROKER_DAEMON_GROUP"
        ) from None


def server_options(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """All gunicorn options of this daemon. Raises ConfigurationError."""
    chosen: dict[str, Any] = {
        "bind": parse_bind(settings.environment("DAEMON_BIND_ADDRESS")),
        "worker_class": "x2gobroker.cli.serving.DoorWorker",
        "workers": settings.integer(ENVIRONMENT, "X2GOBROKER_WORKERS"),
        "threads": settings.integer(ENVIRONMENT, "X2GOBROKER_THREADS"),
        "graceful_timeout": GRACEFUL_SECONDS,
        "timeout": 60,
        "preload_app": True,
        # what clients may say of themselves is for model/forwarded.py alone; gunicorn believes the loopback by default
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "proc_name": "x2gobroker-daemon",
        "logger_class": "x2gobroker.cli.serving.GunicornLogger",
        "access_log_format": ACCESS_FORMAT,
        "control_socket_disable": True,
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108 - heartbeat, no data
        **tls_files(settings),
    }
    if options.drop_privileges and os.geteuid() == 0:
        chosen.update(account(settings))
    if options.pidfile or options.daemonize:
        chosen["pidfile"] = options.pidfile or PID_FILE
    return chosen


class Daemon(BaseApplication):  # type: ignore[misc]
    """gunicorn, serving the broker's application."""

    def __init__(self, app: Flask, chosen: dict[str, Any], source: SettingsSource | None = None) -> None:
        self._app = app
        self._chosen = chosen
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


def run(options: argparse.Namespace, *variables: dict[str, str]) -> int:
    """Serve until a signal ends it. Returns the exit status."""
    source = SettingsSource.of_process(*variables, variables_of(options))
    settings = source.current()
    console = settings.boolean(ENVIRONMENT, "X2GOBROKER_DEBUG_INTERACTIVELY")
    set_up_logging(Path(settings.environment("X2GOBROKER_LOGCONFIG")), settings.debug(), console)
    try:
        check_usable(source)
        if options.mode.upper() != "HTTP":
            raise ConfigurationError(f"mode {options.mode} is not available; the broker runs with -M HTTP")
        chosen = server_options(settings, options)
        check_bindable(chosen["bind"])
        if options.daemonize:
            redirect_output(Path(options.logdir or LOG_FOLDER), "x2gobroker-daemon")
            daemonize(enable_stdio_inheritance=True)
    except ConfigurationError as error:
        error_log.error("not started: %s", error)
        print(f"{Path(sys.argv[0]).name}: not started: {error}", file=sys.stderr)
        return 2
    broker_log.info("x2gobroker %s starts on %s", __version__, chosen["bind"])
    if os.geteuid() == 0 and "user" not in chosen:
        broker_log.warning("serving as root: start with --drop-privileges, or as another user")
    app = create_app(source=source)
    Daemon(app, {**chosen, "post_worker_init": lambda worker: start_worker(app)}, source).run()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker-daemon`."""
    return run(build_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
