"""Single options of an INI file are changed, and everything else stays as it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.errors import ConfigurationError
from x2gobroker.settings import parse_ini
from x2gobroker.settings.edit import change_file, change_text

SAMPLE = Path(__file__).resolve().parents[2] / "etc/x2gobroker.conf"
TEXT = """\
# about this file
[global]

# Where it listens.
#remote-listen = 127.0.0.1:6080

# Whether it asks.
#require-password = true
require-password : false
odd=  1

# the other one
[broker_inifile]
enable = true
"""


def changed(text: str, **changes: str) -> str:
    return change_text(text, "x.conf", "global", {name.replace("_", "-"): value for name, value in changes.items()})


def test_an_option_goes_below_its_commented_default() -> None:
    assert changed(TEXT, remote_listen="/run/a") == TEXT.replace(":6080\n", ":6080\nremote-listen = /run/a\n")


def test_an_option_that_is_set_keeps_its_place() -> None:
    before, _, after = changed(TEXT, require_password="true").partition("odd=")
    assert before.endswith("#require-password = true\nrequire-password : true\n")
    assert after == TEXT.partition("odd=")[2]


def test_an_option_without_a_comment_comes_behind_the_last_one() -> None:
    assert changed(TEXT, enable_portal="true") == TEXT.replace("odd=  1\n", "odd=  1\nenable-portal = true\n")


def test_an_option_is_taken_out() -> None:
    assert changed(TEXT, odd="") == TEXT.replace("odd=  1\n", "")
    assert changed(TEXT, unknown="") == TEXT


@pytest.mark.parametrize(
    "text", ["", "[other]\nx = 1", "[global]", "# only a comment\n", "[global]\n\n[other]\nx = 1\n"]
)
def test_files_with_little_in_them(text: str) -> None:
    before = parse_ini(text, "x").sections
    after = parse_ini(changed(text, a="1", b="2"), "x").sections
    assert after == {**before, "global": {"a": "1", "b": "2"}}


@pytest.mark.parametrize("value", ["a\nb", " a", "x\n[other]\ny = 1", "a ", "a\n"])
def test_a_value_that_a_file_cannot_hold(value: str) -> None:
    with pytest.raises(ConfigurationError, match="a: a file cannot hold this value"):
        changed(TEXT, a=value)


def test_a_file_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"x\.conf:1: error: stands before the first \[section\]"):
        changed("what is this\n", a="1")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=30))
def test_any_value_is_there_as_it_was_given_or_refused(value: str) -> None:
    try:
        text = change_text(TEXT, "x", "global", {"remote-vnc-password": value})
    except ConfigurationError:
        assert value != value.strip()
        return
    assert parse_ini(text, "x").sections["global"]["remote-vnc-password"] == value


def test_the_sample_loses_nothing_but_gains_the_option() -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    fresh = changed(text, remote_listen="127.0.0.1:7000", verify_ip="false")
    assert [
        line for line in fresh.splitlines() if line not in ("remote-listen = 127.0.0.1:7000", "verify-ip = false")
    ] == (text.splitlines())
    assert changed(fresh, remote_listen="", verify_ip="") == text


def test_a_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "real.conf", tmp_path / "link.conf"
    real.write_text(TEXT, encoding="utf-8")
    real.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(real, 2, 3)
    link.symlink_to(real)
    change_file(link, "global", {"odd": "2"})
    status = real.stat()
    assert link.is_symlink()
    assert stat.S_IMODE(status.st_mode) == 0o604
    assert os.geteuid() != 0 or (status.st_uid, status.st_gid) == (2, 3)
    assert "odd=  2\n" in real.read_text(encoding="utf-8") or "odd = 2\n" in real.read_text(encoding="utf-8")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.conf", "real.conf"]


def test_a_new_file_is_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "new.conf"
    change_file(path, "global", {"a": "1"})
    assert path.read_text(encoding="utf-8") == "[global]\na = 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    for group, made in (("no-such-group-of-ours", "root"), ("daemon", "daemon")):
        path = tmp_path / group
        change_file(path, "global", {"a": "1"}, group)
        assert os.geteuid() != 0 or path.group() == made
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders away")
def test_root_changes_no_file_where_others_can_write(tmp_path: Path) -> None:
    folder = tmp_path / "of-another"
    folder.mkdir()
    path = folder / "x.conf"
    path.write_text(TEXT, encoding="utf-8")
    os.chown(folder, 33, 33)
    with pytest.raises(ConfigurationError, match=r"by root: .*belongs to the user with the number 33"):
        change_file(path, "global", {"a": "1"})
    assert path.read_text(encoding="utf-8") == TEXT


def test_a_change_that_is_none_does_not_touch_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text(TEXT, encoding="utf-8")
    number = path.stat().st_ino
    change_file(path, "global", {"unknown": ""})
    assert path.stat().st_ino == number


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be written: No such file or directory; nothing was changed"):
        change_file(tmp_path / "missing/x.conf", "global", {"a": "1"})
    (tmp_path / "latin.conf").write_bytes(b"[global]\na = \xe4\n")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        change_file(tmp_path / "latin.conf", "global", {"a": "1"})
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        change_file(tmp_path, "global", {"a": "1"})


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_file_keeps_the_line_ends_of_its_editor(tmp_path: Path, end: str, mark: bytes) -> None:
    path = tmp_path / "x.conf"
    path.write_bytes(mark + TEXT.replace("\n", end).encode())
    change_file(path, "global", {"enable-portal": "true"})
    written = TEXT.replace("odd=  1\n", "odd=  1\nenable-portal = true\n").replace("\n", end)
    assert path.read_bytes().decode() == written
