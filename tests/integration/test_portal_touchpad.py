"""The screen of a phone as a touchpad, in real Chromium and real Firefox, with real Xvnc."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import PHONE, tab
from tests.support.firefox import firefox
from tests.support.person import Person
from tests.support.pointer_watch import DOWN, UP, PointerWatch, pointer_watch
from tests.support.portal_desktops import (
    DISPLAYS,
    PASSWORD,
    PortalDesktops,
    begin,
    portal_desktops,
    stop_all,
    terminals,
)
from x2gobroker.store import PortalSessions

# where noVNC draws the pointer, by its own means: the one canvas that is not in the page
POINTER = """
const drawn = [...document.body.children].find((element) => element.matches("canvas"));
const box = drawn?.getBoundingClientRect();
return drawn && drawn.style.visibility !== "hidden" && box.width ? [box.x, box.y] : null;
"""
BOX = (
    "const b = document.querySelector('#screen canvas:not(.last)').getBoundingClientRect();"
    "return [b.x, b.y, b.width, b.height]"
)
# two taps, the second of which goes on as a drag, as fast as nobody can: `arguments` are places
TAP_AND_DRAG = """
const target = document.querySelector("#screen canvas:not(.last)");
const send = (type, [x, y]) => {
  const touch = new Touch({ identifier: 7, target, clientX: x, clientY: y });
  const touches = type === "touchend" ? [] : [touch];
  target.dispatchEvent(new TouchEvent(type, {
    touches, targetTouches: touches, changedTouches: [touch], bubbles: true, cancelable: true,
  }));
};
send("touchstart", arguments[0]);
send("touchend", arguments[0]);
send("touchstart", arguments[0]);
for (const place of [...arguments].slice(1)) send("touchmove", place);
window.letGo = () => send("touchend", arguments[arguments.length - 1]);
"""
START, MIDDLE = (200, 420), (195, 480)
QUIET_SECONDS = 0.5
ATTEMPTS = 5  # on a busy machine a tap may take as long as somebody who holds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalDesktops]:
    types = terminals(tmp_path_factory.mktemp("typed") / "typed")
    with portal_desktops(types, "remote-connections-per-user = 50") as made:
        yield made


@pytest.fixture(params=["chromium", "firefox"], scope="module")
def phone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A phone, in each browser."""
    if request.param == "firefox":
        with firefox(tmp_path_factory.mktemp("firefox"), PHONE, touch=True) as made:
            yield made
    else:
        with tab(request.getfixturevalue("running_chromium"), PHONE, touch=True) as made:
            yield made
            made.assert_well()


@pytest.fixture
def anna(site: PortalDesktops, phone: Person) -> Iterator[Person]:
    """Anna at her desktop, which takes fingers as it does of its own accord."""
    phone.sign_in(site.url, "anna", PASSWORD)
    begin(site, phone)
    phone.wait_for_phase("connected")
    yield phone
    phone.run("localStorage.clear()")
    phone.go("about:blank")
    PortalSessions(site.service.store).close_all("anna")
    stop_all(site)


@pytest.fixture
def watch(site: PortalDesktops, anna: Person) -> Iterator[PointerWatch]:
    """What the pointer of her desktop does."""
    with pointer_watch(DISPLAYS + site.service.desktops.of_user("anna")[0].number) as made:
        yield made


def choose(anna: Person, value: str) -> None:
    """Choose how the screen is touched."""
    anna.use("Touch")
    anna.wait_for("the dialog", lambda: anna.visible("#touch-dialog"))
    anna.click(f"#touch-dialog input[value={value}]")
    anna.use("Close")
    anna.wait_for("the end of the dialog", lambda: not anna.visible("#touch-dialog"))


def settle(watch: PointerWatch) -> None:
    """Wait until nothing comes any more of what was done before."""
    count = -1
    while count != len(watch.events):
        count = len(watch.events)
        time.sleep(QUIET_SECONDS)


def until(anna: Person, watch: PointerWatch, wanted: list[tuple[str, int]], *fingers: tuple[int, int]) -> None:
    """Tap with these fingers until the buttons do what is wanted."""
    for _attempt in range(ATTEMPTS):
        settle(watch)
        watch.forget()
        anna.fingers(list(fingers))
        anna.wait_for("all buttons up", lambda: len(watch.buttons()) >= len(wanted) and not watch.held())
        if watch.buttons() == wanted:
            return
    assert watch.buttons() == wanted


