"""The options file of nxproxy: whatever a server says of a session, the file has the client's options and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY
from x2gobroker.x2go.display.nx_options import file_argument, options_text
from x2gobroker.x2go.display.proxy import X2GoProxy
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo

COOKIE = "f28b48c66f97bdba38e56856d0ea090f"
LINE = (
    f"14864|anna-50-1795167317_stRxterm_dp24|50|vm|S|2026-11-20T09:35:17|{COOKIE}|127.0.0.1|38091|38092|"
    "2026-11-20T09:35:18|anna|25|38093|-1|-1"
)
KEYS = ["retry", "composite", "clipboard", "connect", "cookie", "port"]
EVIL = [
    f"{COOKIE},cups=unix:/home/anna/private.sock",
    f"{COOKIE},errors=/home/anna/.bashrc",
    f"{COOKIE}:51",
    f"{COOKIE}\n",
    f"{COOKIE}=",
    f"{COOKIE} stats=x",
    "",
]


def written(info: X2GoServerSessionInfo) -> str:
    """What the options file of this session would hold."""
    proxy = X2GoProxy(info, None)  # type: ignore[arg-type]  # no connection is made
    return options_text(proxy._options(24051), info.display)


def keys(text: str) -> list[str]:
    """The names of the options as nxproxy reads them."""
    options, _, display = text.removeprefix("nx/nx,").rpartition(":")
    assert display.isdigit()
    return [option.partition("=")[0] for option in options.split(",")]


@pytest.mark.parametrize("cookie", EVIL)
def test_a_listed_session_whose_cookie_is_none_is_not_made_a_session_of(cookie: str) -> None:
    info = X2GoServerSessionInfo()
    with pytest.raises(ValueError):
        info._parse_x2golistsessions_line(LINE.replace(COOKIE, cookie))
    assert info.cookie == ""


@pytest.mark.parametrize("cookie", EVIL)
def test_a_value_that_is_no_plain_word_is_not_written(cookie: str) -> None:
    info = X2GoServerSessionInfo()
    info._parse_x2golistsessions_line(LINE)
    info.cookie = cookie  # as if a program had put it there
    with pytest.raises(ValueError, match="no plain word") as caught:
        written(info)
    assert COOKIE not in str(caught.value)


@MANY
@given(st.integers(0, 15), st.text(st.sampled_from("0123456789abcdef,=:;\n |/'$`") | st.characters(), max_size=70))
def test_the_options_file_has_exactly_these_keys_whatever_the_server_lists(place: int, value: str) -> None:
    fields = LINE.split("|")
    fields[place] = value
    info = X2GoServerSessionInfo()
    try:
        info._parse_x2golistsessions_line("|".join(fields))
    except ValueError:
        return
    text = written(info)
    assert keys(text) == KEYS
    assert text.isascii()
    assert text.isprintable()


@MANY
@given(st.lists(st.text(st.sampled_from("0123456789abcdef,=:\n-_") | st.characters(), max_size=40), max_size=10))
def test_the_options_file_has_exactly_these_keys_whatever_a_start_prints(lines: list[str]) -> None:
    good = ["50", COOKIE, "14864", "anna-50-1795167317_stRxterm_dp24", "38091", "38092", "38093"]
    for number in range(len(good)):
        info = X2GoServerSessionInfo()
        try:
            info.initialize("\n".join([*good[:number], *lines[:1], *good[number + 1 :], *lines[1:]]))
        except ValueError:
            continue
        assert keys(written(info)) == KEYS


@MANY
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4), st.integers(-5, 70000))
def test_any_options_are_written_as_they_are_or_refused(options: dict[str, str], display: int) -> None:
    try:
        text = options_text({"retry": "5", **options}, display)
    except ValueError:
        return
    assert keys(text) == list({"retry": "5", **options})


def test_displays_and_file_names_are_plain_words_as_well() -> None:
    assert file_argument("options", 50) == "nx/nx,options=./options:50"
    for name, display in (("a,b", 50), ("../x/y", 50), ("options", -1), ("options", 65536)):
        with pytest.raises(ValueError):
            file_argument(name, display)
