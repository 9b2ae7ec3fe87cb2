"""`x2gobroker-authservice`: checks passwords with PAM, as root, for brokers that are not."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from x2gobroker import __version__
from x2gobroker.authservice.hardening import forbid_core_dumps
from x2gobroker.authservice.server import Allowed, Limits, serve
from x2gobroker.authservice.spawner import Spawner
from x2gobroker.authservice.tickets import Tickets
from x2gobroker.authservice.workers import WorkerPool
from x2gobroker.cli.background import (
    add_background_options,
    go_to_background,
    own_log_folder,
    redirect_output,
    write_pid_file,
)
from x2gobroker.cli.common import debug_variables
from x2gobroker.cli.sockets import (
    account_ids,
    add_socket_options,
    make_socket,
    mode_of,
    notify_init_system,
    passed_socket,
    remove_socket,
)
from x2gobroker.cli.streams import told
from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import LogForm, authservice_log, error_log, set_up_logging
from x2gobroker.privilege import TrustError
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings, SettingsSource

PROGRAM = "x2gobroker-authservice"
PID_FILE = "/run/x2gobroker/x2gobroker-authservice.pid"


def build_parser() -> argparse.ArgumentParser:
    """The command line, as the reference has it."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Checks passwords with PAM, over a Unix socket, for brokers that do not run as root. As root, it "
        "opens files for its log and its output only where nobody else can write: without -L, if the usual folder "
        "belongs to the broker's account, the output goes to /var/log/x2gobroker-authservice/.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    add_socket_options(parser, "X2GOBROKER_AUTHSERVICE_SOCKET")
    add_background_options(parser, PID_FILE)
    return parser


def variables_of(options: argparse.Namespace) -> dict[str, str]:
    """What the command line overrides, as environment variables."""
    variables = debug_variables(options)
    if options.socket_file:
        variables["X2GOBROKER_AUTHSERVICE_SOCKET"] = options.socket_file
    return variables


def limits_of(settings: Settings) -> Limits:
    """The service's limits."""

    def number(name: str) -> int:
        return settings.integer(ENVIRONMENT, "X2GOBROKER_AUTHSERVICE_" + name)

    services = settings.value(ENVIRONMENT, "X2GOBROKER_AUTHSERVICE_PAM_SERVICES")
    return Limits(
        workers=number("WORKERS"),
        queue=number("QUEUE"),
        per_user=number("PER_PEER"),
        login_seconds=float(number("TIMEOUT")),
        services=frozenset(services if isinstance(services, tuple) else ()),
    )


async def _run(listener: socket.socket, spawner: Spawner, allowed: Allowed, limits: Limits) -> int:
    """Serve until a signal ends it, or the spawner is lost. Returns the exit status."""
    status = 0
    loop = asyncio.get_running_loop()
    serving = asyncio.ensure_future(serve(listener, WorkerPool(spawner, limits.workers), allowed, limits))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    watched = os.pidfd_open(spawner.pid)

    def spawner_lost() -> None:
        nonlocal status
        status = 1
        loop.remove_reader(watched)
        authservice_log.critical("the spawner process ended; the service ends, for the init system to start it again")
        serving.cancel()

    loop.add_reader(watched, spawner_lost)
    notify_init_system("READY=1")
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    loop.remove_reader(watched)
    os.close(watched)
    notify_init_system("STOPPING=1")
    return status


def _keeps_tickets(settings: Settings) -> bool:
    """Whether the Kerberos tickets of logins are kept. Where they are not, none is left of a time when they were."""
    wanted = settings.boolean(GLOBAL, "portal-kerberos-tickets")
    tickets = Tickets()
    try:
        tickets.switch(wanted)
    except (OSError, TrustError) as error:
        authservice_log.error("Kerberos tickets cannot be kept in %s: %s", tickets.folder, error)
        return False
    return wanted


@told("x2gobroker-authservice")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker-authservice`. Exit status 2: it could not start."""
    options = build_parser().parse_args(arguments)
    set_up_logging(None, form=LogForm.at_first(PROGRAM))
    settings = SettingsSource.of_process(variables_of(options), program="authservice").current()
    console = settings.boolean(ENVIRONMENT, "X2GOBROKER_DEBUG_INTERACTIVELY")
    form = LogForm(PROGRAM, settings.environment("X2GOBROKER_LOGFORMAT"))
    loggers = Path(settings.environment("X2GOBROKER_AUTHSERVICE_LOGCONFIG"))
    set_up_logging(loggers, settings.debug(), console, form=form)
    path = Path(settings.environment("X2GOBROKER_AUTHSERVICE_SOCKET"))
    try:
        owner, group = account_ids(options.owner, options.group)
        mode = mode_of(options.permissions)
        limits = limits_of(settings)
        if options.daemonize:
            redirect_output(Path(options.logdir or own_log_folder(PROGRAM)), PROGRAM)
            go_to_background()
        listener = passed_socket()
        made_here = listener is None
        if listener is None:
            listener = make_socket(path, owner, group, mode)
    except ConfigurationError as error:
        error_log.error("not started: %s", error)
        print(f"x2gobroker-authservice: not started: {error}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        authservice_log.warning("not running as root: PAM modules that need it, such as pam_unix, refuse every user")
    forbid_core_dumps()
    spawner = Spawner(limits.services, _keeps_tickets(settings))
    pid_file = options.pidfile or (PID_FILE if options.daemonize else "")
    try:
        with write_pid_file(Path(pid_file) if pid_file else None):
            allowed = Allowed(frozenset({0, os.geteuid(), owner}), frozenset({group}))
            return asyncio.run(_run(listener, spawner, allowed, limits))
    finally:
        spawner.close()
        if made_here:
            remove_socket(path)


if __name__ == "__main__":
    sys.exit(main())
