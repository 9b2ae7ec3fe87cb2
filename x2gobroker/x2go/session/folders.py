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
from x2gobroker.x2go.log import LOGLEVEL_INFO, LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.session.whole import Whole
from x2gobroker.x2go.terminal import X2GoTerminalSession
from x2gobroker.x2go.weak import Weak

NEW, MOUNTED, UNMOUNTED = "new", "mounted", "unmounted"
SHARED = (NEW, MOUNTED)
POLL_SECONDS = 0.1


class Folders:
    """The part of a session that shares local folders. `restored`: those that are to come back, and whether shared."""

    _session = Weak[Whole]()

    def __init__(self, session: Whole) -> None:
        self._session = session
        self.restored: dict[str, bool] = {}

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._session.logger

    def is_master_session(self) -> bool:
        """Whether this session has the local folders: the first of its connection; always without a client."""
        if self._session.master_session is None and self._session.client_instance is None:
            return True
        return bool(self._session.master_session)

    def set_master_session(self, wait: float = 0, max_wait: float = 20) -> None:
        """Make this the session with the local folders. They are shared in the background."""
        self.logger(
            f"session {self._session.session_name} has the folders of {self._session.profile_name!r} now",
            LOGLEVEL_NOTICE,
        )
        self._session.master_session = True
        exports = self._profile_exports()
        if exports is not None:
            self._session.share_local_folders = [path for path, shared in exports.items() if shared]
        if self._session.share_local_folders or self.restored:
            session = self._session  # which stays while this goes on
            session._jobs.spawn("share-folders", lambda: self._share_when_shown(session, wait, max_wait))

    def _share_when_shown(self, session: Whole, wait: float, max_wait: float) -> None:
        waited = 0.0
        while not session.has_terminal_session() and waited < max_wait:
            if session._jobs.stopping.wait(POLL_SECONDS):
                return
            waited += POLL_SECONDS
        if not session._jobs.stopping.wait(wait):
            session.share_all_local_folders(update_exported_folders=False)

    def unset_master_session(self) -> None:
        """Let this session have the local folders no longer."""
        self._unshare_quietly()
        self._session.master_session = False

    def leave(self) -> None:
        self._unshare_quietly()
        self._session.master_session = None if self._session.client_instance is None else False

    def _unshare_quietly(self) -> None:
        """Take the folders back as far as that is possible; what is shown here may be ending already."""
        if (
            self._session.terminal_session is None
            or not self._session.shared_folders
            or not self._session.is_connected()
        ):
            return
        try:
            self._session.unshare_all_local_folders(update_exported_folders=False)
        except (X2GoException, SSHException, OSError) as error:
            self.logger(f"the folders of session {self._session.session_name} stay mounted: {error}", LOGLEVEL_WARN)

    def is_folder_sharing_available(self) -> bool:
        """Whether local folders can be shared: the session allows it, and so does the server."""
        if not (self._session._SUPPORTED_FOLDERSHARING and self._session.allow_share_local_folders):
            self.logger("sharing local folders is switched off for this session", LOGLEVEL_INFO)
            return False
        return self._session.is_connected() and bool(self._session._control().is_sshfs_available())

    def _terminal(self) -> Any:
        """What shows the session. Raises X2GoSessionException when nothing does."""
        if self._session.terminal_session is None:
            raise X2GoSessionException("this session is not shown here: start or resume it first")
        return self._session.terminal_session

    def share_local_folder(
        self, local_path: str | None = None, folder_name: str | None = None, update_exported_folders: bool = True
    ) -> bool:
        """Mount a local folder in the session; `folder_name` is another word for `local_path`. Returns success."""
        path = str(folder_name or local_path or "")
        terminal = self._terminal()
        if not path or not self._session.is_master_session() or not self._session.is_folder_sharing_available():
            return False
        before = self._session.shared_folders.get(path)
        self._session.shared_folders[path] = {"status": NEW if before is None else MOUNTED, "mountpoint": ""}
        shared = False
        try:
            shared = bool(terminal.share_local_folder(local_path=path))
        except X2GoControlSessionException:
            self._session._still_connected()
            return False
        finally:
            if not shared and before is None:
                self._session.shared_folders.pop(path, None)
            elif not shared:
                self._session.shared_folders[path]["status"] = UNMOUNTED
        self._remember({path: shared}, update_exported_folders)
        return shared

    def share_all_local_folders(self, update_exported_folders: bool = True) -> bool:
        """Mount all folders that the session is configured with. Returns whether all are mounted."""
        folders = self._folders_to_share()
        if not (
            self._session.running
            and folders
            and self._session.allow_share_local_folders
            and self._session.has_terminal_session()
        ):
            return False
        if self._session.faulty or not self._session.is_master_session():
            return False
        if not self._session.is_folder_sharing_available():
            self._session._hooks.HOOK_foldersharing_not_available()
            return False
        done = True
        for path in folders:
            try:
                done = self._session.share_local_folder(path, update_exported_folders=False) and done
            except (X2GoUserException, X2GoSessionException) as error:
                done = False
                self.logger(f"folder {path!r} is not shared: {error}", LOGLEVEL_WARN)
        self._remember({}, update_exported_folders)
        return done

    def _folders_to_share(self) -> list[str]:
        """Those of the configuration, but for those that were unshared later; and those shared later."""
        kept = [path for path in self._session.share_local_folders if self.restored.get(path, True)]
        return kept + [path for path, shared in self.restored.items() if shared and path not in kept]

    def unshare_local_folder(self, local_path: str | None = None, update_exported_folders: bool = True) -> bool:
        """Unmount a folder. Returns success. Raises X2GoSessionException when the session is not shown here."""
        path = str(local_path or "")
        terminal = self._terminal()
        if path not in self._session.shared_folders or not self._session.is_master_session():
            return False
        done = bool(terminal.unshare_local_folder(local_path=path))
        self._session.shared_folders[path]["status"] = UNMOUNTED if done else MOUNTED
        if done:
            self._remember({path: False}, update_exported_folders)
        return done

    def unshare_all_local_folders(self, force_all: bool = False, update_exported_folders: bool = True) -> bool:
        """Unmount all folders; with `force_all` also those for print jobs and the MIME box. Returns success."""
        terminal = self._terminal()
        if not self._session.is_master_session():
            return False
        if force_all:
            done = bool(terminal.unshare_all_local_folders())
            if done:
                self._session.shared_folders.clear()
            return done
        mounted = [path for path, folder in self._session.shared_folders.items() if folder["status"] in SHARED]
        results = [self._session.unshare_local_folder(path, update_exported_folders) for path in mounted]
        return all(results)

    def get_shared_folders(self, check_list_mounts: bool = False, mounts: Any = None) -> list[str]:
        """The local folders that are mounted in the session."""
        if check_list_mounts and self._session.shared_folders and self._session.terminal_session is not None:
            listed = self._session.list_mounts() if mounts is None else mounts
            if isinstance(listed, Mapping):
                listed = listed.get(self._session.session_name, ())
            self._compare(self._session.terminal_session, self._mounted(listed or ()))
        return [path for path, folder in self._session.shared_folders.items() if folder["status"] in SHARED]

    def _mounted(self, mounts: Iterable[str]) -> set[str]:
        """The last parts of the mount points that lines of x2golistmounts name."""
        return {line.rstrip("/").rpartition("/")[2] for line in mounts if line.strip()}

    def _compare(self, terminal: X2GoTerminalSession, mounted: set[str]) -> None:
        for path, folder in self._session.shared_folders.items():
            folder["mountpoint"] = _mount_name(terminal, path)
            if folder["mountpoint"] in mounted:
                folder["status"] = MOUNTED
            elif folder["status"] == MOUNTED:
                self.logger(f"the server has unmounted {path!r}", LOGLEVEL_INFO)
                folder["status"] = UNMOUNTED
                self._remember({path: False}, False)

    def _remember(self, changes: Mapping[str, bool], update_exported_folders: bool) -> None:
        """Note which folders are to come back in the next session, and store that in the profile."""
        if not self._session.restore_shared_local_folders:
            return
        self.restored.update(changes)
        if not update_exported_folders or self._session.client_instance is None:
            return
        try:
            self._session.client_instance.set_profile_config(self._session.profile_name, "export", dict(self.restored))
        except X2GoProfileException as error:
            self.logger(f"the shared folders are not stored: {error}", LOGLEVEL_WARN)

    def _profile_exports(self) -> dict[str, bool] | None:
        """The folders that the client's profile names; None when there is no such profile."""
        if self._session.client_instance is None:
            return None
        try:
            return dict(self._session.client_instance.get_profile_config(self._session.profile_name, "export"))
        except X2GoProfileException:
            return None

    def load(self) -> None:
        if self._session.restore_shared_local_folders:
            self.restored = self._profile_exports() or {}

    def share_in_background(self) -> threading.Thread | None:
        """Share the folders of a session that has just been started or resumed, when no registry does that."""
        if (
            self._session.client_instance is not None
            or not self._session.allow_share_local_folders
            or not self._folders_to_share()
        ):
            return None
        session = self._session  # which stays while this goes on
        return session._jobs.spawn(
            "share-folders", lambda: session.share_all_local_folders(update_exported_folders=False)
        )


def _mount_name(terminal: X2GoTerminalSession, path: str) -> str:
    """The last part of the server's mount point for a local folder; empty when it is not mounted."""
    try:
        return terminal.sharing.mount_point(path).rpartition("/")[2] if terminal.sharing is not None else ""
    except KeyError:
        return ""
