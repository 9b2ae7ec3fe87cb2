"""Notices, colour, logo and links of the portal's pages."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.web.test_portal_home import MARKUP, kind, portal_with, start
from x2gobroker.portal import looks

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
NOTICE = "Maintenance <on Sunday>"
SHOWN = "Maintenance &lt;on Sunday&gt;"
BOX = f'<div class="notice announcement" role="status">{SHOWN}</div>'


def local(seconds: float) -> str:
    """A moment as an administrator writes it."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def test_without_options_pages_are_as_they_ship(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, Desk=kind())
    for page in (portal.browser().get("/portal/sign-in").text, portal.signed_in().get().text):
        assert 'class="notice announcement"' not in page
        assert "colour.css" not in page
        assert 'class="logo"' not in page
        assert 'class="links"' not in page
    for path in ("/portal/logo", "/portal/colour.css"):
        assert portal.browser().get(path).status_int == 404


def test_a_notice_is_on_sign_in_home_and_desktop(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, f"portal-announcement = {NOTICE}", Desk=kind())
    assert BOX in portal.browser().get("/portal/sign-in").text
    anna = portal.signed_in()
    assert BOX in anna.get().text
    desktop = start(anna)
    page = anna.get(f"/portal/desktop/{desktop}").text
    assert f'role="status" data-text="{SHOWN}" hidden' in page
    assert anna.get(f"/portal/desktop/{desktop}/state").json["announcement"] == NOTICE
    assert SHOWN not in anna.get("/portal/sessions").text


def test_a_notice_of_several_lines_stays_so(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, "portal-announcement = Maintenance\n  on Sunday")
    assert "Maintenance\non Sunday" in portal.browser().get("/portal/sign-in").text


@pytest.mark.parametrize(
    ("begin", "end", "shown"),
    [
        (None, None, True),
        (-60, None, True),
        (60, None, False),
        (None, 60, True),
        (None, -60, False),
        (-60, 60, True),
        (60, 120, False),
        (-120, -60, False),
    ],
)
def test_a_notice_is_shown_in_its_time(tmp_path: Path, begin: int | None, end: int | None, shown: bool) -> None:
    now = time.time()
    lines = [f"portal-announcement = {NOTICE}"]
    lines += [] if begin is None else [f"portal-announcement-from = {local(now + begin)}"]
    lines += [] if end is None else [f"portal-announcement-until = {local(now + end)}"]
    portal = portal_with(tmp_path, "\n".join(lines))
    assert (SHOWN in portal.browser().get("/portal/sign-in").text) is shown


def test_a_notice_ends_at_its_moment(tmp_path: Path) -> None:
    more = "portal-announcement = x\nportal-announcement-until = 2027-01-31 08:00"
    settings = portal_with(tmp_path, more).context.source.current()
    end = time.mktime((2027, 1, 31, 8, 0, 0, 0, 0, -1))
    assert [looks.announcement(settings, end + after) for after in (-1, 0)] == ["x", ""]


def test_links_are_at_the_foot_of_every_page(tmp_path: Path) -> None:
    more = (
        'portal-help-url = https://www.example.org/help?a=b&c="d"\n'
        "portal-imprint-url = https://www.example.org/imprint\n"
        "portal-privacy-url = mailto:privacy@example.org"
    )
    portal = portal_with(tmp_path, more)
    anna = portal.signed_in()
    pages = [portal.browser().get("/portal/sign-in"), anna.get(), anna.get("/portal/sessions"), anna.get("/portal/no")]
    for page in pages:
        assert '<a href="https://www.example.org/help?a=b&amp;c=&#34;d&#34;">Help</a>' in page.text
        assert '<a href="https://www.example.org/imprint">Legal notice</a>' in page.text
        assert '<a href="mailto:privacy@example.org">Privacy</a>' in page.text
    german = anna.get(Accept_Language="de").text
    assert all(f">{word}</a>" in german for word in ("Hilfe", "Impressum", "Datenschutz"))


def test_a_link_alone(tmp_path: Path) -> None:
    page = portal_with(tmp_path, "portal-imprint-url = https://www.example.org/").browser().get("/portal/sign-in").text
    assert ">Legal notice</a>" in page
    assert ">Help</a>" not in page


def test_a_link_that_is_none_is_not_there(tmp_path: Path) -> None:
    page = portal_with(tmp_path, "portal-help-url = javascript:alert(1)").browser().get("/portal/sign-in").text
    assert "javascript:" not in page
    assert 'class="links"' not in page


def test_the_colour_is_a_style_sheet_that_browsers_keep(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, "portal-colour = #7A1F5C")
    browser = portal.browser()
    page = browser.get("/portal/sign-in")
    found = re.search(r'<link rel="stylesheet" href="(/portal/colour\.css\?v=[0-9a-f]{12})">', page.text)
    assert found is not None
    assert page.text.index("portal.css") < page.text.index("colour.css")
    answer = browser.get(found[1])
    assert answer.content_type == "text/css"
    assert "--accent: #7a1f5c; " in answer.text
    assert answer.text.count("--on-accent: ") == 2
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert browser.get("/portal/colour.css?v=0").headers["Cache-Control"] == "no-cache"
    portal.change("portal-colour = #7A1F5C", "portal-colour = #146c2e")
    assert found[1] not in browser.get("/portal/sign-in").text
    assert browser.get(found[1]).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("colour", ["#fff;} body { display: none", "red", MARKUP])
def test_what_is_no_colour_is_on_no_page(tmp_path: Path, colour: str) -> None:
    portal = portal_with(tmp_path, f"portal-colour = {colour}")
    assert "colour.css" not in portal.browser().get("/portal/sign-in").text
    assert portal.browser().get("/portal/colour.css").status_int == 404


def test_the_logo_is_for_everybody_and_can_do_nothing(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text(SVG, encoding="utf-8")
    portal = portal_with(tmp_path, f"portal-logo = {tmp_path}/logo.svg")
    browser = portal.browser()
    found = re.search(r'<img class="logo" src="([^"]+)" alt="">', browser.get("/portal/sign-in").text)
    assert found is not None
    answer = browser.get(found[1])
    assert (answer.status_int, answer.content_type) == (200, "image/svg+xml")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    (tmp_path / "logo.svg").write_text(SVG + "\n", encoding="utf-8")
    assert found[1] not in browser.get("/portal/sign-in").text
    assert browser.get(found[1]).headers["Cache-Control"] == "no-cache"


def test_a_logo_that_is_none_is_not_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    portal = portal_with(tmp_path, f"portal-logo = {tmp_path}/logo.png")
    assert 'class="logo"' not in portal.browser().get("/portal/sign-in").text
    (tmp_path / "logo.png").write_text("secret")
    answer = portal.browser().get("/portal/logo")
    assert (answer.status_int, "secret" in answer.text) == (404, False)
    assert f"portal: portal-logo: {tmp_path}/logo.png is no png picture" in caplog.messages
