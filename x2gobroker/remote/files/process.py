"""The process that does a page's work with files: a child of a slot's worker that becomes the user for good.

It reads and writes what the kernel lets that user read and write. What the session type allows stays out of the
user's reach: no debugger gets at this process, and nothing that the user can change tells it a rule.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from dataclasses import asdict

from x2gobroker.privilege import Account, write_message
from x2gobroker.remote.crossing import FROM_FILES, LONGEST_FILE_PATH, LONGEST_REASON, printable
from x2gobroker.remote.files.bodies import Bodies
from x2gobroker.remote.files.session import BREATH_SECONDS, FileRules, Moved, Session, wire_of
from x2gobroker.remote.loader import describe
from x2gobroker.remote.userprocess import Forked, be, fork, leave_all_but, limit
from x2gobroker.remote.wire import SILENCE_SECONDS

OPEN_FILES = 64
MEMORY_BYTES = 1 << 28  # beyond what a worker has
BUFFER_BYTES = 1 << 19
SPARE_BYTES = 1 << 20


def fork_files(account: Account, rules: FileRules) -> Forked:
    """Fork a process that does a page's work with this account's files, until the connection ends. Raises OSError."""
    return fork(lambda connection, says: serve_as(account, rules, connection, says), BUFFER_BYTES)


def serve_as(account: Account, rules: FileRules, connection: socket.socket, says: socket.socket) -> None:
    """In the child: be the user, and do what the page asks. What goes wrong in here is reported."""
    says.settimeout(SILENCE_SECONDS)

    def report(moved: Moved) -> None:
        fields = asdict(moved) | {"path": printable(moved.path, LONGEST_FILE_PATH)}
        says.send(write_message("moved", fields, FROM_FILES))

    try:
        leave_all_but(connection, says)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _breathe()
        be(account, OPEN_FILES)
        limit(MEMORY_BYTES, rules.most_bytes + SPARE_BYTES)
        Session(wire_of(connection), Bodies(says), account.home, rules, report, _breathe).serve()
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the service's log, and ends this process
        reason = printable(describe(error), LONGEST_REASON)
        with contextlib.suppress(OSError):  # without a service there is nobody to tell
            says.send(write_message("failed", {"reason": reason}, FROM_FILES))


def _breathe(seconds: int = BREATH_SECONDS) -> None:
    """A process that waits for a file system that hangs is of no use to anybody: the kernel ends it."""
    signal.alarm(seconds)
