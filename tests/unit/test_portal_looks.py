"""What check-config says of the portal's looks, and settings that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.configured import Files
from tests.unit.test_cli_check_config import Check
from tests.unit.test_cli_check_config import check as check_fixture
from tests.unit.test_cli_checks import configure
from x2gobroker.portal.looks import LARGEST_LOGO
from x2gobroker.portal.pictures import PictureError, read_picture
from x2gobroker.settings import GLOBAL

check = check_fixture
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
PORTAL = "enable-portal = true\n"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("portal-announcement", "x" * 1001),
        ("portal-announcement-from", "2027-01-31"),
        ("portal-announcement-until", "tomorrow"),
        ("portal-help-url", "javascript:alert(1)"),
        ("portal-imprint-url", "www.example.org"),
        ("portal-privacy-url", "/privacy"),
        ("portal-colour", "blue"),
    ],
)
def test_a_wrong_value_is_named_and_is_none(files: Files, option: str, value: str) -> None:
    settings = files.write(f"[global]\n{option} = {value}\n")
    assert settings.text(GLOBAL, option) == ""
    (said,) = settings.problems
    assert f"x2gobroker.conf:2: error: {option}: " in str(said)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("portal-announcement-until", "2027-01-31 08:00"),
        ("portal-help-url", "mailto:help@example.org"),
        ("portal-colour", "#05a"),
    ],
)
def test_right_values_are_taken(check: Check, option: str, value: str) -> None:
    out = configure(check, more=f"{PORTAL}portal-announcement = Hello\n{option} = {value}\n")
    assert option not in out


def test_check_config_names_a_colour_that_cannot_be_read(check: Check) -> None:
    out = configure(check, more=f"{PORTAL}portal-colour = #ffcc00\n")
    assert ": warning: portal-colour: #ffcc00 has a contrast of 1." in out
    assert "texts need 4.5: pages have #" in out
    assert "portal-colour" not in configure(check, more=f"{PORTAL}portal-colour = #7a1f5c\n")
    assert "portal-colour" not in configure(check, more="portal-colour = #ffcc00\n"), "there is no portal"


def test_check_config_names_a_notice_that_is_never_shown(check: Check) -> None:
    times = "portal-announcement-from = 2027-01-31 08:00\nportal-announcement-until = 2027-01-31 08:00\n"
    out = configure(check, more=f"{PORTAL}portal-announcement = x\n{times}")
    assert "portal-announcement is never shown" in out
    assert "portal-announcement is empty" in configure(check, more=PORTAL + times)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("logo.png", None, "cannot be read: No such file"),
        ("logo.gif", b"GIF89a", "is none of .jpeg, .jpg, .png, .svg, .webp, by its name"),
        ("logo.png", SVG, "is no png picture"),
        ("logo.svg", b"hello", "is no svg+xml picture"),
        ("logo.jpg", PNG, "is no jpeg picture"),
        ("logo.webp", PNG, "is no webp picture"),
        ("logo.png", PNG + bytes(LARGEST_LOGO), "is larger than 512 KiB"),
    ],
)
def test_check_config_names_a_logo_that_cannot_be_shown(
    check: Check, name: str, content: bytes | None, said: str
) -> None:
    path = check.folder / name
    if content is not None:
        path.write_bytes(content)
    out = configure(check, more=f"{PORTAL}portal-logo = {path}\n")
    assert f": error: portal-logo: {path} {said}" in out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("logo.png", PNG),
        ("logo.svg", SVG),
        ("logo.jpeg", b"\xff\xd8\xff\xe0"),
        ("logo.webp", b"RIFF\x00\x00\x00\x00WEBPVP8 "),
    ],
)
def test_logos_that_can_be_shown(check: Check, name: str, content: bytes) -> None:
    path = check.folder / name
    path.write_bytes(content)
    assert "portal-logo" not in configure(check, more=f"{PORTAL}portal-logo = {path}\n")


def test_nobody_waits_for_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    (tmp_path / "folder.png").mkdir()
    for path in (pipe, tmp_path / "folder.png"):
        with pytest.raises(PictureError, match=r"is no file|Is a directory"):
            read_picture(path, 100)
