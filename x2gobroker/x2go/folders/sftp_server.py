"""An SFTP server in this process, for the sshfs of an X2Go Server: it comes through a tunnel and gets one folder.

Python X2Go has one as well, with which sharing fails today: its keys are RSA, and its paramiko (2.12 on Debian 12)
tells ssh which signatures it takes only if `ext-info-c` is the last name in ssh's list of key exchanges. Behind it,
OpenSSH now puts `kex-strict-c`; so ssh learns nothing, does not try SHA-1, and ends with "no mutual signature
supported". The keys here are Ed25519, where nothing has to be agreed on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.sftp import SFTP_FAILURE, SFTP_NO_SUCH_FILE, SFTP_OK, SFTP_OP_UNSUPPORTED, SFTP_PERMISSION_DENIED

from x2gobroker.ssh.keys import KeyPair, generate_key, read_private_key
from x2gobroker.x2go.connection.streams import close_channel
from x2gobroker.x2go.folders.shared_folder import SharedFolder

USER = "x2go"
LOGIN_SECONDS = 20.0
IDLE_READ_SECONDS = 2.0  # paramiko's thread looks whether it should end; by itself it does so every 0.1 s
MOST_CONNECTIONS = 16
MOST_OPEN_FILES = 512
LONGEST_REQUEST = 1 << 20
LONGEST_READ = 1 << 18
CODES = {
    errno.EACCES: SFTP_PERMISSION_DENIED,
    errno.EROFS: SFTP_PERMISSION_DENIED,
    errno.EPERM: SFTP_PERMISSION_DENIED,
    errno.ELOOP: SFTP_PERMISSION_DENIED,
    errno.ENOENT: SFTP_NO_SUCH_FILE,
    errno.ENOTDIR: SFTP_NO_SUCH_FILE,
}

T = TypeVar("T")


class SftpServer:
    """Serves connections of one X2Go session. `serve` is the handler of its tunnel.

    Nobody gets in without a key of `grant`; each key opens one folder.
    """

    def __init__(self) -> None:
        self._host_key = generate_key("ed25519")
        self._lock = threading.Lock()
        self._grants: dict[bytes, Callable[[], SharedFolder]] = {}
        self._connections: dict[paramiko.Transport, bytes] = {}

    @property
    def host_key(self) -> str:
        """Its public key as in known_hosts, behind the name: `ssh-ed25519 AAAA...`."""
        return f"{self._host_key.public.kind} {self._host_key.public.blob}"

    def grant(self, folder: Callable[[], SharedFolder]) -> KeyPair:
        """A new key that opens this folder, as long as `revoke` is not called."""
        pair = generate_key("ed25519")
        with self._lock:
            self._grants[_blob(pair)] = folder
        return pair

    def revoke(self, pair: KeyPair) -> None:
        """The key opens nothing any more; connections that were made with it go on."""
        with self._lock:
            self._grants.pop(_blob(pair), None)

    def is_used(self, pair: KeyPair) -> bool:
        """Whether a connection that was made with this key goes on."""
        with self._lock:
            return _blob(pair) in self._connections.values()

    def disconnect(self, pair: KeyPair) -> None:
        """End the connections that were made with this key."""
        with self._lock:
            ended = [transport for transport, blob in self._connections.items() if blob == _blob(pair)]
        for transport in ended:
            transport.close()

    def serve(self, channel: paramiko.Channel) -> None:
        """Serve one connection until it ends."""
        with self._lock:
            if len(self._connections) >= MOST_CONNECTIONS:
                close_channel(channel)
                return
            transport = paramiko.Transport(channel)
            self._connections[transport] = b""
        try:
            self._serve(transport, channel)
        finally:
            transport.close()
            with self._lock:
                self._connections.pop(transport, None)

    def _serve(self, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        channel.settimeout(IDLE_READ_SECONDS)
        transport.name = "x2go-sftp-connection"
        transport.add_server_key(read_private_key(self._host_key.private))
        transport.set_subsystem_handler("sftp", _Sftp, _Operations)
        login = _Login(self._granted, transport)
        transport.start_server(event=threading.Event(), server=login)
        transport.join(LOGIN_SECONDS)
        if login.is_done:
            transport.join()

    def _granted(self, transport: paramiko.Transport, key: paramiko.PKey) -> Callable[[], SharedFolder] | None:
        """The folder of a key; None where it opens nothing."""
        with self._lock:
            folder = self._grants.get(key.asbytes())
            if folder is not None and transport in self._connections:
                self._connections[transport] = key.asbytes()
            return folder


def _blob(pair: KeyPair) -> bytes:
    return read_private_key(pair.private).asbytes()


class _Login(paramiko.ServerInterface):
    """Who may come in: the holder of a key, for one SFTP channel."""

    def __init__(
        self,
        granted: Callable[[paramiko.Transport, paramiko.PKey], Callable[[], SharedFolder] | None],
        transport: paramiko.Transport,
    ) -> None:
        self._granted = granted
        self._transport = transport
        self._has_channel = False
        self.folder: Callable[[], SharedFolder] | None = None
        self.is_done = False

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        folder = self._granted(self._transport, key) if username == USER else None
        if folder is None:
            return AUTH_FAILED
        self.folder = folder
        return AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind != "session" or self._has_channel:
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        self._has_channel = True
        self.is_done = True
        return OPEN_SUCCEEDED


class _Sftp(paramiko.SFTPServer):
    """paramiko's, with limits."""

    def __init__(self, channel: paramiko.Channel, name: str, server: _Login, *arguments: Any, **named: Any) -> None:
        super().__init__(channel, name, server, *arguments, **named)
        self.name = "x2go-sftp"

    def _read_all(self, n: int) -> bytes:
        """So many bytes. Raises EOFError, which ends the connection, where a request is too long."""
        if n > LONGEST_REQUEST:
            raise EOFError
        data: bytes = super()._read_all(n)  # type: ignore[misc]  # the stubs leave it out
        return data

    def _check_file(self, request_number: int, msg: paramiko.Message) -> None:
        """Nobody needs it, and paramiko's never ends behind the end of a file."""
        self._send_status(request_number, SFTP_OP_UNSUPPORTED)  # type: ignore[attr-defined]  # as above


