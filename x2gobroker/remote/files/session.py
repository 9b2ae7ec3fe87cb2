"""What one page does with files, over one connection: one thing after another, as the user.

Nothing is kept of a file but one part of it, whatever its size: each side goes on only as the other one takes.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from x2gobroker.privilege import MessageError, read_message
from x2gobroker.remote.crossing import DOWNLOAD, UPLOAD
from x2gobroker.remote.files.bodies import Bodies, PageSpeaks, Watch, receive, send_file
from x2gobroker.remote.files.folders import Listing, list_folder, open_file, opened_folder, stamp_of
from x2gobroker.remote.files.messages import CHUNK_BYTES, FROM_PAGE, LARGEST_DATA, LARGEST_TEXT, TO_PAGE, WINDOW_BYTES
from x2gobroker.remote.files.names import names_of, new_name, shown
from x2gobroker.remote.files.refusals import RefusedError, refusal
from x2gobroker.remote.files.upload import Upload, drop_old
from x2gobroker.remote.keys import BOTH, IN, OUT
from x2gobroker.remote.types import SessionType
from x2gobroker.remote.wire import GoneError, Message, Wire

IDLE_SECONDS = 120.0  # for which a page that asks for nothing is waited for
STALL_SECONDS = 120.0  # for which a page that lives may leave a transfer alone
ACK_BYTES = 1 << 19
ENTRIES = 200  # in one message
BREATH_SECONDS = 300  # after which a process that hangs in a file system is ended by the kernel
DISK_SECONDS = 3600  # for the disk to take a whole file
NOT_A_MESSAGE = 1008
DONE, CANCELLED, LOST = "done", "cancelled", "lost"

Fields = dict[str, Any]


@dataclass(frozen=True)
class FileRules:
    """What a session type allows. Sizes in bytes."""

    goes_in: bool
    goes_out: bool
    most_bytes: int

    @classmethod
    def of(cls, kind: SessionType) -> FileRules:
        """By the keys of a session type."""
        return cls(kind.files in (BOTH, IN), kind.files in (BOTH, OUT), kind.files_megabytes << 20)

    @property
    def opens(self) -> bool:
        """Whether anything goes at all."""
        return self.goes_in or self.goes_out


@dataclass(frozen=True)
class Moved:
    """A transfer, for the log. `why`: nothing where it begins, else how it ended: DONE, CANCELLED, LOST, or refused."""

    way: str
    path: str
    size: int
    at: int
    why: str = ""


class Breath(Protocol):
    """Called where something has happened: for so many seconds from now on, nothing need happen."""

    def __call__(self, seconds: int = BREATH_SECONDS) -> None:
        """As above."""


def wire_of(channel: socket.socket) -> Wire:
    """What carries messages about files, at the user's end of a connection."""
    return Wire(channel, TO_PAGE, LARGEST_TEXT, LARGEST_DATA)


