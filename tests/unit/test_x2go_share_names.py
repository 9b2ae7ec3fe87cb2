"""Names that the scripts of X2Go cannot misread, whatever a folder is called."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.x2go.wire.share_names import (
    FOLDER_TYPES,
    SPOOLS,
    mount_argument,
    mount_options,
    mount_place,
    server_name,
)

SESSION = "anna-50-1795167317_stRxterm_dp24"
PATHS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=300).map("/".__add__)


@given(PATHS, st.sampled_from(FOLDER_TYPES), st.integers(1, 20))
def test_nothing_can_be_misread(path: str, folder_type: str, number: int) -> None:
    name = server_name(path, folder_type, number)
    assert name.startswith("/")
    assert not re.search(r"""[\s:|~"'`$\\;&<>()*?\[\]{}!#%^+=,\x00]""", name)
    assert "__" not in name, "x2gomountdirs has words that begin so"
    assert ".." not in name.split("/")
    assert shlex.quote(name) == name or not name.isascii()
    place = mount_place(name, folder_type, SESSION)
    assert len(place.encode()) < 250
    assert place.count("/") == (1 if folder_type in SPOOLS else 2)
    argument = mount_argument(name, folder_type, 30123)
    assert re.split("__REVERSESSH_PORT__", argument.replace(SPOOLS.get(folder_type, "\0"), "")) == [name, "30123"]


@pytest.mark.parametrize(
    ("path", "folder_type", "name", "place"),
    [
        ("/home/anna/docs", "disk", "/home/anna/docs", "media/disk/_home_anna_docs"),
        ("/home/anna/Meine Döcs/", "disk", "/home/anna/Meine_Döcs", "media/disk/_home_anna_Meine_Döcs"),
        ("/home/anna/Meine Do\u0308cs", "disk", "/home/anna/Meine_Döcs", "media/disk/_home_anna_Meine_Döcs"),
        ("/a/$(touch x)", "disk", "/a/_touch_x_", "media/disk/_a__touch_x_"),
        ("/a__REVERSESSH_PORT__1", "disk", "/a_REVERSESSH_PORT_1", "media/disk/_a_REVERSESSH_PORT_1"),
        ("/a/../b/./c", "disk", "/b/c", "media/disk/_b_c"),
        ("/", "disk", "/", "media/disk/_"),
        ("/media/stick", "rm", "/media/stick", "media/rm/_media_stick"),
        ("/media/CDROM", "rm", "/media/cdrom", "media/rm/_media_cdrom"),
        ("/media/disc", "cdrom", "/CDROM/media/disc", "media/cd/_CDROM_media_disc"),
        ("/tmp/spool", "spool", "/tmp/spool", f"spool/C-{SESSION}"),
        ("/tmp/box", "mimebox", "/tmp/box", f"mimebox/C-{SESSION}"),
    ],
)
def test_names_are_like_the_folders(path: str, folder_type: str, name: str, place: str) -> None:
    assert server_name(path, folder_type) == name
    assert mount_place(name, folder_type, SESSION) == place


def test_numbers_tell_folders_apart() -> None:
    assert server_name("/a b", "disk") == server_name("/a_b", "disk") == "/a_b"
    assert server_name("/a b", "disk", 2) == "/a_b-2"
    assert server_name("/", "disk", 2) == "/-2"


def test_long_names_differ() -> None:
    first, second = (server_name(f"/{number}{'ä' * 200}/{'b' * 200}", "disk") for number in (1, 2))
    assert first != second
    assert first.endswith("bbb")


def test_what_x2gomountdirs_is_given() -> None:
    assert mount_argument("/a", "disk", 30001) == "/a__REVERSESSH_PORT__30001"
    assert mount_argument("/a", "spool", 30001) == "/a__PRINT_SPOOL___REVERSESSH_PORT__30001"
    assert mount_argument("/a", "mimebox", 30001) == "/a__MIMEBOX_SPOOL___REVERSESSH_PORT__30001"
    assert mount_options("utf-8") == mount_options("UTF8")
    assert mount_options("ISO-8859-15") == f"{mount_options('utf-8')},modules=iconv,from_code=UTF-8,to_code=ISO-8859-15"


@pytest.mark.parametrize("encoding", ["", "a b", "x,allow_other", "$(id)", "-o"])
def test_an_encoding_that_is_none(encoding: str) -> None:
    with pytest.raises(ValueError, match="encoding"):
        mount_options(encoding)
