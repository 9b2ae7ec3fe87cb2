"""Accent colours of an administrator: whatever is chosen, texts can be read in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.model.colours import (
    BLACK,
    DARK,
    LEAST_CONTRAST,
    LIGHT,
    WHITE,
    Colour,
    Surroundings,
    contrast,
    parse_colour,
)

CSS = Path(__file__).resolve().parents[2] / "x2gobroker/static/portal/portal.css"
PARTS = st.integers(0, 255)


@pytest.mark.parametrize(("text", "colour"), [("#0b5cad", "#0b5cad"), (" #0B5CAD ", "#0b5cad"), ("#05a", "#0055aa")])
def test_colours_that_are_some(text: str, colour: str) -> None:
    assert str(parse_colour(text)) == colour


@pytest.mark.parametrize(
    "text",
    ["", "red", "#12", "#12345", "#1234567", "#12345g", "0b5cad", "rgb(1,2,3)", "#fff;}*{", "#\u0661\u0662\u0663"],
)
def test_colours_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as #0b5cad"):
        parse_colour(text)


def test_the_measure_is_right() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast(WHITE, parse_colour("#767676")) == pytest.approx(4.54, abs=0.01)


@SOME
@given(st.builds(Colour, PARTS, PARTS, PARTS))
def test_texts_can_be_read_whatever_the_colour(colour: Colour) -> None:
    for around in (LIGHT, DARK):
        made = around.scheme(colour)
        assert around.least(made) >= LEAST_CONTRAST
        assert contrast(made.accent, around.page) >= LEAST_CONTRAST


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    for text in ("#0b5cad", "#7a1f5c", "#146c2e"):
        assert str(LIGHT.scheme(parse_colour(text)).accent) == text
    assert str(LIGHT.scheme(parse_colour("#ffcc00")).accent) != "#ffcc00"
    assert str(DARK.scheme(parse_colour("#ffcc00")).accent) == "#ffcc00"


@pytest.mark.parametrize(("around", "at"), [(LIGHT, 0), (DARK, 1)])
def test_the_surroundings_are_those_of_the_style_sheet(around: Surroundings, at: int) -> None:
    scheme = re.findall(r":root \{(.+?)\}", CSS.read_text(encoding="utf-8"), re.DOTALL)[at]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
    assert (colours["page"], colours["card"], colours["text"]) == (str(around.page), str(around.card), str(around.text))
