"""What a session does beside its caller: each job is a thread of its own, and all of them end with the session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from x2gobroker.x2go.errors import SSHException, X2GoException
from x2gobroker.x2go.log import LOGLEVEL_ERROR, X2GoLogger

STOP_SECONDS = 10.0


class Jobs:
    """The running jobs. `stopping` is set when they are to end; who waits, waits for it."""

    def __init__(self, logger: X2GoLogger) -> None:
        self.logger = logger
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def spawn(self, name: str, job: Callable[[], object]) -> threading.Thread:
        """Run `job` in a daemon thread called `x2go-<name>`. What this library raises in it becomes a log line."""
        thread = threading.Thread(target=self._run, args=(name, job), name=f"x2go-{name}", daemon=True)
        with self._lock:
            self._threads.add(thread)
            thread.start()
        return thread

    def _run(self, name: str, job: Callable[[], object]) -> None:
        try:
            job()
        except (X2GoException, SSHException, OSError, EOFError) as error:
            self.logger(f"{name} failed: {error}", LOGLEVEL_ERROR)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def names(self) -> list[str]:
        """The names of the threads that run now."""
        with self._lock:
            return sorted(thread.name for thread in self._threads)

    def stop(self) -> None:
        """Ask all jobs to end and wait for them, but for the one that calls this; at most STOP_SECONDS."""
        self.stopping.set()
        deadline = time.monotonic() + STOP_SECONDS
        with self._lock:
            threads = self._threads - {threading.current_thread()}
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def restart(self) -> None:
        """Jobs may run again."""
        self.stopping.clear()