class Session:
    """One connection. `home` is where folders begin; `report` hears of each transfer as it begins and as it ends."""

    def __init__(
        self, wire: Wire, bodies: Bodies, home: str, rules: FileRules, report: Callable[[Moved], None], breathe: Breath
    ) -> None:
        self._wire = wire
        self._bodies = bodies
        self._home = home
        self._rules = rules
        self._report = report
        self._breathe = breathe

    def serve(self) -> None:
        """Until the page is gone, or has nothing more to ask."""
        try:
            while (message := self._receive(IDLE_SECONDS)) is not None:
                if isinstance(message, str):
                    self._do(self._read(message))
                # else data of an upload that was refused while they were on their way
            self._wire.close()
        except GoneError:
            self._wire.close(1001)

    def _receive(self, seconds: float) -> Message | None:
        self._breathe()
        return self._wire.receive(seconds)

    def _read(self, message: str) -> Fields:
        """Raises GoneError for what is no message: who sends such a thing is no page of ours."""
        try:
            return read_message(message.encode("utf-8", "surrogatepass"), FROM_PAGE, LARGEST_TEXT)
        except MessageError as error:
            self._wire.close(NOT_A_MESSAGE)
            raise GoneError(str(error)) from error

    def _do(self, message: Fields) -> None:
        try:
            match message["do"]:
                case "list":
                    self._list(message)
                case "upload":
                    self._upload(message)
                case "download":
                    self._download(message)
                case "fetch":
                    self._fetch(message)
                # the others belong to a transfer that is over: they have crossed its end on the way
        except RefusedError as error:
            self._wire.send("refused", why=error.why)

    def _list(self, message: Fields) -> None:
        with opened_folder(self._home, message["folder"]) as folder:
            found = list_folder(folder, message["hidden"])
        self._tell(found)

    def _tell(self, found: Listing) -> None:
        for first in range(0, len(found.entries), ENTRIES):
            self._wire.send_entries([entry.told() for entry in found.entries[first : first + ENTRIES]])
        self._wire.send("listed", more=found.more, skipped=found.skipped, free=found.free)

    # --- in

    def _upload(self, message: Fields) -> None:
        if not self._rules.goes_in:
            raise RefusedError("not-in")
        if message["size"] > self._rules.most_bytes:
            raise RefusedError("too-large")
        name = new_name(message["name"])
        path = _path(message["folder"], name)
        with opened_folder(self._home, message["folder"]) as folder:
            drop_old(folder)
            upload = Upload(folder, name, message["size"], message["modified"])
            why = LOST
            try:
                why = self._take(upload, path)
            except RefusedError as error:
                why = error.why
                raise
            finally:
                self._breathe(DISK_SECONDS)
                upload.keep()  # where it is neither whole nor dropped
                self._report(Moved(UPLOAD, path, upload.size, upload.there, why))

    def _take(self, upload: Upload, path: str) -> str:
        """How it ended: DONE or CANCELLED. Raises RefusedError, GoneError."""
        length, digest = upload.tail()
        self._wire.send("ready", offset=upload.there, tail=length, digest=digest)
        first = self._next()
        if isinstance(first, bytes) or first["do"] not in ("go", "post", "cancel"):
            raise self._wrong()
        if first["do"] == "cancel":
            return self._cancel(upload)
        upload.begin(first["offset"])
        self._report(Moved(UPLOAD, path, upload.size, upload.there))
        message = self._take_bodies(upload, first) if first["do"] == "post" else first
        if message is not None and message["do"] == "go":
            message = self._take_data(upload)
        if message is not None:
            return self._cancel(upload)
        self._breathe(DISK_SECONDS)
        name = upload.finish(lambda: self._breathe(DISK_SECONDS))
        self._wire.send("done", name=shown(name))
        return DONE

    def _take_data(self, upload: Upload) -> Fields | None:
        """All that is missing, over this connection; `cancel`, where the page says that."""
        told = upload.there
        while upload.there < upload.size:
            data = self._next()
            if not isinstance(data, bytes):
                if data["do"] != "cancel":
                    raise self._wrong()
                return data
            upload.write(data)
            if upload.there - told >= ACK_BYTES or upload.there == upload.size:
                told = upload.there
                self._wire.send("written", bytes=told)
        return None

    def _take_bodies(self, upload: Upload, first: Fields) -> Fields | None:
        """All that is missing, by requests, part after part; `go` or `cancel`, where the page says that instead."""
        watch = Watch(lambda: self._wire.send("written", bytes=upload.there), self._breathe)
        message = first
        while message["do"] == "post":
            if message["offset"] != upload.there or message["bytes"] > upload.size - upload.there:
                raise RefusedError("changed")
            ticket = self._bodies.offer(UPLOAD, "upload", message["bytes"])
            self._wire.send("ticket", ticket=ticket, bytes=message["bytes"])
            with contextlib.suppress(PageSpeaks):  # what it says comes next
                with self._bodies.body(self._wire, watch) as body:
                    receive(body, self._wire, watch, message["bytes"], upload.write)
                self._wire.send("written", bytes=upload.there)
                if upload.there == upload.size:
                    return None
            following = self._next()
            if isinstance(following, bytes):
                raise self._wrong()
            message = following
        if message["do"] == "go" and message["offset"] != upload.there:
            raise RefusedError("changed")
        if message["do"] not in ("go", "cancel"):
            raise self._wrong()
        return message

    def _cancel(self, upload: Upload) -> str:
        upload.drop()
        self._wire.send("cancelled")
        return CANCELLED

    # --- out

    def _download(self, message: Fields) -> None:
        with self._opened(message) as (number, size):
            self._send_file(number, size, message)

    @contextlib.contextmanager
    def _opened(self, message: Fields) -> Iterator[tuple[int, int]]:
        """The file that a page wants, and its size, for the length of a `with` block. Raises RefusedError."""
        if not self._rules.goes_out:
            raise RefusedError("not-out")
        with opened_folder(self._home, message["folder"]) as folder:
            number = open_file(folder, message["item"])
        try:
            size = os.fstat(number).st_size
            if size > self._rules.most_bytes:
                raise RefusedError("too-large")
            yield number, size
        finally:
            os.close(number)

    def _send_file(self, number: int, size: int, message: Fields) -> None:
        stamp, offset = stamp_of(number), message["offset"]
        if offset > size or message["stamp"] not in ("", stamp):
            raise RefusedError("changed")
        path = _path(message["folder"], names_of(message["item"])[0])
        self._wire.send("sending", size=size, stamp=stamp)
        self._report(Moved(DOWNLOAD, path, size, offset))
        taken, why = offset, LOST
        try:
            at = offset
            while taken < size:
                ready = at < size and at - taken < WINDOW_BYTES
                taken = max(taken, self._taken(0.0 if ready else STALL_SECONDS, at))
                if ready:
                    at += self._send_part(number, at, size)
            why = DONE
        except RefusedError as error:
            why = error.why
            raise
        finally:
            self._report(Moved(DOWNLOAD, path, size, taken, why))
        self._wire.send("sent")

    def _fetch(self, message: Fields) -> None:
        """A whole file, by a request of the browser's."""
        with self._opened(message) as (number, size):
            self._answer_with(number, size, message)

    def _answer_with(self, number: int, size: int, message: Fields) -> None:
        name = names_of(message["item"])[0]
        path, at, why = _path(message["folder"], name), 0, LOST

        def sent(count: int) -> None:
            nonlocal at
            at = count

        watch = Watch(lambda: self._wire.send("written", bytes=at), self._breathe)
        self._wire.send("ticket", ticket=self._bodies.offer(DOWNLOAD, shown(name), size), bytes=size)
        try:
            with self._bodies.body(self._wire, watch) as body:
                self._report(Moved(DOWNLOAD, path, size, 0))
                send_file(body, self._wire, watch, number, size, sent)
            why = DONE
        except PageSpeaks:
            said = self._next()
            if isinstance(said, bytes) or said["do"] != "cancel":
                raise self._wrong() from None
            why = CANCELLED
        except RefusedError as error:
            why = error.why
            raise
        finally:
            self._report(Moved(DOWNLOAD, path, size, at, why))
        self._wire.send("sent" if why == DONE else "cancelled")

    def _send_part(self, number: int, at: int, size: int) -> int:
        try:
            data = os.pread(number, min(CHUNK_BYTES, size - at), at)
        except OSError as error:
            raise refusal(error) from error
        if not data:
            raise RefusedError("changed")  # it is shorter now
        self._wire.send_data(data)
        return len(data)

    def _taken(self, seconds: float, most: int) -> int:
        """How much the page has taken, as far as it says so within this time; at most what was sent."""
        self._breathe()
        message = self._wire.receive(seconds)
        if message is None:
            if seconds:
                raise RefusedError("silent")
            return 0
        found = self._read(message) if isinstance(message, str) else None
        if found is None or found["do"] != "taken" or found["bytes"] > most:
            raise self._wrong()
        return int(found["bytes"])

    def _next(self) -> Fields | bytes:
        """What the page says next in a transfer. Raises RefusedError where it says nothing."""
        message = self._receive(STALL_SECONDS)
        if message is None:
            raise RefusedError("silent")
        return message if isinstance(message, bytes) else self._read(message)

    def _wrong(self) -> GoneError:
        """It says what has no place here."""
        self._wire.close(NOT_A_MESSAGE)
        return GoneError("the page says what has no place there")


def _path(folder: str, name: bytes) -> str:
    """A file as the log has it, from the home folder on."""
    return "/".join(["~", *(shown(each) for each in names_of(folder)), shown(name)])
