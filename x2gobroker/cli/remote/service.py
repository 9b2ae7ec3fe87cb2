"""`x2gobroker-remote`: desktops in the browser, from websockets to VNC servers that scripts start."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import grp
import os
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from x2gobroker import __version__
from x2gobroker.cli.common import add_debug_options, debug_variables
from x2gobroker.cli.sockets import BACKLOG, make_socket, notify_init_system
from x2gobroker.cli.streams import told
from x2gobroker.errors import BrokerError, ConfigurationError, PluginError, StoreError
from x2gobroker.logs import LogForm, broker_log, error_log, set_up_logging
from x2gobroker.model.penalty import read_networks
from x2gobroker.nameservices.base import NameService
from x2gobroker.plugins import NAME_SERVICES, load
from x2gobroker.privilege import AccountError, TrustError, account_named, become, open_trusted
from x2gobroker.remote.counts import Rules
from x2gobroker.remote.loader import ScriptError, owners
from x2gobroker.remote.runner import fork_spawner, make_state_folder
from x2gobroker.remote.service import RemoteService
from x2gobroker.remote.slots import Desktops
from x2gobroker.remote.types import SessionType, SessionTypeSource, read_types_trusted, types_path
from x2gobroker.remote.worker import Means
from x2gobroker.remote.workers import Workers, wait_for
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings, SettingsSource
from x2gobroker.store import RemoteDesktops, Store
from x2gobroker.store.database import database_url

PROGRAM = "x2gobroker-remote"
TICK_SECONDS = 1.0
CLOSE_SECONDS = 10.0
SOCKET_MODE = 0o660


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Carries desktops to browsers, over websockets, behind a web server. Starts and stops them with "
        "the scripts of the session types in the file that `remote-session-config` names. Started as root, it "
        "continues as X2GOBROKER_DAEMON_USER, and only the scripts keep root's rights.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    parser.add_argument("-C", "--config-file", metavar="FILE", help="the main configuration file (X2GOBROKER_CONFIG)")
    add_debug_options(parser)
    return parser


def variables_of(options: argparse.Namespace) -> dict[str, str]:
    """What the command line overrides, as environment variables."""
    variables = debug_variables(options)
    if options.config_file:
        variables["X2GOBROKER_CONFIG"] = options.config_file
    return variables


def listen_at(place: str, group: int) -> socket.socket:
    """The listening socket of `address:port` or of a path. Raises ConfigurationError."""
    if place.startswith("/"):
        return make_socket(Path(place), os.geteuid(), group, SOCKET_MODE)
    address, _, port = place.rpartition(":")
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        # asyncio sets TCP_NODELAY only where the protocol is named; without it each picture waits 30 ms
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.strip("[]") or "127.0.0.1", int(port)))
        listener.listen(BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no address:port"
        raise ConfigurationError(f"remote-listen: cannot listen on {place}: {reason}") from None
    return listener


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """TLS with the configured certificate; None without one. Raises ConfigurationError.

    Root reads the files only where nobody else could put the key of another service in their place.
    """
    certificate = settings.text(GLOBAL, "remote-tls-certificate")
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        with contextlib.ExitStack() as reading:
            files = [certificate, settings.text(GLOBAL, "remote-tls-key") or certificate]
            if os.geteuid() == 0:
                opened = [reading.enter_context(open(open_trusted(Path(name)), "rb")) for name in files]
                files = [f"/proc/self/fd/{stream.fileno()}" for stream in opened]
            context.load_cert_chain(*files)
    except TrustError as error:
        raise ConfigurationError(f"remote-tls-certificate: root does not read it: {error}") from None
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise ConfigurationError(f"remote-tls-certificate: {certificate} cannot be used: {reason}") from None
    return context


def rules_of(settings: Settings) -> Rules:
    """Who may connect."""

    def texts(name: str) -> tuple[str, ...]:
        value = settings.value(GLOBAL, name)
        return value if isinstance(value, tuple) else ()

    return Rules(
        origins=texts("remote-origins"),
        proxies=tuple(read_networks(texts("remote-proxies"))[0]),
        most=settings.integer(GLOBAL, "remote-connections"),
        per_user=settings.integer(GLOBAL, "remote-connections-per-user"),
        per_address=settings.integer(GLOBAL, "remote-connections-per-address"),
        password=settings.text(GLOBAL, "remote-vnc-password") or None,
    )


class _State:
    """What the service needs of the configuration, as of now."""

    def __init__(self, source: SettingsSource) -> None:
        self._source = source
        self._types = SessionTypeSource()
        self._rules: tuple[Settings, Rules] | None = None
        self._store: Store | None = None

    def find_type(self, name: str) -> SessionType | None:
        """A session type; None where there is none of this name."""
        return self._types.current(self._source.current()).types.get(name)

    def find_in_file(self, name: str) -> SessionType:
        """The same for the process of a script: it reads the file itself, and sees whose it is. Raises BrokerError."""
        path = types_path(self._source.current())
        found = None if path is None else read_types_trusted(path, owners()).types.get(name)
        if found is None:
            raise ScriptError(f"there is no usable session type {name!r} in remote-session-config")
        return found

    def groups_of(self, user: str) -> frozenset[str] | None:
        """A user's groups, by the name service that the portal asks; None where they are not known."""
        settings = self._source.current()
        backend = settings.text(GLOBAL, "portal-backend") or settings.environment("X2GOBROKER_DEFAULT_BACKEND")
        service = settings.for_backend(backend, "group-db").lower()
        primary = not settings.boolean(GLOBAL, "ignore-primary-group-memberships")
        try:
            made = load(NAME_SERVICES, service, NameService)()  # type: ignore[type-abstract]
            return made.groups_of(user, primary)
        except PluginError as error:
            error_log.error("name service: %s", error)
            return None

    def rules(self) -> Rules:
        """Who may connect."""
        settings = self._source.current()
        if self._rules is None or self._rules[0] is not settings:
            self._rules = settings, rules_of(settings)
        return self._rules[1]

    def desktops(self) -> RemoteDesktops:
        """The desktops of the store. Raises StoreError."""
        if self._store is None:
            self._store = Store(database_url(self._source.current()))
        return RemoteDesktops(self._store)


