"""The options file of nxproxy, a language of its own: `nx/nx,name=value,name=value:display`, without any quoting.

A comma begins another option, a colon ends them, and some options name files that nxproxy writes to, or sockets that it
connects to for the server. So a value is one plain word, or is refused. Source: Loop.cpp of nx-libs 3.5.99.26.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

OPTION = re.compile(r"[a-z]{1,20}")
VALUE = re.compile(r"[A-Za-z0-9_.-]{1,80}")
MOST_DISPLAY = 65535


def is_option(name: object, value: object) -> bool:
    """Whether this option can be written with this value."""
    return bool(OPTION.fullmatch(str(name)) and VALUE.fullmatch(str(value)))


def options_text(options: Mapping[str, str], display: int) -> str:
    """The text of an options file for the session at `display`: the one place that writes it.

    Raises ValueError, which names the option and not its value: one of them is the session's cookie.
    """
    for name, value in options.items():
        if not is_option(name, value):
            raise ValueError(f"the value of NX's option {name!r} is no plain word")
    return f"nx/nx,{','.join(f'{name}={value}' for name, value in options.items())}:{display_number(display)}"


def file_argument(name: str, display: int) -> str:
    """The word that tells nxproxy to read the options from the file `name` of its own folder. Raises ValueError."""
    if not VALUE.fullmatch(name):
        raise ValueError("the options of nxproxy are in a file whose name is one plain word")
    return f"nx/nx,options=./{name}:{display_number(display)}"


def display_number(display: int) -> int:
    """`display`, if it is the number of a display. Raises ValueError."""
    number = int(display)
    if not 0 <= number <= MOST_DISPLAY:
        raise ValueError("this is not the number of a display")
    return number
