"""PAM without the authentication service: a worker process of one's own for each login, as the service has them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from typing import Any

from x2gobroker.authservice.client import Answer, Connection, understood
from x2gobroker.authservice.pamfiles import service_exists
from x2gobroker.authservice.protocol import ACCOUNT, AUTHENTICATE, FAILED, FRAME_JOB, ProtocolError, encode_frame
from x2gobroker.authservice.start import program_name, start_worker
from x2gobroker.errors import AuthMechanismError

DEADLINE = 30.0
MOST_WORKERS = 32
_places = threading.BoundedSemaphore(MOST_WORKERS)


def authenticate(
    service: str, user: str, password: str, code: str | None = None, address: str = "", deadline: float = DEADLINE
) -> Answer:
    """Whether PAM takes this user and password, asked with the rights of this process.

    Raises AuthMechanismError when PAM could not tell, or has not within `deadline` seconds.
    """
    request = {"op": AUTHENTICATE, "service": service, "user": user, "password": password, "address": address}
    if code is not None:
        request["code"] = code
    return _ask(request, deadline)


def account(service: str, user: str, address: str = "", deadline: float = DEADLINE) -> Answer:
    """Whether an account may still log in, as PAM's account phase has it. Raises as `authenticate`."""
    return _ask({"op": ACCOUNT, "service": service, "user": user, "address": address}, deadline)


def _ask(request: dict[str, str], deadline: float) -> Answer:
    service = request["service"]
    if not service_exists(service):
        raise AuthMechanismError(f"there is no PAM service {service}: no such file in /etc/pam.d", looked=False)
    end = time.monotonic() + deadline
    if not _places.acquire(timeout=deadline):
        raise AuthMechanismError("PAM: too many logins at the same time", looked=False)
    try:
        return understood(_asked(request, end))
    except TimeoutError:
        raise AuthMechanismError(f"PAM did not answer within {deadline:g} s") from None
    except (ProtocolError, OSError):
        raise AuthMechanismError("PAM: the worker process ended; a PAM module may have crashed") from None
    finally:
        _places.release()


def _asked(request: dict[str, str], end: float) -> dict[str, Any]:
    """The worker's reply; the worker is gone afterwards. Raises TimeoutError, OSError, ProtocolError."""
    mine, theirs = socket.socketpair()
    with mine:
        with theirs:
            pid = _started(theirs, request["service"])
        try:
            connection = Connection(mine, end)
            connection.receive_frame()  # that it is there
            connection.send(FRAME_JOB + encode_frame(request))
            while "result" not in (reply := connection.receive_frame()):
                pass  # whom it is about, for the service's log
            if reply["result"] == FAILED:  # not tried: no such service, or a user name that none can have
                raise AuthMechanismError(f"PAM: {reply.get('reason')}", looked=False)
            return reply
        finally:
            mine.close()
            _end(pid)


def _started(channel: socket.socket, service: str) -> int:
    try:
        return start_worker(channel, [service], program_name())
    except OSError as error:
        raise AuthMechanismError(f"PAM: no worker process could be started: {error.strerror}", looked=False) from None


def _end(pid: int) -> None:
    """Have the process end: by itself when it has answered, else with all that PAM modules have started in it."""
    if not _ends_itself(pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # where the program ignores its children's ends
        os.waitpid(pid, 0)


def _ends_itself(pid: int, seconds: float = 1.0) -> bool:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(watched, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(watched)
