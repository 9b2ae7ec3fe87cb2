"""The process that does a page's work with files: a child of a slot's worker that becomes the user for good.

It reads and writes what the kernel lets that user read and write. What the session type allows stays out of the
user's reach: no debugger gets at this process, and nothing that the user can change tells it a rule.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from dataclasses import asdict, dataclass

from x2gobroker.authservice.hardening import forbid_core_dumps
from x2gobroker.privilege import Account, become, write_message
from x2gobroker.remote.crossing import FROM_FILES, LONGEST_FILE_PATH, LONGEST_REASON, printable
from x2gobroker.remote.files.bodies import Bodies
from x2gobroker.remote.files.session import BREATH_SECONDS, FileRules, Moved, Session
from x2gobroker.remote.files.wire import SILENCE_SECONDS, Wire
from x2gobroker.remote.loader import describe

OPEN_FILES = 64
MEMORY_BYTES = 1 << 28  # beyond what a worker has
BUFFER_BYTES = 1 << 19
SPARE_BYTES = 1 << 20


@dataclass(frozen=True)
class Forked:
    """The process, and the ends of what leads to it: the page's bytes, and its reports."""

    pid: int
    connection: socket.socket
    reports: socket.socket


def fork_files(account: Account, rules: FileRules) -> Forked:
    """Fork a process that does a page's work with this account's files, until the connection ends. Raises OSError."""
    with contextlib.ExitStack() as closing:
        ours, theirs = (closing.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
        reports, says = (closing.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                serve_as(account, rules, theirs, says)
                status = 0
            finally:
                os._exit(status)
        closing.pop_all()
        theirs.close()
        says.close()
        return Forked(pid, ours, reports)


def serve_as(account: Account, rules: FileRules, connection: socket.socket, says: socket.socket) -> None:
    """In the child: be the user, and do what the page asks. What goes wrong in here is reported."""
    says.settimeout(SILENCE_SECONDS)

    def report(moved: Moved) -> None:
        fields = asdict(moved) | {"path": printable(moved.path, LONGEST_FILE_PATH)}
        says.send(write_message("moved", fields, FROM_FILES))

    try:
        _leave_all_but(connection, says)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _breathe()
        become(account)
        forbid_core_dumps()
        _limit(rules)
        os.umask(0o077)
        os.chdir("/")
        Session(Wire(connection), Bodies(says), account.home, rules, report, _breathe).serve()
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the service's log, and ends this process
        reason = printable(describe(error), LONGEST_REASON)
        with contextlib.suppress(OSError):  # without a service there is nobody to tell
            says.send(write_message("failed", {"reason": reason}, FROM_FILES))


def _breathe(seconds: int = BREATH_SECONDS) -> None:
    """A process that waits for a file system that hangs is of no use to anybody: the kernel ends it."""
    signal.alarm(seconds)


def _leave_all_but(connection: socket.socket, says: socket.socket) -> None:
    """Keep these two, and nothing else that the worker has open, its streams included."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    kept = {connection.fileno(), says.fileno()}
    first = 3
    for number in sorted(kept):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, 65536)


def _limit(rules: FileRules) -> None:
    """What it never needs, it cannot have."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        memory = int(stream.read().split()[0]) * resource.getpagesize() + MEMORY_BYTES
    limits = {
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: rules.most_bytes + SPARE_BYTES,
    }
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))
