"""Files up and down in a real Chromium, with real users: chosen, dropped, and across a network that goes away."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.integration.test_portal_accessibility import GRAVE, violations
from tests.support.accounts import change_accounts, processes_of
from tests.support.browser import DESKTOP, PHONE, Tab, chromium, tab
from tests.support.files_page import partials
from tests.support.portal_desktops import PASSWORD, PortalDesktops, begin, portal_desktops, stop_all
from tests.support.portal_files import empty, files_types, home_of_anna
from tests.support.processes import wait_until
from x2gobroker.remote.files.names import partial_name

LARGE = 40 << 20


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Anna's home folder on this host."""
    with home_of_anna() as made:
        yield made


@pytest.fixture(scope="module")
def site(home: Path) -> Iterator[PortalDesktops]:
    with portal_desktops(files_types(Both="both", In="in", Out="out", None_="none")) as made:
        yield made


@pytest.fixture
def anna(site: PortalDesktops, browser: Browser, home: Path) -> Iterator[Tab]:
    """Anna, signed in; her desktops are stopped afterwards, and her home is empty."""
    with tab(browser) as made:
        made.sign_in(site.url, "anna", PASSWORD)
        yield made
    site.plug()
    stop_all(site)
    empty(home)


def open_files(site: PortalDesktops, person: Tab, kind: str = "Both") -> None:
    """A desktop, and its files."""
    begin(site, person, kind)
    person.wait_for_phase("connected")
    person.page.get_by_role("button", name="Files").click()
    expect(person.page.locator("#files-rows")).not_to_have_attribute("aria-busy", "true")


def transfer(person: Tab, name: str) -> Locator:
    """One line of what is on its way."""
    return person.page.locator("#transfers-list li", has=person.page.get_by_text(name, exact=True))


def wait_done(person: Tab, name: str, text: str = "Done") -> None:
    expect(transfer(person, name).locator(".transfer-state")).to_have_text(text)


def owned(path: Path) -> tuple[str, int]:
    return path.owner(), path.stat().st_mode & 0o777


def test_files_that_are_chosen(site: PortalDesktops, anna: Tab, home: Path, tmp_path: Path) -> None:
    data = {"Übersicht 2024.pdf": os.urandom(3 << 20), "empty.txt": b"", "a<b>&'\".txt": b"markup"}
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
    open_files(site, anna)
    anna.page.set_input_files("#files-chosen", [tmp_path / name for name in data])
    for name, content in data.items():
        wait_done(anna, name)
        assert (home / name).read_bytes() == content
        assert owned(home / name) == ("anna", 0o644)
        expect(anna.page.get_by_role("button", name=f"Download {name}")).to_be_visible()
    anna.page.set_input_files("#files-chosen", [tmp_path / "empty.txt"])
    expect(transfer(anna, "empty.txt").nth(1).locator(".transfer-state")).to_contain_text("empty (1).txt")
    said = site.service.said()
    assert re.search(r"uploads ~/\S+bersicht\S+ at Both/0 of anna \(\w+\): 3145728 of 3145728 bytes: done", said)
    anna.assert_well()


def large(folder: Path) -> Path:
    """A file that takes a while."""
    made = folder / "large.bin"
    with made.open("wb") as stream:
        for _ in range(LARGE >> 20):
            stream.write(os.urandom(1 << 20))
    return made


