"""The tutorial "A desktop in the browser", followed on a bare Debian that has booted, with a real browser beside it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest

from tests.packages.booted.bare import Bare, without_packages
from tests.packages.booted.pages import PAGES, Reader, says
from tests.support.browser import Tab, chromium, tab
from tests.support.installation import CHECKOUT
from tests.support.other_debian import pip_settings, places
from tests.support.portal_visitor import Visitor
from tests.support.processes import wait_until

PAGE = "tutorial/desktop-in-the-browser"
SOURCE = "/root/x2gobroker"
SAID = "/root/said"
AUTHORITIES = Path("/usr/local/share/ca-certificates")
TRIAL, PORTAL = "http://127.0.0.1:8080/portal/", "https://127.0.0.1/portal/"
PASSWORD = "Tutorial-pw-1"
START_SECONDS = 400.0  # `make run` fetches all that it needs first
SIZE = (1440, 900)  # of the pictures in the documentation, which are made here
DRAWN_SECONDS = 8  # for pictures that show all of Xfce
XFCE = {"xfce4-session", "xfwm4", "xfce4-panel", "xfdesktop"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """A Debian 12 with nothing but the source, as git has it."""
    folder = tmp_path_factory.mktemp("tutorial")
    names = subprocess.run(["git", "-C", str(CHECKOUT), "ls-files", "-z"], capture_output=True, check=True).stdout
    archive = folder / "source.tar"
    subprocess.run(["tar", "-C", str(CHECKOUT), "--null", "-T", "-", "-cf", str(archive)], input=names, check=True)
    with without_packages(folder, "bookworm", pip_settings()) as made:
        made.machine.put(archive, f"{SOURCE}.tar")
        made.machine.run("mkdir", SOURCE)
        made.machine.run("tar", "-C", SOURCE, "-xf", f"{SOURCE}.tar")
        own = folder / "machine.tar"  # how pip reaches the package index, here; folders are packages, and large
        files = [path for path in places(pip_settings().values()) if path.is_file()]
        found = [str(path) for path in (*files, AUTHORITIES) if path.exists()]
        subprocess.run(["tar", "-C", "/", "-cf", str(own), "--dereference", *(name[1:] for name in found)], check=True)
        made.machine.put(own, "/root/machine.tar")
        made.machine.run("tar", "-C", "/", "--skip-old-files", "-xf", "/root/machine.tar")
        yield made


def picture(page: Tab, name: str, folder: Path) -> None:
    """Leave one where somebody can look at it."""
    page.picture(Path(os.environ.get("X2GOBROKER_TEST_ARTIFACTS", folder), "tutorial", f"{name}.png"))


def block(heading: str, language: str) -> str:
    """The first block of a language below a heading of the page."""
    text = (PAGES / f"{PAGE}.md").read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    return text.partition(f"```{language}\n")[2].partition("```")[0]


def test_try_it_first(site: Bare, tmp_path: Path) -> None:
    machine = site.machine
    reader = Reader(site, {"make run": "true", "apt-get install": "apt-get install -qy"}, SOURCE)
    reader.follow(PAGE, "Try it first")
    variables = [f"--setenv={name}={value}" for name, value in pip_settings().items()]
    words = ["systemd-run", "--unit=trial", "--collect", f"--working-directory={SOURCE}", "--setenv=HOME=/root"]
    machine.run(
        *words, *variables, f"--property=StandardOutput=file:{SAID}", "--property=StandardError=inherit", "make", "run"
    )

    def said() -> str:
        text = machine.call("cat", SAID).stdout
        assert machine.call("systemctl", "is-active", "trial").stdout.strip() == "active", text
        return text

    wait_until(lambda: TRIAL in said(), "the broker saying where it is", START_SECONDS)
    found = re.search(r"user name (\S+), password (\S+)$", said(), re.MULTILINE)
    assert found, said()
    with chromium() as browser, tab(browser) as page:
        somebody = Visitor(page, TRIAL)
        page.sign_in(TRIAL, found[1], found[2])
        page.use("Start")
        somebody.wait_connected()
        page.wait_for_colours(2)
        picture(page, "trial", tmp_path)
    machine.run("systemctl", "kill", "-s", "INT", "trial")
    wait_until(lambda: machine.call("systemctl", "is-active", "trial").returncode != 0, "the end of the trial")
    wait_until(lambda: "vnc" not in machine.run("sh", "-c", "cat /proc/[0-9]*/comm").lower(), "no desktop")


def test_a_server_for_others(site: Bare, tmp_path: Path) -> None:
    machine = site.machine
    names = {"apt-get install": "apt-get install -qy"}
    answers = {'adduser --gecos "" anna': f"{PASSWORD}\n{PASSWORD}\n"}
    looks = {
        "x2gobroker check-config": says("no problems found"),
        "curl -k": says('"configuration": "ok"'),
    }
    Reader(site, names, SOURCE, answers).follow(PAGE, "A server for others", looks)

    def programs() -> set[str]:
        return set(machine.call("ps", "-o", "comm=", "-u", "anna").stdout.split())

    with chromium() as browser, ExitStack() as people:

        def somebody(scheme: Literal["light", "dark"] = "light") -> Visitor:
            return Visitor(people.enter_context(tab(browser, SIZE, scheme)), PORTAL)

        office, home, guest, later = somebody(), somebody("dark"), somebody(), somebody()
        office.page.goto(PORTAL)
        picture(office.tab, "portal-sign-in", tmp_path)
        office.tab.sign_in(PORTAL, "anna", PASSWORD)
        office.start("Desktop")
        office.tab.wait_for("Xfce", lambda: programs() >= XFCE)
        office.tab.wait_for_colours(50)
        office.page.wait_for_timeout(DRAWN_SECONDS * 1000)
        picture(office.tab, "portal-desktop", tmp_path)
        assert not {name for name in programs() if "vncconfig" in name}
        desktop = office.desktop
        office.page.close()

        home.tab.sign_in(PORTAL, "anna", PASSWORD)
        home.go_on("Desktop")
        assert home.desktop == desktop
        guest.page.goto(home.share())
        guest.wait_connected()
        guest.tab.wait_for_colours(50)
        picture(guest.tab, "guest", tmp_path)
        home.unshare()
        guest.wait_phase("ended")
        home.page.goto(PORTAL)
        home.tab.use("My sessions")
        home.tab.wait_for("the desktop in the list", lambda: "Reconnect" in home.tab.text("main"))
        picture(home.tab, "portal-sessions", tmp_path)
        home.tab.use("Reconnect")
        home.wait_connected()
        home.stop()
        home.tab.wait_for("the end of the desktop", lambda: not programs())

        machine.write("/etc/x2go/broker/session-types.json", block("More desktops", "json"))
        Reader(site, {}, SOURCE).follow(PAGE, "More desktops", {"x2gobroker check-config": says("no problems found")})
        later.tab.sign_in(PORTAL, "anna", PASSWORD)
        later.tab.wait_for("both", lambda: "Large desktop" in later.tab.text("main"))
        picture(later.tab, "portal-home", tmp_path)
        later.start("Large desktop")
        later.tab.wait_for_colours(50)
        later.stop()
        for each in (home, guest, later):
            each.tab.assert_well()
    assert site.failed_units() == set()
