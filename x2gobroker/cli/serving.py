"""gunicorn as the broker needs it: its messages in our loggers, and workers that hear every order to stop."""

from __future__ import annotations

import logging
import signal
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from x2gobroker.logs import access_log, broker_log, error_log, field


class GunicornLogger(Logger):  # type: ignore[misc]
    """Sends what gunicorn says to the broker's loggers, whose handlers stay as they were configured."""

    def setup(self, cfg: Any) -> None:
        """Take our loggers in place of gunicorn's; nothing is opened here."""
        self.error_log = broker_log
        self.access_log = access_log

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        """One line per request, without the query string; level by status as in the reference."""
        status = int(str(resp.status).split(" ", 1)[0])
        level = logging.INFO if status < 400 else logging.WARNING
        logger = access_log if status < 500 else error_log
        if logger.isEnabledFor(level):
            milliseconds = request_time.total_seconds() * 1000
            logger.log(
                level,
                "%d %s %s (%s) %.2fms",
                status,
                environ.get("REQUEST_METHOD", "-"),
                field(environ.get("PATH_INFO", ""), 200),
                environ.get("REMOTE_ADDR", "-"),
                milliseconds,
            )

    def reopen_files(self) -> None:
        """Nothing to do: WatchedFileHandler, or a restart by logrotate, looks after the files."""

    def close_on_exec(self) -> None:
        """Nothing to do: Python opens log files so that programs which are started do not inherit them."""


STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


class PatientArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's main process, whose workers are deaf to orders to stop until they can follow them.

    A worker starts with the handlers of the main process, which only take note of a signal for the main process.
    An order that came before the worker had its own was lost, and the daemon waited for a worker that went on.
    """

    def spawn_worker(self) -> Any:
        """Start a worker; signals to stop wait meanwhile, in this process and in the worker."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            hear_signals()


def hear_signals() -> None:
    """Let signals to stop through to this process again; those that waited arrive now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