async def _run(state: _State, listener: socket.socket, tls: ssl.SSLContext | None, workers: Workers, keep: bool) -> int:
    """Serve until a signal ends it, or the spawner is lost. Returns the exit status."""
    status = 0
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)

    def spawner_lost() -> None:
        nonlocal status
        status = 1
        error_log.critical("remote: the process that starts scripts has ended; the service ends, to be started again")
        ended.set()

    workers.watch(spawner_lost)
    desktops = Desktops(workers, state.find_type, state.desktops, socket.gethostname())
    await desktops.recover()
    serving = await RemoteService(desktops, state.rules, state.find_type).listen(listener, tls)
    broker_log.info("remote: process %d is ready", os.getpid())
    notify_init_system("READY=1")
    while not ended.is_set():
        await desktops.tick()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), TICK_SECONDS)
    notify_init_system("STOPPING=1")
    serving.close(close_connections=False)
    await desktops.close(stop=not keep and not status)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(serving.wait_closed(), CLOSE_SECONDS)
    return status


def load_driver(settings: Settings) -> None:
    """Load what the store needs, while everything can still be read. Raises StoreError."""
    try:
        database_url(settings).get_dialect().import_dbapi()
    except (ImportError, SQLAlchemyError):
        return  # the store says so, with what to do, when it is opened


def go_on_as(user: str) -> None:
    """Give root's rights away, for good, and be this user. Raises ConfigurationError for an unknown one."""
    if os.geteuid() != 0:
        return
    try:
        become(account_named(user))
    except AccountError as error:
        raise ConfigurationError(f"{error}; set X2GOBROKER_DAEMON_USER") from None


def _group_of(settings: Settings) -> int:
    try:
        return grp.getgrnam(settings.environment("X2GOBROKER_DAEMON_GROUP")).gr_gid
    except KeyError:
        return os.getegid()


def serve(source: SettingsSource) -> int:
    """Start everything, and serve. Raises BrokerError when it cannot start."""
    settings = source.current()
    if not settings.usable:
        raise ConfigurationError("; ".join(str(problem) for problem in source.faults))
    if types_path(settings) is None:
        raise ConfigurationError("remote-session-config in [global] names no file of session types")
    form = LogForm(PROGRAM, settings.environment("X2GOBROKER_LOGFORMAT"))
    set_up_logging(None, form=form)  # what root says, also in the process that starts scripts
    folder = Path(settings.environment("X2GOBROKER_REMOTE_FOLDER"))
    make_state_folder(folder)
    with listen_at(settings.text(GLOBAL, "remote-listen"), _group_of(settings)) as listener:
        tls = tls_of(settings)
        state = _State(source)
        user = settings.environment("X2GOBROKER_DAEMON_USER")
        pid, control = fork_spawner(Means(state.find_in_file, folder, state.groups_of, user))
        workers = Workers(control)
        try:
            load_driver(settings)
            go_on_as(user)
            # only now: the log's folder is the broker's account's, and no place for root to write
            console = settings.boolean(ENVIRONMENT, "X2GOBROKER_DEBUG_INTERACTIVELY")
            set_up_logging(Path(settings.environment("X2GOBROKER_LOGCONFIG")), settings.debug(), console, form=form)
            keep = not settings.boolean(GLOBAL, "remote-stop-with-service")
            return asyncio.run(_run(state, listener, tls, workers, keep))
        finally:
            workers.close()
            wait_for(pid)


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker-remote`. Exit status 2: it could not start."""
    options = build_parser().parse_args(arguments)
    set_up_logging(None, form=LogForm.at_first(PROGRAM))
    try:
        return serve(SettingsSource.of_process(variables_of(options), program="remote"))
    except (ConfigurationError, ScriptError, StoreError) as error:
        error_log.error("not started: %s", error)
        print(f"{PROGRAM}: not started: {error}", file=sys.stderr)
        return 2
    except BrokerError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
