"""Colours as pages have them, and how well texts in them can be read: relative luminance and contrast of WCAG 2.2."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEX = re.compile(r"#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
LEAST_CONTRAST = 4.5  # of texts, WCAG 2.2, 1.4.3
STEPS = 200


@dataclass(frozen=True)
class Colour:
    """One colour of the screen; each part from 0 to 255."""

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    @property
    def luminance(self) -> float:
        """From 0, black, to 1, white."""
        red, green, blue = (_linear(part / 255) for part in (self.red, self.green, self.blue))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def mixed(self, other: Colour, share: float) -> Colour:
        """This colour with a share, from 0 to 1, of another one."""
        pairs = ((self.red, other.red), (self.green, other.green), (self.blue, other.blue))
        return Colour(*(round(one + (two - one) * share) for one, two in pairs))


BLACK, WHITE = Colour(0, 0, 0), Colour(255, 255, 255)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def parse_colour(text: str) -> Colour:
    """A colour such as `#0b5cad` or `#05a`. Raises ValueError with what would be right."""
    found = HEX.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no colour; write one such as #0b5cad")
    digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
    return Colour(*(int(digits[at : at + 2], 16) for at in (0, 2, 4)))


def contrast(one: Colour, other: Colour) -> float:
    """How far two colours stand apart, from 1 to 21."""
    darker, brighter = sorted((one.luminance, other.luminance))
    return (brighter + 0.05) / (darker + 0.05)


@dataclass(frozen=True)
class Scheme:
    """The colours that belong to the accent colour, in a light or a dark scheme.

    `accent` is that of links and buttons, `strong` the same under the pointer, `text` what is written on both, `tint`
    a background.
    """

    accent: Colour
    strong: Colour
    text: Colour
    tint: Colour


@dataclass(frozen=True)
class Surroundings:
    """What the colours of a scheme stand on and beside: page, cards and their text; `away` leads away from them."""

    page: Colour
    card: Colour
    text: Colour
    away: Colour
    share: float  # of the accent in the tint

    def _made(self, accent: Colour) -> Scheme:
        if self.away == BLACK:
            return Scheme(accent, accent.mixed(BLACK, 0.25), WHITE, self.card.mixed(accent, self.share))
        return Scheme(accent, accent.mixed(WHITE, 0.3), accent.mixed(BLACK, 0.8), self.card.mixed(accent, self.share))

    def least(self, scheme: Scheme) -> float:
        """The least contrast of any text in these colours."""
        pairs = (
            (scheme.accent, self.page),
            (scheme.accent, self.card),
            (scheme.accent, scheme.tint),
            (scheme.text, scheme.accent),
            (scheme.text, scheme.strong),
            (self.text, scheme.tint),
        )
        return min(contrast(one, other) for one, other in pairs)

    def scheme(self, colour: Colour) -> Scheme:
        """The colours that belong to an accent colour, as near to it as texts can be read."""
        made = self._made(colour)
        for step in range(1, STEPS + 1):
            if self.least(made) >= LEAST_CONTRAST:
                break
            made = self._made(colour.mixed(self.away, step / STEPS))
        return made


# as static/portal/portal.css has them
LIGHT = Surroundings(Colour(0xF3, 0xF5, 0xF8), WHITE, Colour(0x1B, 0x1F, 0x24), BLACK, 0.1)
DARK = Surroundings(Colour(0x0F, 0x13, 0x18), Colour(0x19, 0x1F, 0x26), Colour(0xE8, 0xED, 0xF2), WHITE, 0.22)
