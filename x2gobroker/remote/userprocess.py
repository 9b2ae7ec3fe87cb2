"""Processes that serve a page as the desktop's user: children of a slot's worker that become the user for good."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass

from x2gobroker.authservice.hardening import forbid_core_dumps
from x2gobroker.privilege import Account, become

STREAMS = 3


@dataclass(frozen=True)
class Forked:
    """The process, and the ends of what leads to it: the page's bytes, and its reports."""

    pid: int
    connection: socket.socket
    reports: socket.socket


def fork(serve: Callable[[socket.socket, socket.socket], None], buffer_bytes: int) -> Forked:
    """Fork a process that serves a page, given the page's bytes and what to report by. Raises OSError.

    `serve` raises nothing; whatever it does, the process ends behind it.
    """
    with contextlib.ExitStack() as closing:
        ours, theirs = (closing.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
        reports, says = (closing.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                serve(theirs, says)
                status = 0
            finally:
                os._exit(status)
        closing.pop_all()
        theirs.close()
        says.close()
        return Forked(pid, ours, reports)


def leave_all_but(*kept: socket.socket) -> None:
    """Keep these, and nothing else that the worker has open, its streams included."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(STREAMS):
        os.dup2(nothing, number)
    first = STREAMS
    for number in sorted(end.fileno() for end in kept):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, 65536)


def be(account: Account, open_files: int) -> None:
    """Become the user, in a process that no debugger of the user's gets at. Raises AccountError, OSError."""
    become(account)
    forbid_core_dumps()
    _set({resource.RLIMIT_NOFILE: open_files})
    os.umask(0o077)
    os.chdir("/")


def limit(memory_bytes: int, file_bytes: int) -> None:
    """What it never needs, it cannot have: another process, memory beyond this, larger files. Raises OSError."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        memory = int(stream.read().split()[0]) * resource.getpagesize() + memory_bytes
    _set({resource.RLIMIT_NPROC: 0, resource.RLIMIT_AS: memory, resource.RLIMIT_FSIZE: file_bytes})


def _set(limits: dict[int, int]) -> None:
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))
