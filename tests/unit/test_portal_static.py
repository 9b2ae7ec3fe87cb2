"""Files of the portal's pages: which are served, under which hash, and what a script imports."""

from __future__ import annotations

import re
from pathlib import Path

from x2gobroker.portal import static


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")


def test_only_known_kinds_are_served_and_nothing_hidden(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    for name in ("b.py", ".c.js", "LICENSE", ".d/e.js", "f/g.css"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x", encoding="utf-8")
    assert sorted(static.find_files(tmp_path).paths) == ["a.js", "f/g.css"]


def test_the_hash_follows_what_files_hold_and_how_they_are_called(tmp_path: Path) -> None:
    write(tmp_path, a="1", b="2")
    seen = [static.find_files(tmp_path).hash]
    assert static.find_files(tmp_path).hash == seen[0]
    write(tmp_path, a="3")
    seen.append(static.find_files(tmp_path).hash)
    (tmp_path / "b.js").rename(tmp_path / "c.js")
    seen.append(static.find_files(tmp_path).hash)
    write(tmp_path, a="3c.js 1\n2")
    seen.append(static.find_files(tmp_path).hash)
    assert len(set(seen)) == 4
    assert all(re.fullmatch("[0-9a-f]{12}", found) for found in seen)


def test_a_folder_that_is_not_there_serves_nothing(tmp_path: Path) -> None:
    assert not static.find_files(tmp_path / "none").paths


def test_a_script_is_loaded_with_all_that_it_imports() -> None:
    """Compared with every address that stands in quotes behind `from` in those files."""
    found = static.modules_of("portal/desktop.js")
    assert found[0] == "portal/desktop.js"
    assert static.NOVNC in found
    assert len(found) == len(set(found)) > 50
    for name in found:
        folder = (static.FOLDER / name).parent
        for address in re.findall(
            r"""\bfrom\s+['"](\.[^'"]+)['"]""", (static.FOLDER / name).read_text(encoding="utf-8")
        ):
            path = (folder / address).resolve().relative_to(static.FOLDER).as_posix()
            assert path in found, f"{name} imports {address}"


def test_unknown_scripts_import_nothing() -> None:
    assert static.modules_of("portal/none.js") == ()
