"""Files where browsers differ: dropped onto the desktop, downloaded under odd names, saved after a cut.

In real Chromium and real Firefox, with a real user.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.accounts import change_accounts
from tests.support.firefox import FirefoxTab
from tests.support.person import Person
from tests.support.portal_desktops import PortalDesktops, anna_at, begin, portal_desktops
from tests.support.portal_files import (
    empty,
    files_types,
    home_of_anna,
    open_files_at,
    wait_for_transfer,
)

LARGE = 40 << 20
# as the browser does for a user who drags two files: over the desktop first, then let go
DROP = """
const [step] = arguments;
if (step === "dragover") {
  window.drop = new DataTransfer();
  window.drop.items.add(new File(["dropped"], "dropped.txt", { lastModified: 1600000000000 }));
  window.drop.items.add(new File([new Uint8Array(1 << 20)], "zeros.bin"));
}
const event = new DragEvent(step, { dataTransfer: window.drop, bubbles: true, cancelable: true });
document.querySelector("#screen canvas").dispatchEvent(event);
return event.defaultPrevented;
"""

# at once, as no browser waits for an answer of ours
REFRESH_AND_OPEN = """
const folders = [...document.querySelectorAll("#files-rows button")];
document.getElementById("files-refresh").click();
folders.find((folder) => folder.textContent === arguments[0]).click();
"""
HOME = "document.querySelector('#files-way button').click()"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Anna's home folder on this host."""
    with home_of_anna() as made:
        yield made


@pytest.fixture(scope="module")
def site(home: Path) -> Iterator[PortalDesktops]:
    with portal_desktops(files_types(Both="both")) as made:
        yield made


@pytest.fixture(params=["chromium", "firefox"])
def anna(
    request: pytest.FixtureRequest,
    site: PortalDesktops,
    running_chromium: Browser,
    running_firefox: Person,
    home: Path,
) -> Iterator[Person]:
    """Anna, signed in, in each browser; afterwards her home is empty."""
    with anna_at(site, running_firefox if request.param == "firefox" else running_chromium) as person:
        yield person
        site.plug()
    empty(home)


def test_files_that_are_dropped_onto_the_desktop(site: PortalDesktops, anna: Person, home: Path) -> None:
    begin(site, anna, "Both")
    anna.wait_for_phase("connected")
    assert anna.run(DROP, "dragover"), "else the browser opens the file"
    anna.wait_for("the words", lambda: anna.visible("#drop-here"))
    assert anna.run(DROP, "drop")
    anna.wait_for("their end", lambda: not anna.visible("#drop-here"))
    for name in ("dropped.txt", "zeros.bin"):
        wait_for_transfer(anna, name)
    assert (home / "dropped.txt").read_text() == "dropped"
    assert (home / "dropped.txt").stat().st_mtime == 1600000000
    assert (home / "zeros.bin").stat().st_size == 1 << 20
    anna.use("Clear list")
    anna.wait_for("an empty list", lambda: not anna.visible("#transfers"))


def test_into_folders_and_down(site: PortalDesktops, anna: Person, home: Path, tmp_path: Path) -> None:
    data = os.urandom((20 << 20) + 3)
    report = home / "Documents" / "Büro" / "Bericht 'ü'.bin"
    report.parent.mkdir(parents=True)
    report.write_bytes(data)
    change_accounts("chown", "-R", "anna:", str(home / "Documents"))
    open_files_at(site, anna, "Both")
    anna.use("Open folder Documents")
    anna.use("Open folder Büro")
    saved = anna.download(f"Download {report.name}")
    assert saved.name == report.name
    assert saved.read_bytes() == data
    wait_for_transfer(anna, report.name)
    (tmp_path / "here.txt").write_text("here")
    anna.choose_files("Upload files…", tmp_path / "here.txt")
    wait_for_transfer(anna, "here.txt")
    assert (report.parent / "here.txt").read_text() == "here"
    anna.use("Home folder")
    anna.wait_for("the folders there", lambda: "Documents" in anna.text("#files-rows"))


def test_each_list_is_that_of_its_own_folder(site: PortalDesktops, anna: Person, home: Path) -> None:
    """Also for who opens another one while the first is still on its way, as after each upload."""
    for name in ("Documents", "Music"):
        (home / name).mkdir()
        (home / name / f"in {name}.txt").write_text(name)
    change_accounts("chown", "-R", "anna:", str(home))
    open_files_at(site, anna, "Both")
    for name in ("Documents", "Music"):
        anna.run(REFRESH_AND_OPEN, name)
        anna.wait_for(f"the list of {name}", lambda: anna.text("#files-rows").startswith(f"in {name}.txt"), 20)  # noqa: B023
        anna.run(HOME)
        anna.wait_for("that of the home folder", lambda: anna.text("#files-rows").startswith("Documents"), 20)
        assert "Music" in anna.text("#files-rows")


def test_a_download_that_broke_off_is_whole_in_the_end(
    site: PortalDesktops, running_firefox: FirefoxTab, home: Path
) -> None:
    """In Firefox: its own request cannot be gone on with, so that a service worker of the page has it saved."""
    data = os.urandom(LARGE)
    (home / "large.bin").write_bytes(data)
    change_accounts("chown", "anna:", str(home / "large.bin"))
    with anna_at(site, running_firefox) as anna:
        before = set(running_firefox.downloads.iterdir())
        open_files_at(site, anna, "Both")
        site.websockets.hold_after(LARGE // 2)
        anna.use("Download large.bin")
        anna.wait_for("half of it", lambda: site.websockets.is_held)
        site.pull()
        try:
            wait_for_transfer(anna, "large.bin", "The connection was lost.")
        finally:
            site.plug()
        wait_for_transfer(anna, "large.bin")
        anna.wait_for("the whole file", lambda: data in saved_since(running_firefox, before))
        began = re.findall(r"downloads ~/large.bin at \S+ of anna \(\w+\): begins at (\d+) of", site.service.said())
        assert len(began) >= 2, "a second one has taken its place"
    empty(home)


def saved_since(person: FirefoxTab, before: set[Path]) -> list[bytes]:
    """What is in the files that the browser has saved since, as a whole."""
    found = set(person.downloads.iterdir()) - before
    return [path.read_bytes() for path in found if path.suffix != ".part" and path.stat().st_size == LARGE]
