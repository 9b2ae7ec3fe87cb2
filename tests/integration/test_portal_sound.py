"""The sound of desktops, heard in real Chromium and real Firefox: a tone that a user's program plays."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.accounts import Account, account_with_home, processes_of
from tests.support.browser import Tab, chromium, tab
from tests.support.firefox import firefox
from tests.support.person import Person
from tests.support.portal_desktops import PASSWORD, PortalDesktops, begin, portal_desktops, stop_all
from tests.support.processes import wait_until
from tests.support.pulseaudio import runtime_folder, sound_account, sound_server
from tests.support.tones import write_tone
from x2gobroker.store import PortalSessions, Slot

TONE, OTHER = 440, 1000
SECONDS = 4  # of the tone, again and again
# what is played by the page from now on can be looked at
LISTEN = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...more) {
  if (target === this.context.destination) {
    const ear = window.ear = new AnalyserNode(this.context, { fftSize: 8192, smoothingTimeConstant: 0 });
    connect.call(this, ear);
  }
  return connect.call(this, target, ...more);
};
"""
# how loud these frequencies are, in dB
LOUD = """
const { ear } = window;
if (!ear) return arguments[0].map(() => -200);
const found = new Float32Array(ear.frequencyBinCount);
ear.getFloatFrequencyData(found);
const middle = (hertz) => Math.round(hertz * ear.fftSize / ear.context.sampleRate);
const at = (hertz) => Math.max(...found.slice(middle(hertz) - 1, middle(hertz) + 2));
return arguments[0].map((hertz) => Math.max(-200, at(hertz)));
"""
PRESSED = "return document.getElementById('sound').getAttribute('aria-pressed')"


