"""Options of session profiles: from X2Go Client's file to the parameters of sessions, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from x2gobroker.x2go.errors import X2GoProfileException
from x2gobroker.x2go.profiles.file import X2GoSessionProfiles, read_profiles
from x2gobroker.x2go.profiles.options import (
    DEFAULTS,
    format_exports,
    format_option,
    parse_exports,
    session_params,
    typed,
)
from x2gobroker.x2go.session.params import split_params


def test_defaults_are_those_of_python_x2go() -> None:
    params = session_params({})
    assert params["geometry"] == "800x600"
    assert params["link"] == "adsl"
    assert params["pack"] == "16m-jpeg-9"
    assert params["snd_system"] == "none"
    assert params["session_type"] == "application"
    assert params["cmd"] == "TERMINAL"
    assert params["port"] == 22
    assert (params["kbtype"], params["kblayout"], params["kbvariant"]) == ("pc105/us", "us", "null")
    assert params["look_for_keys"] is params["allow_agent"] is params["allow_share_local_folders"] is True
    assert params["key_filename"] is None
    assert "dpi" not in params
    split_params({name: value for name, value in params.items() if name != "server"})


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"fullscreen": "true"}, {"geometry": "fullscreen"}),
        ({"maxdim": True}, {"geometry": "maximize"}),
        ({"width": "10", "height": "20"}, {"geometry": "10x20"}),
        ({"setdpi": 1, "dpi": "120"}, {"dpi": 120}),
        ({"speed": 4}, {"link": "lan"}),
        ({"speed": "ISDN"}, {"link": "isdn"}),
        ({"quality": 0, "pack": "4k"}, {"pack": "4k"}),
        ({"sound": True, "soundsystem": "pulse"}, {"snd_system": "pulse"}),
        ({"usekbd": False}, {"kbtype": "null/null", "kblayout": "null", "kbvariant": "null"}),
        ({"layout": "de", "variant": "nodeadkeys"}, {"kblayout": "de", "kbvariant": "nodeadkeys"}),
        ({"rootless": False, "command": "XFCE4"}, {"session_type": "desktop", "cmd": "XFCE"}),
        ({"published": True}, {"published_applications": True}),
        ({"host": "a, b"}, {"server": ["a", "b"]}),
        ({"host": ["a"]}, {"server": ["a"]}),
        ({"export": {"/a": True, "/b": False}}, {"share_local_folders": ["/a"]}),
        ({"export": "/a,/b"}, {"share_local_folders": ["/a", "/b"]}),
        ({"mimeboxextensions": "pdf,odt"}, {"mimebox_extensions": ["pdf", "odt"]}),
        ({"mimeboxaction": "RUN"}, {"mimebox_action": "OPEN"}),
        ({"user": "anna", "sshproxysameuser": True}, {"sshproxy_user": "anna"}),
        ({"key": "k", "sshproxysamepass": True}, {"sshproxy_reuse_authinfo": True, "sshproxy_key_filename": "k"}),
        ({"autologin": False, "sshproxyautologin": False}, {"allow_agent": False, "sshproxy_allow_agent": False}),
        ({"nonsense": "x"}, {}),
    ],
)
def test_options_become_parameters(options: dict[str, Any], wanted: dict[str, Any]) -> None:
    params = session_params(options)
    assert {name: params[name] for name in wanted} == wanted
    assert "nonsense" not in params


@pytest.mark.parametrize(("name", "value"), [("sshport", "many"), ("fullscreen", "perhaps"), ("width", None)])
def test_values_of_another_type(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        session_params({name: value})


PATHS = some.text(some.characters(blacklist_categories=("C", "Z"), blacklist_characters=',;:"'), min_size=1)


@given(some.dictionaries(PATHS, some.booleans()))
def test_exports_come_back(folders: dict[str, bool]) -> None:
    assert parse_exports(format_exports(folders)) == folders
    assert parse_exports(folders) == folders


@given(some.text())
def test_any_export_is_read(text: str) -> None:
    assert all(parse_exports(text))


@given(some.sampled_from(sorted(DEFAULTS)), some.text())
def test_any_option_is_read_or_refused(name: str, text: str) -> None:
    try:
        value = typed(name, text)
    except ValueError:
        return
    try:
        again = typed(name, format_option(name, value))
    except ValueError:
        return  # control characters
    assert again == value or name == "speed"


@given(some.text())
def test_any_file_is_read_or_refused(text: str) -> None:
    try:
        profiles = read_profiles(text)
    except X2GoProfileException:
        return
    assert all(set(options) <= set(DEFAULTS) for options in profiles.values())


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    assert X2GoSessionProfiles([str(tmp_path / "none")]).profile_ids == []
    file = tmp_path / "sessions"
    for content in (b"no section", b"\xff\xfe", b"[a]\nsshport=x\n", b"[a]\nname=" + b"x" * (1 << 21)):
        file.write_bytes(content)
        with pytest.raises(X2GoProfileException):
            X2GoSessionProfiles([str(file)])
    with pytest.raises(X2GoProfileException):
        X2GoSessionProfiles([str(tmp_path)])
    with pytest.raises(X2GoProfileException):
        X2GoSessionProfiles(profiles={"a": {"sshport": "x"}})


def test_profiles_by_id_and_name() -> None:
    profiles = X2GoSessionProfiles(profiles={"a": {"name": "A"}, "b": {"name": "B"}, "c": {"name": "B"}})
    assert profiles.profile_ids == ["a", "b", "c"]
    assert profiles.check_profile_id_or_name("A") == "a"
    assert profiles.has_profile_id("a") is profiles.has_profile_name("B") is True
    assert profiles.to_profile_name("none") == ""
    assert profiles.to_profile_id("none") is None
    with pytest.raises(X2GoProfileException, match="2 session profiles"):
        profiles.to_profile_id("B")
    assert profiles.write() is False
    with pytest.raises(X2GoProfileException):
        profiles.update_value("a", "none", 1)
    with pytest.raises(X2GoProfileException):
        profiles.update_value("a", "sshport", "x")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    profiles = X2GoSessionProfiles([str(tmp_path / "file/sessions")], profiles={"a": {"name": "A"}})
    with pytest.raises(X2GoProfileException, match="cannot be written"):
        profiles.write()


def test_values_cannot_add_options(tmp_path: Path) -> None:
    profiles = X2GoSessionProfiles([str(tmp_path / "sessions")], profiles={"a": {"name": "A"}})
    profiles.update_value("a", "command", "x\nhost=evil")
    with pytest.raises(X2GoProfileException, match="control characters"):
        profiles.write()


def test_what_x2go_client_puts_between_quotes_is_read_as_it_is_meant() -> None:
    text = r"""[a]
command="xterm -title a=b"
name="A, \"B\""
[b]
command=xterm -title "c d"
"""
    found = read_profiles(text)
    assert (found["a"]["command"], found["a"]["name"]) == ("xterm -title a=b", 'A, "B"')
    assert found["b"]["command"] == 'xterm -title "c d"'
