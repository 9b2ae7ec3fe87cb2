"""Print jobs of a session: files that the server puts into the spool folder, each given to a print action.

The form is that of the server's x2goprint: first a PDF file, then a file of the same name with `.ready` after it, which
holds the name of the PDF file in its first line and the title of the job in its second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from x2gobroker.x2go.defaults import CLIENT_ROOTDIR, PRINTING_BACKEND
from x2gobroker.x2go.errors import X2GoBackendException, X2GoException
from x2gobroker.x2go.local.spool_files import plain_name, read_start
from x2gobroker.x2go.local.spool_queue import SpoolQueue, reason_of
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_DEFAULT, LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger, logger_of
from x2gobroker.x2go.printing.actions import DEFAULT_TITLE, X2GoPrintAction, print_action_of
from x2gobroker.x2go.printing.settings import PRINTING_CONFIGFILES, PRINTING_FILENAME, X2GoClientPrinting
from x2gobroker.x2go.texts import printable

READY = ".ready"
MAX_READY_BYTES = 8192


def parse_ready(content: bytes) -> tuple[str, str]:
    """Name of the PDF file and title of the job from a `.ready` file. Raises ValueError for a path."""
    first, _, rest = content.partition(b"\n")
    name = os.fsdecode(first.rstrip(b"\r"))
    if not plain_name(name) or name.endswith(READY):
        raise ValueError("it does not name a file of this folder")
    title = printable(rest.partition(b"\n")[0].decode("utf-8", "replace"))
    return name, title or DEFAULT_TITLE


class X2GoPrintQueue(SpoolQueue):
    """The thread that waits for print jobs in `spool_dir`; `start()` it.

    `print_action` is a print action, or the name of one, for which `print_action_args` are; without it, the settings
    file of the client says for each job what to do, so that a change there is for the next one.
    Raises X2GoPrintActionException for an unknown name, X2GoBackendException for an unknown backend.
    """

    def __init__(
        self,
        profile_name: str = "UNKNOWN",
        session_name: str = "UNKNOWN",
        spool_dir: str | None = None,
        print_action: Any = None,
        print_action_args: Mapping[str, Any] | None = None,
        client_instance: Any = None,
        printing_backend: Any = PRINTING_BACKEND,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        super().__init__(spool_dir, "print", client_instance, logger_of(logger, loglevel, "printqueue"))
        self.profile_name = profile_name
        self.session_name = session_name
        self.printing_backend = _backend(printing_backend)
        self.print_action: X2GoPrintAction | None = None
        if print_action is not None:
            self.set_print_action(print_action, **(print_action_args or {}))

    @property
    def spool_dir(self) -> str:
        """The folder that is watched."""
        return self.folder

    @property
    def job_history(self) -> list[str]:
        """Names of the last 100 jobs that are done."""
        return self.history

    def set_print_action(self, print_action: Any, **kwargs: Any) -> None:
        """Another print action, or the name of one with its arguments, for the next jobs; None: as the settings say.

        Raises X2GoPrintActionException for an unknown name.
        """
        if print_action is None:
            self.print_action = None
            return
        common = {"client_instance": self.client_instance, "logger": self.logger}
        self.print_action = print_action_of(print_action, **{**common, **kwargs})

    def settings_action(self) -> X2GoPrintAction:
        """The print action of the client's settings file as it is now. Raises X2GoException."""
        root = getattr(self.client_instance, "get_client_rootdir", lambda: CLIENT_ROOTDIR)()
        custom = os.path.abspath(root) != os.path.abspath(CLIENT_ROOTDIR)
        files = (os.path.join(root, PRINTING_FILENAME),) if custom else PRINTING_CONFIGFILES
        return self.printing_backend(files, client_instance=self.client_instance, logger=self.logger).print_action

    def _start_jobs(self, names: Iterable[str]) -> None:
        for name in names:
            if not name.endswith(READY) or self.busy:
                continue
            try:
                pdf_file, title = parse_ready(read_start(os.path.join(self.folder, name), MAX_READY_BYTES))
            except (OSError, ValueError) as error:
                reason = reason_of(error) if isinstance(error, OSError) else str(error)
                self.logger(f"The print job {printable(name)} is dropped: {reason}.", LOGLEVEL_WARN)
                self.remove(name)
                continue
            if pdf_file not in self.active_jobs:
                values = (name, pdf_file, title, self.print_action, self, self.logger)
                self._start_job(pdf_file, X2GoPrintJob(target=x2go_printjob_handler, args=values))


def _backend(backend: Any) -> type[X2GoClientPrinting]:
    if isinstance(backend, type) and issubclass(backend, X2GoClientPrinting):
        return backend
    if backend in (PRINTING_BACKEND, X2GoClientPrinting.__name__):
        return X2GoClientPrinting
    raise X2GoBackendException(
        f"There is no printing backend {printable(str(backend))!r}; there is {PRINTING_BACKEND}."
    )


def x2go_printjob_handler(
    job_file: str,
    pdf_file: str,
    job_title: str,
    print_action: X2GoPrintAction | None,
    parent_thread: X2GoPrintQueue,
    logger: X2GoLogger,
) -> None:
    """Do one print job and remove its two files from the folder; failures go to the client's hook or the log."""
    action = print_action or X2GoPrintAction(parent_thread.client_instance, logger)
    try:
        action = print_action or parent_thread.settings_action()
        logger(f"print job {printable(pdf_file)}: {action.name}", LOGLEVEL_NOTICE)
        action.profile_name, action.session_name = parent_thread.profile_name, parent_thread.session_name
        action.do_print(os.path.join(parent_thread.spool_dir, pdf_file), job_title, parent_thread.spool_dir)
    except X2GoException as error:
        action.profile_name, action.session_name = parent_thread.profile_name, parent_thread.session_name
        action.report(pdf_file, reason_of(error))
    finally:
        parent_thread.finish_job(pdf_file, job_file, pdf_file)
    logger(f"print job {printable(pdf_file)} is done", LOGLEVEL_DEBUG)


class X2GoPrintJob(threading.Thread):
    """The thread of one print job; takes the parameters of threading.Thread."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"name": "x2go-print-job", "daemon": True, **kwargs})
