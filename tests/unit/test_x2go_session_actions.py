"""Starting, resuming, sharing, suspending and ending sessions: results, states, progress, threads, failures."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.support.processes import wait_until
from tests.support.x2go_clients import (
    connected_session,
    new_server,
    scripted_control,
    scripted_session,
    scripted_terminal,
)
from tests.support.x2go_scripted import ScriptedServer
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoProxyException,
    X2GoRevFwTunnelException,
    X2GoSessionException,
    X2GoSFTPClientException,
    X2GoTerminalSessionException,
    X2GoTimeOutException,
    X2GoUserException,
)
from x2gobroker.x2go.session import X2GoSession
from x2gobroker.x2go.session.progress import ProgressStatus


@pytest.fixture
def server() -> ScriptedServer:
    return new_server()


def was_taken(session: X2GoSession) -> bool:
    return session.taken_over


def test_from_start_to_end(server: ScriptedServer) -> None:
    session = connected_session(cmd="xterm", session_title="Mine")
    assert session.start() is True
    name = session.get_session_name()
    assert name is not None
    assert server.states == {name: "R"}
    assert (session.running, session.suspended, session.terminated, session.virgin) == (True, False, False, False)
    assert session.has_terminal_session() is session.is_associated() is session.session_ok() is True
    assert session.is_rootless_session() is True
    assert session.get_session_cmd() == "xterm"
    assert session.get_session_title() == f"X2GO-{name}"
    assert session.get_progress_status() == 100
    assert scripted_terminal(session).calls == ["run_command"]
    terminal = scripted_terminal(session)
    assert session.suspend() is True
    assert server.states == {name: "S"}
    assert (session.running, session.suspended) == (False, True)
    assert session.has_terminal_session() is False
    assert terminal.calls[1:] == ["suspend", "release_proxy"]
    assert session.resume() is True
    assert session.get_session_name() == name
    assert scripted_terminal(session).calls == []  # the command runs already
    terminal = scripted_terminal(session)
    assert session.terminate() is True
    assert server.states == {}
    assert (session.running, session.suspended, session.terminated) == (False, False, True)
    assert terminal.calls == ["terminate", "release_proxy", "post_terminate_cleanup"]
    assert scripted_control(session).dissociated[-1] is terminal
    assert session.happened() == []


def test_another_command_and_another_start(server: ScriptedServer) -> None:
    session = connected_session(cmd="xterm")
    assert session.start(cmd="xeyes") is True
    first = session.get_session_name()
    assert "xeyes" in str(first)
    assert session.start() is True  # what was shown goes on without a client
    assert server.states == {str(first): "S", str(session.get_session_name()): "R"}


def test_without_a_terminal_the_control_session_acts(server: ScriptedServer) -> None:
    session = connected_session(session_name=server.add("R"), virgin=False)
    name = str(session.get_session_name())
    assert session.suspend() is True
    assert server.states[name] == "S"
    assert session.terminate() is True
    assert server.states == {}


@pytest.mark.parametrize("action", ["suspend", "terminate"])
def test_there_is_no_session_to_end(server: ScriptedServer, action: str) -> None:
    session = connected_session()
    with pytest.raises(X2GoSessionException, match=f"cannot {action}"):
        getattr(session, action)()
    session.set_session_name("anna-99-1700000000_stRxterm_dp24")
    assert getattr(session, action)() is False
    session.disconnect()
    assert getattr(session, action)() is False
    assert session.is_locked() is False


def test_resume_names_a_session(server: ScriptedServer) -> None:
    name = server.add("S")
    session = connected_session()
    listed = session.list_sessions()
    assert session.resume(session_name=name, session_list=listed, cmd="xterm") is True
    assert session.get_session_name() == name
    assert server.starts == 0


def test_resume_of_a_session_that_is_gone(server: ScriptedServer) -> None:
    session = connected_session()
    assert session.resume(session_name="anna-99-1700000000_stRxterm_dp24") is False
    assert session.happened() == ["session_startup_failed"]
    assert "does not list" in str(session.last_error)
    assert session.get_progress_status() == -1


def test_progress_is_told(server: ScriptedServer) -> None:
    server.start_seconds = 0.05
    session = connected_session()
    event = threading.Event()
    seen: list[int] = []
    session.reset_progress_status()
    watching = threading.Thread(
        target=lambda: seen.extend(ProgressStatus(event, session.get_progress_status)), daemon=True
    )
    watching.start()
    assert session.start(progress_event=event) is True
    watching.join(10)
    assert seen == sorted(seen)
    assert seen[-1] == 100
    session.reset_progress_status()
    assert session.get_progress_status() == 0
    server.refuse_start = X2GoTerminalSessionException("no")
    assert session.start(progress_event=event) is False
    assert list(ProgressStatus(event, session.get_progress_status)) == []


@pytest.mark.parametrize(
    "error",
    [
        X2GoTerminalSessionException("session limit"),
        X2GoProxyException("no nxproxy"),
        X2GoTimeOutException("no answer"),
        OSError("no folder"),
    ],
)
def test_a_start_that_fails(server: ScriptedServer, error: Exception) -> None:
    session = connected_session()
    server.refuse_start = error
    assert session.start() is False
    assert session.last_error is error
    assert session.happened() == ["session_startup_failed"]
    assert session.get_progress_status() == -1
    assert session.has_terminal_session() is session.is_locked() is False
    assert session.virgin is True
    server.refuse_start = None
    assert session.start() is True
    assert session.last_error is None


def test_users_without_the_right_to_start(server: ScriptedServer) -> None:
    session = connected_session()
    server.refuse_start = X2GoUserException("not allowed")
    with pytest.raises(X2GoUserException):
        session.start()
    assert session.get_progress_status() == -1
    assert session.is_locked() is False


def test_a_connection_lost_while_starting(server: ScriptedServer) -> None:
    session = connected_session()
    server.refuse_start = X2GoControlSessionException("gone")
    assert session.start() is False
    assert session.happened() == ["on_control_session_death"]
    assert session.is_connected() is False


def test_a_connection_lost_before_the_start(server: ScriptedServer) -> None:
    session = connected_session()
    server.alive = False
    assert session.start() is session.resume() is False
    assert session.happened() == ["on_control_session_death"]


def test_a_connection_lost_while_the_command_is_run(server: ScriptedServer) -> None:
    session = connected_session()
    scripted_control(session).refuse_terminal["run_command"] = X2GoControlSessionException("gone")
    assert session.start() is False
    assert session.happened() == ["on_control_session_death"]
    assert session.has_terminal_session() is False


def test_a_tunnel_that_fails_makes_the_session_faulty(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    session = connected_session()
    control = scripted_control(session)
    resume = control.resume

    def refused(**parameters: Any) -> Any:
        session.HOOK_forwarding_tunnel_setup_failed("host", 1, "X2GoProxy")
        return resume(**parameters)

    with monkeypatch.context() as patched:
        patched.setattr(control, "resume", refused)
        assert session.start() is False
    assert session.has_terminal_session() is False
    assert control.terminals[0].shown is False
    assert session.start() is True
    assert session.faulty is False


def test_services_are_started(server: ScriptedServer) -> None:
    session = connected_session(printing=True, allow_mimebox=True, allow_share_local_folders=True, snd_system="pulse")
    assert session.start() is True
    terminal = scripted_terminal(session)
    assert terminal.calls == ["start_sound", "start_sshfs", "start_printing", "start_mimebox", "run_command"]
    assert terminal.environment == {"X2GO_SPOOLDIR": "/spool", "X2GO_MIMEBOX": "/mimebox"}


@pytest.mark.parametrize(
    ("service", "error", "told"),
    [
        ("start_sound", X2GoRevFwTunnelException("denied"), []),
        ("start_sshfs", X2GoUserException("no fuse"), ["sshfs_not_available"]),
        ("start_sshfs", X2GoRevFwTunnelException("denied"), ["foldersharing_not_available"]),
        ("start_sshfs", X2GoSFTPClientException("echo"), ["on_failing_SFTP_client"]),
        ("start_printing", X2GoUserException("no"), ["printing_not_available"]),
        ("start_mimebox", X2GoUserException("no"), ["mimebox_not_available"]),
    ],
)
def test_without_a_service_the_session_goes_on(
    server: ScriptedServer, service: str, error: Exception, told: list[str]
) -> None:
    session = connected_session(printing=True, allow_mimebox=True, allow_share_local_folders=True, snd_system="pulse")
    scripted_control(session).refuse_terminal[service] = error
    assert session.start() is True
    assert session.happened() == told
    if service == "start_sshfs":
        assert "start_printing" not in scripted_terminal(session).calls
        assert session.is_folder_sharing_available() is False


def test_two_threads_start_one_session(server: ScriptedServer) -> None:
    server.start_seconds = 0.3
    session = connected_session()
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(session.start())) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(session.is_locked, "one of them starting")
    assert session.update_status(force_update=True) is False
    for thread in threads:
        thread.join(20)
    assert results == [True] * 4
    assert server.starts == 1
    assert session.is_locked() is False


def test_a_thread_that_waits_for_a_start_that_fails_starts_itself(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start_seconds = 0.2
    session = connected_session()
    control = scripted_control(session)
    resume, failed = control.resume, threading.Event()

    def fails_once(**parameters: Any) -> Any:
        if failed.is_set():
            return resume(**parameters)
        failed.wait(0.2)
        failed.set()
        raise X2GoTerminalSessionException("not this time")

    monkeypatch.setattr(control, "resume", fails_once)
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(session.start())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == [False, True]
    assert server.starts == 1


def test_an_agent_that_takes_long_to_come_up(server: ScriptedServer) -> None:
    session = connected_session()
    scripted_control(session).refuse_command["command"] = X2GoTimeOutException("slow")
    assert session.start() is True


def test_a_suspend_waits_for_the_start(server: ScriptedServer) -> None:
    server.start_seconds = 0.3
    session = connected_session()
    starting = threading.Thread(target=session.start)
    starting.start()
    wait_until(session.is_locked, "the start")
    assert session.suspend() is True
    starting.join(10)
    assert list(server.states.values()) == ["S"]


def test_lists_from_before_an_action_do_not_count(server: ScriptedServer) -> None:
    session = connected_session()
    listed_at, before = time.monotonic(), session.list_sessions()
    session.start()
    assert session.update_status(before, force_update=True, listed_at=listed_at) is False
    assert session.running is True


def test_the_server_ends_a_session_that_is_shown(server: ScriptedServer) -> None:
    session = connected_session()
    session.start()
    terminal = scripted_terminal(session)
    server.change(str(session.session_name), "")
    session.update_status(force_update=True)
    assert session.has_terminated() is True
    assert terminal.calls[-2:] == ["release_proxy", "post_terminate_cleanup"]
    assert session.start() is True


def test_another_client_takes_the_session_over(server: ScriptedServer) -> None:
    session = connected_session()
    session.start()
    name = str(session.session_name)
    session.update_status(force_update=True)
    scripted_terminal(session).shown = False  # the proxy has ended, the server has not noticed yet
    session.update_status(force_update=True)
    assert not was_taken(session)
    assert session.has_terminal_session() is True
    server.change(name, "S")
    server.change(name, "R")
    session.update_status(force_update=True)
    assert was_taken(session)
    assert session.is_running() is True
    assert session.has_terminal_session() is False


def test_a_disconnect_ends_what_is_shown(server: ScriptedServer) -> None:
    session = connected_session()
    session.start()
    terminal = scripted_terminal(session)
    assert session.disconnect() is True
    assert terminal.shown is False
    assert session.has_terminal_session() is False
    assert session.connect("anna", "pw") is True
    assert session.resume() is True


def test_scripted_sessions_need_no_server() -> None:
    assert scripted_session().is_connected() is False


def test_a_server_that_cannot_list_is_no_lost_connection(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = connected_session()

    def locked(**_parameters: Any) -> Any:
        raise X2GoControlSessionException("the session database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(scripted_control(session), "list_sessions", locked)
        for ask in (session.list_sessions, lambda: session.update_status(force_update=True)):
            with pytest.raises(X2GoControlSessionException, match="locked"):
                ask()
        assert session.happened() == []
        assert session.is_connected()
        server.alive = False
        assert session.list_sessions() is None
        assert session.happened() == ["on_control_session_death"]


def test_without_a_screen_every_colour_depth_will_do(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    session = connected_session(cmd="xterm")
    session.start()
    monkeypatch.setenv("DISPLAY", ":4711")
    assert session.is_color_depth_ok() is True
