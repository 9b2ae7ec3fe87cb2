"""Local folders in a session, and which session of a connection has them: the master session."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from x2gobroker.x2go.errors import (
    SSHException,
    X2GoControlSessionException,
    X2GoException,
    X2GoProfileException,
    X2GoSessionException,
    X2GoUserException,
)
from x2gobroker.x2go.log import LOGLEVEL_INFO, LOGLEVEL_NOTICE, LOGLEVEL_WARN
from x2gobroker.x2go.session.status import SessionStatus
from x2gobroker.x2go.terminal import X2GoTerminalSession

NEW, MOUNTED, UNMOUNTED = "new", "mounted", "unmounted"
SHARED = (NEW, MOUNTED)
POLL_SECONDS = 0.1


class SessionMaster(SessionStatus):
    """Sharing local folders."""

    _SUPPORTED_FOLDERSHARING = True

    def is_master_session(self) -> bool:
        """Whether this session has the local folders: the first of its connection; always without a client."""
        if self.master_session is None and self.client_instance is None:
            return True
        return bool(self.master_session)

    def set_master_session(self, wait: float = 0, max_wait: float = 20) -> None:
        """Make this the session with the local folders. They are shared in the background.

        That begins as soon as the session is shown here (`max_wait` seconds at most) and `wait` seconds have passed.
        """
        self.logger(f"session {self.session_name} has the folders of {self.profile_name!r} now", LOGLEVEL_NOTICE)
        self.master_session = True
        exports = self._profile_exports()
        if exports is not None:
            self.share_local_folders = [path for path, shared in exports.items() if shared]
        if self.share_local_folders or self._restored_folders:
            self._jobs.spawn("share-folders", lambda: self._share_when_shown(wait, max_wait))

    def _share_when_shown(self, wait: float, max_wait: float) -> None:
        waited = 0.0
        while not self.has_terminal_session() and waited < max_wait:
            if self._jobs.stopping.wait(POLL_SECONDS):
                return
            waited += POLL_SECONDS
        if not self._jobs.stopping.wait(wait):
            self.share_all_local_folders(update_exported_folders=False)

    def unset_master_session(self) -> None:
        """Let this session have the local folders no longer."""
        self._unshare_quietly()
        self.master_session = False

    def _before_disconnect(self) -> None:
        self._unshare_quietly()
        self.master_session = None if self.client_instance is None else False

    def _unshare_quietly(self) -> None:
        """Take the folders back as far as that is possible; what is shown here may be ending already."""
        if self.terminal_session is None or not self.shared_folders or not self.is_connected():
            return
        try:
            self.unshare_all_local_folders(update_exported_folders=False)
        except (X2GoException, SSHException, OSError) as error:
            self.logger(f"the folders of session {self.session_name} stay mounted: {error}", LOGLEVEL_WARN)

    def is_folder_sharing_available(self) -> bool:
        """Whether local folders can be shared: the session allows it, and so does the server."""
        if not (self._SUPPORTED_FOLDERSHARING and self.allow_share_local_folders):
            self.logger("sharing local folders is switched off for this session", LOGLEVEL_INFO)
            return False
        return self.is_connected() and bool(self._control().is_sshfs_available())

    def _terminal(self) -> Any:
        """What shows the session. Raises X2GoSessionException when nothing does."""
        if self.terminal_session is None:
            raise X2GoSessionException("this session is not shown here: start or resume it first")
        return self.terminal_session

    def share_local_folder(
        self, local_path: str | None = None, folder_name: str | None = None, update_exported_folders: bool = True
    ) -> bool:
        """Mount a local folder in the session; `folder_name` is another word for `local_path`. Returns success.

        Only the master session takes folders. With `update_exported_folders` the profile's option `export` follows.
        Raises X2GoSessionException when the session is not shown here.
        """
        path = str(folder_name or local_path or "")
        terminal = self._terminal()
        if not path or not self.is_master_session() or not self.is_folder_sharing_available():
            return False
        before = self.shared_folders.get(path)
        self.shared_folders[path] = {"status": NEW if before is None else MOUNTED, "mountpoint": ""}
        shared = False
        try:
            shared = bool(terminal.share_local_folder(local_path=path))
        except X2GoControlSessionException:
            self._still_connected()
            return False
        finally:
            if not shared and before is None:
                self.shared_folders.pop(path, None)
            elif not shared:
                self.shared_folders[path]["status"] = UNMOUNTED
        self._remember({path: shared}, update_exported_folders)
        return shared

    def share_all_local_folders(self, update_exported_folders: bool = True) -> bool:
        """Mount all folders that the session is configured with. Returns whether all are mounted."""
        folders = self._folders_to_share()
        if not (self.running and folders and self.allow_share_local_folders and self.has_terminal_session()):
            return False
        if self.faulty or not self.is_master_session():
            return False
        if not self.is_folder_sharing_available():
            self.HOOK_foldersharing_not_available()
            return False
        done = True
        for path in folders:
            try:
                done = self.share_local_folder(path, update_exported_folders=False) and done
            except (X2GoUserException, X2GoSessionException) as error:
                done = False
                self.logger(f"folder {path!r} is not shared: {error}", LOGLEVEL_WARN)
        self._remember({}, update_exported_folders)
        return done

    def _folders_to_share(self) -> list[str]:
        """Those of the configuration, but for those that were unshared later; and those shared later."""
        kept = [path for path in self.share_local_folders if self._restored_folders.get(path, True)]
        return kept + [path for path, shared in self._restored_folders.items() if shared and path not in kept]

    def unshare_local_folder(self, local_path: str | None = None, update_exported_folders: bool = True) -> bool:
        """Unmount a folder. Returns success. Raises X2GoSessionException when the session is not shown here."""
        path = str(local_path or "")
        terminal = self._terminal()
        if path not in self.shared_folders or not self.is_master_session():
            return False
        done = bool(terminal.unshare_local_folder(local_path=path))
        self.shared_folders[path]["status"] = UNMOUNTED if done else MOUNTED
        if done:
            self._remember({path: False}, update_exported_folders)
        return done

    def unshare_all_local_folders(self, force_all: bool = False, update_exported_folders: bool = True) -> bool:
        """Unmount all folders; with `force_all` also those for print jobs and the MIME box. Returns success.

        Raises X2GoSessionException when the session is not shown here.
        """
        terminal = self._terminal()
        if not self.is_master_session():
            return False
        if force_all:
            done = bool(terminal.unshare_all_local_folders())
            if done:
                self.shared_folders.clear()
            return done
        mounted = [path for path, folder in self.shared_folders.items() if folder["status"] in SHARED]
        results = [self.unshare_local_folder(path, update_exported_folders) for path in mounted]
        return all(results)

    def get_shared_folders(self, check_list_mounts: bool = False, mounts: Any = None) -> list[str]:
        """The local folders that are mounted in the session.

        With `check_list_mounts` compared with what the server has mounted: `mounts`, as `list_mounts` gives them, or
        by session name; else the server is asked.
        """
        if check_list_mounts and self.shared_folders and self.terminal_session is not None:
            listed = self.list_mounts() if mounts is None else mounts
            if isinstance(listed, Mapping):
                listed = listed.get(self.session_name, ())
            self._compare(self.terminal_session, self._mounted(listed or ()))
        return [path for path, folder in self.shared_folders.items() if folder["status"] in SHARED]

    def _mounted(self, mounts: Iterable[str]) -> set[str]:
        """The last parts of the mount points that lines of x2golistmounts name."""
        return {line.rstrip("/").rpartition("/")[2] for line in mounts if line.strip()}

    def _compare(self, terminal: X2GoTerminalSession, mounted: set[str]) -> None:
        for path, folder in self.shared_folders.items():
            folder["mountpoint"] = _mount_name(terminal, path)
            if folder["mountpoint"] in mounted:
                folder["status"] = MOUNTED
            elif folder["status"] == MOUNTED:
                self.logger(f"the server has unmounted {path!r}", LOGLEVEL_INFO)
                folder["status"] = UNMOUNTED
                self._remember({path: False}, False)

    def _remember(self, changes: Mapping[str, bool], update_exported_folders: bool) -> None:
        """Note which folders are to come back in the next session, and store that in the profile."""
        if not self.restore_shared_local_folders:
            return
        self._restored_folders.update(changes)
        if not update_exported_folders or self.client_instance is None:
            return
        try:
            self.client_instance.set_profile_config(self.profile_name, "export", dict(self._restored_folders))
        except X2GoProfileException as error:
            self.logger(f"the shared folders are not stored: {error}", LOGLEVEL_WARN)

    def _profile_exports(self) -> dict[str, bool] | None:
        """The folders that the client's profile names; None when there is no such profile."""
        if self.client_instance is None:
            return None
        try:
            return dict(self.client_instance.get_profile_config(self.profile_name, "export"))
        except X2GoProfileException:
            return None

    def _load_restored_folders(self) -> None:
        if self.restore_shared_local_folders:
            self._restored_folders = self._profile_exports() or {}

    def _share_in_background(self) -> threading.Thread | None:
        """Share the folders of a session that has just been started or resumed, when no registry does that."""
        if self.client_instance is not None or not self.allow_share_local_folders or not self._folders_to_share():
            return None
        return self._jobs.spawn("share-folders", lambda: self.share_all_local_folders(update_exported_folders=False))


def _mount_name(terminal: X2GoTerminalSession, path: str) -> str:
    """The last part of the server's mount point for a local folder; empty when it is not mounted."""
    try:
        return terminal.sharing.mount_point(path).rpartition("/")[2] if terminal.sharing is not None else ""
    except KeyError:
        return ""
