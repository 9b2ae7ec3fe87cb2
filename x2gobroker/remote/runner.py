"""The spawner: forks a process for each slot, in which the script of its session type runs.

The spawner has the rights that scripts need, most often root's, and no network; the service that forks it gives its
own rights away. Its messages are those of `TO_SPAWNER` in crossing.py, one in each packet of a Unix socket; whatever
else comes is refused. It ends only processes that it has forked.

What hangs in a worker, or ends its process, costs that slot only: the service ends the worker and makes another one,
which goes on from what is noted of the desktop.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pwd
import signal
import socket
from pathlib import Path
from typing import Any

from x2gobroker.privilege import MessageError, TrustError, read_message, trusted_place
from x2gobroker.remote.crossing import TO_SPAWNER
from x2gobroker.remote.loader import ScriptError
from x2gobroker.remote.worker import LARGEST_MESSAGE, Means, Worker, complain

STATE_MODE = 0o711  # accounts reach their own sockets below it, and cannot list those of others
MOST_WORKERS = 5000


def fork_spawner(means: Means) -> tuple[int, socket.socket]:
    """Fork the spawner; its process ID, and our end of the socket. To be called before there are threads."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            mine.close()
            status = _Spawner(theirs, means).serve()
        finally:
            os._exit(status)
    theirs.close()
    mine.setblocking(False)
    return pid, mine


class _Spawner:
    """The spawner's loop. Workers are waited for only when the service says that it is done with them.

    Until then a process ID cannot belong to somebody else, so that a signal never goes astray.
    """

    def __init__(self, control: socket.socket, means: Means) -> None:
        self._control = control
        self._means = means
        self._workers: dict[int, int] = {}

    def serve(self) -> int:
        """Until the service closes its end, or dies: then all workers end, and desktops stay."""
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        _close_all_but(self._control)
        gc.freeze()  # workers share more memory when the collector leaves alone what is there now
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._control, LARGEST_MESSAGE + 1, 1)
            if not data:
                break
            channel = descriptors.pop() if descriptors else None
            try:
                self._do(read_message(data, TO_SPAWNER), channel)
            except MessageError as error:
                complain(f"the spawner was sent what it does not take: {error}")
            finally:
                if channel is not None:
                    os.close(channel)
        for number in list(self._workers):
            self._end(number, group=False)
        return 0

    def _do(self, message: dict[str, Any], channel: int | None) -> None:
        if message["do"] == "end":
            self._end(message["id"], message["group"])
            return
        if channel is None or message["id"] in self._workers or len(self._workers) >= MOST_WORKERS:
            raise MessageError("a worker without a channel, with a number that is taken, or too many of them")
        self._fork(message["id"], message["type"], message["number"], channel)

    def _fork(self, number: int, type_name: str, index: int, descriptor: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            complain(f"no process for a script: {error.strerror}")
            return
        if pid == 0:
            status = 1
            try:
                for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(ignored, signal.SIG_DFL)
                os.setsid()
                channel = socket.socket(fileno=descriptor)
                _close_all_but(channel)
                status = Worker(channel, self._means, type_name, index).serve()
            finally:
                os._exit(status)
        self._workers[number] = pid

    def _end(self, number: int, group: bool) -> None:
        """End a worker; with `group` also what its script has started and left in its process group."""
        pid = self._workers.pop(number, 0)
        if pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.killpg if group else os.kill)(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _close_all_but(kept: socket.socket) -> None:
    """Keep the standard streams and this socket: what else is open belongs to the service."""
    os.closerange(3, kept.fileno())
    os.closerange(kept.fileno() + 1, 65536)


def make_state_folder(folder: Path) -> None:
    """Make the folder where scripts keep their state. Raises ScriptError when it is not ours alone.

    As root, also when somebody else could put another one in its place.
    """
    try:
        _check_way_to(folder)
        folder.mkdir(mode=STATE_MODE, parents=True, exist_ok=True)
        status = folder.lstat()
        if status.st_uid == os.geteuid():
            folder.chmod(STATE_MODE)
    except OSError as error:
        raise ScriptError(f"{folder} cannot be made: {error.strerror}; set X2GOBROKER_REMOTE_FOLDER") from error
    except TrustError as error:
        raise ScriptError(f"{folder} is no place for root: {error}; or set X2GOBROKER_REMOTE_FOLDER") from error
    if status.st_uid != os.geteuid():
        owner = status.st_uid
        with contextlib.suppress(KeyError):
            raise ScriptError(f"{folder} belongs to {pwd.getpwuid(owner).pw_name}; set X2GOBROKER_REMOTE_FOLDER")
        raise ScriptError(f"{folder} belongs to the user with the number {owner}; set X2GOBROKER_REMOTE_FOLDER")


def _check_way_to(folder: Path) -> None:
    """Raises TrustError where a folder above could be swapped while root works below it."""
    above = next(place for place in folder.absolute().parents if os.path.lexists(place))
    if os.geteuid() == 0:
        with trusted_place(above):
            return
