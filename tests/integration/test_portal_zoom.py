"""Pages that are enlarged by the browser, and the page's own Zoom, in real Firefox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_portal_window import ROOM, SHOWN, SIZE
from tests.support.firefox import FirefoxTab
from tests.support.portal_desktops import (
    DISPLAYS,
    PortalDesktops,
    anna_at,
    pointer_in,
    portal_desktops,
    terminals,
    wait_typed,
    work,
)

FACTORS = [0.67, 1.1, 1.5, 2.0, 3.0]
FITS = "return document.documentElement.scrollWidth <= innerWidth"
CHOOSE = (
    "const list = document.getElementById('scaling'); list.value = arguments[0];"
    "list.dispatchEvent(new Event('change', {bubbles: true}));"
)
COUNT = (
    "window.changes = 0; new MutationObserver(() => window.changes++)"
    ".observe(document.querySelector('#screen canvas:not(.last)'), {attributeFilter: ['width', 'height']})"
)
BOX = (
    "const b = document.querySelector('#screen canvas:not(.last)').getBoundingClientRect();"
    "return [b.x, b.y, b.width, b.height]"
)


@pytest.fixture(scope="module")
def site(typed: Path) -> Iterator[PortalDesktops]:
    types = terminals(typed)
    types["Terminal"]["options"]["sizes"] = ["800x600", "1024x768"]
    with portal_desktops(types, "remote-connections-per-user = 50") as made:
        yield made


@pytest.fixture
def anna(site: PortalDesktops, running_firefox: FirefoxTab) -> Iterator[FirefoxTab]:
    """Anna, signed in; afterwards all has its usual size."""
    with anna_at(site, running_firefox):
        yield running_firefox
        running_firefox.enlarge(1)


def wait_for_pointer(site: PortalDesktops, anna: FirefoxTab, x: int, y: int) -> None:
    """Wait until the pointer is where this place of the canvas shows the desktop."""
    display = DISPLAYS + site.service.desktops.of_user("anna")[0].number
    width, height = anna.run(SIZE)
    *_, shown_width, shown_height = anna.run(BOX)
    wanted = (x * width / shown_width, y * height / shown_height)

    def there() -> bool:
        found = pointer_in(display)
        return all(abs(one - other) <= 2 * width / shown_width + 1 for one, other in zip(found, wanted, strict=False))

    anna.wait_for(f"the pointer being at {wanted}", there)


@pytest.mark.parametrize("factor", FACTORS)
def test_enlarged_pages_fit_and_are_used_as_ever(
    site: PortalDesktops, anna: FirefoxTab, typed: Path, pictures: Path, factor: float
) -> None:
    anna.enlarge(factor)
    assert anna.run(FITS), "the home page"
    anna.picture(pictures / "home.png")
    work(site, anna)
    assert anna.run(FITS), "the desktop"
    wait_for_pointer(site, anna, 60, 60)
    anna.run(CHOOSE, "resize")
    anna.wait_for("a desktop that fills the window", lambda: anna.run(SIZE) == anna.run(ROOM))
    assert anna.run(SHOWN) == anna.run(SIZE), "not scaled"
    anna.click_screen(100, 80)
    wait_for_pointer(site, anna, 100, 80)
    anna.type(f"{factor:g} times\n")
    wait_typed(anna, typed, f"{factor:g} times\n")
    anna.picture(pictures / "desktop.png")


def test_a_desktop_follows_as_the_page_is_enlarged_and_comes_to_rest(site: PortalDesktops, anna: FirefoxTab) -> None:
    work(site, anna)
    for choice, ratio in (("resize", 1.0), ("sharp", 1.5)):
        anna.enlarge(1)
        anna.run(CHOOSE, choice)
        anna.enlarge(1.5)
        anna.wait_for(
            "a desktop that fills the window",
            lambda: all(
                abs(size - ratio * room) <= ratio  # noqa: B023
                for size, room in zip(anna.run(SIZE), anna.run(ROOM), strict=True)
            ),
        )
        anna.run(COUNT)
        before = anna.run(SIZE)
        anna.type("nothing changes\n")
        anna.wait_for(
            "three seconds", lambda: anna.run("return performance.now() - (window.began ??= performance.now()) > 3000")
        )
        assert anna.run("return window.changes") == 0
        assert anna.run(SIZE) == before


def test_the_zoom_of_the_page_by_the_wheel(site: PortalDesktops, anna: FirefoxTab) -> None:
    """While it is on, the wheel enlarges the picture; then clicks arrive where they are seen again."""
    work(site, anna)
    anna.run(CHOOSE, "fit")
    left, top, width, _height = anna.run(BOX)
    x, y = round(left + width / 2), round(top + 200)
    anna.use("Zoom")
    anna.wheel(-3, x, y)
    anna.wait_for("a larger picture", lambda: anna.run(BOX)[2] > 1.5 * width)
    anna.use("Zoom")
    left, top, *_ = anna.run(BOX)
    anna.click_screen(round(x - left), round(y - top))
    wait_for_pointer(site, anna, round(x - left), round(y - top))
    anna.use("Zoom")
    anna.wheel(3, x, y)
    anna.wait_for("the whole picture", lambda: abs(anna.run(BOX)[2] - width) < 2)
    anna.use("Zoom")
