"""The library on a real X2Go Server: a desktop shared with another user, view only and with full access.

Its owner runs X2Go Desktop Sharing, which lets in who is on the owner's white list.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.desktop import Desktop
from tests.support.desktop_sharing import GROUP, sharing_group
from tests.support.processes import wait_until
from tests.support.shown_session import QUIET, client, no_window, started, window
from tests.support.x2go_server import X2GoServer, x2go_server
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import X2GoDesktopSharingDenied, X2GoDesktopSharingException
from x2gobroker.x2go.terminal import X2GoTerminalSession

SETTINGS = "[General]\ngroup={group}\n{kind}list={user}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server with two users."""
    with x2go_server(tmp_path_factory.mktemp("x2go-shared"), users=2) as running, sharing_group(*running.users):
        yield running


def offer(owner: X2GoControlSession, desktop: X2GoTerminalSession, account: Account, kind: str, other: Account) -> None:
    """Have the owner's desktop shared; `kind` is white or black."""
    settings = account.home / ".x2godesktopsharing" / "settings"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(SETTINGS.format(group=GROUP, kind=kind, user=other.name), encoding="ascii")
    for path in (settings, settings.parent):
        shutil.chown(path, account.name, account.name)
    for left in Path("/tmp").glob(f"{GROUP}*"):  # of one that was killed: the next one asks what to do about it
        if left.owner() == account.name:
            left.unlink()
    desktop.exec_published_application("x2godesktopsharing --activate-desktop-sharing", env={"LC_ALL": "C.UTF-8"})
    place = Path(f"/tmp/{GROUP}_@{account.name}@:{desktop.session_info.display}")
    wait_until(lambda: place.exists() and place.group() == GROUP, "the desktop being offered")


def typed(screen: Desktop, title: str, text: str) -> None:
    """Click on the terminal in a desktop's window, and type a line."""
    number = window(screen, title)
    screen.xdotool("windowactivate", "--sync", number)
    screen.xdotool("mousemove", "--window", number, "200", "200")
    screen.xdotool("click", "1")
    screen.key("Return")  # what a try before has left there is a line of its own
    screen.type(text)
    screen.key("Return")


def typed_until_it_arrives(screen: Desktop, title: str, text: str, lines: Path) -> None:
    """The same, as often as it takes: a terminal may not have its window yet, or not the keyboard."""

    def arrived() -> bool:
        typed(screen, title, text)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: text in lines.read_text(), text, deadline=3)
        return text in lines.read_text()

    wait_until(arrived, f"{text!r} typed in the window {title!r}")


def test_another_users_desktop(server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = server.users
    with client(server, ann, screen, monkeypatch) as owner, client(server, bob, screen, monkeypatch) as other:
        desktop = started(owner, cmd="openbox-session", geometry="640x480")
        name = desktop.get_session_name()
        window(screen, f"X2GO-{name}")
        place = f"{ann.name}@:{desktop.session_info.display}"
        with pytest.raises(X2GoDesktopSharingException, match="no desktop"):
            other.share_desktop(place, **QUIET)
        offer(owner, desktop, ann, "white", bob)
        lines = ann.home / "typed"
        desktop.exec_published_application("xterm -e sh -c 'cat >\"$HOME/typed\"'")
        wait_until(lines.exists, "a terminal on the desktop")
        typed_until_it_arrives(screen, f"X2GO-{name}", "mine", lines)

        view = other.share_desktop(place, share_mode=0, **QUIET)
        assert view is not None, other.last_failure
        assert view.is_shadow_session()
        assert view.get_session_info().get_share_mode() == "0"
        typed(screen, f"X2GO-{view.get_session_name()}", "looking")
        assert not view.suspend()  # views end instead
        assert not view.ok()
        no_window(screen, f"X2GO-{view.get_session_name()}")

        both = other.share_desktop(user=ann.name, display=str(desktop.session_info.display), share_mode=1, **QUIET)
        assert both is not None, other.last_failure
        typed_until_it_arrives(screen, f"X2GO-{both.get_session_name()}", "helping", lines)
        assert not set("ok") & set(lines.read_text()), "nothing of what was typed into the view has arrived"
        assert both.terminate()
        assert desktop.ok()
        assert owner.terminate(name)


def test_ones_own_desktop_and_those_that_are_not_there(
    server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = server.users
    with client(server, ann, screen, monkeypatch) as owner, client(server, bob, screen, monkeypatch) as other:
        desktop = started(owner, cmd="openbox-session", geometry="640x480")
        place = f"{ann.name}@:{desktop.session_info.display}"
        window(screen, f"X2GO-{desktop.get_session_name()}")
        offer(owner, desktop, ann, "black", bob)
        with pytest.raises(X2GoDesktopSharingDenied):
            other.share_desktop(place, **QUIET)
        wait_until(lambda: server.states(bob) == {}, "no session of the other user")
        view = owner.share_desktop(place, share_mode=0, **QUIET)
        assert view is not None, owner.last_failure
        window(screen, f"X2GO-{view.get_session_name()}")
        assert view.terminate()
        assert desktop.ok()
        for wrong in ("", "nobody", "nobody@:99", f"{ann.name}@:$(id)", f"{ann.name};id@:50"):
            with pytest.raises(X2GoDesktopSharingException):
                owner.share_desktop(wrong, **QUIET)
        with pytest.raises(X2GoDesktopSharingException, match="share_mode"):
            owner.share_desktop(place, share_mode=2, **QUIET)
        assert desktop.terminate()
