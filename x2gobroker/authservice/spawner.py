"""The spawner: starts worker processes, each by exec. It never sees a request."""

from __future__ import annotations

import array
import os
import signal
import socket
import sys

from x2gobroker.authservice.hardening import PR_SET_PDEATHSIG, prctl
from x2gobroker.authservice.start import start_worker

PROGRAM = "x2gobroker-authservice"


class Spawner:
    """The service's handle on its spawner process. `allowed` are the PAM services of its workers; `tickets`: they keep
    the Kerberos tickets of logins.
    """

    def __init__(self, allowed: frozenset[str], tickets: bool = False) -> None:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                mine.close()
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                status = _serve(theirs, allowed, tickets)
            finally:
                os._exit(status)
        theirs.close()
        mine.setblocking(False)
        self._control = mine

    def new_worker(self) -> socket.socket:
        """Our end of the channel to a worker process that is about to start. Raises OSError without a spawner."""
        mine, theirs = socket.socketpair()
        with theirs:
            descriptors = array.array("i", [theirs.fileno()])
            self._control.sendmsg([b"w"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        mine.setblocking(False)
        return mine

    def close(self) -> None:
        """Let the spawner end, and wait for it."""
        self._control.close()
        os.waitpid(self.pid, 0)


def _serve(control: socket.socket, allowed: frozenset[str], tickets: bool) -> int:
    """The spawner's loop: one message, one child. Ends when the service closes its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects the children
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    close_all_but(control)
    services = sorted(allowed)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return 0
        with socket.socket(fileno=descriptors[0]) as channel:
            try:
                start_worker(channel, services, PROGRAM, tickets)
            except OSError as error:  # the service finds the channel closed; the reason is known here only
                print(f"no worker process could be started: {error.strerror}", file=sys.stderr, flush=True)


def close_all_but(kept: socket.socket) -> None:
    """Close every inherited file but the standard streams: listening sockets and log files are not for workers."""
    descriptor = kept.fileno()
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 65536)
