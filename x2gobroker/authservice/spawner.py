"""The spawner: forks worker processes. It never sees a request, so that a new worker holds nobody else's secret."""

from __future__ import annotations

import array
import contextlib
import ctypes
import os
import resource
import signal
import socket
from typing import Any

import pamela

from x2gobroker.authservice.worker import worker_main

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
_KEPT: list[Any] = []


def forbid_core_dumps() -> None:
    """No core file and no debugger of the same user for this process and those that it forks."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


class Spawner:
    """The service's handle on its spawner process."""

    def __init__(self, allowed: frozenset[str]) -> None:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                mine.close()
                _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                status = _serve(theirs, allowed)
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


def _serve(control: socket.socket, allowed: frozenset[str]) -> int:
    """The spawner's loop: one message, one child. Ends when the service closes its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects the children
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    close_all_but(control)
    preload_modules(allowed)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return 0
        channel = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            status = 1
            try:
                control.close()
                status = worker_main(channel, allowed)
            finally:
                os._exit(status)
        channel.close()


def preload_modules(services: frozenset[str]) -> None:
    """Load the PAM modules once, so that workers find them in memory. The handles are kept: closing would unload."""
    for service in services:
        with contextlib.suppress(pamela.PAMError):  # a login says so when its PAM service cannot be used
            _KEPT.append(pamela.pam_start(service, "nobody", conv_func=pamela.default_conv))


def close_all_but(kept: socket.socket) -> None:
    """Close every inherited file but the standard streams: listening sockets and log files are not for workers."""
    descriptor = kept.fileno()
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 65536)
