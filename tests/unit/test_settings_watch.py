"""Watched files: anew after a change, the last good value after a broken one."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.configured import replace
from x2gobroker.errors import ConfigurationError
from x2gobroker.settings.text_files import read_text
from x2gobroker.settings.watch import WatchedFile


def load(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if "broken" in text:
        raise ConfigurationError(f"{path}: is broken")
    return text


def watched(path: Path, how: Callable[[Path], str] = load) -> WatchedFile[str]:
    return WatchedFile(path, how, "absent")


def test_a_file_that_is_not_there_has_the_absent_value_and_no_fault(tmp_path: Path) -> None:
    found = watched(tmp_path / "f").current()
    assert (found.value, found.fault, found.good) == ("absent", None, True)


def test_a_file_is_loaded_once_while_it_does_not_change(tmp_path: Path) -> None:
    path = tmp_path / "f"
    replace(path, "one")
    loads: list[Path] = []

    def counting(where: Path) -> str:
        loads.append(where)
        return load(where)

    file = watched(path, counting)
    first = file.current()
    assert all(file.current() is first for _ in range(5))
    assert len(loads) == 1


def test_a_change_counts_with_the_next_look_even_in_place_and_of_the_same_size(tmp_path: Path) -> None:
    path = tmp_path / "f"
    replace(path, "one")
    file = watched(path)
    assert file.current().value == "one"
    replace(path, "two")
    assert file.current().value == "two"
    path.write_text("six", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert file.current().value == "six"


def test_a_file_that_comes_and_goes_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = watched(path)
    assert file.current().value == "absent"
    replace(path, "one")
    assert file.current().value == "one"
    path.unlink()
    assert file.current().value == "absent"
    replace(path, "two")
    assert file.current().value == "two"


def test_a_broken_change_keeps_the_last_good_value_and_names_the_file(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "f"
    replace(path, "one")
    file = watched(path)
    file.current()
    for text in ("broken", "broken again"):
        replace(path, text)
        found = file.current()
        assert (found.value, found.good) == ("one", True)
        assert str(path) in str(found.fault)
    assert said.text.count("last good version") == 2
    assert str(path) in said.text


def test_a_broken_file_is_reported_once_not_with_every_look(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "f"
    replace(path, "broken")
    file = watched(path)
    for _ in range(4):
        file.current()
    assert len(said.records) == 1


def test_a_fix_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "f"
    replace(path, "one")
    file = watched(path)
    file.current()
    replace(path, "broken")
    file.current()
    replace(path, "two")
    found = file.current()
    assert (found.value, found.fault) == ("two", None)


def test_a_first_load_that_fails_leaves_nothing_in_service(tmp_path: Path) -> None:
    path = tmp_path / "f"
    replace(path, "broken")
    file = watched(path)
    found = file.current()
    assert (found.value, found.good) == ("absent", False)
    replace(path, "broken still")
    assert file.current().good is False
    replace(path, "one")
    found = file.current()
    assert (found.value, found.fault, found.good) == ("one", None, True)


def test_threads_that_look_at_once_see_one_load(tmp_path: Path) -> None:
    path = tmp_path / "f"
    replace(path, "one")
    loads: list[str] = []
    barrier = threading.Barrier(8)

    def counting(where: Path) -> str:
        loads.append("x")
        return load(where)

    file = watched(path, counting)
    seen: list[str] = []

    def look() -> None:
        barrier.wait(10)
        seen.append(file.current().value)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == ["one"] * 8
    assert len(loads) == 1


def test_a_file_that_is_to_stay_and_is_gone_counts_as_broken(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "f"
    file = WatchedFile(path, read_text, "absent", stays=True)
    assert (file.current().value, file.current().fault) == ("absent", None), "it was never there"
    replace(path, "one")
    file.current()
    path.rename(tmp_path / "f~")
    for _ in range(3):
        found = file.current()
        assert (found.value, found.good) == ("one", True)
        assert str(path) in str(found.fault)
    assert said.text.count("last good version") == 1
    path.write_bytes(b"\0")
    assert file.current().value == "one"
    replace(path, "two")
    assert (file.current().value, file.current().fault) == ("two", None)


def test_a_broken_file_that_is_to_stay_and_is_gone_is_still_broken(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\0")
    file = WatchedFile(path, read_text, "absent", stays=True)
    assert file.current().good is False
    path.unlink()
    assert file.current().good is False


@pytest.mark.parametrize("error", [errno.EACCES, errno.ESTALE, errno.EIO])
def test_a_file_that_cannot_be_looked_at_is_not_taken_for_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    path = tmp_path / "f"
    replace(path, "one")
    file, late = watched(path, read_text), watched(path, read_text)
    assert file.current().value == "one"
    with monkeypatch.context() as broken:

        def fail(*_given: object, **_named: object) -> None:
            raise OSError(error, os.strerror(error))

        broken.setattr("x2gobroker.settings.watch.os.stat", fail)
        broken.setattr("x2gobroker.settings.text_files.os.open", fail)
        assert (file.current().value, file.current().good) == ("one", True)
        assert os.strerror(error) in str(file.current().fault)
        assert late.current().good is False, "nothing is known of it yet"
    for one in (file, late):
        assert (one.current().value, one.current().fault) == ("one", None)