@dataclass
class Place:
    """The portal, and the account that has anna's desktops."""

    site: PortalDesktops
    account: Account
    tones: Path

    @contextlib.contextmanager
    def also_plays(self, hertz: int) -> Iterator[None]:
        """One more tone in the desktop that runs."""
        (socket,) = self.site.service.scripts_state.glob("**/sound")
        words = write_tone(self.tones / f"{hertz}.raw", hertz, 20)
        environment = {"PULSE_SERVER": f"unix:{socket}", "HOME": str(self.account.home), "PATH": "/usr/bin:/bin"}
        name = self.account.name
        with subprocess.Popen(words, env=environment, user=name, group=name, extra_groups=[]) as playing:
            try:
                yield
            finally:
                playing.terminate()

    def programs(self, name: str) -> list[int]:
        """The account's processes of this name."""
        found = []
        for number in processes_of(self.account.name):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{number}/comm").read_text().strip() == name:
                    found.append(number)
        return found


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with account_with_home("Sound-pw-1", below="/var/lib") as account:
        tones = account.home / "tones"
        tones.mkdir(mode=0o755)
        account.home.chmod(0o755)
        loop = f"while :; do {' '.join(write_tone(tones / 'loop.raw', TONE, SECONDS))}; done"
        common = {"account": account.name, "sizes": ["800x600"]}
        plays = {"script": "tigervnc.py", "count": 2, "pam-service": ""}
        types = {
            "Tone": {**plays, "sound": "out", "options": {**common, "command": ["sh", "-c", loop]}},
            "Still": {**plays, "sound": "out", "options": {**common, "command": ["sleep", "1000"]}},
            "None": {**plays, "options": {**common, "command": ["sh", "-c", loop]}},
        }
        with portal_desktops(types) as site:
            yield Place(site, account, tones)


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What browsers need to be heard: without a sound card, they let nothing play."""
    with sound_account() as account:
        path = runtime_folder(account) / "speakers"
        module = f"module-native-protocol-unix socket={path} auth-anonymous=1"
        with sound_server(tmp_path_factory.mktemp("speakers"), account, module):
            wait_until(path.exists, "a sound server for browsers")
            yield {"PULSE_SERVER": f"unix:{path}"}


@pytest.fixture(scope="module")
def heard_chromium(speakers: dict[str, str]) -> Iterator[Browser]:
    with chromium(speakers) as running:
        yield running


@pytest.fixture(params=["chromium", "firefox"])
def anna(request: pytest.FixtureRequest, place: Place, speakers: dict[str, str], tmp_path: Path) -> Iterator[Person]:
    """Anna, signed in, in each browser; her desktops are stopped afterwards."""
    if request.param == "firefox":
        with firefox(tmp_path / "firefox", sound=speakers) as made:
            made.sign_in(place.site.url, "anna", PASSWORD)
            yield made
            PortalSessions(place.site.service.store).close_all("anna")
    else:
        with tab(request.getfixturevalue("heard_chromium")) as made:
            made.sign_in(place.site.url, "anna", PASSWORD)
            yield made
    stop_all(place.site)
    wait_until(lambda: not processes_of(place.account.name), "the end of all processes of the account")


def open_desktop(place: Place, person: Person, kind: str = "Tone") -> Slot:
    slot = begin(place.site, person, kind)
    person.wait_for_phase("connected")
    person.run(LISTEN)
    return slot


def hears(person: Person, hertz: int = TONE) -> bool:
    """This tone, and none that nobody plays."""
    loud, other, nothing = person.run(LOUD, [hertz, 2 * hertz + 150, 6000])
    return bool(min(loud + 40, loud - other - 25, loud - nothing - 25) > 0)


def silent(person: Person) -> bool:
    return bool(max(person.run(LOUD, [TONE, OTHER])) < -90)


def wait_heard(person: Person, hertz: int = TONE) -> None:
    try:
        person.wait_for(f"a tone of {hertz} Hz", lambda: hears(person, hertz))
    except AssertionError as error:
        state = person.run("return window.ear?.context.state"), person.run(LOUD, [TONE, OTHER, 6000])
        raise AssertionError(f"{error} {state} {person.text('#sound-said')}") from error


def test_it_is_heard_as_long_as_it_is_on(place: Place, anna: Person) -> None:
    open_desktop(place, anna)
    assert anna.run(PRESSED) == "false"
    assert not place.programs("parec")
    anna.use("Sound")
    wait_heard(anna)
    assert anna.run(PRESSED) == "true"
    assert "hears Tone/0 of anna" in place.site.service.said()
    anna.use("Sound")
    assert anna.run(PRESSED) == "false"
    wait_until(lambda: not place.programs("parec"), "nothing being recorded any more")
    anna.run("delete window.ear")
    anna.use("Sound")
    wait_heard(anna)
    if isinstance(anna, Tab):
        anna.assert_well()


def test_it_is_remembered_and_begins_when_the_browser_lets_it(place: Place, anna: Person) -> None:
    slot = open_desktop(place, anna)
    anna.use("Sound")
    wait_heard(anna)
    anna.go(f"{place.site.url}desktop/{slot.id}")
    anna.wait_for_phase("connected")
    assert anna.run(PRESSED) == "true"
    anna.click_screen()
    wait_until(lambda: bool(place.programs("parec")), "the sound being on again")


def test_it_comes_back_with_the_network(place: Place, anna: Person) -> None:
    open_desktop(place, anna)
    anna.use("Sound")
    wait_heard(anna)
    place.site.pull()
    try:
        anna.wait_for("silence", lambda: silent(anna))
    finally:
        place.site.plug()
    wait_heard(anna)


def test_after_a_network_that_stood_still_nothing_old_is_heard(place: Place, anna: Person) -> None:
    """It stands for four seconds, and holds what it was given; what is played then is heard, and soon."""
    open_desktop(place, anna)
    anna.use("Sound")
    wait_heard(anna)
    place.site.websockets.held = True
    time.sleep(4)
    place.site.websockets.held = False
    wait_heard(anna)
    with place.also_plays(OTHER):
        began = time.monotonic()
        wait_heard(anna, OTHER)
        print(f"heard after {time.monotonic() - began:.2f} s")
        assert time.monotonic() - began < 3  # four seconds, if it were late


def test_a_slow_network_gets_less_of_it(place: Place, anna: Person) -> None:
    """A tenth of what the whole would take: it is heard, and as it is played."""
    open_desktop(place, anna)
    place.site.websockets.rate = 75_000
    try:
        anna.use("Sound")
        wait_heard(anna)
        time.sleep(5)  # in which it would fall behind
        with place.also_plays(OTHER):
            began = time.monotonic()
            wait_heard(anna, OTHER)
            print(f"heard after {time.monotonic() - began:.2f} s")
            assert time.monotonic() - began < 3
    finally:
        place.site.websockets.rate = 0


def test_it_ends_with_the_desktop(place: Place, anna: Person) -> None:
    open_desktop(place, anna)
    anna.use("Sound")
    wait_heard(anna)
    stop_all(place.site)
    anna.wait_for_phase("ended")
    anna.wait_for("silence", lambda: silent(anna))
    wait_until(lambda: not processes_of(place.account.name), "the end of all processes of the account")
    assert not anna.visible("#sound-said")


def test_a_desktop_whose_sound_server_is_gone(place: Place, anna: Person) -> None:
    open_desktop(place, anna, "Still")
    (number,) = place.programs("pulseaudio")
    os.kill(number, signal.SIGKILL)
    wait_until(lambda: not place.programs("pulseaudio"), "its end")
    anna.use("Sound")
    anna.wait_for("words", lambda: "This desktop cannot play sound." in anna.text("#sound-said"))
    assert anna.run(PRESSED) == "false"
    assert "no sound of Still/0 of anna" in place.site.service.said()


def test_without_leave_there_is_none(place: Place, anna: Person) -> None:
    open_desktop(place, anna, "None")
    assert anna.run("return document.getElementById('sound')") is None
    assert not place.programs("pulseaudio")


def test_the_end_of_the_sign_in_ends_it(place: Place, anna: Person) -> None:
    open_desktop(place, anna)
    anna.use("Sound")
    wait_heard(anna)
    anna.run("fetch('/portal/sign-out', { method: 'POST' })")
    anna.wait_for_phase("signed-out")
    wait_until(lambda: not place.programs("parec"), "nothing being recorded any more")
    anna.wait_for("silence", lambda: silent(anna))


def test_guests_hear_nothing(place: Place, heard_chromium: Browser) -> None:
    with tab(heard_chromium) as person:
        person.sign_in(place.site.url, "anna", PASSWORD)
        open_desktop(place, person)
        person.use("Share")
        person.use("Create link")
        person.wait_for("a link", lambda: "#" in person.value("Link"))
        link = person.value("Link")
        with person.guest() as guest:
            guest.go(link)
            guest.wait_for_phase("connected")
            assert guest.run("return document.getElementById('sound')") is None
    stop_all(place.site)
