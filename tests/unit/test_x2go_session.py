"""The logic of sessions: parameters, states, connecting, what is known before, while and after."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.x2go_clients import NotingSession, new_server, scripted_control, scripted_session
from tests.support.x2go_scripted import ScriptedServer
from x2gobroker.x2go.errors import (
    AuthenticationException,
    X2GoBackendException,
    X2GoControlSessionException,
    X2GoProfileException,
    X2GoRemoteHomeException,
    X2GoSessionException,
    X2GoTimeOutException,
)
from x2gobroker.x2go.session import X2GoSession


@pytest.fixture
def server() -> ScriptedServer:
    return new_server()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = {thread for thread in threading.enumerate() if thread.name.startswith("x2go-")} - before
    for thread in left:
        thread.join(10)
    assert not [thread for thread in left if thread.is_alive()]


def connected(**parameters: Any) -> NotingSession:
    session = scripted_session(**parameters)
    assert session.connect("anna", "secret word") is True
    return session


def test_before_anything_happens() -> None:
    session = scripted_session("host.example", port=2022, profile_id="p1", profile_name="Profile")
    assert session.get_uuid() == str(session) == session()
    assert session.get_profile_id() == "p1"
    assert session.get_profile_name() == "Profile"
    assert session.get_server_hostname() == "host.example"
    assert session.get_server_port() == 2022
    assert session.get_client_instance() is None
    assert session.has_control_session() is True
    assert session.has_terminal_session() is session.is_associated() is False
    assert session.get_terminal_session() is None
    assert session.get_session_name() is session.get_session_type() is session.get_session_info() is None
    assert session.is_connected() is session.is_locked() is session.session_ok() is False
    assert session.is_running() is session.is_suspended() is session.has_terminated() is None
    assert session.get_remote_home() is None
    assert session.get_username() is None
    assert session.get_password() == ""
    assert session.get_progress_status() == 0
    assert session.is_color_depth_ok() is session.color_depth_from_session_name() is None
    assert session.virgin is True
    assert session.is_desktop_session() is session.is_rootless_session() is session.is_shadow_session() is False
    assert session.is_pubapp_session() is session.is_published_applications_provider() is False
    assert session.get_session_title() == "X2GO-None"
    assert "virgin" in repr(session)


def test_uuids_differ() -> None:
    assert len({scripted_session().get_uuid() for _ in range(50)}) == 50


def test_settings_are_changed_before_the_connect(server: ScriptedServer) -> None:
    session = scripted_session("elsewhere")
    session.set_server("scripted")
    session.set_port(2023)
    session.set_profile_name("Other")
    session.update_params({"username": "anna", "geometry": "640x480", "allow_mimebox": True, "server": "ignored"})
    session.connect(password="word")
    control = scripted_control(session)
    assert control.hostname == "scripted"
    assert control.profile_name == session.profile_name == "Other"
    assert control.connects[0]["port"] == 2023
    assert control.connects[0]["username"] == "anna"
    assert session.terminal_params["geometry"] == "640x480"
    assert session.allow_mimebox is True


def test_parameters_that_no_session_has() -> None:
    with pytest.raises(TypeError, match="no parameter 'geometri'"):
        scripted_session(geometri="800x600")
    with pytest.raises(TypeError, match="no parameter 'x'"):
        scripted_session().update_params({"x": 1})


def test_backends_that_there_are_not() -> None:
    with pytest.raises(X2GoBackendException, match="there is no backend 'KDRIVE'"):
        X2GoSession("host", proxy_backend="KDRIVE")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("geometry", "1x1"),
        ("use_sshproxy", False),
        ("auto_connect", False),
        ("printing", True),
        ("print", True),
        ("speed", "lan"),
        ("link", "lan"),
        ("soundsystem", "none"),
        ("sshproxy_host", "proxy.example"),
        ("username", "anna"),
        ("port", 22),
        ("clipboard", "both"),
    ],
)
def test_profile_options(option: str, value: Any) -> None:
    session = scripted_session(
        geometry="1x1", printing=True, link="lan", sshproxy_host="proxy.example", username="anna"
    )
    assert session.get_session_profile_option(option) == value


@pytest.mark.parametrize("option", ["nonsense", "password", "__dict__", "_secrets", "connect"])
def test_profile_options_that_there_are_not(option: str) -> None:
    with pytest.raises(X2GoProfileException, match="no profile option"):
        scripted_session(password="word").get_session_profile_option(option)


def test_connect_gives_all_parameters(server: ScriptedServer) -> None:
    session = scripted_session(key_filename="key", sshproxy_host="proxy")
    session.connect(
        username="anna",
        password="pw",
        passphrase="pp",
        add_to_known_hosts=True,
        force_password_auth=True,
        look_for_keys=False,
        allow_agent=False,
        use_sshproxy=True,
        sshproxy_user="bert",
        sshproxy_password="spw",
        sshproxy_passphrase="spp",
        sshproxy_force_password_auth=True,
        sshproxy_reuse_authinfo=False,
    )
    told = scripted_control(session).connects[0]
    wanted = {
        "username": "anna",
        "password": "pw",
        "passphrase": "pp",
        "add_to_known_hosts": True,
        "force_password_auth": True,
        "look_for_keys": False,
        "allow_agent": False,
        "use_sshproxy": True,
        "sshproxy_user": "bert",
        "sshproxy_password": "spw",
        "sshproxy_passphrase": "spp",
        "sshproxy_force_password_auth": True,
        "sshproxy_host": "proxy",
        "key_filename": "key",
        "session_instance": session,
    }
    assert {name: told[name] for name in wanted} == wanted
    assert session.uses_sshproxy() is True
    assert session.reuses_sshproxy_authinfo() is False
    assert set(told) <= set(inspect.signature(__import__("paramiko").SSHClient.connect).parameters) | set(wanted) | {
        "forward_sshagent",
        "add_to_known_hosts",
    }


def test_the_proxy_gets_the_same_login(server: ScriptedServer) -> None:
    session = scripted_session(use_sshproxy=True, sshproxy_host="proxy", key_filename="key")
    session.connect("anna", "pw", passphrase="pp", sshproxy_reuse_authinfo=True)
    told = scripted_control(session).connects[0]
    assert (told["sshproxy_password"], told["sshproxy_passphrase"]) == ("pw", "pp")
    session = scripted_session(use_sshproxy=True, sshproxy_reuse_authinfo=True, key_filename="key")
    assert session.sshproxy_params["sshproxy_key_filename"] == "key"


def test_secrets_are_kept_nowhere_but_for_get_password(server: ScriptedServer) -> None:
    session = connected()
    session.connect("anna", "secret word", sshproxy_password="another")
    assert session.get_password() == "secret word"
    for params in (session.control_params, session.terminal_params, session.sshproxy_params):
        assert "secret word" not in str(params)
    assert "secret word" not in repr(session)


def test_after_the_connect(server: ScriptedServer) -> None:
    session = connected()
    assert session.is_connected() is session.is_alive() is True
    assert session.get_username() == "anna"
    assert session.user_is_x2gouser() is session.user_is_x2gouser("anna") is True
    assert session.user_is_x2gouser("bert") is False
    assert session.get_remote_home() == "/home/anna"
    assert session.get_server_peername() == session.remote_peername() == ("127.0.0.1", 2222)
    assert session.get_server_hostname() == "scripted"
    assert session.get_server_port() == 2222
    assert session.get_server_features() == ["X2GO_LIST_DESKTOPS"]
    assert session.has_server_feature("X2GO_LIST_DESKTOPS") is True
    assert session.has_server_feature("X2GO_PUBLISHED_APPLICATIONS") is False
    session.server_features = []
    session.retrieve_server_features()
    assert session.get_server_features()
    assert session.connect("other", "pw") is True  # there is a connection already
    assert len(scripted_control(session).connects) == 1
    assert session.disconnect() is True
    assert session.disconnect() is False
    assert session.is_connected() is False


def test_a_control_session_may_be_shared(server: ScriptedServer) -> None:
    first = connected()
    control: Any = first.get_control_session()
    second = scripted_session(control_session=control, virgin=False, session_name=server.add("S"), link="modem")
    assert control.low_latency is True
    assert second.is_connected() is True
    assert second.get_server_features() == ["X2GO_LIST_DESKTOPS"]
    second.update_status()
    assert second.is_suspended() is True


def test_a_session_can_make_its_control_session_again() -> None:
    session = scripted_session(link="isdn")
    session.control_session = None
    assert session.has_control_session() is False
    assert session.can_auto_connect() is None
    with pytest.raises(X2GoSessionException, match="no control session"):
        session.connect()
    session.init_control_session()
    assert session.has_control_session() is True
    assert scripted_control(session).parameters["low_latency"] is True


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (X2GoControlSessionException("gone"), X2GoSessionException),
        (X2GoRemoteHomeException("no home"), X2GoRemoteHomeException),
        (AuthenticationException("no"), AuthenticationException),
        (OSError("refused"), OSError),
    ],
)
def test_a_connect_that_fails(server: ScriptedServer, raised: Exception, seen: type[Exception]) -> None:
    session = scripted_session()
    scripted_control(session).refuse_connect = raised
    with pytest.raises(seen):
        session.connect("anna", "pw")
    assert session.is_connected() is False
    assert session.get_password() == ""


def test_a_session_needs_a_server() -> None:
    with pytest.raises(X2GoSessionException, match="no server"):
        scripted_session(host="").connect("anna", "pw")


def test_hosts_are_checked(server: ScriptedServer) -> None:
    session = scripted_session()
    assert session.check_host() is True  # the dialog's default
    assert session.happened() == ["check_host_dialog"]
    control = scripted_control(session)
    control.shown_host_key = None
    assert session.check_host() is False  # nobody answered
    control.knows_host = True
    assert session.check_host() is True
    session.HOOK_check_host_dialog = lambda *_: False  # type: ignore[method-assign]
    control.knows_host, control.shown_host_key = False, ("SHA256:x", "RSA")
    assert session.check_host() is False
    session.connect("anna", "pw")
    assert session.check_host() is True


def test_who_can_connect_by_itself(tmp_path: Any) -> None:
    (tmp_path / "id_rsa").write_text("")
    key = str(tmp_path / "id_rsa")
    assert scripted_session().can_auto_connect() is False
    assert scripted_session(key_filename=key).can_auto_connect() is True
    assert scripted_session(key_filename=[str(tmp_path / "none"), key]).can_auto_connect() is True
    assert scripted_session(key_filename=str(tmp_path / "none")).can_auto_connect() is False
    assert scripted_session(pkey=object()).can_auto_connect() is True
    assert scripted_session(look_for_keys=True, ssh_rootdir=str(tmp_path)).can_auto_connect() is True
    assert scripted_session(look_for_keys=True, ssh_rootdir=str(tmp_path / "none")).can_auto_connect() is False
    assert scripted_session(key_filename=key).can_sshproxy_auto_connect() is None
    through: dict[str, Any] = {"use_sshproxy": True, "sshproxy_host": "proxy"}
    assert scripted_session(key_filename=key, **through).can_auto_connect() is False
    assert scripted_session(sshproxy_key_filename=key, **through).can_sshproxy_auto_connect() is True
    again = scripted_session(key_filename=key, sshproxy_reuse_authinfo=True, **through)
    assert again.can_sshproxy_auto_connect() is again.can_auto_connect() is True


def test_auto_connect(server: ScriptedServer, tmp_path: Any) -> None:
    assert scripted_session(pkey=object()).do_auto_connect() is False
    wanting = scripted_session(auto_connect=True)
    assert wanting.do_auto_connect() is False
    assert wanting.happened() == ["auto_connect"]
    able = scripted_session(auto_connect=True, pkey=object())
    assert able.do_auto_connect() is able.do_auto_connect(redirect_to_client=False) is True
    assert able.happened() == []
    refused = scripted_session(auto_connect=True, pkey=object())
    scripted_control(refused).refuse_connect = AuthenticationException("no")
    assert refused.do_auto_connect() is False
    assert refused.happened() == ["auto_connect"]
    scripted_control(refused).refuse_connect = OSError("down")
    assert refused.do_auto_connect() is False


def test_states_follow_the_server(server: ScriptedServer) -> None:
    session = connected()
    session.set_session_name(server.add("S"))
    name = str(session.get_session_name())
    session.virgin = False
    assert session.update_status(force_update=True) is True
    assert (session.running, session.suspended, session.terminated) == (False, True, False)
    server.change(name, "R")
    assert session.update_status(force_update=True) is True
    assert (session.running, session.suspended, session.terminated) == (True, False, False)
    assert session.get_session_info().name == name
    assert session.get_session_type() == "R"
    assert session.color_depth_from_session_name() == 24
    server.change(name, "")
    assert session.update_status(force_update=True) is True
    assert (session.running, session.suspended, session.terminated) == (False, False, True)


def test_a_status_is_kept_for_a_second(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    session = connected()
    before = server.listings
    assert session.update_status() is session.update_status() is False
    assert server.listings == before
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.01)
    assert session.update_status() is True
    assert session.update_status() is False
    assert server.listings == before + 1
    assert session.update_status(session_list=session.list_sessions(), force_update=True) is True


def test_single_states_are_asked_for(server: ScriptedServer) -> None:
    session = connected()
    assert session.is_running(update_status=True) is None
    session.session_name, session.virgin = server.add("R"), False
    assert session.is_running() is None
    assert session.is_running(update_status=True) is session.is_running() is True
    server.change(session.session_name, "S")
    assert session.is_suspended(update_status=True) is True
    assert session.is_running() is False
    server.change(session.session_name, "")
    assert session.has_terminated(update_status=True) is True
    assert (session.running, session.suspended) == (False, False)
    assert scripted_session().is_running(update_status=True) is None


def test_lists(server: ScriptedServer) -> None:
    session = connected()
    name = server.add()
    assert list(session.list_sessions()) == [name]
    assert name in session.list_sessions(raw=True)
    server.desktops = ["anna@:50"]
    assert session.list_desktops() == ["anna@:50"]
    assert session.list_desktops(raw=True) == "anna@:50"
    assert session.list_mounts() == []
    session.session_name = name
    assert session.list_mounts(raw=True) == ""
    assert session.list_mounts() == []


def test_desktops_that_take_too_long(server: ScriptedServer) -> None:
    session = connected()
    server.desktops = X2GoTimeOutException("slow")
    assert session.list_desktops() == []
    assert session.list_desktops(raw=True) == ""
    assert session.happened() == ["list_desktops_timeout"] * 2


@pytest.mark.parametrize("question", ["list_sessions", "list_desktops", "list_mounts", "is_alive", "update_status"])
def test_a_lost_connection_is_told_once(server: ScriptedServer, question: str) -> None:
    session = connected()
    session.session_name = server.add()
    server.alive = False
    arguments = {"force_update": True} if question == "update_status" else {}
    for _ in range(2):
        with contextlib.suppress(X2GoControlSessionException):
            assert not getattr(session, question)(**arguments)
    assert session.happened() == ["on_control_session_death"]
    assert session.is_connected() is False
    assert session.running is None


def test_update_status_passes_a_loss_on(server: ScriptedServer) -> None:
    session = connected()
    server.alive = False
    with pytest.raises(X2GoControlSessionException):
        session.update_status(force_update=True)


def test_hooks_without_a_client_are_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    session = scripted_session(profile_name="Profile")
    session.HOOK_auto_connect()
    session.HOOK_desktop_sharing_denied()
    session.HOOK_foldersharing_not_available()
    session.HOOK_list_desktops_timeout()
    session.HOOK_mimebox_not_available()
    session.HOOK_no_such_desktop(desktop="anna@:50")
    session.HOOK_on_control_session_death()
    session.HOOK_on_failing_SFTP_client()
    session.HOOK_printing_not_available()
    session.HOOK_rforward_request_denied(server_port=30003)
    session.HOOK_session_startup_failed()
    session.HOOK_sshfs_not_available()
    assert len(caplog.records) == 12
    assert not session.get_session_profile_option("faulty")
    session.HOOK_forwarding_tunnel_setup_failed("h", 1, "X2GoProxy")
    assert session.get_session_profile_option("faulty") is True
    assert all("'Profile'" in record.getMessage() for record in caplog.records)
    assert session.HOOK_check_host_dialog("h", 22, fingerprint="SHA256:x", fingerprint_type="RSA") is True
    assert len(caplog.records) == 14
    assert len([name for name in dir(X2GoSession) if name.startswith("HOOK_")]) == 14
