"""Somebody's home folder on this host and session types with files, for tests of what the portal does with files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.accounts import change_accounts, end_processes_of
from tests.support.person import Person
from tests.support.portal_desktops import DISPLAYS, PortalDesktops, begin

# the line of what is on its way, and what the last one with this name says
LINES = "[...document.querySelectorAll('#transfers-list li')]"
STATE = (
    f"return {LINES}.filter((line) => line.textContent.includes(arguments[0])).at(-1)"
    "?.querySelector('.transfer-state').textContent.trim() ?? ''"
)


def files_types(**ways: str) -> dict[str, object]:
    """Session types by the way that files go there."""
    return {
        name: {
            "script": "terminal.py",
            "count": 2,
            "files": way,
            "files-megabytes": 1024,
            "options": {"display_base": DISPLAYS + 2 * index, "sizes": ["800x600"]},
        }
        for index, (name, way) in enumerate(ways.items())
    }


@contextlib.contextmanager
def home_of_anna() -> Iterator[Path]:
    """An account `anna` on this host; its home folder. Needs root."""
    with tempfile.TemporaryDirectory(prefix="x2gt-homes-", dir="/var/lib") as name:
        above = Path(name)
        above.chmod(0o755)
        change_accounts("useradd", "--create-home", "--home-dir", str(above / "anna"), "--shell", "/bin/bash", "anna")
        yield above / "anna"
        end_processes_of("anna")
        change_accounts("userdel", "anna")


def empty(folder: Path) -> None:
    """Remove all that is in a folder."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def open_files_at(site: PortalDesktops, person: Person, kind: str) -> None:
    """A desktop, and its files."""
    begin(site, person, kind)
    person.wait_for_phase("connected")
    person.click("#files")
    busy = "return document.getElementById('files-rows').getAttribute('aria-busy')"
    person.wait_for("the list", lambda: person.run(busy) != "true")


def wait_for_transfer(person: Person, name: str, state: str = "Done") -> None:
    """Wait until the last transfer of this name says so."""
    try:
        person.wait_for(f"{name!r}: {state}", lambda: state in person.run(STATE, name))
    except AssertionError as error:
        raise AssertionError(f"{error}; it says {person.run(STATE, name)!r}") from error
