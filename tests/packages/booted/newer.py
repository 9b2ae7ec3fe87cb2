"""Make of an unpacked x2gobroker the one of a made-up next version: newer.py SITE_PACKAGES. Called by newer.sh.

Its store has the next schema: one more column, which must have a value, and one more table; programs of before can go
on with it. Runs where there is no checkout, with the Python that the package is for: of the standard library only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

MADE_UP = "made_up"  # the column of authids, and the table
STEPS = "STEPS: tuple[Step, ...] = ("
CHANGE = f"""\
MADE_UP = Table("{MADE_UP}", METADATA, Column("id", Integer, primary_key=True))


def _make_up(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE authids ADD COLUMN {MADE_UP} INTEGER NOT NULL DEFAULT 7"))


"""
NEWEST = "from x2gobroker.store import schema; print(schema.newest(), schema.__file__)"
VERSION = re.compile(r'^(__version__ = "[^"]*)"', re.MULTILINE)


def newest(packages: Path) -> int:
    """The number of the schema that the package in this folder makes, as it says itself."""
    environment = {**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-P", "-c", NEWEST]  # -P: nothing of the folder where this is called
    said = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    number, _, place = said.strip().partition(" ")
    assert Path(place).is_relative_to(packages), f"{place} is another package's"
    return int(number)


def make_newer(packages: Path) -> int:
    """Change the package in this folder; the number of its schema then. Raises ValueError where it cannot be done."""
    packages = packages.resolve()
    schema, module = packages / "x2gobroker/store/schema.py", packages / "x2gobroker/__init__.py"
    number = newest(packages) + 1
    before, steps, behind = schema.read_text(encoding="utf-8").partition(STEPS)
    known, end, rest = behind.partition("\n)\n")
    version, changes = VERSION.subn(r'\1.99"', module.read_text(encoding="utf-8"))
    if not end or changes != 1:
        raise ValueError("the steps of the store, or the version, are written in another way than this knows")
    step = f'\n    Step({number}, "a made-up step", 1, _make_up),'
    schema.write_text(before + CHANGE + steps + known + step + end + rest, encoding="utf-8")
    module.write_text(version, encoding="utf-8")
    made = newest(packages)
    if made != number:
        raise ValueError(f"the schema is number {made} now, and should be {number}")
    return number


if __name__ == "__main__":
    print(f"schema {make_newer(Path(sys.argv[1]))}")
