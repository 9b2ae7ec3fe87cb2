"""The portal as users have it: a real Chromium, Apache or nginx with TLS, PAM, x2gobroker-remote and TigerVNC.

The web servers run what `x2gobroker remote print-config` prints.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.support.accounts import Account, account_with_home
from tests.support.browser import Tab, chromium, tab
from tests.support.cable import ADDRESS, cable
from tests.support.portal_site import Site, site_with_apache, site_with_nginx
from tests.support.portal_visitor import PATIENCE, RED, Visitor, programs_of, wait_for_nothing
from tests.support.tls import Certificates

DISPLAYS = 6000 + os.getpid() % 2000 * 10  # displays that no other test has
# a websocket as any page may try to open it; says how it ended
# whether the desktop's VNC server is behind it: a refusal comes in VNC's words, as a list of no ways to log in
OPEN_SOCKET = """([url, protocol]) => new Promise((resolve) => {
    const socket = new WebSocket(url, ["binary", protocol]);
    socket.binaryType = "arraybuffer";
    const said = [];
    socket.onmessage = ({ data }) => {
        const before = said.length;
        said.push(...new Uint8Array(data));
        if (before < 12 && said.length >= 12) socket.send(new TextEncoder().encode("RFB 003.008\\n"));
        if (said.length > 12) { socket.close(); resolve(said[12] ? "open" : "refused"); }
    };
    socket.onerror = () => resolve("failed");
})"""
ASK_TOKEN = """async (url) => {
    const answer = await fetch(url, {method: "POST", headers: {Accept: "application/json"}});
    return [answer.status, await answer.json()];
}"""
SEND_FORM = """(action) => {
    const form = Object.assign(document.createElement("form"), {method: "post", action});
    form.append(Object.assign(document.createElement("input"), {name: "type", value: "Shell"}));
    document.body.append(form);
    form.submit();
}"""
Enter = Callable[[], Visitor]


def shell(first: int, **more: Any) -> dict[str, Any]:
    """A session type: a terminal in TigerVNC."""
    options = {
        "command": ["xterm", "-geometry", "80x24+0+0", "-xrm", "XTerm*color1: #ff0000"],
        "display_base": DISPLAYS + first,
        "sizes": ["640x480"],
    }
    return {"script": "tigervnc.py", "count": 2, "options": options, **more}


BROKEN = {"script": "tigervnc.py", "count": 1, "options": {"xvnc": ["-xkbdir", "/no/such/folder"]}}
TYPES = {"Shell": shell(0), "Brief": shell(4, **{"grace-seconds": 2}), "Broken": BROKEN}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def site(certificates: Certificates) -> Iterator[Site]:
    """The portal in Apache."""
    with site_with_apache(certificates, TYPES) as running:
        yield running


@pytest.fixture
def user(site: Site) -> Iterator[Account]:
    """Somebody with an account on this machine."""
    with account_with_home("Portal & proper 1") as made:
        site.auth.keep_secret(made.password)
        yield made
        site.stop_all(made.name)
        wait_for_nothing(made)


@pytest.fixture
def enter(browser: Browser, site: Site, user: Account) -> Iterator[Enter]:
    """Open a page in a browser of its own, with cookies of its own. All are closed before the user goes."""
    with ExitStack() as tabs:
        yield lambda: Visitor(tabs.enter_context(tab(browser)), site.url)


@pytest.fixture
def visitor(enter: Enter, user: Account) -> Visitor:
    """Somebody who has signed in."""
    made = enter()
    made.sign_in(user)
    return made


def work_drop_share_stop(visitor: Visitor, onlooker: Visitor, site: Site, user: Account) -> None:
    """The whole way of a desktop, from its start to its end."""
    visitor.start("Shell")
    (server,) = programs_of(user, "Xvnc")
    visitor.touch(user.home / "first")
    assert (user.home / "first").owner() == user.name
    visitor.paint(1)
    visitor.wait_pixel(RED)
    visitor.tab.assert_well()

    desktop = visitor.desktop
    assert site.cable.pull() > 0
    visitor.wait_phase("waiting")
    site.cable.plug()
    visitor.wait_connected()
    visitor.wait_pixel(RED)
    visitor.touch(user.home / "second")
    assert (visitor.desktop, programs_of(user, "Xvnc")) == (desktop, [server])

    onlooker.page.goto(visitor.share())
    onlooker.wait_connected()
    visitor.paint(1)
    onlooker.wait_pixel(RED)
    onlooker.type(f"touch {user.home / 'not-by-you'}")
    # what the owner types after that arrives, and the other did not
    visitor.touch(user.home / "third")
    assert not (user.home / "not-by-you").exists()
    visitor.unshare()
    onlooker.wait_phase("ended")

    visitor.stop()
    wait_for_nothing(user)


def test_a_day_behind_apache(visitor: Visitor, enter: Enter, site: Site, user: Account) -> None:
    work_drop_share_stop(visitor, enter(), site, user)
    assert f"remote: {ADDRESS} works at Shell/" in site.service.said()
    assert f"remote: {ADDRESS} views as a guest at Shell/" in site.service.said()


@pytest.mark.parametrize("path", ["", "/x2gobroker"])
def test_a_day_behind_nginx(browser: Browser, certificates: Certificates, path: str) -> None:
    """The same; here the portal is in x2gobroker-daemon, and only the headers say who connects."""
    with (
        site_with_nginx(certificates, {"Shell": shell(8)}, path=path) as site,
        account_with_home("Portal & proper 2") as user,
        tab(browser) as one,
        tab(browser) as other,
    ):
        site.auth.keep_secret(user.password)
        visitor = Visitor(one, site.url)
        visitor.sign_in(user)
        work_drop_share_stop(visitor, Visitor(other, site.url), site, user)
        assert f"remote: {ADDRESS} works at Shell/" in site.service.said()
        assert f"address={ADDRESS}" in (site.service.folder / "daemon.log").read_text(encoding="utf-8")


def test_a_wrong_password_is_told_and_lets_nobody_in(enter: Enter, user: Account, site: Site) -> None:
    visitor = enter()
    visitor.sign_in(user, "wrong & improper")
    expect(visitor.page.get_by_role("alert")).to_be_visible(timeout=PATIENCE)
    visitor.page.goto(site.url)
    expect(visitor.page.get_by_label("Password")).to_be_visible(timeout=PATIENCE)


def test_the_browser_is_closed_and_another_one_comes_back(visitor: Visitor, enter: Enter, user: Account) -> None:
    visitor.start("Shell")
    visitor.paint(1)
    visitor.wait_pixel(RED)
    desktop, servers = visitor.desktop, programs_of(user, "Xvnc")
    visitor.page.context.close()
    other = enter()
    other.sign_in(user)
    other.go_on("Shell")
    other.wait_pixel(RED)
    assert (other.desktop, programs_of(user, "Xvnc")) == (desktop, servers)


def test_the_browser_is_closed_and_nobody_comes_back(visitor: Visitor, user: Account) -> None:
    """After the grace time of the session type nothing is left."""
    visitor.start("Brief")
    visitor.page.context.close()
    wait_for_nothing(user)


def test_two_tabs_have_one_desktop_and_neither_ends_the_other(visitor: Visitor, user: Account) -> None:
    visitor.start("Shell")
    second = Visitor(Tab(visitor.tab.context.new_page(), visitor.tab.context), visitor.url)
    second.go_on("Shell")
    assert second.desktop == visitor.desktop
    assert len(programs_of(user, "Xvnc")) == 1
    visitor.paint(1)
    for one in (visitor, second):
        one.wait_pixel(RED)
    visitor.page.close()
    second.touch(user.home / "still-here")


def test_a_double_click_on_start_starts_one_desktop(visitor: Visitor, user: Account, site: Site) -> None:
    button = visitor.page.locator(visitor.card("Shell")).get_by_role("button", name="Start")
    button.dblclick(delay=10)
    visitor.wait_connected()
    assert len(site.service.desktops.of_user(user.name)) == 1
    assert len(programs_of(user, "Xvnc")) == 1
    visitor.touch(user.home / "typed")


def token_of(visitor: Visitor, site: Site) -> tuple[str, str]:
    """A fresh token of the user's desktop: the websocket's address, and the subprotocol."""
    path = f"/portal/desktop/{visitor.desktop}/token"
    status, ticket = visitor.page.evaluate(ASK_TOKEN, path)
    assert status == 200
    return f"wss://localhost:{site.cable.port}/websockify", ticket["protocol"]


def test_a_token_counts_once_and_for_our_pages_only(visitor: Visitor, enter: Enter, site: Site) -> None:
    visitor.start("Shell")
    fresh = token_of(visitor, site)
    # the same server under another name is another origin; an answer that has no policy, as pages of others have none
    elsewhere = enter()
    elsewhere.page.goto(f"https://127.0.0.1:{site.cable.port}/health")
    assert elsewhere.page.evaluate(OPEN_SOCKET, fresh) == "refused"
    assert "its page is of another origin" in site.service.said()
    assert visitor.page.evaluate(OPEN_SOCKET, fresh) == "open"
    assert visitor.page.evaluate(OPEN_SOCKET, fresh) == "refused"
    visitor.wait_connected()


def test_nobody_else_gets_a_token_for_a_desktop(visitor: Visitor, enter: Enter, site: Site, user: Account) -> None:
    visitor.start("Shell")
    with account_with_home("Portal & proper 3") as somebody:
        site.auth.keep_secret(somebody.password)
        other = enter()
        other.sign_in(somebody)
        for what in ("token", "share", "stop"):
            other.page.evaluate(ASK_TOKEN, f"/portal/desktop/{visitor.desktop}/{what}")
        status, answer = other.page.evaluate(ASK_TOKEN, f"/portal/desktop/{visitor.desktop}/token")
        assert (status, "token" in answer) == (409, False)
        response = other.page.goto(f"{site.url}desktop/{visitor.desktop}")
        assert response is not None
        assert response.status == 404
    visitor.touch(user.home / "still-mine")
    (slot,) = site.service.desktops.of_user(user.name)
    assert site.service.desktops.shares([slot.id]) == {}


def test_a_page_of_somebody_else_cannot_start_anything(visitor: Visitor, site: Site, user: Account) -> None:
    """A form that another page has the browser send. Cookies do not mind the port, so this one comes with ours."""
    with cable(site.cable.target) as other:
        page = visitor.page.context.new_page()
        page.goto(f"https://localhost:{other.port}/health")
        for where, status in ((site.url, 403), (site.url.replace(str(site.cable.port), str(other.port)), 200)):
            with page.expect_navigation() as sent:
                page.evaluate(SEND_FORM, f"{where}start")
            assert sent.value.status == status
            started = site.service.desktops.of_user(user.name)
            assert len(started) == (status == 200)
            page.goto(f"https://localhost:{other.port}/health")


def test_a_user_who_is_locked_loses_the_desktop(visitor: Visitor, enter: Enter, user: Account) -> None:
    visitor.start("Shell")
    user.expire()
    visitor.wait_phase("ended")
    visitor.says("locked")
    wait_for_nothing(user)
    other = enter()
    other.sign_in(user)
    expect(other.page.get_by_role("alert")).to_be_visible(timeout=PATIENCE)


def test_the_service_is_killed_and_the_page_comes_back_to_the_same_desktop(
    visitor: Visitor, user: Account, site: Site
) -> None:
    visitor.start("Shell")
    servers = programs_of(user, "Xvnc")
    site.service.stop(signal.SIGKILL)
    visitor.wait_phase("waiting")
    site.service.start()
    visitor.wait_connected()
    assert programs_of(user, "Xvnc") == servers
    visitor.touch(user.home / "typed")


def test_a_vnc_server_that_dies_is_told(visitor: Visitor, user: Account) -> None:
    visitor.start("Shell")
    (server,) = programs_of(user, "Xvnc")
    os.kill(server, signal.SIGKILL)
    visitor.wait_phase("ended")
    wait_for_nothing(user)
    visitor.page.locator("#restart").click()
    visitor.wait_connected()
    visitor.touch(user.home / "again")


def test_a_desktop_that_cannot_start_is_told(visitor: Visitor, user: Account) -> None:
    visitor.page.locator(visitor.card("Broken")).get_by_role("button", name="Start").click()
    visitor.wait_phase("ended")
    visitor.says("The desktop could not be started.")
    visitor.page.goto(visitor.url)
    expect(visitor.page.locator(visitor.card("Broken"))).to_contain_text(
        "Something went wrong last time", timeout=PATIENCE
    )
    assert not programs_of(user, "Xvnc")


def test_what_is_typed_is_in_no_log(visitor: Visitor, user: Account, site: Site) -> None:
    """The site's own logs are looked at when it ends; here, those of the service."""
    visitor.start("Shell")
    visitor.touch(user.home / "typed-secret-word")
    said = site.service.said()
    assert "typed-secret-word" not in said
    assert user.password not in said
    _, protocol = token_of(visitor, site)
    assert protocol.removeprefix("x2gobroker.") not in site.service.said()
