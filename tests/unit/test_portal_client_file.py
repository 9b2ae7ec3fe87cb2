"""Session files for X2Go Client, as QSettings reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.configured import Files
from x2gobroker.model.hosts import Host
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.model.written_names import RULE_INSIDE
from x2gobroker.portal.client_file import SUFFIX, command_lines, file_name, section_name, session_file

HOST = Host("ts01", "192.0.2.1", 2022)
# what an INI file of profiles can hold: one line, without blanks around it, and no access rule
TEXTS = (
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40)
    .map(str.strip)
    .filter(lambda text: not RULE_INSIDE.search(text))
)


def profile(profile_id: str = "desk", **options: str) -> SessionProfile:
    """A profile with these options, and no complaint about them."""
    faults: list[str] = []
    made = build_profile(
        profile_id, {"host": "ts01 (192.0.2.1:2022)", **options}, {}, lambda _o, text: faults.append(text)
    )
    assert not faults
    return made


def qsettings(text: str) -> dict[str, dict[str, str]]:
    """The file as Qt 5 reads it, for values that are one text (iniUnescapedStringList and stringToVariant)."""
    sections: dict[str, dict[str, str]] = {}
    for line in text.split("\n"):
        if line.startswith("["):
            section = sections.setdefault(line[1:-1], {})
        elif line and not line.startswith(";"):
            name, _, value = line.partition("=")
            section[name] = one_text(value)
    return sections


def one_text(value: str) -> str:
    """One value: quotes, escapes, the sign @, and blanks around it that are not quoted."""
    if value.startswith('"'):
        assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', value), value
        units: list[int] = []
        for found in re.finditer(r'\\x([0-9a-f]+)|\\(["\\])|(.)', value[1:-1]):
            units.append(int(found[1], 16) & 0xFFFF if found[1] else ord(found[2] or found[3]))
        value = b"".join(unit.to_bytes(2, "little") for unit in units).decode("utf-16-le")
    else:
        assert value.isascii()
        assert not set(value) & set('\\";')
        value = value.strip()
    assert not re.match(r"@(?!@)", value)
    return value[1:] if value.startswith("@@") else value


def test_what_x2go_client_needs() -> None:
    text = session_file(profile(name="A desk", command="XFCE", user="BROKER_USER", fullscreen="true"), "anna", HOST)
    desk = qsettings(text)["desk"]
    expected = {"name": "A desk", "host": "192.0.2.1", "sshport": "2022", "user": "anna", "command": "XFCE"}
    assert {name: desk[name] for name in expected} == expected
    assert (desk["fullscreen"], desk["rootless"]) == ("1", "0")
    assert text.startswith("[desk]\nname=A desk\nhost=192.0.2.1\nsshport=2022\n")


def test_no_word_for_brokers_only() -> None:
    desk = qsettings(
        session_file(profile(usebrokerpass="true", status="S", **{"acl-users-allow": "anna"}), "anna", HOST)
    )
    assert not {"usebrokerpass", "status", "acl-users-allow", "broker-session-autologin"} & set(desk["desk"])


def test_an_account_that_the_profile_names_stays() -> None:
    desk = qsettings(session_file(profile(user="guest", sshproxyuser="BROKER_USER"), "anna", HOST))["desk"]
    assert (desk["user"], desk["sshproxyuser"]) == ("guest", "anna")


@given(TEXTS, TEXTS.filter(bool))
def test_any_text_arrives_as_it_is_and_adds_no_line(name: str, user: str) -> None:
    made = profile(name=name, user="BROKER_USER")
    read = qsettings(session_file(made, user, HOST))
    assert set(read) == {"desk"}
    assert (read["desk"]["name"], read["desk"]["user"]) == (name or "desk", user)


@pytest.mark.parametrize("user", ["a\nhost=evil", "a\r[x]", "a\0b"])
def test_a_user_name_with_line_breaks_adds_no_line(user: str) -> None:
    text = session_file(profile(user="BROKER_USER"), user, HOST)
    assert [line for line in text.splitlines() if line.startswith(("host=", "["))] == ["[desk]", "host=192.0.2.1"]


@given(st.text(max_size=80), st.text(max_size=80))
def test_names_of_sections_and_files_are_plain(profile_id: str, name: str) -> None:
    made = SessionProfile(profile_id, {"name": name}, (HOST,), profile().rules)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", section_name(profile_id))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.x2go", file_name(made))
    assert len(file_name(made)) <= 60 + len(SUFFIX)


def test_command_lines(files: Files) -> None:
    settings = files.write("[global]\nenable-json-output = false\n")
    lines = list(command_lines(settings, "inifile", "https://b.example/x/", profile("a/b c", name="Büro 2")))
    assert [(line.purpose, line.text) for line in lines] == [
        ("client", "x2goclient --session-conf=Buro-2.x2go --sessionid=a_b_c"),
        ("broker", "x2goclient --broker-url=https://b.example/x/plain/inifile/"),
    ]
    odd = list(command_lines(settings, "inifile", "https://b.example/$(reboot);'/", profile()))
    assert odd[1].text == """x2goclient '--broker-url=https://b.example/$(reboot);'"'"'/plain/inifile/'"""
