"""Local folders in a session: the server mounts them with sshfs, through a tunnel, from the SFTP server in here."""

from __future__ import annotations

import os
import secrets
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import paramiko

from x2gobroker.logs import field
from x2gobroker.ssh.keys import KeyPair
from x2gobroker.x2go import log
from x2gobroker.x2go.connection.remote import run_remote
from x2gobroker.x2go.connection.tunnels import ReverseForward
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoTimeOutException
from x2gobroker.x2go.folders.sftp_server import USER, SftpServer
from x2gobroker.x2go.folders.shared_folder import SharedFolder
from x2gobroker.x2go.wire.commands import word
from x2gobroker.x2go.wire.reply import Reply
from x2gobroker.x2go.wire.share_names import (
    CDROM,
    DISK,
    FOLDER_TYPES,
    MIMEBOX,
    REMOVABLE,
    SESSION_NAME,
    SPOOL,
    SPOOLS,
    mount_argument,
    mount_options,
    mount_place,
    server_name,
)

__all__ = ["CDROM", "DISK", "FOLDER_TYPES", "MIMEBOX", "REMOVABLE", "SPOOL", "FolderSharing"]

MOUNT_SECONDS = 60.0  # x2gomountdirs gives sshfs 30 s
UNMOUNT_SECONDS = 30.0
MOST_NUMBERS = 20

# x2gomountdirs puts the names of user and home into a shell line as they are, unquoted in part: names that would not
# survive that are refused. A mount that an earlier connection left in the session database, "insertion of ... failed",
# is taken out there first.
HEAD = """\
case "$USER$HOME" in *[!A-Za-z0-9/._@+-]*) echo unsafe; exit 0;; esac
cd "$HOME" || exit 1
at="/tmp/.x2go-$USER/"{place}
tmp=$(cd /tmp && pwd -P)
is_mounted() {{ grep -qF " $tmp${{at#/tmp}} fuse.sshfs " /proc/mounts; }}
"""
FREE = """\
if is_mounted; then echo taken; exit 0; fi
"""
UNMOUNT = """\
x2goumount-session {session} "$at" >/dev/null 2>&1
if is_mounted; then fusermount -u "$at" 2>/dev/null || fusermount -uz "$at"; fi
"""
MOUNT = """\
key="$HOME/.x2go/ssh/key.z{agent}.{token}"
(umask 077; mkdir -p .x2go/ssh && cat >"$key" && cp "$key" "$key.2") || exit 1
export HOSTNAME
export X2GO_ICONV={options}
said=$(x2gomountdirs {kind} {session} {user} "$key" {argument} 2>&1)
case "$said" in *"insertion of "*)
    x2goumount-session {session} "$at" >/dev/null 2>&1
    mv -f "$key.2" "$key"
    said=$(x2gomountdirs {kind} {session} {user} "$key" {argument} 2>&1)
esac
rm -f "$key" "$key.2" "$key.ident"
if is_mounted; then echo mounted; exit 0; fi
printf '%s\\n' "$said"
tail -n 3 .x2go/C-{session}/sshfs-mounts.log 2>/dev/null
"""
UNMOUNT_ALL = """\
x2goumount-session {session} >/dev/null 2>&1
for place in {places}; do
    at="/tmp/.x2go-$USER/$place"
    if is_mounted; then fusermount -uz "$at"; fi
    if is_mounted; then echo "left $place"; fi
done
echo done
"""


class RunsCommands(Protocol):
    """Runs a command on the server, as a control session's `command` does."""

    def __call__(self, command: str, seconds: float = ..., max_bytes: int = ..., input: bytes = ...) -> Reply: ...


@dataclass(frozen=True)
class Share:
    """A folder that is shared: as here, what it is for, its name on the server, where it is mounted, its key."""

    local_path: str
    folder_type: str
    name: str
    place: str
    key: KeyPair


