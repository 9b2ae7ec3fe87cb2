"""Uploads: whole or not there, over nothing, gone on with only where nothing else has written."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files_page import partials
from x2gobroker.remote.files import upload as module
from x2gobroker.remote.files.folders import free_bytes
from x2gobroker.remote.files.names import partial_name
from x2gobroker.remote.files.refusals import RefusedError
from x2gobroker.remote.files.upload import OLD_SECONDS, Upload, drop_old, rename_new

DATE = 1_600_000_000_123


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield number
    os.close(number)


def begun(folder: int, name: bytes = b"a.txt", size: int = 6, offset: int = 0) -> Upload:
    made = Upload(folder, name, size, DATE)
    made.begin(offset)
    return made


def why(work: object, *arguments: object) -> str:
    with pytest.raises(RefusedError) as caught:
        work(*arguments)  # type: ignore[operator]
    return caught.value.why


def test_a_file_appears_when_it_is_whole(folder: int, tmp_path: Path) -> None:
    made = begun(folder)
    made.write(b"abc")
    assert [path.stat().st_mode & 0o777 for path in partials(tmp_path)] == [0o600]
    assert not (tmp_path / "a.txt").exists()
    made.write(b"def")
    assert made.finish() == b"a.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"abcdef"
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "a.txt").stat().st_mtime == DATE / 1000
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_empty_file(folder: int, tmp_path: Path) -> None:
    assert begun(folder, size=0).finish() == b"a.txt"
    assert (tmp_path / "a.txt").read_bytes() == b""


def test_nothing_is_overwritten(folder: int, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "a (1).txt").symlink_to("nowhere")
    made = begun(folder, size=1)
    made.write(b"x")
    assert made.finish() == b"a (2).txt"
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link"])
def test_whatever_has_the_name_stays(folder: int, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "a.txt"
    with socket.socket(socket.AF_UNIX) as listening:
        match kind:
            case "folder":
                target.mkdir()
            case "pipe":
                os.mkfifo(target)
            case "socket":
                listening.bind(str(target))
            case _:
                target.symlink_to("/etc/passwd")
        before = target.lstat()
        made = begun(folder, size=1)
        made.write(b"x")
        assert made.finish() == b"a (1).txt"
        assert os.path.samestat(before, target.lstat())


def test_what_has_come_can_be_gone_on_with(folder: int, tmp_path: Path) -> None:
    first = begun(folder)
    first.write(b"abc")
    first.keep()
    second = Upload(folder, b"a.txt", 6, DATE)
    assert second.there == 3
    assert second.tail() == (3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    second.begin(3)
    second.write(b"def")
    assert second.finish() == b"a.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"abcdef"


def test_only_the_end_of_a_large_one_is_compared(folder: int) -> None:
    first = begun(folder, size=3 << 20)
    first.write(os.urandom(1 << 20))
    first.write(b"x" * (1 << 20))
    first.keep()
    second = Upload(folder, b"a.txt", 3 << 20, DATE)
    length, digest = second.tail()
    assert length == 1 << 20
    assert digest == hashlib.sha256(b"x" * (1 << 20)).hexdigest()
    second.drop()


def test_another_beginning_is_possible(folder: int, tmp_path: Path) -> None:
    first = begun(folder)
    first.write(b"abc")
    first.keep()
    second = begun(folder, offset=0)
    second.write(b"ABCDEF")
    second.finish()
    assert (tmp_path / "a.txt").read_bytes() == b"ABCDEF"
    third = begun(folder, b"b.txt")
    third.write(b"abc")
    assert why(third.begin, 2) == "changed"
    third.drop()


@pytest.mark.parametrize(
    ("name", "size", "date"), [(b"b.txt", 6, DATE), (b"a.txt", 7, DATE), (b"a.txt", 6, DATE + 1000)]
)
def test_another_file_begins_anew(folder: int, name: bytes, size: int, date: int) -> None:
    first = begun(folder)
    first.write(b"abc")
    first.keep()
    other = Upload(folder, name, size, date)
    assert other.there == 0
    other.drop()


def test_what_something_else_has_written_to_is_not_gone_on_with(folder: int, tmp_path: Path) -> None:
    first = begun(folder)
    first.write(b"abc")
    first.keep()
    with partials(tmp_path)[0].open("r+b") as stream:
        stream.write(b"X")
    second = Upload(folder, b"a.txt", 6, DATE)
    assert second.there == 0
    second.begin(0)
    second.write(b"abcdef")
    second.finish()
    assert (tmp_path / "a.txt").read_bytes() == b"abcdef"


def test_what_was_killed_is_not_gone_on_with(folder: int) -> None:
    first = begun(folder)
    first.write(b"abc")
    os.close(first._number)  # as when the process is killed, or the host
    second = Upload(folder, b"a.txt", 6, DATE)
    assert second.there == 0
    second.drop()


def test_two_at_once(folder: int) -> None:
    first = begun(folder)
    assert why(Upload, folder, b"a.txt", 6, DATE) == "busy"
    first.drop()
    begun(folder).drop()


def test_a_link_with_the_hidden_name_is_not_followed(folder: int, tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.write_text("precious")
    begun(folder).drop()
    name = os.fsdecode(partial_name(b"a.txt", 6, DATE, os.geteuid()))
    for make in ((tmp_path / name).symlink_to, (tmp_path / name).hardlink_to):
        make(other)
        made = begun(folder)
        made.write(b"abcdef")
        made.drop()
        assert other.read_text() == "precious"
        assert partials(tmp_path) == []


def test_the_file_of_another_user_with_the_hidden_name(folder: int, tmp_path: Path) -> None:
    name = tmp_path / os.fsdecode(partial_name(b"a.txt", 6, DATE, os.geteuid()))
    name.write_text("theirs")
    os.chown(name, 4711, -1)
    made = begun(folder, size=6)
    made.write(b"abcdef")
    made.finish()
    assert (tmp_path / "a.txt").stat().st_uid == os.geteuid()
    assert (tmp_path / "a.txt").read_bytes() == b"abcdef"


def test_a_file_that_was_swapped_gets_no_name(folder: int, tmp_path: Path) -> None:
    made = begun(folder)
    made.write(b"abcdef")
    (hidden,) = partials(tmp_path)
    hidden.unlink()
    hidden.write_text("other")
    assert why(made.finish) == "changed"
    assert not (tmp_path / "a.txt").exists()
    made.drop()
    assert hidden.read_text() == "other"


def test_what_is_not_wanted_goes(folder: int, tmp_path: Path) -> None:
    made = begun(folder)
    made.write(b"abc")
    made.drop()
    made.keep()
    assert os.listdir(tmp_path) == []


def test_nothing_is_kept_of_nothing(folder: int, tmp_path: Path) -> None:
    begun(folder).keep()
    assert os.listdir(tmp_path) == []


def test_more_than_was_told_is_refused(folder: int) -> None:
    made = begun(folder)
    assert why(made.write, b"abcdefg") == "changed"
    made.drop()


def test_less_than_was_told_is_no_file(folder: int) -> None:
    made = begun(folder)
    made.write(b"abc")
    assert why(made.finish) == "changed"
    made.drop()


@pytest.mark.parametrize(
    ("number", "word", "kept"),
    [
        (errno.ENOSPC, "full", False),
        (errno.EDQUOT, "quota", False),
        (errno.EFBIG, "too-large", False),
        (errno.EIO, "failed", True),
        (errno.ESTALE, "no-file", True),
    ],
)
def test_a_disk_that_takes_no_more(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, word: str, kept: bool
) -> None:
    made = begun(folder)
    made.write(b"abc")

    def fail(_number: int, _data: memoryview) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", fail)
    assert why(made.write, b"def") == word
    monkeypatch.undo()
    made.keep()
    assert bool(partials(tmp_path)) is kept


def test_a_file_that_does_not_fit_is_refused_beforehand(folder: int, tmp_path: Path) -> None:
    free = free_bytes(folder)
    assert why(Upload, folder, b"a.txt", 2 * free + (1 << 40), DATE) == "full"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["rename", "link", "place"])
def test_every_way_to_give_a_name_overwrites_nothing(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    class Old:
        """A C library, or a kernel, that does not know it."""

        @staticmethod
        def renameat2(*_arguments: object) -> int:
            ctypes.set_errno(errno.EINVAL)
            return -1

    def no_links(*_arguments: object, **_more: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if way != "rename":
        monkeypatch.setattr(module, "_library", Old())
    if way == "place":
        monkeypatch.setattr(os, "link", no_links)
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        rename_new(folder, b"a", b"b")
    assert (tmp_path / "b").read_text() == "b"
    rename_new(folder, b"a", b"c")
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]
    assert (tmp_path / "c").read_text() == "a"


def test_a_race_for_a_name_is_won_by_one_each(folder: int, tmp_path: Path) -> None:
    """Twenty files with the same name, of different sizes, at once: twenty names."""
    found: list[bytes] = []

    def one(size: int) -> None:
        made = begun(folder, size=size)
        made.write(b"x" * size)
        found.append(made.finish())

    threads = [threading.Thread(target=one, args=(size,)) for size in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 20
    assert sorted(path.stat().st_size for path in tmp_path.iterdir()) == list(range(1, 21))


def test_uploads_that_nobody_comes_back_for_go(folder: int, tmp_path: Path) -> None:
    made = begun(folder)
    made.write(b"abc")
    made.keep()
    (tmp_path / ".mine.x2goupload").mkdir()
    other = tmp_path / ".of.another.x2goupload"
    other.write_text("theirs")
    os.chown(other, 4711, -1)
    assert drop_old(folder) == 0
    assert drop_old(folder, time.time() + OLD_SECONDS + 60) == 1
    assert sorted(os.listdir(tmp_path)) == [".mine.x2goupload", ".of.another.x2goupload"]


def test_a_folder_where_nobody_may_write(folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_arguments: object, **_more: object) -> int:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(os, "open", denied)
    assert why(Upload, folder, b"a.txt", 6, DATE) == "no-right"
