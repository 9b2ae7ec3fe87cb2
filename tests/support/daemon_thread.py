"""A worker of x2gobroker-daemon in a thread of this process: real connections to what a test has changed inside."""

from __future__ import annotations

import os
import signal
import socket
import threading

from flask import Flask

from x2gobroker.cli.daemon.program import Daemon
from x2gobroker.cli.daemon.serving import DoorWorker, GunicornLogger
from x2gobroker.settings import SettingsSource

END_SECONDS = 30.0
OPTIONS = {"workers": 1, "threads": 2, "forwarded_allow_ips": "", "forwarder_headers": "", "secure_scheme_headers": {}}


class _ThreadWorker(DoorWorker):
    """The worker as it is, but for signals: they are the process's, and not a thread's to take."""

    def init_signals(self) -> None:
        """Leave them as they are."""


class DaemonThread:
    """Serves an application on a free port of 127.0.0.1, from the making of this until `close`."""

    def __init__(self, app: Flask, source: SettingsSource) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        ready = threading.Event()
        daemon = Daemon(app, {**OPTIONS, "post_worker_init": lambda _worker: ready.set()}, source)
        logger = GunicornLogger(daemon.cfg)
        self._worker = _ThreadWorker(1, os.getppid(), [self._listener], daemon, 30, daemon.cfg, logger)
        self._thread = threading.Thread(target=self._worker.init_process, name=f"daemon-{self.port}")
        self._thread.start()
        if not ready.wait(END_SECONDS):
            raise TimeoutError(f"the daemon on port {self.port} does not start")

    def close(self) -> None:
        """Finish what is under way, and end the thread. Raises TimeoutError where it does not end."""
        self._worker.handle_exit(signal.SIGTERM, None)
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"the daemon on port {self.port} does not end")
        self._listener.close()
        self._worker.tmp.close()
        for end in self._worker.PIPE:
            os.close(end)