def clicked(anna: Person, watch: PointerWatch) -> tuple[int, int]:
    """Where a tap clicks: where the pointer is, once all that was sent before has come."""
    until(anna, watch, [(DOWN, 1), (UP, 1)], (60, 300))
    return watch.events[0][2:]


def test_fingers_move_a_pointer_that_is_seen(anna: Person, watch: PointerWatch, pictures: Path) -> None:
    choose(anna, "touchpad")
    anna.wait_for("a pointer", lambda: anna.run(POINTER))
    anna.fingers([START], [(210, 420)], [(240, 420)], [(270, 420)])
    anna.wait_for("the pointer being moved", lambda: watch.place()[0] > 400 + 50)
    assert watch.buttons() == [], "nothing is pressed"
    x, y = clicked(anna, watch)
    assert y == 300, "straight on from the middle"
    drawn = anna.run(POINTER)
    left, top, width, height = anna.run(BOX)
    assert abs(drawn[0] - left - x * width / 800) < 16, "where it is drawn"
    assert abs(drawn[1] - top - y * height / 600) < 16
    anna.picture(pictures / "touchpad.png")
    anna.fingers([START], [(200, 440)], [(200, 470)])
    anna.wait_for("the pointer going on from there", lambda: watch.place()[1] > 300 + 20)
    assert clicked(anna, watch)[0] == x
    for _ in range(20):
        anna.fingers([(300, 420)], [(200, 420)], [(20, 420)])
    anna.wait_for("the pointer being at the edge", lambda: watch.place()[0] == 0)


def test_a_slow_finger_reaches_what_a_fast_one_does_not(anna: Person, watch: PointerWatch) -> None:
    """Pixels of the desktop are small on a phone: a slow finger moves the pointer less than its own way."""
    choose(anna, "touchpad")
    anna.run(
        """
        const target = document.querySelector("#screen canvas:not(.last)");
        const send = (type, x) => {
          const touch = new Touch({ identifier: 1, target, clientX: x, clientY: 400 });
          const list = type === "touchend" ? [] : [touch];
          target.dispatchEvent(new TouchEvent(type, {
            touches: list, targetTouches: list, changedTouches: [touch], bubbles: true, cancelable: true,
          }));
        };
        window.slow = (async () => {
          send("touchstart", 100);
          for (let x = 101; x <= 160; x += 1) {
            await new Promise((done) => setTimeout(done, 20));
            send("touchmove", x);
          }
          send("touchend", 160);
        })().then(() => { window.slowly = true; });
        """
    )
    anna.wait_for("the end of the way", lambda: anna.run("return window.slowly === true"))
    width = anna.run(BOX)[2]
    way = (clicked(anna, watch)[0] - 400) * width / 800
    assert 30 < way < 55, "of 60 pixels"


def test_a_tap_clicks_where_the_pointer_is(anna: Person, watch: PointerWatch) -> None:
    choose(anna, "touchpad")
    until(anna, watch, [(DOWN, 1), (UP, 1)], (60, 300))
    assert {event[2:] for event in watch.events} == {(400, 300)}, "not where the finger is"
    until(anna, watch, [(DOWN, 3), (UP, 3)], (100, 400), (200, 400))
    until(anna, watch, [(DOWN, 2), (UP, 2)], (60, 400), (160, 400), (260, 400))


def test_a_finger_that_rests_is_the_right_button(anna: Person, watch: PointerWatch) -> None:
    choose(anna, "touchpad")
    anna.fingers([MIDDLE], rest=1.2)
    anna.wait_for("a click", lambda: watch.buttons() == [(DOWN, 3), (UP, 3)])
    assert watch.events[0][2:] == (400, 300)


