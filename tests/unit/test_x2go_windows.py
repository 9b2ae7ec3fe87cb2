"""What the library says where a display cannot be used, and which colour depths go together."""

from __future__ import annotations

import socket
import sys
import threading

import pytest

from tests.support.processes import free_port, wait_until
from x2gobroker.x2go.display import windows
from x2gobroker.x2go.errors import X2GoException


@pytest.mark.parametrize(
    ("session", "local", "good"),
    [
        (24, 24, True),
        (24, 32, True),
        (32, 24, True),
        (16, 17, True),
        (17, 16, True),
        (0, 24, True),
        (8, 8, True),
        (24, 16, False),
        (16, 24, False),
        (8, 24, False),
        (15, 16, False),
    ],
)
def test_colour_depths(session: int, local: int, good: bool) -> None:
    assert windows.is_color_depth_ok(depth_session=session, depth_local=local) is good


def test_without_python_xlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Xlib.display", None)
    with pytest.raises(X2GoException, match=r"need python-xlib; install x2gobroker\[x2go\]"):
        windows.local_color_depth()


@pytest.mark.parametrize("name", ["", "nonsense", ":64999", "localhost:99999999", ":0.x"])
def test_displays_that_do_not_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", name)
    with pytest.raises(X2GoException, match=r"the display .* cannot be used: "):
        windows.desktop_geometry()
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(X2GoException, match="no DISPLAY is set"):
        windows.find_session_window("x")


@pytest.mark.parametrize("answer", [b"", b"\x00", b"\x00\x0bhello\x00", b"\x01" * 8, b"\x02" * 400])
def test_servers_that_are_no_display(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends, or says nonsense and ends."""
    with socket.create_server(("127.0.0.1", port := free_port())) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{port - 6000}")
        with pytest.raises(X2GoException, match="cannot be used: "):
            windows.local_color_depth()
        server.join()


def test_a_display_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", port := free_port())) as listener:
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{port - 6000}")
        with pytest.raises(X2GoException, match=r"no answer within 0\.3 s"):
            windows.local_color_depth()
        listener.accept()[0].close()
    wait_until(lambda: "x2go-display" not in [thread.name for thread in threading.enumerate()], "its thread's end")
