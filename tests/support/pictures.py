"""What is to be seen in pictures of a screen."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.desktop import Desktop

COMMAND_DEADLINE = 30.0


def area(screen: Desktop, number: str) -> str:
    """Size and place of a window, as ImageMagick wants them."""
    found = screen.xdotool("getwindowgeometry", "--shell", number)
    values = dict(line.split("=", 1) for line in found.splitlines() if "=" in line)
    return f"{values['WIDTH']}x{values['HEIGHT']}+{values['X']}+{values['Y']}"


def differing(one: Path, other: Path, place: str) -> float:
    """Which part of the pixels of an area differs clearly between two pictures, 0 to 1."""
    argv = ["compare", "-metric", "AE", "-fuzz", "15%", f"{one}[{place}]", f"{other}[{place}]"]
    done = subprocess.run([*argv, "null:"], capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)
    assert done.returncode in (0, 1), done.stderr
    width, height = map(int, re.findall("[0-9]+", place)[:2])
    return float(done.stderr.split()[0]) / (width * height)
