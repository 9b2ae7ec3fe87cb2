"""Files that only trusted accounts can have written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from x2gobroker.privilege import TrustError, open_trusted, read_trusted

ME = (0, os.geteuid())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder below which everything is ours."""
    made = tmp_path / "own"
    made.mkdir(mode=0o755)
    (made / "file").write_bytes(b"content")
    (made / "file").chmod(0o644)
    return made


def test_a_file_of_ours_is_read(folder: Path) -> None:
    assert read_trusted(folder / "file", ME) == b"content"


def test_a_link_of_ours_is_followed(folder: Path) -> None:
    (folder / "link").symlink_to("../own/./file")
    (folder / "far").symlink_to(folder / "link")
    assert read_trusted(folder / "far", ME) == b"content"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("name", ["file", "link", "."])
def test_what_another_user_owns_is_refused(folder: Path, name: str) -> None:
    (folder / "link").symlink_to("file")
    os.chown(folder / name, 12345, 12345, follow_symlinks=False)
    with pytest.raises(TrustError, match="number 12345: give it to root"):
        read_trusted(folder / ("link" if name == "link" else "file"), ME)


@pytest.mark.parametrize("place", ["file", "."])
@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_what_others_can_write_is_refused(folder: Path, place: str, mode: int) -> None:
    (folder / place).chmod(mode)
    with pytest.raises(TrustError, match="chmod go-w"):
        read_trusted(folder / "file", ME)


def test_a_sticky_folder_is_trusted(folder: Path) -> None:
    folder.chmod(0o1777)
    assert read_trusted(folder / "file", ME) == b"content"


def test_links_in_a_circle_end(folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    with pytest.raises(TrustError, match="more than 40 links"):
        read_trusted(folder / "a", ME)


@pytest.mark.parametrize("name", ["gone", "file/below", "."])
def test_what_is_no_file_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(TrustError):
        read_trusted(folder / name, ME)


def test_a_large_file_is_refused(folder: Path) -> None:
    with pytest.raises(TrustError, match="larger than 3 bytes"):
        read_trusted(folder / "file", ME, 3)


def test_no_descriptor_is_left(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    os.close(open_trusted(folder / "file", ME))
    with pytest.raises(TrustError):
        open_trusted(folder / "gone", ME)
    assert len(os.listdir("/proc/self/fd")) == before