class FolderSharing:
    """The shared folders of one session, whose sshfs comes from the server's port `fs_port`.

    `command` runs commands on the server; without it they go through `transport`, too. `server_encoding` is that of
    the server's file names. Raises ValueError for a session name that is none.
    """

    def __init__(
        self,
        transport: paramiko.Transport,
        session_name: str,
        fs_port: int,
        agent_pid: int | str,
        command: RunsCommands | None = None,
        server_encoding: str = "UTF-8",
        logger: log.X2GoLogger | None = None,
        loglevel: int = log.LOGLEVEL_DEFAULT,
    ) -> None:
        if not SESSION_NAME.fullmatch(session_name):
            raise ValueError("this is no name of a session")
        self._session_name = session_name
        self._agent_pid = int(agent_pid)
        self._command = command or partial(run_remote, transport)
        self._options = mount_options(server_encoding)
        self._logger = log.logger_of(logger, loglevel, "sharing")
        self._server = SftpServer()
        self._tunnel = ReverseForward(transport, fs_port, self._server.serve)
        self._lock = threading.RLock()
        self._shares: dict[str, Share] = {}

    def start(self) -> None:
        """Make the tunnel, if it is not there yet. Raises X2GoRevFwTunnelException when the server refuses it."""
        with self._lock:
            self._tunnel.start()

    @property
    def shared(self) -> list[str]:
        """The local folders that are mounted on the server, as far as we know, in the order of sharing."""
        return [path for path, share in list(self._shares.items()) if self._server.is_used(share.key)]

    def mount_point(self, local_path: str) -> str:
        """Where a shared folder is mounted, below `/tmp/.x2go-<user>/` of the server. Raises KeyError."""
        return self._shares[_normal(local_path)].place

    def share(self, local_path: str | None, folder_type: str = DISK) -> bool:
        """Mount a local folder in the session, as one of FOLDER_TYPES; discs are read-only. True if it is mounted then.

        Raises X2GoRevFwTunnelException, X2GoControlSessionException, X2GoTimeOutException; ValueError for another type.
        """
        if folder_type not in FOLDER_TYPES:
            raise ValueError(f"{folder_type!r} is no type of folder; there are {', '.join(FOLDER_TYPES)}")
        if not isinstance(local_path, str) or not local_path:
            self._logger("no folder is shared: there is no name of one", log.LOGLEVEL_WARN)
            return False
        path = _normal(local_path)
        try:
            SharedFolder(path, "/").close()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            self._logger(f"folder {field(path, 200)} cannot be shared: {why}", log.LOGLEVEL_WARN)
            return False
        with self._lock:
            if path in self.shared:
                return True
            self.start()
            share = self._mounted(path, folder_type)
            if share is not None:
                self._shares[path] = share
            return share is not None

    def _mounted(self, path: str, folder_type: str) -> Share | None:
        """The folder, mounted under the first name that is free."""
        for number in range(1, MOST_NUMBERS + 1):
            name = server_name(path, folder_type, number)
            place = mount_place(name, folder_type, self._session_name)
            key = self._server.grant(partial(SharedFolder, path, name, folder_type == CDROM))
            said: list[str] = []
            try:
                reply = self._mount(name, folder_type, place, key)
                said = reply.output.split("\n")
            finally:
                self._server.revoke(key)
                if "mounted" not in said:
                    self._server.disconnect(key)
            if "mounted" in said:
                return Share(path, folder_type, name, place, key)
            if "taken" not in said:
                break
        why = "the names of user or home folder hold special characters" if "unsafe" in said else _reason(reply)
        self._logger(f"the server does not mount {field(path, 200)}: {why}", log.LOGLEVEL_WARN)
        return None

    def _mount(self, name: str, folder_type: str, place: str, key: KeyPair) -> Reply:
        """Have the server mount it. What an earlier connection left of a spool is taken away before."""
        values = self._values(place)
        script = HEAD.format(**values) + (UNMOUNT if folder_type in SPOOLS else FREE).format(**values)
        script += MOUNT.format(
            agent=self._agent_pid,
            token=secrets.token_hex(4),
            options=word(self._options),
            kind="rem" if folder_type in (REMOVABLE, CDROM) else "dir",
            user=USER,
            argument=word(mount_argument(name, folder_type, self._tunnel.port)),
            **values,
        )
        # the form of x2gomountdirs: the private key, this line whatever the type of the key is, the server's public key
        bundle = f"{key.private}----BEGIN RSA IDENTITY----{self._server.host_key}\n"
        return self._command(script, seconds=MOUNT_SECONDS, input=bundle.encode("ascii"))

    def _values(self, place: str) -> dict[str, Any]:
        return {"place": word(place), "session": word(self._session_name)}

    def unshare(self, local_path: str) -> bool:
        """Take one folder out of the session. True if it is not mounted any more; False for one that was not shared.

        Programs on the server that use it at that moment lose it. Raises X2GoControlSessionException,
        X2GoTimeOutException.
        """
        with self._lock:
            share = self._shares.get(_normal(local_path))
            if share is None:
                return False
            values = self._values(share.place)
            script = (HEAD + UNMOUNT + "is_mounted || echo gone\n").format(**values)
            reply = self._command(script, seconds=UNMOUNT_SECONDS)
            self._forget(share)
            return "gone" in reply.output.split("\n")

    def unshare_all(self, force_all: bool = False) -> bool:
        """Take all folders out of the session; with `force_all` the spools of printing and MIME box as well.

        True if none of them is mounted any more. Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        with self._lock:
            shares = list(self._shares.values())
            if not force_all:
                are_gone = [self.unshare(share.local_path) for share in shares if share.folder_type not in SPOOLS]
                return all(are_gone)
            places = " ".join(word(share.place) for share in shares)
            script = (HEAD + UNMOUNT_ALL).format(**self._values(""), places=places)
            reply = self._command(script, seconds=UNMOUNT_SECONDS)
            for share in shares:
                self._forget(share)
            said = reply.output.split("\n")
            return "done" in said and not any(line.startswith("left ") for line in said)

    def _forget(self, share: Share) -> None:
        self._server.disconnect(share.key)
        self._shares.pop(share.local_path, None)

    def stop(self) -> None:
        """Unmount everything and end the tunnel; nothing is left when this returns. Raises nothing, also offline."""
        with self._lock:
            try:
                if self._shares:
                    self.unshare_all(force_all=True)
            except (X2GoControlSessionException, X2GoTimeOutException) as error:
                # sshfs ends with its connection, and the mount with it
                self._logger(f"shared folders are not unmounted: {error}", log.LOGLEVEL_INFO)
            self._tunnel.stop()
            self._shares.clear()


def _normal(local_path: str) -> str:
    return os.path.abspath(os.path.expanduser(local_path))


def _reason(reply: Reply) -> str:
    """What the server said last."""
    lines = [line for line in f"{reply.errors}\n{reply.output}".split("\n") if line.strip()]
    return field(" / ".join(lines[-3:]), 400) if lines else "it said nothing"
