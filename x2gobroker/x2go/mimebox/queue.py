"""The MIME box of a session: files that programs of the server drop there are opened on the user's own machine."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from x2gobroker.x2go.errors import X2GoException
from x2gobroker.x2go.local.spool_files import read_start
from x2gobroker.x2go.local.spool_queue import SpoolQueue, reason_of
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_DEFAULT, LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger, logger_of
from x2gobroker.x2go.mimebox.actions import START_BYTES, X2GoMIMEboxAction, mimebox_action_of
from x2gobroker.x2go.mimebox.kinds import BLOCKED_EXTENSIONS, extension_allowed, is_plain_text
from x2gobroker.x2go.texts import printable

__all__ = ["BLOCKED_EXTENSIONS", "X2GoMIMEboxJob", "X2GoMIMEboxQueue", "extension_allowed", "x2go_mimeboxjob_handler"]


class X2GoMIMEboxQueue(SpoolQueue):
    """The thread that waits for files in `mimebox_dir`; `start()` it.

    Takes regular files only, when a second has gone by without a change to them. Those with an extension that is not
    allowed are removed; folders and hidden files stay. Raises X2GoMIMEboxActionException for an unknown action.
    """

    def __init__(
        self,
        profile_name: str = "UNKNOWN",
        session_name: str = "UNKNOWN",
        mimebox_dir: str | None = None,
        mimebox_action: Any = None,
        mimebox_extensions: Sequence[str] | str | None = (),
        client_instance: Any = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        super().__init__(mimebox_dir, "mimebox", client_instance, logger_of(logger, loglevel, "mimebox"))
        self.profile_name = profile_name
        self.session_name = session_name
        words = mimebox_extensions.split(",") if isinstance(mimebox_extensions, str) else mimebox_extensions or ()
        self.mimebox_extensions = [word.strip() for word in words if word.strip()]
        self._seen: dict[str, tuple[int, int]] = {}
        self.set_mimebox_action("OPEN" if mimebox_action is None else mimebox_action)

    @property
    def mimebox_dir(self) -> str:
        """The folder that is watched."""
        return self.folder

    @property
    def mimebox_history(self) -> list[str]:
        """Names of the last 100 files that are done."""
        return self.history

    def set_mimebox_action(self, mimebox_action: Any, **kwargs: Any) -> None:
        """Another action, or the name of one with its arguments, for the next files.

        Raises X2GoMIMEboxActionException for an unknown name.
        """
        common = {"client_instance": self.client_instance, "logger": self.logger}
        self.mimebox_action = mimebox_action_of(mimebox_action, **{**common, **kwargs})

    def _start_jobs(self, names: Iterable[str]) -> None:
        before, self._seen = self._seen, {}
        for name in names:
            if name.startswith(".") or name in self.active_jobs or not self._is_file(name):
                continue
            if before.get(name) != self._seen[name] or self.busy:
                continue
            if not self._is_allowed(name):
                self.logger(f"The MIME box file {printable(name)} is removed: its kind is not allowed.", LOGLEVEL_WARN)
                self.remove(name)
                continue
            values = (name, self.mimebox_action, self, self.logger)
            self._start_job(name, X2GoMIMEboxJob(target=x2go_mimeboxjob_handler, args=values))

    def _is_allowed(self, name: str) -> bool:
        """Whether this file may be opened: by its extension; without one, by how it begins.

        How it begins is a first look, which saves a copy: the server may exchange the file after it. The action looks
        again, at its own copy.
        """
        if not extension_allowed(name, self.mimebox_extensions):
            return False
        if "." in name.rstrip(" ."):
            return True
        try:
            return is_plain_text(read_start(os.path.join(self.folder, name), START_BYTES))
        except OSError:
            return False

    def _is_file(self, name: str) -> bool:
        """Whether this is a regular file; notes size and time of change. Links and pipes are removed, folders stay."""
        try:
            found = os.lstat(os.path.join(self.folder, name))
        except OSError:
            return False
        if stat.S_ISREG(found.st_mode):
            self._seen[name] = (found.st_size, found.st_mtime_ns)
            return True
        if not stat.S_ISDIR(found.st_mode):
            self.logger(f"{printable(name)} is removed from the MIME box: it is no regular file.", LOGLEVEL_WARN)
            self.remove(name)
        return False


def x2go_mimeboxjob_handler(
    mimebox_file: str,
    mimebox_action: X2GoMIMEboxAction,
    parent_thread: X2GoMIMEboxQueue,
    logger: X2GoLogger,
) -> None:
    """Deal with one file and remove it from the MIME box; a failure goes to the client's hook or the log."""
    mimebox_action.profile_name = parent_thread.profile_name
    mimebox_action.session_name = parent_thread.session_name
    logger(f"MIME box file {printable(mimebox_file)}: {mimebox_action.name}", LOGLEVEL_NOTICE)
    try:
        mimebox_action.do_process(mimebox_file, parent_thread.mimebox_dir)
    except X2GoException as error:
        mimebox_action.report(mimebox_file, reason_of(error))
    finally:
        parent_thread.finish_job(mimebox_file, mimebox_file)
    logger(f"MIME box file {printable(mimebox_file)} is done", LOGLEVEL_DEBUG)


class X2GoMIMEboxJob(threading.Thread):
    """The thread of one file of the MIME box; takes the parameters of threading.Thread."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"name": "x2go-mimebox-job", "daemon": True, **kwargs})
