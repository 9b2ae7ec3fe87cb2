"""The portal's colours: contrast by WCAG 2.2 (1.4.3 and 1.4.11), in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "x2gobroker" / "static" / "portal"
TEXT_ON = {
    "text": ("page", "card", "tint", "danger-tint", "warn-tint", "good-tint"),
    "muted": ("page", "card"),
    "accent": ("page", "card", "tint"),
    "on-accent": ("accent", "accent-strong"),
    "on-danger": ("danger", "danger-strong"),
    "danger": ("page", "card", "danger-tint"),
    "warn": ("page", "card", "warn-tint"),
    "good": ("page", "card", "good-tint"),
}
EDGES_ON = {"edge": ("page", "card"), "accent": ("page", "card")}


def schemes() -> dict[str, dict[str, str]]:
    """The colours by name, of the light scheme and, where it has another, of the dark one."""
    text = (STATIC / "portal.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for part in re.findall(r":root \{(.+?)\}", text, re.S)[:2]
    )
    return {"light": light, "dark": {**light, **dark}}


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, brighter = sorted((luminance(one), luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def test_the_measure_is_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_edges_stand_out_enough(scheme: str) -> None:
    colours = schemes()[scheme]
    pairs = [(front, back, 4.5) for front, backs in TEXT_ON.items() for back in backs]
    pairs += [(front, back, 3.0) for front, backs in EDGES_ON.items() for back in backs]
    weak = [
        f"--{front} on --{back}: {found:.2f}"
        for front, back, least in pairs
        if (found := contrast(colours[front], colours[back])) < least
    ]
    assert not weak


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in STATIC.iterdir():
        if path.suffix in (".css", ".js"):
            assert not re.search(
                r"(@import|url\(|from|import)\s*[\"'(]?\s*(https?:)?//", path.read_text(encoding="utf-8")
            ), path
