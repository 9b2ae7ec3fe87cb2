"""Sessions beyond one start: desktops that are shared, sessions that come up by themselves, applications, windows."""

from __future__ import annotations

import gc
import weakref
from typing import ClassVar

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
    X2GoDesktopSharingDenied,
    X2GoDesktopSharingException,
    X2GoSessionException,
    X2GoTimeOutException,
)


@pytest.fixture
def server() -> ScriptedServer:
    return new_server()


def test_desktops_are_shared(server: ScriptedServer) -> None:
    server.desktops = ["anna@:50", "bert@:51"]
    session = connected_session()
    assert session.share_desktop("anna@:50") is True
    assert session.is_shadow_session() is True
    assert session.get_progress_status() == 100
    assert session.update_status(force_update=True) is True  # views are not listed
    assert session.is_running() is True
    scripted_terminal(session).shown = False
    session.update_status(force_update=True)
    assert session.has_terminated() is True
    assert session.share_desktop(user="bert", display="51", share_mode=1) is True
    assert "S1XSHADbert" in str(session.session_name)
    assert session.share_desktop("bert@:99.0", check_desktop_list=False) is True


def test_desktops_that_cannot_be_shared(server: ScriptedServer) -> None:
    server.desktops = ["anna@:50"]
    session = connected_session()
    with pytest.raises(X2GoDesktopSharingException, match="bert@:51"):
        session.share_desktop("bert@:51")
    assert session.happened() == ["no_such_desktop"]
    assert session.get_progress_status() == -1
    with pytest.raises(X2GoDesktopSharingException):
        session.share_desktop(user="anna")
    control = scripted_control(session)
    control.refuse_command["share"] = X2GoDesktopSharingDenied("no")
    assert session.share_desktop("anna@:50") is False
    assert session.happened() == ["desktop_sharing_denied"]
    control.refuse_command["share"] = ValueError("dead")
    with pytest.raises(X2GoSessionException, match="dead"):
        session.share_desktop("anna@:50")
    control.refuse_command["share"] = X2GoControlSessionException("gone")
    assert session.share_desktop("anna@:50") is False
    assert session.is_connected() is False
    assert session.share_desktop("anna@:50", check_desktop_list=False) is False


def test_all_sessions_are_cleaned(server: ScriptedServer) -> None:
    session = connected_session(printing=True)
    session.start()
    server.add()
    terminal = scripted_terminal(session)
    session.clean_sessions(destroy_terminals=True, published_applications=True)
    assert server.states == {}
    assert session.has_terminated() is True
    assert "unshare_all_local_folders" in terminal.calls
    session.session_cleanup()
    server.alive = False
    session.clean_sessions()
    assert session.happened() == ["on_control_session_death"]


def test_what_comes_up_by_itself(server: ScriptedServer) -> None:
    assert connected_session().do_auto_start_or_resume(start=False) is False
    assert connected_session().do_auto_start_or_resume() is True
    names = [*server.states, server.add("S"), server.add("S", "RPUBLISHED"), server.add("S", "S0XSHADx")]
    newest, oldest = connected_session(), connected_session()
    assert newest.do_auto_start_or_resume() is True
    assert newest.session_name == names[1]
    assert oldest.do_auto_start_or_resume(newest=False, oldest=True) is True
    assert oldest.session_name == names[0]
    again = connected_session(session_name=names[1], virgin=False)
    assert again.do_auto_start_or_resume(redirect_to_client=False) is True
    assert again.session_name == names[1]


def test_all_suspended_sessions_come_up(server: ScriptedServer) -> None:
    names = {server.add("S") for _ in range(3)}
    server.add("R")
    session = connected_session()
    assert session.do_auto_start_or_resume(all_suspended=True) is True
    assert {session.session_name, *(sibling.session_name for sibling in session.siblings)} == names
    assert set(server.states.values()) == {"R"}


def test_auto_start_after_the_connect(server: ScriptedServer) -> None:
    session = connected_session(auto_start_or_resume=True)
    wait_until(lambda: bool(session.running), "the session coming up by itself")
    assert server.starts == 1
    session.disconnect()


def test_published_applications(server: ScriptedServer) -> None:
    session = connected_session(published_applications=True)
    assert session.terminal_params["cmd"] == "PUBLISHED"
    assert session.start() is True
    assert session.is_pubapp_session() is session.is_published_applications_provider() is True
    assert session.published_applications_menu["lang"] is None
    assert session.get_published_applications(lang="de", refresh=True)["lang"] == "de"
    session.exec_published_application("xterm", timeout=5)
    assert scripted_terminal(session).calls[-1] == "exec xterm"
    scripted_control(session).refuse_command["published"] = X2GoTimeOutException("slow")
    with pytest.raises(X2GoTimeOutException):
        session.resume()
    assert session.get_progress_status() == -1
    assert session.do_auto_start_or_resume(start=True) is False


def test_windows_and_print_actions(server: ScriptedServer) -> None:
    session = connected_session()
    session.set_session_window_title("nothing is shown yet")
    session.raise_session_window()
    session.exec_published_application("xterm")
    session.set_print_action("PDFSAVE", save_to_folder="x")
    assert session.terminal_params["print_action_args"] == {"save_to_folder": "x"}
    session.start()
    session.set_session_window_title("Title")
    session.raise_session_window()
    session.set_print_action("PDFVIEW")
    assert scripted_terminal(session).calls[-3:] == ["title Title", "raise", "print action PDFVIEW"]
    assert session.is_desktop_session() is False


def test_a_session_that_nobody_has_any_more_is_gone_at_once(server: ScriptedServer) -> None:
    """Its parts do not keep it, nor its connection, which hangs up when it goes."""
    gc.disable()
    try:
        session = connected_session()
        scripted_control(session).connects.clear()  # what the script notes holds the session
        seen: list[weakref.ref[object]] = [weakref.ref(session), weakref.ref(scripted_control(session))]
        del session
        assert [each() for each in seen] == [None, None]
    finally:
        gc.enable()


def test_a_part_says_so_when_its_session_is_gone(server: ScriptedServer) -> None:
    session = connected_session()
    scripted_control(session).connects.clear()
    folders = session._folders
    assert folders.is_master_session() is True
    del session
    with pytest.raises(ReferenceError, match="what this is a part of is gone"):
        folders.is_master_session()


def test_a_session_may_be_made_without_lists() -> None:
    session = scripted_session(share_local_folders=None, mimebox_extensions=None)
    assert (session.share_local_folders, session.mimebox_extensions) == ([], [])


def test_a_client_may_override_the_automatic_start_as_with_python_x2go(server: ScriptedServer) -> None:
    """There it has no parameter `start`."""

    class Client:
        asked: ClassVar[list[str]] = []

        def session_auto_start_or_resume(
            self, session_uuid: str, newest: bool = True, oldest: bool = False, all_suspended: bool = False
        ) -> bool:
            """Note it."""
            self.asked.append(session_uuid)
            return True

    session = scripted_session(client_instance=Client())
    assert session.do_auto_start_or_resume() is True
    assert Client.asked == [session.get_uuid()]
