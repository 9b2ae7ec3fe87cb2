"""Local folders of sessions: sharing, unsharing, the master session, folders that come back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.processes import wait_until
from tests.support.x2go_clients import new_server, scripted_control, scripted_session, scripted_terminal
from tests.support.x2go_scripted import ScriptedServer
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoSessionException, X2GoUserException
from x2gobroker.x2go.session import X2GoSession


@pytest.fixture
def server() -> ScriptedServer:
    return new_server()


def started(**parameters: Any) -> X2GoSession:
    session = scripted_session(**{"allow_share_local_folders": True, **parameters})
    session.connect("anna", "pw")
    assert session.start() is True
    return session


def test_folders_come_and_go(server: ScriptedServer) -> None:
    session = started()
    assert session.is_folder_sharing_available() is session.is_master_session() is True
    assert session.share_local_folder("/a") is True
    assert session.share_local_folder(folder_name="/b") is True
    assert session.share_local_folder("/refused") is False
    assert session.get_shared_folders() == ["/a", "/b"]
    assert session.unshare_local_folder("/a") is True
    assert session.unshare_local_folder("/never") is False
    assert session.get_shared_folders() == ["/b"]
    assert session.share_local_folder("/a") is True
    assert session.unshare_all_local_folders() is True
    assert session.get_shared_folders() == []


def test_a_folder_in_use_stays(server: ScriptedServer) -> None:
    session = started()
    session.share_local_folder("/busy")
    session.share_local_folder("/a")
    assert session.unshare_local_folder("/busy") is False
    assert session.unshare_all_local_folders() is False
    assert session.get_shared_folders() == ["/busy"]
    assert session.unshare_all_local_folders(force_all=True) is True
    assert session.get_shared_folders() == []


@pytest.mark.parametrize("call", ["share_local_folder", "unshare_local_folder", "unshare_all_local_folders"])
def test_a_session_that_is_not_shown_has_no_folders(server: ScriptedServer, call: str) -> None:
    session = scripted_session(allow_share_local_folders=True)
    with pytest.raises(X2GoSessionException, match="not shown here"):
        getattr(session, call)()


def test_sharing_that_is_switched_off(server: ScriptedServer) -> None:
    session = started(allow_share_local_folders=False, share_local_folders=["/a"])
    assert session.is_folder_sharing_available() is False
    assert session.share_local_folder("/a") is session.share_all_local_folders() is False
    session = started()
    scripted_control(session).sshfs = False
    session.share_local_folders = ["/a"]
    assert session.share_all_local_folders() is False
    assert scripted_session(allow_share_local_folders=True).is_folder_sharing_available() is False


def test_folders_of_the_configuration_are_shared_at_the_start(server: ScriptedServer) -> None:
    session = started(share_local_folders=["/a", "/b"])
    wait_until(lambda: session.get_shared_folders() == ["/a", "/b"], "the folders")
    assert session.share_all_local_folders() is True
    session.share_local_folders.append("/refused")
    assert session.share_all_local_folders(update_exported_folders=False) is False
    terminal = scripted_terminal(session)
    session.suspend()
    assert "unshare_all_local_folders" in terminal.calls
    assert session.get_shared_folders() == []


def test_folders_come_back_in_the_next_session(server: ScriptedServer) -> None:
    session = started(share_local_folders=["/a"], restore_shared_local_folders=True)
    wait_until(lambda: session.get_shared_folders() == ["/a"], "the folders")
    session.share_local_folder("/b")
    session.unshare_local_folder("/a")
    session.suspend()
    session.resume()
    wait_until(lambda: session.get_shared_folders() == ["/b"], "the folder that was shared last")
    session.disconnect()


def test_what_the_server_has_mounted_counts(server: ScriptedServer) -> None:
    class Sharing:
        def mount_point(self, path: str) -> str:
            return f"media/disk/{path.replace('/', '_')}"

    session = started()
    session.share_local_folder("/a")
    session.share_local_folder("/b")
    scripted_terminal(session).sharing = Sharing()  # type: ignore[assignment]
    assert session.get_shared_folders(check_list_mounts=True, mounts=["x|/tmp/media/disk/_a"]) == ["/a", "/b"]
    # a new one may still be on its way; one that was there and is not any more, is gone
    assert session.get_shared_folders(check_list_mounts=True) == ["/b"]
    assert session.get_shared_folders(True, {session.session_name: ["x|/tmp/media/disk/_b"]}) == ["/b"]


def test_the_master_session(server: ScriptedServer) -> None:
    session = started(share_local_folders=["/a"])
    wait_until(lambda: session.get_shared_folders() == ["/a"], "the folder")
    session.unset_master_session()
    assert session.is_master_session() is False
    assert session.get_shared_folders() == []
    assert session.share_local_folder("/a") is session.share_all_local_folders() is False
    assert session.unshare_all_local_folders() is False
    session.set_master_session(wait=0, max_wait=5)
    assert session.is_master_session() is True
    wait_until(lambda: session.get_shared_folders() == ["/a"], "the folder of the new master")
    session.disconnect()


def test_a_master_waits_for_what_shows_it(server: ScriptedServer) -> None:
    session = scripted_session(allow_share_local_folders=True, share_local_folders=["/a"])
    session.connect("anna", "pw")
    session.set_master_session(max_wait=10)
    session.start()
    wait_until(lambda: session.get_shared_folders() == ["/a"], "the folder")
    waiting = scripted_session(allow_share_local_folders=True, share_local_folders=["/a"])
    waiting.set_master_session(max_wait=60)
    assert waiting._jobs.names() == ["x2go-share-folders"]
    waiting.disconnect()
    assert waiting._jobs.names() == []


@pytest.mark.parametrize("error", [X2GoUserException("no"), X2GoControlSessionException("gone")])
def test_sharing_that_fails(server: ScriptedServer, error: Exception) -> None:
    session = started()
    session.share_local_folders = ["/a"]
    scripted_terminal(session).refuse["share_local_folder"] = error
    assert session.share_all_local_folders() is False
    assert session.get_shared_folders() == []
    assert session.is_connected()
    server.alive = isinstance(error, X2GoUserException)
    assert session.share_all_local_folders() is False
    assert session.is_connected() is server.alive
