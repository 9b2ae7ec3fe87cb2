"""The client: profiles, registering, what it does with sessions by UUID, its thread."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import wait_until
from tests.support.x2go_clients import new_server, scripted_client
from tests.support.x2go_scripted import ScriptedServer
from x2gobroker.x2go.client import X2GoClient
from x2gobroker.x2go.errors import (
    X2GoClientException,
    X2GoControlSessionException,
    X2GoProfileException,
    X2GoSessionRegistryException,
)

SESSIONS = """\
[20260101]
name=Work
host=first,spare
user=anna
sshport=2022
command=xterm
export="/a:1;/b:0;"
unknown=kept

[20260102]
name=Home
host=second
user=bert
"""


@pytest.fixture
def servers() -> tuple[ScriptedServer, ScriptedServer]:
    return new_server("first"), new_server("second", "bert")


def test_profiles_come_from_a_file(tmp_path: Path, servers: Any) -> None:
    (tmp_path / "client_rootdir").mkdir()
    file = tmp_path / "client_rootdir/sessions"
    file.write_text(SESSIONS)
    client = scripted_client(tmp_path)
    assert client.profile_names == ["Work", "Home"]
    assert client.get_profiles() is client.get_session_profiles()
    assert client.is_session_profile("Work") is client.is_session_profile("20260102") is True
    assert client.is_session_profile("none") is False
    assert client.to_profile_id("Home") == "20260102"
    assert client.to_profile_name("20260101") == "Work"
    sessions = client.register_all_session_profiles(return_objects=True)
    assert list(sessions) == ["Work", "Home"]
    assert sessions["Work"].server == "first"
    assert sessions["Work"].port == 2022
    assert sessions["Work"].known_hosts == str(tmp_path / "ssh_rootdir/known_hosts")
    client.set_profile_config("Work", "export", {"/c": True})
    assert client.get_profile_config("Work", "export") == {"/c": True}
    text = file.read_text()
    assert 'export="/c:1;"' in text
    assert "unknown=kept" in text
    assert scripted_client(tmp_path).get_profile_config("20260101")["command"] == "xterm"
    with pytest.raises(X2GoProfileException):
        client.get_profile_config("none")
    with pytest.raises(X2GoProfileException):
        client.get_profile_config("Work", "none")


def test_folders_and_names(tmp_path: Path) -> None:
    client = scripted_client(tmp_path)
    assert client.get_client_rootdir() == str(tmp_path / "client_rootdir")
    assert client.get_sessions_rootdir() == str(tmp_path / "sessions_rootdir")
    assert client.get_ssh_rootdir() == str(tmp_path / "ssh_rootdir")
    assert client.has_custom_client_rootdir is True
    assert client.get_client_username()


def test_sessions_without_a_profile(tmp_path: Path, servers: Any) -> None:
    client = scripted_client(tmp_path)
    assert client.register_session() is None
    session = client.register_session(
        "first",
        profile_name="Mine",
        username="anna",
        allow_printing=True,
        share_local_folders=["/a"],
        return_object=True,
    )
    assert session.printing is True
    assert session.share_local_folders == ["/a"]
    assert session.get_client_instance() is client
    assert client.connect_session(session(), password="pw") is True
    assert client.get_session_username(session()) == "anna"
    client.set_session_username(session(), "eve")
    assert session.control_params["username"] == "eve"
    assert client.get_session_server_hostname(session()) == "first"
    assert client.get_session_server_peername(session()) == ("127.0.0.1", 2222)
    assert client.get_session_profile_name(session()) == "Mine"
    assert client.get_session_profile_id(session()) == session.profile_id
    assert client.client_connected_profiles(return_profile_names=True) == ["Mine"]
    assert client.is_profile_connected("Mine") is client.is_session_connected(session()) is True
    assert client.session_uses_sshproxy(session()) is client.session_reuses_sshproxy_authinfo(session()) is False
    assert client.session_can_sshproxy_auto_connect(session()) is None
    assert client.session_can_auto_connect(session()) in (True, False)
    assert client.check_session_host(session()) is client.server_is_alive(session()) is True
    assert client.all_servers_are_alive() is client.server_valid_x2gouser(session()) is True
    assert client.get_server_versions("Mine", "x2goserver") == "4.1.0.3"
    assert client.is_x2goserver(session()) is client.has_server_feature("Mine", "X2GO_LIST_DESKTOPS") is True
    with pytest.raises(X2GoClientException):
        client.get_server_versions("Mine", "none")
    with pytest.raises(X2GoClientException):
        client.get_server_features("None")
    assert client.disconnect_profile("Mine") is True
    assert client.client_registered_sessions() == []
    with pytest.raises(X2GoSessionRegistryException):
        client.get_session(session())


def test_sessions_by_uuid(tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    client = scripted_client(tmp_path)
    session_uuid = client.register_session("first", profile_name="Mine", username="anna")
    client.connect_session(session_uuid, password="pw")
    assert client.start_session(session_uuid, cmd="xterm") is True
    name = client.get_session_name(session_uuid)
    assert client.is_session_running(session_uuid) is client.is_session_running(session_uuid, name) is True
    assert client.session_ok(session_uuid) is True
    assert client.server_has_running_sessions(session_uuid) is True
    assert client.client_has_running_sessions is client.client_has_connected_sessions is True
    assert client.client_has_associated_sessions is True
    assert client.client_running_sessions() == client.client_associated_sessions() == [session_uuid]
    assert client.suspend_session(session_uuid) is True
    assert client.is_session_suspended(session_uuid) is client.server_has_suspended_sessions(session_uuid) is True
    assert client.client_has_suspended_sessions is True
    assert client.resume_session(session_name=name) is True
    assert client.get_session_info(session_uuid).name == name
    assert client.get_session_of_session_name(str(name)) == session_uuid
    assert client.get_master_session("Mine").session_name == name
    other = servers[0].add("R")
    assert client.suspend_session(session_uuid, session_name=other) is True
    assert client.terminate_session(session_uuid, session_name=other) is True
    assert client.terminate_session(session_uuid, session_name=name) is True
    assert client.has_session_terminated(session_uuid) is client.has_session_terminated(session_uuid, name) is True
    assert client.get_session_summary(session_uuid)["terminated"] is True
    with pytest.raises(X2GoClientException):
        client.resume_session()
    servers[0].alive = False
    with pytest.raises(X2GoClientException):
        client.server_running_sessions(session_uuid)


def test_lists_tell_the_registry(tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    client = scripted_client(tmp_path)
    session_uuid = client.register_session("first", profile_id="p", profile_name="Mine", username="anna")
    with pytest.raises(X2GoClientException):
        client.list_sessions(profile_name="Mine")
    with pytest.raises(X2GoClientException):
        client.list_sessions()
    client.connect_session(session_uuid, password="pw")
    name = servers[0].add("S")
    assert name in client.list_sessions(session_uuid, raw=True)
    assert list(client.list_sessions(profile_id="p")) == [name]
    assert client.client_has_registered_session_of_name(name) is False
    client.list_sessions(profile_name="Mine", register_sessions=True)
    assert client.client_has_registered_session_of_name(name) is True
    assert client.client_suspended_sessions_of_profile_name("Mine", return_session_names=True) == [name]
    servers[0].desktops = ["anna@:50"]
    assert client.list_desktops(session_uuid) == ["anna@:50"]
    assert client.list_mounts(session_uuid) == []
    assert client.list_mounts_by_profile_name("Mine") == {}
    client.clean_sessions(session_uuid)
    assert servers[0].states == {}


def test_folders_go_to_the_master(tmp_path: Path, servers: Any) -> None:
    client = scripted_client(tmp_path)
    session_uuid = client.register_session("first", profile_name="Mine", allow_share_local_folders=True)
    client.connect_session(session_uuid, "anna", "pw")
    with pytest.raises(X2GoClientException):
        client.share_local_folder(profile_name="Mine", local_path="/a")
    client.start_session(session_uuid)
    assert client.is_folder_sharing_available(profile_name="Mine") is True
    assert client.share_local_folder(profile_name="Mine", local_path="/a") is True
    assert client.share_local_folder(session_uuid, "/b") is True
    assert client.get_shared_folders(profile_name="Mine") == ["/a", "/b"]
    assert client.unshare_local_folder(session_uuid, local_path="/a") is True
    assert client.unshare_all_local_folders(profile_name="Mine") is True
    assert client.get_shared_folders(session_uuid) == []
    client.close()


def test_the_thread_follows_sessions(tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    with scripted_client(
        tmp_path, auto_update_sessionregistry=True, auto_register_sessions=True, refresh_interval=0.05
    ) as client:
        session_uuid = client.register_session("first", profile_name="Mine")
        client.connect_session(session_uuid, "anna", "pw")
        client.start_refresher()  # one is enough
        assert [each.name for each in threading.enumerate()].count("x2go-client-refresher") == 1
        name = servers[0].add("R")
        wait_until(lambda: client.client_has_registered_session_of_name(name), "the session being registered")
        wait_until(lambda: ("on_session_has_started_by_other", name) in client.events, "its HOOK")
        servers[0].change(name, "")
        wait_until(lambda: ("on_session_has_terminated", name) in client.events, "the HOOK of its end")
        servers[0].alive = False
        wait_until(lambda: ("on_control_session_death", "") in client.events, "the loss being noticed")
        wait_until(lambda: not client.client_connected_profiles(), "the end of the profile's connection")
    assert "x2go-client-refresher" not in [each.name for each in threading.enumerate()]
    assert client.client_registered_sessions() == []


def test_the_thread_outlives_faults(
    tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = scripted_client(tmp_path)
    session = client.register_session("first", profile_name="Mine", return_object=True)
    client.connect_session(session(), "anna", "pw")

    def fails(**_: Any) -> Any:
        raise X2GoControlSessionException("not now")

    monkeypatch.setattr(client.session_registry, "update_status", fails)
    assert client.refresh_profile("Mine") is False
    client.close()


def test_sessions_that_connect_and_start_by_themselves(
    tmp_path: Path, servers: tuple[ScriptedServer, ScriptedServer]
) -> None:
    profile = {"name": "Mine", "host": "first", "user": "anna", "autoconnect": True, "autostart": True}
    client = scripted_client(tmp_path, session_profiles={"p": {**profile, "autologin": False}})
    client.register_session(profile_id="p", pkey=object())
    wait_until(lambda: client.client_has_running_sessions, "the session coming up by itself")
    assert client.session_auto_connect(client.client_running_sessions()[0]) is True
    servers[0].add("S")
    session = client.session_registry.running_sessions()[0]
    session.session_name = None
    assert session.do_auto_start_or_resume(all_suspended=True) is True
    client.close()
    asking = scripted_client(tmp_path, session_profiles={"p": {**profile, "autologin": False}})
    asking.register_session(profile_id="p")
    wait_until(lambda: ("profile_auto_connect", "") in asking.events, "the HOOK that asks for a login")
    asking.close()


def test_hooks_of_a_client_are_log_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="x2go.client")  # whatever a program in this process wanted to hear
    client = scripted_client(tmp_path)
    names = [name for name in dir(X2GoClient) if name.startswith("HOOK_")]
    needed: dict[str, tuple[Any, ...]] = {
        "HOOK_mimeboxaction_error": ("file",),
        "HOOK_no_such_command": ("xterm",),
        "HOOK_open_mimebox_saveas_dialog": ("file",),
        "HOOK_printaction_error": ("file",),
    }
    for name in names:
        getattr(client, name)(*needed.get(name, ()))
    assert len(names) >= 28
    assert len(caplog.records) == len(names)
