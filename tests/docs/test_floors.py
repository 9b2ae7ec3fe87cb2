"""Every room of the house imports only from rooms further down, as docs/architecture.md has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "x2gobroker"
ROW = re.compile(r"^\| (\d[a-z]?) \| ((?:`[^`]+` ?)+) \|", re.MULTILINE)
ROOT = Path(__file__).resolve().parents[2]


def floors() -> dict[str, str]:
    """The floor of each room, by the room's name without `/` and `.py`."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for floor, rooms in ROW.findall(text):
        for room in re.findall(r"`([^`]+)`", rooms):
            found[room.rstrip("/").removesuffix(".py")] = floor
    return found


def modules() -> Iterator[Path]:
    """The modules of the package; its templates are none."""
    yield from sorted((ROOT / PACKAGE).rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a module belongs to; the package's own `__init__` is none."""
    return path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of the package, wherever in the module it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports of the package are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == PACKAGE and len(parts) > 1 and parts[1] != "__version__":
                yield node.lineno, parts[1]


def misplaced(path: Path, known: dict[str, str]) -> list[str]:
    """The imports of a module that go up, or sideways into another room."""
    room = room_of(path)
    return [
        f"{path.relative_to(ROOT)}:{line}: {room} (floor {known[room]}) imports {other} (floor {known[other]})"
        for line, other in imported_rooms(path)
        if other != room and known[other] >= known[room]
    ]


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in modules()} - {"__init__"}
    assert rooms == set(floors())


def test_imports_go_down_only() -> None:
    known = floors()
    wrong = [line for path in modules() if room_of(path) != "__init__" for line in misplaced(path, known)]
    assert not wrong


@pytest.mark.parametrize(
    "statement", ["from x2gobroker.broker import Broker", "import x2gobroker.store", "from x2gobroker import cli"]
)
def test_an_import_upwards_is_found(statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = floors()
    monkeypatch.setattr(Path, "read_text", lambda *_args, **_more: statement)
    assert misplaced(ROOT / PACKAGE / "model" / "acl.py", known)
