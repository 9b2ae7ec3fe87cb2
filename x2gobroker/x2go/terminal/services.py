"""Sound, local folders, printing and the MIME box of a session."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

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
from x2gobroker.x2go.log import LOGLEVEL_WARN
from x2gobroker.x2go.mimebox.queue import X2GoMIMEboxQueue
from x2gobroker.x2go.printing.queue import X2GoPrintQueue
from x2gobroker.x2go.sound.playing import Sound
from x2gobroker.x2go.terminal.base import TerminalBase
from x2gobroker.x2go.texts import printable


class TerminalServices(TerminalBase):
    """The part of a terminal session that gives local things to it."""

    sound: Sound | None = None
    sharing: FolderSharing | None = None
    print_queue: X2GoPrintQueue | None = None
    mimebox_queue: X2GoMIMEboxQueue | None = None

    # ------------------------------------------------------------ sound

    def start_sound(self) -> None:
        """Let the session play on this client. Raises X2GoRevFwTunnelException when the server refuses the tunnel."""
        with self._services:
            if self.sound is not None:
                return
            sound = Sound(
                self.control_session,
                self.session_info,
                snd_system=self.params.snd_system,
                snd_port=self.snd_port,
                client_instance=self.client_instance,
                profile_name=self.profile_name,
                logger=self.logger,
            )
            try:
                sound.start()
            except X2GoRevFwTunnelException:
                self._call_hook(
                    self.session_instance, "HOOK_rforward_request_denied", server_port=self.session_info.snd_port
                )
                raise
            self.sound = sound

    def stop_sound(self) -> None:
        """End the tunnel for sound."""
        with self._services:
            sound, self.sound = self.sound, None
        if sound is not None:
            sound.stop()

    # ------------------------------------------------------------ folders

    def start_sshfs(self) -> None:
        """Make the tunnel for local folders.

        Raises X2GoUserException when the user cannot mount on the server, X2GoRevFwTunnelException when the server
        refuses the tunnel, X2GoControlSessionException, X2GoTimeOutException.
        """
        with self._services:
            if self.sharing is not None:
                return
            self._must_have_sshfs("share local folders with the server")
            transport = self.control_session.get_transport()
            if transport is None:
                raise X2GoRevFwTunnelException("the SSH connection to the server has ended; connect again")
            sharing = FolderSharing(
                transport,
                self.session_info.name,
                self.session_info.sshfs_port,
                self.session_info.agent_pid,
                command=self.control_session.command,
                server_encoding=self.params.server_encoding if self.params.convert_encoding else "UTF-8",
                logger=self.logger,
            )
            try:
                sharing.start()
            except X2GoRevFwTunnelException:
                sharing.stop()
                self._call_hook(
                    self.session_instance, "HOOK_rforward_request_denied", server_port=self.session_info.sshfs_port
                )
                raise
            self.sharing = sharing

    def _must_have_sshfs(self, what: str) -> None:
        if not self.control_session.is_sshfs_available():
            raise X2GoUserException(
                f"the user {self.control_session.remote_username()} may not {what}: sshfs cannot be used there"
            )

    def stop_sshfs(self) -> None:
        """Unmount all local folders, and end the tunnel for them."""
        with self._services:
            sharing, self.sharing = self.sharing, None
        if sharing is not None:
            sharing.stop()

    def share_local_folder(self, local_path: str | None = None, folder_type: str = DISK) -> bool:
        """Mount a local folder in the session; whether that worked.

        `folder_type` is disk, rm (removable), cdrom (which is read-only), spool or mimebox. Raises what `start_sshfs`
        raises.
        """
        if not isinstance(local_path, str) or not local_path:
            self.logger("no folder was named that is to be shared", LOGLEVEL_WARN)
            return False
        if not os.path.isdir(local_path):
            self.logger(f"the local folder {printable(local_path, 200)} does not exist", LOGLEVEL_WARN)
            return False
        self.start_sshfs()
        sharing = self.sharing
        return sharing is not None and sharing.share(local_path, folder_type)

    def unshare_local_folder(self, local_path: str) -> bool:
        """Unmount one local folder; whether that worked. Raises X2GoControlSessionException, X2GoTimeOutException."""
        sharing = self.sharing
        return sharing is not None and sharing.unshare(local_path)

    def unshare_all_local_folders(self, force_all: bool = True) -> bool:
        """Unmount all local folders, by default also those for printing and the MIME box; whether that worked.

        Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        sharing = self.sharing
        return sharing is None or sharing.unshare_all(force_all)

    # ------------------------------------------------------------ printing and MIME box

    def _spool_folder(self, kind: str) -> str:
        return os.path.join(self.session_info.local_container, kind)

    def start_printing(self) -> None:
        """Take print jobs from the session.

        Raises X2GoPrintQueueException when the folder for them cannot be used, and what `start_sshfs` raises.
        """
        self._must_have_sshfs("print on this client")
        with self._services:
            folder = self._shared_spool(SPOOL, X2GoPrintQueueException)
            if self.print_queue is not None:
                self.print_queue.resume()
                return
            self.print_queue = X2GoPrintQueue(
                profile_name=self.profile_name,
                session_name=self.session_info.name,
                spool_dir=folder,
                print_action=self.print_action,
                print_action_args=self.print_action_args,
                client_instance=self.client_instance,
                printing_backend=self.printing_backend,
                logger=self.logger,
            )
            self.print_queue.start()

    def _shared_spool(self, kind: str, fault: type[X2GoPrintQueueException | X2GoMIMEboxQueueException]) -> str:
        folder = self._spool_folder(kind)
        try:
            private_folder(folder)
        except X2GoProxyException as error:
            raise fault(str(error)) from None
        if not self.share_local_folder(folder, kind):
            raise fault(f"the server does not mount {printable(folder, 200)}")
        return folder

    def set_print_action(self, print_action: Any, **kwargs: Any) -> None:
        """What is done with the next print jobs: a name or object. Raises X2GoPrintActionException."""
        self.print_action, self.print_action_args = print_action, kwargs
        if self.print_queue is not None:
            self.print_queue.set_print_action(print_action, **kwargs)

    def stop_printing(self) -> None:
        """Take no print jobs for now."""
        if self.print_queue is not None:
            self.print_queue.pause()

    def get_printing_spooldir(self) -> str:
        """The folder on the server that print jobs are put into."""
        return f"{self.session_info.remote_container}/{SPOOL}"

    def start_mimebox(self, mimebox_extensions: Sequence[str] = (), mimebox_action: Any = None) -> None:
        """Take files from the session that are to be opened here.

        `mimebox_extensions` are those of files that may be; none: those of documents. Programs and what starts them
        never are. Raises X2GoMIMEboxQueueException when the
        folder for them cannot be used, and what `start_sshfs` raises.
        """
        self._must_have_sshfs("use the MIME box")
        with self._services:
            folder = self._shared_spool(MIMEBOX, X2GoMIMEboxQueueException)
            if self.mimebox_queue is not None:
                self.mimebox_queue.resume()
                return
            self.mimebox_queue = X2GoMIMEboxQueue(
                profile_name=self.profile_name,
                session_name=self.session_info.name,
                mimebox_dir=folder,
                mimebox_extensions=mimebox_extensions,
                mimebox_action=mimebox_action,
                client_instance=self.client_instance,
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
        return f"{self.session_info.remote_container}/{MIMEBOX}"

    def _end_services(self) -> None:
        """End all of them; nothing is left."""
        with self._services:
            queues = (self.print_queue, self.mimebox_queue)
            self.print_queue = self.mimebox_queue = None
        for queue in queues:
            if queue is not None:
                queue.stop_thread()
        for stop in (self.stop_sound, self.stop_sshfs):
            try:
                stop()
            except (X2GoFwTunnelException, X2GoRevFwTunnelException, OSError) as error:
                self.logger(f"ending a service of session {self.session_info.name}: {printable(str(error), 200)}")
