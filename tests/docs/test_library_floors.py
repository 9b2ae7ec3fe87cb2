"""The rooms of the library x2go/ import only from rooms further down, as docs/architecture.md has them."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "x2gobroker.x2go"
ROW = re.compile(r"^\| L(\d+) \| ((?:`[^`]+` ?)+) \|", re.MULTILINE)
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "x2gobroker" / "x2go"

# what is imported when it is needed, and why
LATER = {"display/windows.py": ("Xlib", "python-xlib is optional; who has no display works without it")}

# the public classes have parts; what else of the library they inherit
BASES = {
    "client.X2GoClient": ["SessionParent", "ClientHooks"],  # the HOOKs are for programs to override
    "registry.X2GoSessionRegistry": [],
    "session.X2GoSession": ["SessionHooks"],
    "control.X2GoControlSession": ["HostTrust"],  # which is paramiko's SSHClient, with other rules for host keys
    "terminal.X2GoTerminalSession": [],
}


def floors() -> dict[str, int]:
    """The floor of each room of the library, by the room's name without `/` and `.py`."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    return {
        room.rstrip("/").removesuffix(".py"): int(floor)
        for floor, rooms in ROW.findall(text)
        for room in re.findall(r"`([^`]+)`", rooms)
    }


def modules() -> dict[str, Path]:
    """The modules of the library by their full names."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        words = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return found


def room_of(module: str) -> str:
    """The room of a module; empty for the library's own face."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module imports, wherever in it that stands; names of things included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports of the package are absolute"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name


def imported_modules(path: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and name of each module of the library that a module imports."""
    for line, name in imports(path):
        module = name if name in known else name.rpartition(".")[0]
        if module in known:
            yield line, module


def misplaced(path: Path, floor_of: dict[str, int]) -> list[str]:
    """The imports of a module that go up, or sideways into another room."""
    known = modules()
    room = room_of(next(name for name, each in known.items() if each == path))
    return [
        f"{path.relative_to(ROOT)}:{line}: {room} imports {room_of(module) or 'the face of the library'}"
        for line, module in imported_modules(path, known)
        if room_of(module) != room and floor_of.get(room_of(module), 100) >= floor_of[room]
    ]


def later(path: Path) -> list[str]:
    """The imports of a module inside of functions, but for those that may be there."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed, _why = LATER.get(str(path.relative_to(LIBRARY)), ("nothing", ""))
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}: imports in a function"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        if not ast.unparse(node).partition("import")[0].startswith(f"from {allowed}")
    ]


def test_every_room_of_the_library_has_a_floor() -> None:
    assert {room_of(module) for module in modules()} - {""} == set(floors())


def test_imports_of_the_library_go_down_only() -> None:
    floor_of = floors()
    assert not [line for name, path in modules().items() if room_of(name) for line in misplaced(path, floor_of)]


def test_no_files_of_the_library_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {name: {module for _line, module in imported_modules(path, known)} for name, path in known.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(known)


def test_the_library_imports_at_the_top_of_files() -> None:
    assert not [line for path in modules().values() for line in later(path)]
    for name in LATER:
        assert later(LIBRARY / name) == []


@pytest.mark.parametrize("name", BASES)
def test_public_classes_have_parts_and_are_no_towers(name: str) -> None:
    module, _, cls = name.partition(".")
    found: type = getattr(importlib.import_module(f"{PACKAGE}.{module}"), cls)
    inherited = [base.__name__ for base in found.__mro__[1:] if base.__module__.startswith(f"{PACKAGE}.")]
    assert inherited == BASES[name]


@pytest.mark.parametrize(
    "statement",
    [
        "from x2gobroker.x2go import X2GoSession",
        "from x2gobroker.x2go.session import X2GoSession",
        "from x2gobroker.x2go.folders.sharing import FolderSharing",
        "def f():\n    import x2gobroker.x2go.client.client",
    ],
)
def test_an_import_upwards_or_sideways_in_the_library_is_found(statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    floor_of = floors()
    monkeypatch.setattr(Path, "read_text", lambda *_args, **_more: statement)
    assert misplaced(LIBRARY / "display" / "proxy.py", floor_of)


@pytest.mark.parametrize("name", ["display/proxy.py", *LATER])
def test_an_import_in_a_function_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = "def f():\n    from x2gobroker.x2go.log import X2GoLogger"
    monkeypatch.setattr(Path, "read_text", lambda *_args, **_more: statement)
    assert later(LIBRARY / name)
