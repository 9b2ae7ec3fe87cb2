"""The port of the daemon, which systemd keeps open while one daemon ends and the next one starts.

Clients that connect meanwhile wait in the kernel's queue, and are never refused. The daemon gives its listening socket
to systemd (`FDSTORE=1` of sd_notify(3)) and gets it back at the next start (sd_listen_fds(3)). A socket unit that an
administrator has made comes in the same way, and goes before the configured address.
"""

from __future__ import annotations

import contextlib
import os
import socket

from x2gobroker.cli.sockets import FIRST_PASSED_DESCRIPTOR, notify_init_system

NAME = "x2gobroker-daemon"  # FDNAME, to tell it from sockets of a socket unit
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed_listener(address: tuple[str, int]) -> socket.socket | None:
    """The listening socket that systemd has passed: that of a socket unit, else the kept one if it has this address.

    Others are closed, and systemd keeps none beside the one of a unit. gunicorn, which would take all of them, is told
    nothing of them.
    """
    of_unit: socket.socket | None = None
    kept: socket.socket | None = None
    for number, name in _passed():
        try:
            listener = socket.socket(fileno=number)
            listens = bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:
            os.close(number)
            continue
        listener.set_inheritable(False)
        if listens and name != NAME and of_unit is None:
            of_unit = listener
        elif listens and name == NAME and kept is None and _has(listener, address):
            kept = listener
        else:
            listener.close()
    if of_unit is not None and kept is not None:
        kept.close()
        _forget()
    return of_unit or kept


def keep(listener: socket.socket) -> None:
    """Have systemd keep this socket, instead of what it kept before; nothing where it does not ask to be told.

    Nobody listens there yet, which systemd must not take for its end (FDPOLL=0).
    """
    _forget()
    notify_init_system(f"FDSTORE=1\nFDNAME={NAME}\nFDPOLL=0", listener.fileno())


def _forget() -> None:
    """Have systemd close what it keeps: clients would wait there for ever."""
    notify_init_system(f"FDSTOREREMOVE=1\nFDNAME={NAME}")


def _passed() -> list[tuple[int, str]]:
    """The descriptors that systemd has passed to this process, with their names."""
    found = [os.environ.pop(name, "") for name in VARIABLES]
    if found[0] != str(os.getpid()) or not found[1].isascii() or not found[1].isdigit():
        return []
    names = found[2].split(":")
    numbers = range(FIRST_PASSED_DESCRIPTOR, FIRST_PASSED_DESCRIPTOR + int(found[1]))
    return [(number, names[at] if at < len(names) else "") for at, number in enumerate(numbers)]


def _has(listener: socket.socket, address: tuple[str, int]) -> bool:
    """Whether a socket listens where the configuration wants it."""
    with contextlib.suppress(OSError):
        wanted = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        return listener.family == wanted[0] and listener.getsockname()[:2] == wanted[4][:2]
    return False
