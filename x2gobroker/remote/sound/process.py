"""The process that sends a page the sound of a desktop: a child of a slot's worker that becomes the user for good.

It has PulseAudio's own program record what is played, for the user, from a server that the user's programs play to.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess

from x2gobroker.privilege import Account, write_message
from x2gobroker.remote.crossing import FROM_SOUND, LONGEST_REASON, printable
from x2gobroker.remote.kept import SYSTEM_PATH
from x2gobroker.remote.loader import describe
from x2gobroker.remote.sound.messages import CHUNK_MILLISECONDS
from x2gobroker.remote.sound.server import CHANNELS, NO_RECORDER, RATE, RECORDER, found
from x2gobroker.remote.sound.session import Session, wire_of
from x2gobroker.remote.userprocess import Forked, be, fork, leave_all_but, limit
from x2gobroker.remote.wire import GoneError

OPEN_FILES = 64
MEMORY_BYTES = 1 << 26  # beyond what a worker has
BUFFER_BYTES = 1 << 16  # a third of a second of sound
REPORT_SECONDS = 5.0
END_SECONDS = 2.0
LONGEST_LAST_WORDS = 500


class NoSoundError(Exception):
    """There is nothing to record. The text is for the log."""


class EndedError(Exception):
    """There was something to record, and now there is not, as at the end of a desktop."""


def fork_sound(account: Account, source: dict[str, str]) -> Forked:
    """Fork a process that sends a page what this account plays, until the connection ends. Raises OSError.

    `source`: `server` and `source`, as PulseAudio has them.
    """
    return fork(lambda connection, says: serve_as(account, source, connection, says), BUFFER_BYTES)


def serve_as(account: Account, source: dict[str, str], connection: socket.socket, says: socket.socket) -> None:
    """In the child: be the user, and send what is played. What goes wrong in here is reported."""
    says.settimeout(REPORT_SECONDS)
    try:
        leave_all_but(connection, says)
        be(account, OPEN_FILES)
        _send_sound(account, source, connection)
    except EndedError:
        with contextlib.suppress(OSError):
            says.send(write_message("ended", {}, FROM_SOUND))
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the service's log, and ends this process
        reason = str(error) if isinstance(error, NoSoundError) else describe(error)
        with contextlib.suppress(OSError):  # without a service there is nobody to tell
            says.send(write_message("failed", {"reason": printable(reason, LONGEST_REASON)}, FROM_SOUND))


def recorder_words(source: dict[str, str]) -> list[str]:
    """The command that records what is played there. Raises NoSoundError."""
    program = found(RECORDER, SYSTEM_PATH)
    if not program:
        raise NoSoundError(NO_RECORDER)
    words = [program, f"--server={source['server']}", f"--device={source['source']}", "--raw", "--format=s16le"]
    words += [f"--rate={RATE}", f"--channels={CHANNELS}", f"--latency-msec={CHUNK_MILLISECONDS}"]
    return [*words, "--client-name=Browser", "--stream-name=Sound in the browser"]


def _send_sound(account: Account, source: dict[str, str], connection: socket.socket) -> None:
    """Raises NoSoundError, EndedError, OSError."""
    wire = wire_of(connection)
    try:
        words = recorder_words(source)
    except NoSoundError:
        wire.send("none")
        wire.close()
        raise
    # without the home folder, which may hang: a cookie is not needed for a server of the same user's
    environment = {"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "USER": account.name}
    with subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    ) as recorder:
        try:
            limit(MEMORY_BYTES, 0)
            if recorder.stdout is None or recorder.stderr is None:
                return
            session = Session(wire, recorder.stdout)
            if not session.serve():
                return
            os.set_blocking(recorder.stderr.fileno(), False)
            said = (recorder.stderr.read(LONGEST_LAST_WORDS) or b"").decode("utf-8", "replace").strip()
            with contextlib.suppress(GoneError):
                wire.send("none")
            wire.close()
            if session.recorded:
                raise EndedError
            raise NoSoundError(f"nothing can be recorded from {source['server']}: {said or 'it has ended'}")
        finally:
            recorder.kill()
