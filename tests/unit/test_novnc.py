"""scripts/novnc: it takes the file that it knows, no other, and of that only what browsers need."""

from __future__ import annotations

import base64
import hashlib
import importlib.machinery
import importlib.util
import io
import os
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "novnc"
FILES = {"package/core/rfb.js": b"export", "package/vendor/a/b.js": b"x", "package/LICENSE.txt": b"MPL"}


@pytest.fixture
def novnc(tmp_path: Path) -> ModuleType:
    """The script as a module, which writes to a folder of the test's own."""
    loader = importlib.machinery.SourceFileLoader("novnc_script", str(SCRIPT))
    spec = importlib.util.spec_from_loader("novnc_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    module.TARGET = tmp_path / "static" / "novnc"  # type: ignore[attr-defined]
    module.ROOT = tmp_path  # type: ignore[attr-defined]
    return module


def pack(path: Path, files: dict[str, bytes], link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        if link:
            member = tarfile.TarInfo("package/core/link.js")
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
    return path


def fake_npm(folder: Path, tarball: Path, name: str = "novnc.tgz") -> str:
    """A folder with programs `npm` and `node`; this npm gives the file, whatever it is asked for."""
    programs = folder / "programs"
    programs.mkdir()
    text = f'#!/bin/sh\necho "$@" > {folder}/asked\nfor last; do :; done\ncp {tarball} "$last/{name}"\n'
    for program in ("npm", "node"):
        (programs / program).write_text(text, encoding="utf-8")
        (programs / program).chmod(0o755)
    return f"{programs}:{os.environ['PATH']}"


def know(novnc: ModuleType, tarball: Path) -> None:
    digest = hashlib.sha512(tarball.read_bytes()).digest()
    novnc.INTEGRITY = "sha512-" + base64.b64encode(digest).decode()  # type: ignore[attr-defined]


def test_it_is_fetched_once(
    novnc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tarball = pack(tmp_path / "a.tgz", {**FILES, "package/README.md": b"no"}, link="/etc/passwd")
    know(novnc, tarball)
    monkeypatch.setenv("PATH", fake_npm(tmp_path, tarball))
    assert novnc.main() == 0
    assert "@novnc/novnc@1.7.0 --ignore-scripts" in (tmp_path / "asked").read_text()
    found = sorted(path.relative_to(novnc.TARGET).as_posix() for path in novnc.TARGET.rglob("*") if path.is_file())
    assert found == ["LICENSE.txt", "VERSION", "core/rfb.js", "vendor/a/b.js"]
    assert [path.name for path in novnc.TARGET.parent.iterdir()] == ["novnc"]
    (tmp_path / "asked").unlink()
    assert novnc.main() == 0
    assert not (tmp_path / "asked").exists()
    assert capsys.readouterr().out == "noVNC 1.7.0 is in static/novnc\n"


def test_an_older_version_is_replaced(novnc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tarball = pack(tmp_path / "a.tgz", FILES)
    know(novnc, tarball)
    monkeypatch.setenv("PATH", fake_npm(tmp_path, tarball))
    novnc.TARGET.mkdir(parents=True)
    (novnc.TARGET / "VERSION").write_text("1.6.0 sha512-x\n")
    (novnc.TARGET / "old.js").write_text("old")
    assert novnc.main() == 0
    assert not (novnc.TARGET / "old.js").exists()
    assert (novnc.TARGET / "core/rfb.js").read_bytes() == b"export"


def test_another_file_than_the_known_one_is_not_unpacked(
    novnc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", fake_npm(tmp_path, pack(tmp_path / "a.tgz", FILES)))
    assert novnc.main() == 1
    assert not novnc.TARGET.exists()
    assert list(novnc.TARGET.parent.iterdir()) == []
    assert "is not what it should be" in capsys.readouterr().err


def test_a_path_that_leads_out_is_refused(novnc: ModuleType, tmp_path: Path) -> None:
    tarball = pack(tmp_path / "a.tgz", {"package/core/../../../out.js": b"x"})
    with pytest.raises(novnc.NoNovncError, match="not expected"):
        novnc.unpack(tarball, tmp_path / "new")
    assert not (tmp_path / "out.js").exists()


def test_npm_that_fails_is_quoted(
    novnc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", fake_npm(tmp_path, tmp_path / "none.tgz"))
    assert novnc.main() == 1
    assert "none.tgz" in capsys.readouterr().err
    assert not novnc.TARGET.exists()