def test_a_finger_that_rests_on_a_busy_page_is_the_right_button_as_well(anna: Person, watch: PointerWatch) -> None:
    """The page hears of the finger's end before it has counted the time: browsers put what users do first."""
    choose(anna, "touchpad")
    anna.run(
        """
        const target = document.querySelector("#screen canvas:not(.last)");
        const touch = new Touch({ identifier: 1, target, clientX: 200, clientY: 400 });
        const send = (type, list) => target.dispatchEvent(new TouchEvent(type, {
          touches: list, targetTouches: list, changedTouches: [touch], bubbles: true, cancelable: true,
        }));
        send("touchstart", [touch]);
        const end = performance.now() + 900;
        while (performance.now() < end);
        send("touchend", []);
        """
    )
    anna.wait_for("a click", lambda: watch.buttons() == [(DOWN, 3), (UP, 3)])


def test_two_fingers_turn_the_wheel(anna: Person, watch: PointerWatch) -> None:
    choose(anna, "touchpad")
    anna.fingers([(150, 500), (250, 500)], [(150, 470), (250, 470)], [(150, 400), (250, 400)])
    anna.wait_for("the wheel", lambda: watch.buttons().count((UP, 5)) >= 2)
    assert {button for _, button in watch.buttons()} == {5}
    watch.forget()
    anna.fingers([(150, 400), (250, 400)], [(150, 430), (250, 430)], [(150, 500), (250, 500)])
    anna.wait_for("the wheel the other way", lambda: watch.buttons().count((UP, 4)) >= 2)
    assert {button for _, button in watch.buttons()} == {4}
    assert watch.place() == (400, 300)


def test_a_tap_and_a_drag_move_what_is_under_the_pointer(anna: Person, watch: PointerWatch) -> None:
    """The button is pressed once, and held until the finger goes: no double click begins it."""
    choose(anna, "touchpad")
    anna.run(TAP_AND_DRAG, [200, 400], [220, 400], [250, 400], [280, 400])
    anna.wait_for("the pointer being moved", lambda: watch.place()[0] > 450)
    assert watch.held()
    assert watch.buttons() == [(DOWN, 1)]
    anna.run("window.letGo()")
    anna.wait_for("the button being let go", lambda: not watch.held())
    down, up = watch.look()
    assert (down[0], down[2:], up[0]) == (DOWN, (400, 300), UP)
    assert up[2] > 450


def test_the_choice_is_kept_and_can_be_taken_back(site: PortalDesktops, anna: Person, watch: PointerWatch) -> None:
    choose(anna, "touchpad")
    anna.go(anna.url)
    anna.wait_for_phase("connected")
    anna.wait_for("a pointer", lambda: anna.run(POINTER))
    until(anna, watch, [(DOWN, 1), (UP, 1)], (60, 420))
    assert watch.events[0][2:] == (400, 300)
    choose(anna, "direct")
    watch.forget()
    _left, _top, width, height = anna.run(BOX)
    anna.click_screen(round(width / 4), round(height / 2))
    anna.wait_for("a click", lambda: watch.buttons() == [(DOWN, 1), (UP, 1)])
    assert abs(watch.events[0][2] - 200) < 8, "where the finger is"


def test_a_larger_picture_follows_the_pointer(anna: Person, watch: PointerWatch) -> None:
    choose(anna, "touchpad")
    anna.run(
        "const list = document.getElementById('scaling'); list.value = 'original';"
        "list.dispatchEvent(new Event('change', {bubbles: true}));"
    )
    anna.wait_for("all its pixels", lambda: anna.run(BOX)[2] == 800)
    for _ in range(10):
        anna.fingers([(100, 420)], [(150, 420)], [(350, 420)])
    anna.wait_for("the pointer being at the edge", lambda: watch.place()[0] == 799)
    left, _top, width, _height = anna.run(BOX)
    assert left + width <= PHONE[0] + 1, "the right edge is shown"


def test_while_the_picture_is_moved_by_hand_the_pointer_stays(anna: Person, watch: PointerWatch) -> None:
    choose(anna, "touchpad")
    anna.wait_for("a pointer", lambda: anna.run(POINTER))
    before = watch.place()
    anna.use("Zoom")
    anna.fingers([START], [(210, 420)], [(300, 420)])
    anna.use("Zoom")
    anna.fingers([START], [(200, 440)], [(200, 470)])
    anna.wait_for("the pointer being moved again", lambda: watch.place()[1] > before[1])
    assert watch.place()[0] in (before[0], 400)
    assert watch.buttons() == []
