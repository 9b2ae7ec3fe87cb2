"""Files from a server: no path leads out of the folder, no link is followed, no name is trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.x2go.local import spool_files
from x2gobroker.x2go.local.spool_files import copy_into, entries, plain_name, private_copy, read_start, safe_name
from x2gobroker.x2go.texts import printable

UNSAFE = set("/\\\0\n\r\t`$;&|<>\"'*?!{}[]:#%^~\u202e")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Report.pdf", "Report"),
        ("file:///home/anna/Bericht für März.odt", "file____home_anna_Bericht für März.odt"),
        ("../../.ssh/authorized_keys", "ssh_authorized_keys"),
        ("-rf $(reboot) `id`", "rf _(reboot) _id"),
        ("\x1b[2J a\r\nb\t c", "2J a b c"),
        ("Grüße \u202efdp.exe", "Grüße _fdp.exe"),
        ("हिन्दी", "हिन्दी"),
        ("", "X2Go"),
        ("..", "X2Go"),
        ("/", "X2Go"),
    ],
)
def test_names_from_titles(title: str, name: str) -> None:
    assert safe_name(title, ".pdf") == name


@SOME
@given(st.text(max_size=400))
def test_any_title_gives_a_name(title: str) -> None:
    name = safe_name(title, ".pdf")
    assert plain_name(name)
    assert not set(name) & UNSAFE
    assert name[0] not in " .-_"
    assert len(os.fsencode(name)) <= spool_files.LONGEST_NAME


@SOME
@given(st.text(max_size=400), st.integers(1, 300))
def test_any_text_gives_one_line(text: str, limit: int) -> None:
    line = printable(text, limit)
    assert len(line) <= limit
    assert line.isprintable()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "../x", "a\0b"])
def test_paths_are_no_plain_names(name: str) -> None:
    assert not plain_name(name)


def test_a_copy_never_replaces_a_file(tmp_path: Path) -> None:
    source, folder = tmp_path / "job", tmp_path / "PDF"
    source.write_bytes(b"new")
    folder.mkdir()
    (folder / "a.pdf").write_bytes(b"old")
    (folder / "a(1).pdf").symlink_to(tmp_path / "elsewhere")
    assert copy_into(str(source), str(folder), "a", ".pdf") == str(folder / "a(2).pdf")
    assert (folder / "a.pdf").read_bytes() == b"old"
    assert (folder / "a(2).pdf").read_bytes() == b"new"
    assert not (tmp_path / "elsewhere").exists()


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [_link, _pipe, Path.mkdir])
def test_only_regular_files_are_read(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "job")
    with pytest.raises(OSError):
        read_start(str(tmp_path / "job"), 100)
    with pytest.raises(OSError):
        copy_into(str(tmp_path / "job"), str(tmp_path), "copy", ".pdf")
    assert os.listdir(tmp_path) == ["job"]


def test_a_file_that_is_too_large_leaves_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_files, "MAX_FILE_BYTES", 10)
    (tmp_path / "job").write_bytes(b"x" * 11)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OSError, match="larger than 10 bytes"):
        private_copy(str(tmp_path / "job"), "title", ".pdf")
    assert os.listdir(tmp_path) == ["job"]


def test_a_private_copy_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "job").write_bytes(b"x")
    (tmp_path / "job").chmod(0o666)
    copy = private_copy(str(tmp_path / "job"), "My title", ".pdf")
    assert os.stat(copy.folder).st_mode & 0o777 == 0o700
    assert os.stat(copy.path).st_mode & 0o777 == 0o600
    assert os.path.basename(copy.path) == "My title.pdf"
    copy.remove()
    copy.remove()
    assert os.listdir(tmp_path) == ["job"]


def test_a_missing_folder_is_empty_and_a_full_one_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert entries(str(tmp_path / "nothing")) == []
    for number in range(5):
        (tmp_path / str(number)).touch()
    assert sorted(entries(str(tmp_path))) == ["0", "1", "2", "3", "4"]
    monkeypatch.setattr(spool_files, "MAX_ENTRIES", 3)
    assert len(entries(str(tmp_path))) == 3
