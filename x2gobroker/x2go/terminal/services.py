"""Sound, local folders, printing and the MIME box of a session."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from x2gobroker.x2go.display.proxy import private_folder
from x2gobroker.x2go.errors import (
    X2GoFwTunnelException,
    X2GoMIMEboxQueueException,
    X2GoPrintQueueException,
    X2GoProxyException,
    X2GoRevFwTunnelException,
    X2GoUserException,
)
from x2gobroker.x2go.folders.sharing import DISK, MIMEBOX, SPOOL, FolderSharing
from x2gobroker.x2go.hooks import call_hook
from x2gobroker.x2go.log import LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.mimebox.queue import X2GoMIMEboxQueue
from x2gobroker.x2go.printing.queue import X2GoPrintQueue
from x2gobroker.x2go.sound.playing import Sound
from x2gobroker.x2go.terminal.server import Server
from x2gobroker.x2go.texts import printable
from x2gobroker.x2go.weak import Weak
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.params import X2GoSessionParams


class Served(Protocol):
    """What services need of the session that they are for."""

    logger: X2GoLogger
    control_session: Server
    session_info: X2GoServerSessionInfo
    params: X2GoSessionParams
    profile_name: str
    client_instance: Any
    session_instance: Any
    snd_port: int
    print_action: Any
    print_action_args: dict[str, Any]
    printing_backend: Any

    def share_local_folder(self, local_path: str, folder_type: str) -> bool:
        """Mount a local folder in the session; whether that worked."""

    def start_sshfs(self) -> None:
        """Make the tunnel for local folders."""

    def stop_sound(self) -> None:
        """End the tunnel for sound."""

    def stop_sshfs(self) -> None:
        """Unmount all local folders, and end the tunnel for them."""


class Services:
    """The part of a terminal session that gives local things to it."""

    _terminal = Weak[Served]()

    def __init__(self, terminal: Served) -> None:
        self._terminal = terminal
        self._services = threading.RLock()
        self.sound: Sound | None = None
        self.sharing: FolderSharing | None = None
        self.print_queue: X2GoPrintQueue | None = None
        self.mimebox_queue: X2GoMIMEboxQueue | None = None

    @property
    def _info(self) -> X2GoServerSessionInfo:
        return self._terminal.session_info

    @property
    def _server(self) -> Server:
        return self._terminal.control_session

    @property
    def _params(self) -> X2GoSessionParams:
        return self._terminal.params

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._terminal.logger

    def start_sound(self) -> None:
        """Let the session play on this client. Raises X2GoRevFwTunnelException when the server refuses the tunnel."""
        with self._services:
            if self.sound is not None:
                return
            sound = Sound(
                self._server,
                self._info,
                snd_system=self._params.snd_system,
                snd_port=self._terminal.snd_port,
                client_instance=self._terminal.client_instance,
                profile_name=self._terminal.profile_name,
                logger=self.logger,
            )
            try:
                sound.start()
            except X2GoRevFwTunnelException:
                self._denied(self._info.snd_port)
                raise
            self.sound = sound

    def stop_sound(self) -> None:
        """End the tunnel for sound."""
        with self._services:
            sound, self.sound = self.sound, None
        if sound is not None:
            sound.stop()

    def start_sshfs(self) -> None:
        """Make the tunnel for local folders."""
        with self._services:
            if self.sharing is not None:
                return
            self._must_have_sshfs("share local folders with the server")
            transport = self._server.get_transport()
            if transport is None:
                raise X2GoRevFwTunnelException("the SSH connection to the server has ended; connect again")
            sharing = FolderSharing(
                transport,
                self._info.name,
                self._info.sshfs_port,
                self._info.agent_pid,
                command=self._server.command,
                server_encoding=self._params.server_encoding if self._params.convert_encoding else "UTF-8",
                logger=self.logger,
            )
            try:
                sharing.start()
            except X2GoRevFwTunnelException:
                sharing.stop()
                self._denied(self._info.sshfs_port)
                raise
            self.sharing = sharing

    def _denied(self, port: int) -> None:
        """Tell that the server refuses a tunnel."""
        call_hook(self.logger, self._terminal.session_instance, "HOOK_rforward_request_denied", server_port=port)

    def _must_have_sshfs(self, what: str) -> None:
        if not self._server.is_sshfs_available():
            raise X2GoUserException(
                f"the user {self._server.remote_username()} may not {what}: sshfs cannot be used there"
            )

    def stop_sshfs(self) -> None:
        """Unmount all local folders, and end the tunnel for them."""
        with self._services:
            sharing, self.sharing = self.sharing, None
        if sharing is not None:
            sharing.stop()

    def share_local_folder(self, local_path: str | None = None, folder_type: str = DISK) -> bool:
        """Mount a local folder in the session; whether that worked."""
        if not isinstance(local_path, str) or not local_path:
            self.logger("no folder was named that is to be shared", LOGLEVEL_WARN)
            return False
        if not os.path.isdir(local_path):
            self.logger(f"the local folder {printable(local_path, 200)} does not exist", LOGLEVEL_WARN)
            return False
        self._terminal.start_sshfs()
        sharing = self.sharing
        return sharing is not None and sharing.share(local_path, folder_type)

    def unshare_local_folder(self, local_path: str) -> bool:
        """Unmount one local folder; whether that worked. Raises X2GoControlSessionException, X2GoTimeOutException."""
        sharing = self.sharing
        return sharing is not None and sharing.unshare(local_path)

    def unshare_all_local_folders(self, force_all: bool = True) -> bool:
        """Unmount all local folders, by default also those for printing and the MIME box; whether that worked."""
        sharing = self.sharing
        return sharing is None or sharing.unshare_all(force_all)

    def _spool_folder(self, kind: str) -> str:
        return os.path.join(self._info.local_container, kind)

    def start_printing(self) -> None:
        """Take print jobs from the session."""
        self._must_have_sshfs("print on this client")
        with self._services:
            folder = self._shared_spool(SPOOL, X2GoPrintQueueException)
            if self.print_queue is not None:
                self.print_queue.resume()
                return
            self.print_queue = X2GoPrintQueue(
                profile_name=self._terminal.profile_name,
                session_name=self._info.name,
                spool_dir=folder,
                print_action=self._terminal.print_action,
                print_action_args=self._terminal.print_action_args,
                client_instance=self._terminal.client_instance,
                printing_backend=self._terminal.printing_backend,
                logger=self.logger,
            )
            self.print_queue.start()

    def _shared_spool(self, kind: str, fault: type[X2GoPrintQueueException | X2GoMIMEboxQueueException]) -> str:
        folder = self._spool_folder(kind)
        try:
            private_folder(folder)
        except X2GoProxyException as error:
            raise fault(str(error)) from None
        if not self._terminal.share_local_folder(folder, kind):
            raise fault(f"the server does not mount {printable(folder, 200)}")
        return folder

    def set_print_action(self, print_action: Any, **kwargs: Any) -> None:
        """What is done with the next print jobs: a name or object. Raises X2GoPrintActionException."""
        self._terminal.print_action, self._terminal.print_action_args = print_action, kwargs
        if self.print_queue is not None:
            self.print_queue.set_print_action(print_action, **kwargs)

    def stop_printing(self) -> None:
        """Take no print jobs for now."""
        if self.print_queue is not None:
            self.print_queue.pause()

    def get_printing_spooldir(self) -> str:
        """The folder on the server that print jobs are put into."""
        return f"{self._info.remote_container}/{SPOOL}"

    def start_mimebox(self, mimebox_extensions: Sequence[str] = (), mimebox_action: Any = None) -> None:
        """Take files from the session that are to be opened here."""
        self._must_have_sshfs("use the MIME box")
        with self._services:
            folder = self._shared_spool(MIMEBOX, X2GoMIMEboxQueueException)
            if self.mimebox_queue is not None:
                self.mimebox_queue.resume()
                return
            self.mimebox_queue = X2GoMIMEboxQueue(
                profile_name=self._terminal.profile_name,
                session_name=self._info.name,
                mimebox_dir=folder,
                mimebox_extensions=mimebox_extensions,
                mimebox_action=mimebox_action,
                client_instance=self._terminal.client_instance,
                logger=self.logger,
            )
            self.mimebox_queue.start()

    def set_mimebox_action(self, mimebox_action: Any, **kwargs: Any) -> None:
        """What is done with the next files: a name or object. Raises X2GoMIMEboxActionException."""
        if self.mimebox_queue is not None:
            self.mimebox_queue.set_mimebox_action(mimebox_action, **kwargs)

    def stop_mimebox(self) -> None:
        """Take no files for now."""
        if self.mimebox_queue is not None:
            self.mimebox_queue.pause()

    def get_mimebox_spooldir(self) -> str:
        """The folder on the server that files to be opened are put into."""
        return f"{self._info.remote_container}/{MIMEBOX}"

    def end(self) -> None:
        """End all of them; nothing is left."""
        with self._services:
            queues = (self.print_queue, self.mimebox_queue)
            self.print_queue = self.mimebox_queue = None
        for queue in queues:
            if queue is not None:
                queue.stop_thread()
        for stop in (self._terminal.stop_sound, self._terminal.stop_sshfs):
            try:
                stop()
            except (X2GoFwTunnelException, X2GoRevFwTunnelException, OSError) as error:
                self.logger(f"ending a service of session {self._info.name}: {printable(str(error), 200)}")