def _answer(work: Callable[[], T]) -> T | int:
    """What `work` gives, or the code of SFTP for what went wrong."""
    try:
        return work()
    except OSError as error:
        return CODES.get(error.errno or 0, SFTP_FAILURE)
    except (ValueError, OverflowError):  # a NUL in a name, a size beyond all limits
        return SFTP_FAILURE


def _done(work: Callable[[], None]) -> int:
    """SFTP_OK, or the code for what went wrong."""
    failure = _answer(work)
    return SFTP_OK if failure is None else failure


class _Operations(paramiko.SFTPServerInterface):
    """What sshfs asks for, on the folder that the key opens."""

    def __init__(self, server: _Login, *arguments: Any, **named: Any) -> None:
        super().__init__(server)
        if server.folder is None:
            raise ValueError("nobody logged in")
        self._folder = server.folder()
        self._open_files = 0

    def session_ended(self) -> None:
        self._folder.close()

    def canonicalize(self, path: str) -> str:
        return self._folder.name if path in ("", ".") else super().canonicalize(path)

    def list_folder(self, path: str) -> Any:
        def listed() -> list[paramiko.SFTPAttributes]:
            return [paramiko.SFTPAttributes.from_stat(status, name) for name, status in self._folder.entries(path)]

        return _answer(listed)

    def lstat(self, path: str) -> Any:
        return _answer(lambda: paramiko.SFTPAttributes.from_stat(self._folder.status(self._plain(path))))

    stat = lstat  # links are the server's own business, see SharedFolder

    def _plain(self, path: str) -> str:
        return self._folder.name if path in ("", ".") else path

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:
        if self._open_files >= MOST_OPEN_FILES:
            return SFTP_FAILURE
        mode = 0o666 if attr.st_mode is None else attr.st_mode
        number = _answer(lambda: _Handle(self._folder.open(path, flags, mode), flags, self._closed))
        if isinstance(number, _Handle):
            self._open_files += 1
        return number

    def _closed(self) -> None:
        self._open_files -= 1

    def remove(self, path: str) -> int:
        return _done(lambda: self._folder.remove(path))

    def rename(self, oldpath: str, newpath: str) -> int:
        return _done(lambda: self._folder.rename(oldpath, newpath))

    posix_rename = rename

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        mode = 0o777 if attr.st_mode is None else attr.st_mode
        return _done(lambda: self._folder.make_folder(path, mode))

    def rmdir(self, path: str) -> int:
        return _done(lambda: self._folder.remove_folder(path))

    def readlink(self, path: str) -> Any:
        return _answer(lambda: self._folder.link_target(path))

    def symlink(self, target_path: str, path: str) -> int:
        return _done(lambda: self._folder.make_link(target_path, path))

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        def changed() -> None:
            if attr.st_size is not None:
                self._folder.set_size(path, attr.st_size)
            if attr.st_mode is not None:
                self._folder.set_mode(path, attr.st_mode)
            if attr.st_mtime is not None:
                self._folder.set_times(path, attr.st_atime or attr.st_mtime, attr.st_mtime)
            _check_owner(attr, self._folder.status(path))

        return _done(changed)


def _check_owner(attr: paramiko.SFTPAttributes, status: os.stat_result) -> None:
    """Nobody gives files away from afar; saying who has them anyway does no harm. Raises OSError."""
    if attr.st_uid is not None and (attr.st_uid, attr.st_gid) != (status.st_uid, status.st_gid):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


class _Handle(paramiko.SFTPHandle):
    """An open file."""

    def __init__(self, number: int, flags: int, closed: Callable[[], None]) -> None:
        super().__init__(flags)
        self._number = number
        self._has_closed = closed

    def close(self) -> None:
        number, self._number = self._number, -1
        if number >= 0:
            self._has_closed()
            with contextlib.suppress(OSError):
                os.close(number)

    def read(self, offset: int, length: int) -> Any:
        return _answer(lambda: os.pread(self._number, min(length, LONGEST_READ), offset))

    def write(self, offset: int, data: Any) -> int:
        def written() -> None:
            left, place = memoryview(data), offset
            while left:
                done = os.pwrite(self._number, left, place)
                left, place = left[done:], place + done

        return _done(written)

    def stat(self) -> Any:
        return _answer(lambda: paramiko.SFTPAttributes.from_stat(os.fstat(self._number)))

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        def changed() -> None:
            if attr.st_size is not None:
                os.ftruncate(self._number, attr.st_size)
            if attr.st_mode is not None:
                os.fchmod(self._number, attr.st_mode & 0o777)
            if attr.st_mtime is not None:
                os.utime(self._number, (attr.st_atime or attr.st_mtime, attr.st_mtime))
            _check_owner(attr, os.fstat(self._number))

        return _done(changed)