def hold(site: PortalDesktops) -> None:
    """Let half of a large file go, and hold the rest."""
    site.websockets.hold_after(LARGE // 2)


def wait_held(site: PortalDesktops, anna: Tab) -> None:
    """A transfer is in its midst."""
    anna.wait_for("half of it", lambda: site.websockets.is_held)


def come(home: Path) -> int:
    """How much of an upload has come."""
    return sum(path.stat().st_size for path in partials(home))


def test_an_upload_goes_on_after_the_network_was_away(
    site: PortalDesktops, anna: Tab, home: Path, tmp_path: Path
) -> None:
    file = large(tmp_path)
    open_files(site, anna)
    hold(site)
    anna.page.set_input_files("#files-chosen", [file])
    wait_held(site, anna)
    anna.wait_for("a part of it", lambda: come(home) > 5 << 20)
    site.pull()
    try:
        expect(transfer(anna, file.name).locator(".transfer-state")).to_contain_text("The connection was lost.")
        assert come(home) < LARGE
    finally:
        site.plug()
    wait_done(anna, file.name)
    assert (home / file.name).read_bytes() == file.read_bytes()
    assert not partials(home)
    begun = re.findall(r"uploads ~/large.bin at \S+ of anna \(\w+\): begins at (\d+) of", site.service.said())
    assert int(begun[-1]) > 5 << 20, begun


def test_an_upload_of_which_all_had_come(site: PortalDesktops, anna: Tab, home: Path, tmp_path: Path) -> None:
    """Only its name was missing when the network went away."""
    data, date = b"all of it", 1_600_000_000
    here, there = (
        tmp_path / "all.txt",
        home / os.fsdecode(partial_name(b"all.txt", len(data), date * 1000, home.stat().st_uid)),
    )
    for path in (here, there):
        path.write_bytes(data)
        os.utime(path, (date, date))
    change_accounts("chown", "anna:", str(there))
    open_files(site, anna)
    anna.page.set_input_files("#files-chosen", [here])
    wait_done(anna, "all.txt")
    assert (home / "all.txt").read_bytes() == data
    assert not partials(home)


def test_a_download_that_broke_off_begins_again_and_then_goes_on(
    site: PortalDesktops, anna: Tab, home: Path, tmp_path: Path
) -> None:
    """The browser's own request cannot be gone on with; what takes its place can, as often as need be."""
    file = large(home)
    change_accounts("chown", "anna:", str(file))
    open_files(site, anna)
    hold(site)
    with anna.page.expect_download() as started:
        anna.page.get_by_role("button", name="Download large.bin").click()
    state = transfer(anna, file.name).locator(".transfer-state")
    wait_held(site, anna)
    with anna.page.expect_download() as second:
        site.pull()
        try:
            expect(state).to_contain_text("The connection was lost.")
        finally:
            hold(site)
            site.pages.plug()
    assert started.value.failure()
    wait_held(site, anna)
    site.pull()
    try:
        expect(state).to_contain_text("The connection was lost.")
    finally:
        site.plug()
    wait_done(anna, file.name)
    assert Path(second.value.path()).read_bytes() == file.read_bytes()
    begun = re.findall(r"downloads ~/large.bin at \S+ of anna \(\w+\): begins at (\d+) of", site.service.said())
    assert int(begun[-1]) > 0, begun


def test_they_go_by_plain_requests(site: PortalDesktops, anna: Tab, home: Path, tmp_path: Path) -> None:
    """Those are what is fast; nothing that has to be kept from others stands in their addresses."""
    asked = []
    anna.page.on("request", lambda request: asked.append((request.method, urlsplit(request.url))))
    file = large(tmp_path)
    open_files(site, anna)
    anna.page.set_input_files("#files-chosen", [file])
    wait_done(anna, file.name)
    with anna.page.expect_download() as started:
        anna.page.get_by_role("button", name="Download large.bin").click()
    assert Path(started.value.path()).read_bytes() == file.read_bytes()
    expect(anna.page.locator("#transfers-list li[data-state=done]")).to_have_count(2)
    posts = [url for method, url in asked if method == "POST" and url.path == "/websockify"]
    assert len(posts) == 3  # a first part of the upload, the rest of it, and the download
    assert not any(url.query for url in posts)
    assert anna.page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0
    anna.assert_well()


def test_where_a_web_server_refuses_plain_requests(site: PortalDesktops, anna: Tab, home: Path, tmp_path: Path) -> None:
    """It takes longer, over the connection that is there."""
    anna.page.route("**/websockify", lambda route: route.fulfill(status=413, body="too large"))
    file = large(tmp_path)
    open_files(site, anna)
    anna.page.set_input_files("#files-chosen", [file])
    wait_done(anna, file.name)
    assert (home / file.name).read_bytes() == file.read_bytes()
    with anna.page.expect_download() as started:
        anna.page.get_by_role("button", name="Download large.bin").click()
    assert Path(started.value.path()).read_bytes() == file.read_bytes()
    expect(anna.page.locator("#transfers-list li[data-state=done]")).to_have_count(2)


def test_a_download_that_is_cancelled(site: PortalDesktops, anna: Tab, home: Path) -> None:
    file = large(home)
    change_accounts("chown", "anna:", str(file))
    open_files(site, anna)
    hold(site)
    with anna.page.expect_download() as started:
        anna.page.get_by_role("button", name="Download large.bin").click()
    wait_held(site, anna)
    anna.page.get_by_role("button", name="Cancel: large.bin").click()
    wait_done(anna, file.name, "Cancelled")
    site.plug()
    assert started.value.failure()
    hold(site)
    with anna.page.expect_download() as started:
        anna.page.get_by_role("button", name="Download large.bin").click()
    wait_held(site, anna)
    started.value.cancel()
    site.plug()
    expect(transfer(anna, file.name).nth(1).locator(".transfer-state")).to_contain_text("was cancelled")


def test_an_upload_that_is_cancelled_leaves_nothing(
    site: PortalDesktops, anna: Tab, home: Path, tmp_path: Path
) -> None:
    file = large(tmp_path)
    open_files(site, anna)
    hold(site)
    anna.page.set_input_files("#files-chosen", [file])
    wait_held(site, anna)
    anna.wait_for("a part of it", lambda: come(home) > 1 << 20)
    for number in processes_of("anna"):
        os.kill(number, signal.SIGSTOP)
    anna.page.get_by_role("button", name="Cancel: large.bin").click()
    for number in processes_of("anna"):
        os.kill(number, signal.SIGCONT)
    wait_done(anna, file.name, "Cancelled")
    site.plug()
    wait_until(lambda: not list(home.glob("*large*")) and not partials(home), "nothing being left")
    anna.page.set_input_files("#files-chosen", [Path("/etc/hostname")])
    wait_done(anna, "hostname")


def test_one_way_only(site: PortalDesktops, anna: Tab, home: Path) -> None:
    (home / "secret.txt").write_text("secret")
    open_files(site, anna, "In")
    expect(anna.page.locator("#files-rows")).to_contain_text("secret.txt")
    expect(anna.page.get_by_role("button", name="Download secret.txt")).to_have_count(0)
    anna.page.set_input_files("#files-chosen", [Path("/etc/hostname")])
    wait_done(anna, "hostname")
    open_files(site, anna, "Out")
    expect(anna.page.locator("#files-choose")).to_have_count(0)
    with anna.page.expect_download() as started:
        anna.page.get_by_role("button", name="Download secret.txt").click()
    assert Path(started.value.path()).read_text() == "secret"
    begin(site, anna, "None_")
    anna.wait_for_phase("connected")
    expect(anna.page.get_by_role("button", name="Files")).to_have_count(0)


def test_the_end_of_the_sign_in_ends_a_transfer(site: PortalDesktops, anna: Tab, home: Path, tmp_path: Path) -> None:
    file = large(tmp_path)
    open_files(site, anna)
    hold(site)
    anna.page.set_input_files("#files-chosen", [file])
    wait_held(site, anna)
    anna.wait_for("a part of it", lambda: come(home) > 1 << 20)
    for number in processes_of("anna"):
        os.kill(number, signal.SIGSTOP)
    anna.page.evaluate("fetch('/portal/sign-out', { method: 'POST' })")
    anna.wait_for_phase("signed-out")
    for number in processes_of("anna"):
        os.kill(number, signal.SIGCONT)
    wait_until(lambda: not processes_of("anna"), "the process for files having ended")
    assert not (home / "large.bin").exists()
    expect(transfer(anna, file.name).locator(".transfer-state")).to_contain_text("You are signed out.")


@pytest.mark.parametrize(("scheme", "size"), [("light", PHONE), ("dark", DESKTOP), ("dark", PHONE), ("light", DESKTOP)])
def test_everybody_can_use_it(
    site: PortalDesktops,
    browser: Browser,
    home: Path,
    pictures: Path,
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    """axe finds nothing grave; it fits; and it works by the keyboard alone."""
    (home / "Documents").mkdir(exist_ok=True)
    for number in range(12):
        (home / f"A rather long name of a report of the year {2010 + number}.pdf").write_bytes(bytes(number * 345678))
    change_accounts("chown", "-R", "anna:", str(home))
    with tab(browser, size, scheme, touch=size == PHONE) as person:
        person.sign_in(site.url, "anna", PASSWORD)
        open_files(site, person)
        expect(person.page.get_by_role("button", name="Open folder Documents")).to_be_visible()
        person.page.set_input_files("#files-chosen", [Path("/etc/hostname"), Path("/etc/hostname")])
        expect(person.page.locator("[data-state=done]")).to_have_count(2)
        expect(person.page.get_by_role("button", name="Download hostname", exact=True)).to_be_visible()
        found = [f"{impact}: {where}" for impact, where in violations(person) if impact in GRAVE]
        assert not found, "\n".join(found)
        person.page.screenshot(path=pictures / "files.png")
        box = person.page.locator("#files-dialog").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]
        width = person.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]
        person.page.get_by_role("button", name="Open folder Documents").focus()
        person.page.keyboard.press("Enter")
        expect(person.page.locator("#files-way [aria-current]")).to_have_text("Documents")
        person.page.keyboard.press("Escape")
        expect(person.page.locator("#files-dialog")).to_be_hidden()
        expect(person.page.locator("#transfers")).to_be_visible()
        person.page.screenshot(path=pictures / "transfers.png")
    stop_all(site)
    empty(home)
