"""Sessions on a real X2Go Server by the public API: from the connect to the end, and what others do to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desktop import Desktop
from tests.support.fuse import fuse_for_all
from tests.support.leftovers import nothing_left
from tests.support.processes import wait_until
from tests.support.x2go_server import X2GoServer, cleaner_at_rest, x2go_server
from tests.support.x2go_sessions import real_session
from x2gobroker.x2go import ProgressStatus, X2GoSession
from x2gobroker.x2go.errors import AuthenticationException, X2GoDesktopSharingException, X2GoSessionException


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """One X2Go Server for all tests here."""
    with fuse_for_all(), x2go_server(tmp_path_factory.mktemp("x2go-server")) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_stays(server: X2GoServer, screen: Desktop) -> Iterator[None]:
    with nothing_left():
        yield
    server.end_sessions(server.users[0])


def titles(screen: Desktop) -> str:
    return "\n".join(screen.windows().values())


def test_an_application_from_start_to_end(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[0]
    with real_session(server, user, screen, tmp_path, monkeypatch, geometry="700x500") as session:
        assert session.is_alive() is session.user_is_x2gouser() is session.check_host() is True
        assert session.get_username() == user.name
        assert session.get_password() == user.password
        assert session.get_remote_home() == str(user.home)
        assert session.get_server_peername() == session.remote_peername() == ("127.0.0.1", server.port)
        assert (session.get_server_hostname(), session.get_server_port()) == ("127.0.0.1", server.port)
        assert session.has_server_feature("X2GO_LIST_DESKTOPS") is True
        assert session.list_sessions() == {}
        assert session.list_sessions(raw=True).strip() == ""
        event = threading.Event()
        seen: list[int] = []
        watching = threading.Thread(
            target=lambda: seen.extend(ProgressStatus(event, session.get_progress_status)), daemon=True
        )
        session.reset_progress_status()
        watching.start()
        assert session.start(cmd="xterm -title first-title", progress_event=event) is True
        watching.join(20)
        assert (seen == sorted(seen), seen[-1], session.get_progress_status()) == (True, 100, 100)
        name = str(session.get_session_name())
        assert server.states(user) == {name: "R"}
        wait_until(lambda: f"{user.name}@" in titles(screen) or "first-title" in titles(screen), "the terminal")
        assert session.session_ok() is session.has_terminal_session() is session.is_associated() is True
        assert (session.get_session_type(), session.is_rootless_session()) == ("R", True)
        assert session.is_color_depth_ok() is True
        assert session.color_depth_from_session_name() == 24
        assert session.get_session_info().name == name
        assert session.get_session_cmd() == "xterm -title first-title"
        assert session.update_status(force_update=True) is True
        assert session.is_running() is session.is_running(update_status=True) is True
        assert session.suspend() is True
        assert server.states(user) == {name: "S"}
        assert session.is_suspended(update_status=True) is True
        assert session.get_terminal_session() is None
        session.update_params({"geometry": "500x400"})
        with cleaner_at_rest():
            assert session.resume() is True
        assert session.get_session_name() == name
        assert server.states(user) == {name: "R"}
        assert session.terminate() is True
        assert session.has_terminated(update_status=True) is True
        server.wait_for_no_session(user)
        assert session.happened() == []


def test_a_disconnect_leaves_the_session_suspended(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[0]
    with real_session(server, user, screen, tmp_path, monkeypatch, cmd="xterm") as session:
        assert session.start() is True
        name = str(session.get_session_name())
        assert session.disconnect() is True
        wait_until(lambda: server.agent_state(user, name) == "SUSPENDED", "the agent being suspended")
        assert session.connect(user.name, user.password) is True
        assert session.is_suspended() is True
        with cleaner_at_rest():
            assert session.do_auto_start_or_resume() is True
        assert server.states(user) == {name: "R"}
        session.clean_sessions()
        server.wait_for_no_session(user)
        assert session.has_terminated() is True


def test_another_client_takes_over(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[0]
    with (
        real_session(server, user, screen, tmp_path / "1", monkeypatch, cmd="xterm") as first,
        real_session(server, user, screen, tmp_path / "2", monkeypatch) as second,
    ):
        assert first.start() is True
        assert first.update_status(force_update=True) is True
        name = str(first.get_session_name())
        with cleaner_at_rest():
            assert second.resume(session_name=name, session_list=second.list_sessions()) is True
        assert second.session_ok() is True

        def noticed() -> bool:
            first.update_status(force_update=True)
            return not first.has_terminal_session()

        wait_until(noticed, "the first client noticing")
        assert first.taken_over is True
        assert first.is_running() is True
        assert first.session_ok() is False
        assert second.suspend() is True
        first.update_status(force_update=True)
        assert first.is_suspended() is True
        with cleaner_at_rest():
            assert first.resume() is True
        assert second.terminate() is True
        wait_until(lambda: first.update_status(force_update=True) and bool(first.has_terminated()), "its end")
        assert first.session_ok() is False


def test_two_threads_start_one_session(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with real_session(server, server.users[0], screen, tmp_path, monkeypatch, cmd="xterm") as session:
        results: list[bool] = []
        threads = [threading.Thread(target=lambda: results.append(session.start())) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_until(session.is_locked, "the start")
        for thread in threads:
            thread.join(60)
        assert results == [True, True]
        assert session.is_locked() is False
        assert list(server.states(server.users[0]).values()) == ["R"]


def test_a_desktop_and_a_view_of_it(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[0]
    wanted = {"cmd": "openbox-session", "session_type": "desktop", "set_session_title": True}
    with (
        real_session(server, user, screen, tmp_path / "1", monkeypatch, session_title="My desktop", **wanted) as mine,
        real_session(server, user, screen, tmp_path / "2", monkeypatch) as view,
    ):
        assert mine.start() is True
        assert (mine.is_desktop_session(), mine.is_shadow_session()) == (True, False)
        wait_until(lambda: "My desktop" in titles(screen), "the window with its title")
        assert mine.get_session_title() == "My desktop"
        mine.set_session_window_title("Another title")
        mine.raise_session_window()
        wait_until(lambda: "Another title" in titles(screen), "the window with another title")
        desktop = f"{user.name}@:{mine.get_session_info().display}"
        wait_until(lambda: desktop in view.list_desktops(), "the desktop being listed")
        with pytest.raises(X2GoDesktopSharingException):
            view.share_desktop(f"{user.name}@:9")
        assert view.happened() == ["no_such_desktop"]
        assert view.share_desktop(desktop, share_mode=0) is True
        assert view.is_shadow_session() is view.session_ok() is True
        # a view whose agent is still at it is not running yet
        wait_until(lambda: view.is_running(update_status=True) is True, "the view being listed as running")
        assert view.terminate() is True
        assert mine.session_ok() is True


def test_a_folder_in_the_session(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my files"
    folder.mkdir()
    (folder / "letter").write_text("hello")
    shared = {"allow_share_local_folders": True, "share_local_folders": [str(folder)]}
    with real_session(server, server.users[0], screen, tmp_path, monkeypatch, cmd="xterm", **shared) as session:
        assert session.is_folder_sharing_available() is session.is_master_session() is True
        assert session.start() is True
        wait_until(lambda: session.get_shared_folders() == [str(folder)], "the folder being shared")
        assert session.get_shared_folders(check_list_mounts=True) == [str(folder)]
        mounted = session.list_mounts()[0].partition("|")[2]
        assert server.run(server.users[0], f"cat '{mounted}/letter'") == "hello"
        assert session.unshare_local_folder(str(folder)) is True
        assert session.get_shared_folders() == session.list_mounts() == []
        assert session.share_local_folder(local_path=str(folder)) is True
        assert session.unshare_all_local_folders() is True
        assert session.share_all_local_folders() is True
        session.unset_master_session()
        assert session.list_mounts() == []
        session.set_master_session()
        wait_until(lambda: session.get_shared_folders() == [str(folder)], "the folder of the master")
        assert session.suspend() is True
        assert session.get_shared_folders() == []


def test_published_applications(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {"published_applications": True}
    with real_session(server, server.users[0], screen, tmp_path, monkeypatch, **parameters) as session:
        assert session.start() is True
        assert session.is_pubapp_session() is session.is_published_applications_provider() is True
        assert session.get_published_applications(lang="de_DE") != []
        session.exec_published_application("xterm -e cat")
        wait_until(lambda: "cat" in titles(screen).splitlines() or "xterm" in titles(screen), "the application")


def test_a_connection_that_is_lost(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with real_session(server, server.users[0], screen, tmp_path, monkeypatch, cmd="xterm") as session:
        assert session.start() is True
        control = session.get_control_session()
        assert control is not None
        transport = control.get_transport()
        assert transport is not None
        transport.sock.close()
        wait_until(lambda: not transport.is_active(), "SSH noticing")
        assert session.is_alive() is session.start() is False
        assert session.happened() == ["on_control_session_death"]
        assert (session.is_connected(), session.session_ok(), session.is_running()) == (False, False, None)
        name = str(session.get_session_name())
        wait_until(lambda: server.agent_state(server.users[0], name) == "SUSPENDED", "the agent being suspended")


def test_commands_that_there_are_not(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with real_session(server, server.users[0], screen, tmp_path, monkeypatch) as session:
        assert session.start(cmd="no-such-command") is False
        assert "no such command" in str(session.last_error)
        assert session.happened() == ["session_startup_failed"]
        assert session.resume(session_name=f"{server.users[0].name}-50-1700000000_stRxterm_dp24") is False
        assert session.start(cmd="xterm") is True


def test_a_password_that_is_wrong(server: X2GoServer, tmp_path: Path) -> None:
    session = X2GoSession("127.0.0.1", server.port, known_hosts=str(tmp_path / "known"), ssh_rootdir=str(tmp_path))
    with pytest.raises(AuthenticationException):
        session.connect(server.users[0].name, "not the password")
    assert session.is_connected() is False
    with pytest.raises(X2GoSessionException):
        X2GoSession(None).connect("anybody", "anything")
