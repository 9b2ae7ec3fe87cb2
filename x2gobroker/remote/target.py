"""Connections to VNC servers, made with the rights of the desktop's user, where a script has said.

Root connects by itself only to sockets that nobody but root could have put in their place. Everything else is done by
a child process that has become the user first: what it can reach, the user can reach anyway. A path is opened once,
and from then on used by its descriptor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from x2gobroker.errors import BrokerError
from x2gobroker.privilege import Account, AccountError, TrustError, account_named, become, trusted_place
from x2gobroker.remote.places import Place

CONNECT_SECONDS = 5.0
CREDENTIALS = struct.Struct("3i")
LONGEST_REASON = 500
WORKED = b"+"
SOCKET = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class TargetError(BrokerError):
    """There is no VNC server where the script said, or it is somebody else's."""


def connect_to(place: Place, user: str, stranger: str) -> socket.socket:
    """A connection to the VNC server at a place, by Unix socket or by TCP. Raises TargetError in 2 CONNECT_SECONDS.

    `user` has the desktop: the socket must be the user's, or root's in a folder of root's. `stranger` is the account
    that connects by TCP for users who have none on this host.
    """
    if place.unix and os.geteuid() == 0:
        with contextlib.ExitStack() as held:
            try:
                number = held.enter_context(trusted_place(Path(place.unix)))
            except TrustError:
                pass  # so it is not root's alone: then it is the user's, or nobody's
            else:
                return _unix(number, place.unix, {0})
    try:
        account = _account(user, "" if place.unix else stranger)
    except AccountError as error:
        raise TargetError(f"nobody can connect to {_name(place)}: {error}") from error
    owners = {account.uid}
    with contextlib.suppress(AccountError):
        owners.add(account_named(user).uid)
    return _as(account, lambda: _unix_by_path(place.unix, owners) if place.unix else _tcp(place))


def _account(user: str, stranger: str) -> Account:
    """Who connects. A service that is not root's has one account only. Raises AccountError."""
    if os.geteuid() != 0:
        return Account(user, os.geteuid(), os.getegid(), (), "/", "")
    try:
        return account_named(user)
    except AccountError:
        if not stranger:
            raise
        return account_named(stranger)


def _name(place: Place) -> str:
    return place.unix or f"{place.host}:{place.port}"


def _tcp(place: Place) -> socket.socket:
    try:
        made = socket.create_connection((place.host, place.port), CONNECT_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise _no_answer(_name(place), error) from error
    return made


def _unix_by_path(path: str, owners: set[int]) -> socket.socket:
    try:
        number = os.open(path, SOCKET)
    except OSError as error:
        raise _no_answer(path, error) from error
    try:
        return _unix(number, path, owners)
    finally:
        os.close(number)


def _unix(number: int, path: str, owners: set[int]) -> socket.socket:
    """Connect to the very socket that was opened, and see who listens there."""
    if not stat.S_ISSOCK(os.fstat(number).st_mode):
        raise TargetError(f"{path} is no socket")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(CONNECT_SECONDS)
        made.connect(f"/proc/self/fd/{number}")
        data = made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        owner = CREDENTIALS.unpack(data)[1]
        if owner not in owners:
            raise TargetError(f"the socket {path} belongs to another user, with the number {owner}")
    except OSError as error:
        made.close()
        raise _no_answer(path, error) from error
    except BaseException:
        made.close()
        raise
    return made


def _no_answer(name: str, error: OSError) -> TargetError:
    return TargetError(f"the VNC server at {name} does not answer: {error.strerror or error}")


def _as(account: Account, work: Callable[[], socket.socket]) -> socket.socket:
    """Do it in a child that is this account, and take the connection from it. Raises TargetError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                _work_as(account, work, theirs)
            finally:
                os._exit(1)
        theirs.close()
        ours.settimeout(2 * CONNECT_SECONDS)
        try:
            data, descriptors, _, _ = socket.recv_fds(ours, 4 * LONGEST_REASON, 1)
        except TimeoutError:
            raise TargetError(f"no connection within {2 * CONNECT_SECONDS:g} seconds") from None
        finally:
            os.kill(pid, signal.SIGKILL)  # it may have been stopped: it was the user's
            os.waitpid(pid, 0)
    if data == WORKED and descriptors:
        os.set_inheritable(descriptors[0], False)
        return socket.socket(fileno=descriptors[0])
    for descriptor in descriptors:
        os.close(descriptor)
    raise TargetError(data.decode("utf-8", "replace") or f"the process that connects for {account.name} has ended")


def _work_as(account: Account, work: Callable[[], socket.socket], answer: socket.socket) -> None:
    """In the child. It says why there is no connection."""
    try:
        become(account)
        with work() as connected:
            socket.send_fds(answer, [WORKED], [connected.fileno()])
    except (OSError, BrokerError) as error:
        answer.send((str(error) or type(error).__name__)[:LONGEST_REASON].encode("utf-8", "replace"))
