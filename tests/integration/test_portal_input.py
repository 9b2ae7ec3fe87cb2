"""What somebody types, holds, composes and pastes, in real Chromium and real Firefox, with real Xvnc and xterm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.browser import Tab
from tests.support.copied_in_parts import copied_in_parts
from tests.support.person import Person
from tests.support.portal_desktops import (
    DISPLAYS,
    PortalDesktops,
    begin,
    copied_in,
    pointer_in,
    portal_desktops,
    terminals,
    wait_typed,
    work,
)
from tests.support.processes import wait_until

LIMIT_KILOBYTES = 300
# a desktop that says where it is, and shows something
SAYS_DISPLAY = ["sh", "-c", 'echo "$DISPLAY" > ~/display.new; mv ~/display.new ~/display; exec xterm']
PUT = (
    "const box = document.getElementById('clipboard-text'); box.value = arguments[0].repeat(arguments[1]);"
    "box.dispatchEvent(new InputEvent('input', {bubbles: true}));"
)
COPY_IMAGE = """
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 16;
return new Promise((done) => canvas.toBlob(done, "image/png"))
  .then((image) => navigator.clipboard.write([new ClipboardItem({ "image/png": image })])).then(() => true);
"""
# how often the page has looked at the device's clipboard
COUNT_READS = """
const read = navigator.clipboard.readText.bind(navigator.clipboard);
window.reads = 0;
navigator.clipboard.readText = async () => {
  const words = await read();
  window.reads += 1;
  return words;
};
"""
SCREEN_FOCUSED = "return document.activeElement?.getAttribute('role') === 'application'"


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """As whom desktops of the type Large run."""
    with account_with_home("Large-pw-1") as made:
        yield made


@pytest.fixture(scope="module")
def site(typed: Path, account: Account) -> Iterator[PortalDesktops]:
    types = terminals(typed)
    types["Terminal"]["clipboard-kilobytes"] = LIMIT_KILOBYTES
    for word in ("in", "out", "none"):
        types[f"Clipboard {word}"] = {**types["Copies"], "clipboard": word}
        options = {**types["Copies"]["options"], "display_base": types["Copies"]["options"]["display_base"] + 100}
        types[f"Clipboard {word}"]["options"] = options
    types["Large"] = {
        "script": "tigervnc.py",
        "count": 1,
        "clipboard-kilobytes": 1000,
        "options": {"account": account.name, "command": SAYS_DISPLAY, "xvnc": ["-ac"], "sizes": ["800x600"]},
    }
    with portal_desktops(types, "remote-connections-per-user = 50") as made:
        yield made


def held_modifiers(site: PortalDesktops) -> int:
    """The state of the modifiers in the desktop: 0 when none is held."""
    return pointer_in(DISPLAYS + site.service.desktops.of_user("anna")[0].number)[2] & 255


def test_umlauts_and_signs_arrive_as_typed(site: PortalDesktops, anna: Person, typed: Path) -> None:
    work(site, anna)
    anna.type("Größe: 5 € #1 <~>\n")
    wait_typed(anna, typed, "Größe: 5 € #1 <~>\n")


def test_composed_words_arrive_once(site: PortalDesktops, anna: Person, typed: Path) -> None:
    """By the box for screen keyboards and input methods, whatever order the browser has its events in."""
    work(site, anna)
    anna.click("#keys")
    anna.click("#type")
    anna.compose("echo ", "日本語 ", "hello")
    anna.press("Enter")
    wait_typed(anna, typed, "echo 日本語 hello\n")
    assert "echo echo" not in typed.read_text()


def test_several_lines_at_once_keep_their_ends(site: PortalDesktops, anna: Person, typed: Path) -> None:
    """As the clipboard of a screen keyboard puts them in."""
    work(site, anna)
    anna.click("#keys")
    anna.click("#type")
    anna.run(
        "const box = document.getElementById('typed');"
        "for (const part of arguments) { box.setRangeText(part, box.value.length, box.value.length, 'end');"
        "box.dispatchEvent(new InputEvent('input', {inputType: 'insertText', data: part, bubbles: true})); }",
        "first line\nsecond",
        " line\nthird line\n",
    )
    wait_typed(anna, typed, "first line\nsecond line\nthird line\n")


def test_a_word_that_the_keyboard_corrects_is_corrected(site: PortalDesktops, anna: Person, typed: Path) -> None:
    work(site, anna)
    anna.click("#keys")
    anna.click("#type")
    anna.run(
        "const box = document.getElementById('typed'); const put = (text) => { box.value = text;"
        "box.dispatchEvent(new InputEvent('input', {inputType: 'insertReplacementText', bubbles: true})); };"
        "put(box.value + 'teh cat'); put(box.value.replace('teh', 'the')); put(box.value + '!');"
    )
    anna.press("Enter")
    wait_typed(anna, typed, "the cat!\n")


def test_after_a_tool_the_keyboard_is_in_the_desktop_again(site: PortalDesktops, anna: Person, typed: Path) -> None:
    work(site, anna)
    for tool in ("clipboard", "share"):
        anna.click(f"#{tool}")
        anna.wait_for("the dialog", lambda: anna.visible(f"#{tool}-dialog"))  # noqa: B023
        anna.press("Escape")
        anna.wait_for("the keyboard", lambda: anna.run(SCREEN_FOCUSED))
    anna.click("#keys")
    anna.click("[data-key=Right]")
    assert anna.run(SCREEN_FOCUSED)
    anna.type("x y z\n")
    wait_typed(anna, typed, "x y z\n")
    assert not anna.visible("#clipboard-dialog")


def test_no_tool_of_the_bar_keeps_the_keyboard(site: PortalDesktops, anna: Person, typed: Path) -> None:
    """Nor does a list from which something was chosen by pointer: letters would choose something else there."""
    work(site, anna)
    anna.click("#keys")
    anna.click(".more-keys summary")
    assert anna.run(SCREEN_FOCUSED)
    anna.run(
        "const list = document.getElementById('scaling'); list.focus();"
        "list.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}));"
        "list.value = 'original'; list.dispatchEvent(new Event('change', {bubbles: true}));"
    )
    assert anna.run(SCREEN_FOCUSED)
    anna.type("space and more\n")
    wait_typed(anna, typed, "space and more\n")
    assert anna.visible("[data-key=F12]"), "as it was opened"


@pytest.mark.parametrize("put_away", ["#type", "#keys"])
def test_the_box_gives_the_keyboard_back(site: PortalDesktops, anna: Person, typed: Path, put_away: str) -> None:
    """By its own button, and with all special keys."""
    work(site, anna)
    anna.click("#keys")
    anna.click("#type")
    anna.compose("box")
    anna.click(put_away)
    anna.wait_for("the keyboard", lambda: anna.run(SCREEN_FOCUSED))
    anna.type(" and keys\n")
    wait_typed(anna, typed, "box and keys\n")


def test_a_key_that_is_let_go_elsewhere_is_let_go_in_the_desktop(site: PortalDesktops, anna: Person) -> None:
    work(site, anna)
    anna.hold("Control")
    wait_until(lambda: held_modifiers(site) != 0, "Control being held")
    anna.click("#clipboard")
    wait_until(lambda: held_modifiers(site) == 0, "Control being let go")
    anna.let_go("Control")
    anna.press("Escape")
    anna.wait_for("the keyboard", lambda: anna.run(SCREEN_FOCUSED))


def test_the_keys_that_phones_lack(site: PortalDesktops, anna: Person, typed: Path) -> None:
    """The arrows and Enter reach the terminal; a word in the box can be walked in."""
    work(site, anna)
    anna.type("ab")
    anna.click("#keys")
    for key in ("Left", "Up", "Return"):
        anna.click(f"[data-key={key}]")
    anna.type("\n")
    wait_typed(anna, typed, "ab\x1b[D\x1b[A\n")


def test_a_text_up_to_the_limit_arrives_and_a_longer_one_is_refused_with_words(
    site: PortalDesktops, anna: Person, typed: Path
) -> None:
    work(site, anna)
    anna.click("#clipboard")
    assert f"Maximum: {LIMIT_KILOBYTES} KB." in anna.text("#clipboard-hint")
    anna.run(PUT, "x", LIMIT_KILOBYTES * 1024)
    anna.wait_for("the words", lambda: "The text was not sent because it is too long" in anna.text("#clipboard-said"))
    anna.run(PUT, "short\n", 1)
    anna.wait_for("the words", lambda: "Sent to the desktop clipboard." in anna.text("#clipboard-said"))
    anna.press("Escape")
    anna.click_screen(60, 60)
    anna.press("Shift", "Insert")
    wait_typed(anna, typed, "short\n")


def test_a_long_text_can_be_pasted_in_the_desktop(site: PortalDesktops, anna: Person, account: Account) -> None:
    """Xvnc of its own accord takes none of 256 KB, and whoever pastes then waits without end."""
    told = account.home / "display"
    told.unlink(missing_ok=True)
    begin(site, anna, "Large")
    anna.wait_for_phase("connected")
    anna.wait_for("the desktop saying where it is", told.exists)
    display = int(told.read_text(encoding="ascii").strip().removeprefix(":"))
    anna.click("#clipboard")
    line = "a line of many, with an ä\n"
    anna.run(PUT, line, 20_000)
    anna.wait_for("the words", lambda: "Sent to the desktop clipboard." in anna.text("#clipboard-said"))
    anna.press("Escape")
    assert copied_in(display) == line * 20_000


def test_an_image_on_the_device_leaves_the_clipboard_of_the_desktop_alone(
    site: PortalDesktops, anna: Person, typed: Path
) -> None:
    """Whether the page looks by itself, as Chromium lets it, or is asked to."""
    if isinstance(anna, Tab):
        anna.context.grant_permissions(["clipboard-read", "clipboard-write"])
    work(site, anna)
    anna.run(COUNT_READS)
    anna.click("#clipboard")
    anna.fill("#clipboard-text", "still there\n")
    anna.wait_for("the words", lambda: "Sent to the desktop clipboard." in anna.text("#clipboard-said"))
    anna.run(COPY_IMAGE)
    anna.click("#clipboard-read")
    anna.wait_for("the other words", lambda: "has no text" in anna.text("#clipboard-said"))
    anna.press("Escape")
    if isinstance(anna, Tab):
        seen = anna.run("return window.reads")
        anna.page.hover("#keys")
        anna.click_screen(60, 60)
        anna.wait_for("the page looking", lambda: anna.run("return window.reads") > seen)
    anna.click_screen(60, 60)
    anna.press("Shift", "Insert")
    wait_typed(anna, typed, "still there\n")


def test_a_text_that_does_not_come_out_is_said_and_no_older_one_stands_for_it(
    site: PortalDesktops, anna: Person, typed: Path
) -> None:
    """Xvnc asks a program for what it has copied, and takes no text that comes in parts."""
    slot = work(site, anna, "Copies")
    anna.type("\n")
    value = "return document.getElementById('clipboard-text').value"
    anna.wait_for("a text that came", lambda: anna.run(value) == "from the desktop")
    said = "The text that was copied in the desktop did not arrive."
    display = DISPLAYS + 2 + slot.number
    with copied_in_parts(display):
        anna.wait_for("the words over the screen", lambda: said in anna.text("#clipboard-over"))
        anna.click("#clipboard")
        assert said in anna.text("#clipboard-said")
        assert anna.run(value) == ""
        anna.fill("#clipboard-text", "into the desktop\n")
        anna.wait_for("the other words", lambda: "Sent to the desktop clipboard." in anna.text("#clipboard-said"))
        anna.press("Escape")
    anna.click_screen(60, 60)
    anna.press("Shift", "Insert")
    wait_typed(anna, typed, "into the desktop\n")
    anna.click("#clipboard")
    assert said not in anna.text("#clipboard-said")
    anna.press("Escape")


@pytest.mark.parametrize(("word", "goes_in", "goes_out"), [("in", True, False), ("out", False, True)])
def test_the_clipboard_goes_the_way_that_the_session_type_says(
    site: PortalDesktops, anna: Person, typed: Path, word: str, goes_in: bool, goes_out: bool
) -> None:
    work(site, anna, f"Clipboard {word}")
    ready = f"ready {time.monotonic_ns()}\n"
    anna.type(f"\n{ready}")  # the terminal copies something after the first line, before it takes the second one
    wait_typed(anna, typed, ready)
    if goes_out:
        anna.click("#clipboard")
        anna.wait_for(
            "the text of the desktop",
            lambda: anna.run("return document.getElementById('clipboard-text').value") == "from the desktop",
        )
        assert anna.run("return document.getElementById('clipboard-text').readOnly") is True
        anna.press("Escape")
    if goes_in:
        anna.click("#clipboard")
        assert anna.run("return document.getElementById('clipboard-text').value") == "", "nothing has come out"
        # its line end is in it: the desktop asks for the text when it is wanted, and a key may come before the answer
        anna.fill("#clipboard-text", "into the desktop\n")
        anna.press("Escape")
        anna.click_screen(60, 60)
        anna.press("Shift", "Insert")
        wait_typed(anna, typed, "into the desktop\n")


def test_where_there_is_no_clipboard_there_is_no_tool_for_it(site: PortalDesktops, anna: Person) -> None:
    work(site, anna, "Clipboard none")
    assert not anna.visible("#clipboard")
