"""Watches a folder that a server puts files into, and has each new one dealt with in a thread of its own."""

from __future__ import annotations

import contextlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from x2gobroker.x2go.errors import X2GoException
from x2gobroker.x2go.local.programs import tidy
from x2gobroker.x2go.local.spool_files import entries
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_ERROR, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.texts import printable

SCAN_SECONDS = 1.0
MAX_JOBS = 4
MAX_HISTORY = 100


class SpoolQueue(threading.Thread, ABC):
    """The thread behind print queues and MIME boxes: looks into `folder` once a second, up to 4 jobs at a time."""

    def __init__(self, folder: str | None, label: str, client_instance: Any, logger: X2GoLogger) -> None:
        super().__init__(name=f"x2go-{label}-queue", daemon=True)
        self.folder = os.path.normpath(folder) if folder else ""
        self.label = label
        self.client_instance = client_instance
        self.logger = logger
        self.active_jobs: dict[str, threading.Thread] = {}
        self.history: list[str] = []
        self._ended = threading.Event()
        self._accept_jobs = True
        self._scanning = threading.Lock()
        self._left: set[str] = set()
        self._unreadable = False

    def pause(self) -> None:
        """Take no new files from now on until `resume()`; jobs that have begun go on."""
        with self._scanning:
            self._accept_jobs = False

    def resume(self) -> None:
        """Take new files again, also those that came in the meantime."""
        self._accept_jobs = True

    def stop_thread(self) -> None:
        """End this thread, at once. Jobs that have begun come to their end."""
        self.pause()
        self._ended.set()

    def run(self) -> None:
        """The thread's work, until `stop_thread()`."""
        while not self._ended.is_set():
            self.scan()
            tidy()
            self._ended.wait(SCAN_SECONDS)

    def scan(self) -> None:
        """Look into the folder once, and start a job for each new file; nothing while the queue is paused."""
        with self._scanning:
            if self._accept_jobs:
                self._scan()

    def _scan(self) -> None:
        try:
            found = entries(self.folder) if self.folder else []
            self._unreadable = False
        except OSError as error:
            if not self._unreadable:
                self.logger(f"The folder {printable(self.folder)} cannot be read: {error.strerror}.", LOGLEVEL_ERROR)
            self._unreadable = True
            return
        self._left &= set(found)
        self._start_jobs(sorted(name for name in found if name not in self._left))

    @abstractmethod
    def _start_jobs(self, names: Iterable[str]) -> None:
        """Begin with the files of these names that are whole, as far as jobs are free."""

    def _start_job(self, name: str, job: threading.Thread) -> None:
        self.logger(f"{self.label} job: {printable(name)}", LOGLEVEL_DEBUG)
        self.active_jobs[name] = job
        job.start()

    @property
    def busy(self) -> bool:
        """Whether as many jobs run as may."""
        return len(self.active_jobs) >= MAX_JOBS

    def finish_job(self, name: str, *files: str) -> None:
        """A job is over: remove its files from the folder and note it in the history."""
        for file in files:
            self.remove(file)
        self.history.append(name)
        del self.history[:-MAX_HISTORY]
        self.active_jobs.pop(name, None)

    def remove(self, name: str) -> None:
        """Remove a file of the folder. What cannot be removed is passed over from now on."""
        try:
            with contextlib.suppress(FileNotFoundError):  # the server was quicker
                os.unlink(os.path.join(self.folder, name))
        except OSError as error:
            self._left.add(name)
            self.logger(f"{printable(name)} cannot be removed from the folder: {error.strerror}.", LOGLEVEL_WARN)


def reason_of(error: X2GoException | OSError) -> str:
    """What to tell the user of an error, in one line."""
    return printable((error.strerror or "") if isinstance(error, OSError) else str(error)) or type(error).__name__


def call_hook(logger: X2GoLogger, hook: Callable[..., object] | None, text: str, *words: str, **values: Any) -> None:
    """Tell the application of an error; without such a hook, or when the hook itself fails, the log."""
    if hook is not None:
        try:
            hook(*words, **values)
            return
        except Exception as error:  # noqa: BLE001 - an application's own method: anything may come of it
            logger(f"A hook of the client failed: {type(error).__name__}: {printable(str(error))}", LOGLEVEL_ERROR)
    logger(text, LOGLEVEL_ERROR)
