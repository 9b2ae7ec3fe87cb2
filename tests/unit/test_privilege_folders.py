"""Files that root writes into a folder of somebody else. These tests run as root."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from x2gobroker.privilege import folders as module
from x2gobroker.privilege.folders import safe_folder

NOBODY = 65534


def test_folder_and_file_belong_to_the_user(tmp_path: Path) -> None:
    with safe_folder(tmp_path / "ssh", NOBODY, NOBODY) as folder:
        assert folder.read("file") is None
        folder.write("file", b"one", 0o640)
        assert folder.read("file") == b"one"
        assert folder.is_right("file", 0o640)
        assert not folder.is_right("file", 0o600)
        assert not folder.is_right("missing", 0o600)
    for path, mode in ((tmp_path / "ssh", 0o40700), (tmp_path / "ssh" / "file", 0o100640)):
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode) == (NOBODY, NOBODY, mode)
    assert os.listdir(tmp_path / "ssh") == ["file"]


def test_a_folder_that_others_may_write_into_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh").chmod(0o777)
    with safe_folder(tmp_path / "ssh", NOBODY, NOBODY):
        pass
    assert (tmp_path / "ssh").stat().st_mode == 0o40755


def test_without_replacing_what_is_there_stays(tmp_path: Path) -> None:
    with safe_folder(tmp_path / "ssh", 0, 0) as folder:
        folder.write("file", b"one", 0o600, replace=False)
        with pytest.raises(FileExistsError):
            folder.write("file", b"two", 0o600, replace=False)
        assert folder.read("file") == b"one"
        folder.write("file", b"three", 0o600)
        assert folder.read("file") == b"three"
    assert os.listdir(tmp_path / "ssh") == ["file"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_hard_links_what_is_there_stays_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def link(*_names: str, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.link", link)
    with safe_folder(tmp_path / "ssh", NOBODY, NOBODY) as folder:
        folder.write("file", b"one", 0o640, replace=False)
        with pytest.raises(FileExistsError):
            folder.write("file", b"two", 0o600, replace=False)
        assert folder.read("file") == b"one"
        assert folder.is_right("file", 0o640)
        (tmp_path / "ssh" / "link").symlink_to(tmp_path / "target")
        with pytest.raises(FileExistsError):
            folder.write("link", b"two", 0o600, replace=False)
        monkeypatch.setattr("os.rename", link)
        with pytest.raises(OSError, match=os.strerror(number)):
            folder.write("other", b"x", 0o600, replace=False)
    assert sorted(os.listdir(tmp_path / "ssh")) == ["file", "link"]


def test_where_all_files_have_the_same_mode_it_must_let_in_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chmod, modes = os.fchmod, [0o700, 0o755]

    def fchmod(number: int, _mode: int) -> None:
        chmod(number, modes[0])
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with safe_folder(tmp_path / "ssh", NOBODY, NOBODY) as folder:
        monkeypatch.setattr("os.fchmod", fchmod)
        folder.write("file", b"one", 0o600)
        assert folder.read("file") == b"one"
        modes.pop(0)
        with pytest.raises(PermissionError, match="others could read it"):
            folder.write("other", b"two", 0o600)
    assert os.listdir(tmp_path / "ssh") == ["file"]


def test_what_is_drafted_has_no_name_until_it_is_put(tmp_path: Path) -> None:
    with safe_folder(tmp_path / "ssh", 0, 0) as folder:
        with folder.draft("one", b"1", 0o600), folder.draft("two", b"2", 0o600) as put:
            assert folder.read("one") is folder.read("two") is None
            put(False)
            with pytest.raises(FileExistsError):
                put(False)
        assert folder.read("two") == b"2"
    assert os.listdir(tmp_path / "ssh") == ["two"]


def test_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"), safe_folder(tmp_path / "link", 0, 0):
        pass
    with safe_folder(tmp_path / "ssh", 0, 0) as folder:
        (tmp_path / "ssh" / "file").symlink_to(tmp_path / "target")
        with pytest.raises(OSError):
            folder.read("file")
        assert not folder.is_right("file", 0o644)
        folder.write("file", b"new", 0o600)
        assert (tmp_path / "ssh" / "file").read_text() == "new"
    assert (tmp_path / "target").read_text() == "precious"
    assert not (tmp_path / "ssh" / "file").is_symlink()


def test_the_folder_stays_the_one_that_was_opened(tmp_path: Path) -> None:
    with safe_folder(tmp_path / "ssh", 0, 0) as folder:
        (tmp_path / "ssh").rename(tmp_path / "moved")
        (tmp_path / "ssh").symlink_to("/")
        folder.write("file", b"x", 0o600)
    assert (tmp_path / "moved" / "file").read_bytes() == b"x"


def test_a_user_who_swaps_the_new_file_gives_away_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its making and its renaming, the user whose folder it is can put a link in its place."""
    secret = tmp_path / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    give = module._give

    def swap(number: int, uid: int, gid: int) -> None:
        (fresh,) = (tmp_path / "ssh").iterdir()
        fresh.unlink()
        fresh.symlink_to(secret)
        give(number, uid, gid)

    monkeypatch.setattr(module, "_give", swap)
    with safe_folder(tmp_path / "ssh", NOBODY, NOBODY) as folder:
        folder.write("file", b"new", 0o644)
    status = secret.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600)
    assert secret.read_text() == "root's"


def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    with safe_folder(tmp_path / "ssh", 0, 0) as folder:
        os.mkfifo(tmp_path / "ssh" / "pipe")
        with pytest.raises(OSError, match="no file"):
            folder.read("pipe")
        with (tmp_path / "ssh" / "large").open("wb") as stream:
            stream.truncate(module.LARGEST_FILE + 1)
        with pytest.raises(OSError, match="bytes"):
            folder.read("large")


def test_a_folder_of_a_stranger_or_none_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    os.chown(tmp_path / "ssh", 12345, 12345)
    with pytest.raises(OSError, match="12345"), safe_folder(tmp_path / "ssh", NOBODY, NOBODY):
        pass
    with pytest.raises(FileNotFoundError), safe_folder(tmp_path / "no" / "ssh", 0, 0):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="no folder"), safe_folder(tmp_path / "file", 0, 0):
        pass


def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.2)
    with safe_folder(tmp_path / "ssh", 0, 0) as one, safe_folder(tmp_path / "ssh", 0, 0) as two:
        with one.locked(), pytest.raises(OSError, match="another program"), two.locked():
            pass
        freed = threading.Event()
        monkeypatch.setattr(module, "LOCK_SECONDS", 20)

        def hold() -> None:
            with one.locked():
                freed.wait(0.3)

        holder = threading.Thread(target=hold)
        holder.start()
        with two.locked():
            pass
        holder.join(10)
        assert not holder.is_alive()


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    with safe_folder(tmp_path / "ssh", 0, 0) as folder:
        folder.write("file", b"old", 0o600)
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="space"):
            folder.write("file", b"new", 0o600)
        assert folder.read("file") == b"old"
    assert os.listdir(tmp_path / "ssh") == ["file"]
