"""`x2gobroker-loadchecker`: asks all X2Go Servers for their load, and takes autologin keys away when they are due."""

from __future__ import annotations

import argparse
import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from x2gobroker import __version__
from x2gobroker.autologin.sweep import Sweep
from x2gobroker.cli.background import (
    LOG_FOLDER,
    add_background_options,
    go_to_background,
    redirect_output,
    write_pid_file,
)
from x2gobroker.cli.broker_account import as_broker
from x2gobroker.cli.common import debug_variables
from x2gobroker.cli.sockets import (
    account_ids,
    add_socket_options,
    make_socket,
    mode_of,
    notify_init_system,
    remove_socket,
)
from x2gobroker.cli.streams import told
from x2gobroker.errors import BrokerError, ConfigurationError
from x2gobroker.inventory.record import Inventory, News
from x2gobroker.loadchecker.asking import Asking
from x2gobroker.loadchecker.poller import Poller
from x2gobroker.loadchecker.server import LoadSocket
from x2gobroker.loadchecker.sharing import Sharing
from x2gobroker.loadchecker.targets import Watch
from x2gobroker.logs import LogForm, error_log, loadchecker_log, set_up_logging
from x2gobroker.placement import scheduling_stores
from x2gobroker.services import Services
from x2gobroker.settings import ENVIRONMENT, SettingsSource
from x2gobroker.store import AutologinKeys, LoadCheckers, Loads

PROGRAM = "x2gobroker-loadchecker"
PID_FILE = "/run/x2gobroker/x2gobroker-loadchecker.pid"
LOOK_SECONDS = 1.0
STOP_SECONDS = 0.5
NOTICED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def build_parser() -> argparse.ArgumentParser:
    """The command line, as the reference has it."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Asks the X2Go Servers of all session profiles that go by load how busy they are, once every "
        "`load-checker-intervals` seconds, and writes the answers into the state store, where brokers read them. "
        "Removes autologin keys whose time is up. SIGHUP makes it ask all servers at once.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"x2gobroker {__version__}")
    parser.add_argument("-C", "--config-file", metavar="FILE", help="the main configuration file (X2GOBROKER_CONFIG)")
    add_socket_options(parser, "X2GOBROKER_LOADCHECKER_SOCKET")
    add_background_options(parser, PID_FILE)
    return parser


def variables_of(options: argparse.Namespace) -> dict[str, str]:
    """What the command line overrides, as environment variables; whole paths, as -D leaves the folder."""
    variables = debug_variables(options)
    if options.config_file:
        variables["X2GOBROKER_CONFIG"] = str(Path(options.config_file).absolute())
    if options.socket_file:
        variables["X2GOBROKER_LOADCHECKER_SOCKET"] = str(Path(options.socket_file).absolute())
    return variables


def serve(source: SettingsSource, listener: socket.socket) -> int:
    """Ask and answer until a signal ends it. Returns the exit status; 1: it cannot go on."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in NOTICED:
        signal.signal(number, lambda number, _frame: signals.put(number))
    services = Services()

    def keep() -> Loads:
        return services.of(scheduling_stores, source.current()).loads

    def note(news: list[News]) -> frozenset[str]:
        inventory = services.of(Inventory, source.current())
        astray = inventory.take(news)
        inventory.sweep()
        return astray

    # not through the farm's circuit breaker: a server that is back is noticed within one interval
    asking = Asking(services.farm.agent)
    stop = threading.Event()
    sharing = Sharing(lambda: LoadCheckers(services.store(source.current())))
    watch = Watch(source, services.backend).current
    poller = Poller(watch, asking.ask, keep, note, services.farm.agent, sharing.share)
    polling = threading.Thread(target=poller.run, args=(stop,), name="poller", daemon=True)
    sweep = Sweep(services.farm, source.current, lambda settings: AutologinKeys(services.store(settings)))
    polling.start()
    LoadSocket(listener, lambda: poller.watched, keep).start()
    sweep.start()
    loadchecker_log.info("load checker: process %d is ready", os.getpid())
    notify_init_system("READY=1")
    status = _wait(signals, polling, poller)
    notify_init_system("STOPPING=1")
    stop.set()
    poller.wake()
    polling.join(STOP_SECONDS)
    sharing.leave()
    sweep.stop(0)
    return status


def _wait(signals: queue.SimpleQueue[int], polling: threading.Thread, poller: Poller) -> int:
    """Wait for a signal to end; 1 when the poller ended by itself."""
    while True:
        try:
            number = signals.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            if not polling.is_alive():
                loadchecker_log.critical("the poller ended; the service ends, for the init system to start it again")
                return 1
            continue
        if number != signal.SIGHUP:
            return 0
        poller.ask_all_now()


@told(PROGRAM)
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `x2gobroker-loadchecker`. Exit status 2: it could not start."""
    options = build_parser().parse_args(arguments)
    set_up_logging(None, form=LogForm.at_first(PROGRAM))
    source = SettingsSource.of_process(variables_of(options), program="loadchecker")
    settings = source.current()
    console = settings.boolean(ENVIRONMENT, "X2GOBROKER_DEBUG_INTERACTIVELY")
    path = Path(settings.environment("X2GOBROKER_LOADCHECKER_SOCKET"))
    pid_file = options.pidfile or (PID_FILE if options.daemonize else "")
    try:
        owner, group = account_ids(options.owner, options.group)
        mode = mode_of(options.permissions, for_all=True)
        pid_path = Path(pid_file).absolute() if pid_file else None
        if options.daemonize:
            redirect_output(Path(options.logdir or LOG_FOLDER), PROGRAM)
            go_to_background()
        listener = make_socket(path, owner, group, mode)
    except ConfigurationError as error:
        print(f"x2gobroker-loadchecker: not started: {error}", file=sys.stderr)
        return 2
    try:
        with listener, write_pid_file(pid_path):
            as_broker(settings)
            # only now: log files may be in a folder of the broker's account, where root opens none
            form = LogForm(PROGRAM, settings.environment("X2GOBROKER_LOGFORMAT"))
            loggers = Path(settings.environment("X2GOBROKER_LOADCHECKER_LOGCONFIG"))
            set_up_logging(loggers, settings.debug(), console, form=form)
            return serve(source, listener)
    except BrokerError as error:
        error_log.error("not started: %s", error)
        print(f"x2gobroker-loadchecker: not started: {error}", file=sys.stderr)
        return 2
    finally:
        remove_socket(path)


def run() -> None:
    """The console script: ends the process without waiting for agents that are still being asked."""
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
