"""`x2gobroker explain`: the same decision as the broker's, with its rule."""

from __future__ import annotations

import grp
import json
import re
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.cli.main import main
from x2gobroker.model.json_text import JsonError
from x2gobroker.portal import explained
from x2gobroker.portal.explained import Places
from x2gobroker.remote.permits import NotPermittedError
from x2gobroker.store import DesktopOrders, Lockouts, RemoteDesktops, Store
from x2gobroker.store.database import FILE_NAME
from x2gobroker.store.remote_desktops import BROKEN, RUNNING

CONFIG = "[broker_inifile]\nsession-profiles = {folder}/profiles.conf\n{more}"
PROFILES = """
[by-client]
acl-clients-allow = 192.0.2.0/24
[by-group]
acl-groups-allow = {group}
acl-groups-deny = nosuchgroup
[denied-group]
acl-groups-allow = ALL
acl-groups-deny = {group}
[by-user]
acl-users-allow = root
[denied-user]
acl-users-allow = root
acl-users-deny = root
[open]
name = Open
[misspelt]
acl-user-allow = root
"""


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Run the command on files of a folder."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    return Explain(tmp_path, capsys)


class Explain:
    """The command; what it says of each profile."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.write()
        (folder / "profiles.conf").write_text(PROFILES.format(group=grp.getgrgid(0).gr_name))

    def write(self, more: str = "[global]\nignore-primary-group-memberships = false\n") -> None:
        """Write the main configuration file."""
        (self.folder / "x2gobroker.conf").write_text(CONFIG.format(folder=self.folder, more=more))

    def portal(self, more: str = "enable-portal = true\ndefault-auth-mech = htpasswd") -> None:
        """Write it with session types and a store in the folder."""
        types = f"remote-session-config = {self.folder}/types.json\ncookie-directory = {self.folder}\n{more}\n"
        self.write(f"enable = true\n[global]\n{types}")

    @property
    def store(self) -> Store:
        """The state store."""
        return Store(URL.create("sqlite", database=str(self.folder / FILE_NAME)))

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error stream."""
        status = main(["explain", "-C", str(self.folder / "x2gobroker.conf"), *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err


def test_each_profile_has_its_decision_and_the_rule(explain: Explain) -> None:
    status, out, _ = explain.run("--user", "root", "--address", "192.0.2.7")
    group = grp.getgrgid(0).gr_name
    assert status == 0
    lines = [line.split(None, 2) for line in out.splitlines()[2:]]
    assert {line[1]: (line[0], line[2]) for line in lines} == {
        "[by-client]": ("offered", "acl-clients-allow = 192.0.2.0/24"),
        "[by-group]": ("offered", f"acl-groups-allow = {group}"),
        "[by-user]": ("offered", "acl-users-allow = root"),
        "[denied-group]": ("denied", f"acl-groups-deny = {group}"),
        "[denied-user]": ("denied", "acl-users-deny = root"),
        "[misspelt]": ("denied", lines[5][2]),
        "[open]": ("offered", "no rules"),
    }
    assert "acl-user-allow" in lines[5][2]


def test_the_address_counts_and_loopback_is_the_default(explain: Explain) -> None:
    _, out, _ = explain.run("--user", "root")
    assert "at 127.0.0.1" in out
    assert "denied   [by-client]" in out


def test_the_users_groups_are_told_and_primary_ones_as_configured(explain: Explain) -> None:
    _, out, _ = explain.run("--user", "root")
    assert f"groups: {grp.getgrgid(0).gr_name}" in out
    explain.write("")
    _, out, _ = explain.run("--user", "root")
    assert "denied   [by-group]" in out


def test_an_unknown_user_is_said_to_be_one(explain: Explain) -> None:
    status, out, _ = explain.run("--user", "no-such-user")
    assert status == 0
    assert "no-such-user (unknown" in out
    assert "groups: none" in out
    assert "denied   [by-user]" in out
    assert "offered  [open]" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "root", "--address", "nowhere"], "'nowhere' is no IP address"),
        (["--user", "root", "--backend", "zerocnf"], 'did you mean "zeroconf"'),
    ],
)
def test_what_is_not_there_is_status_1_with_a_reason(explain: Explain, arguments: list[str], said: str) -> None:
    status, out, err = explain.run(*arguments)
    assert (status, out) == (1, "")
    assert said in err


@pytest.mark.parametrize("option", ["user-db", "group-db"])
def test_a_name_service_that_is_not_installed_is_a_reason_and_no_traceback(explain: Explain, option: str) -> None:
    explain.write(f"{option} = nosuch\n")
    status, out, err = explain.run("--user", "root")
    assert status in (0, 1)
    assert "nosuch" in err or "not to be had" in out


def test_another_backend_and_one_that_is_off(explain: Explain) -> None:
    status, out, err = explain.run("--user", "root", "--backend", "zeroconf")
    assert status == 0
    assert "offered  [localhost]" in out
    assert "zeroconf is not enabled" in err


TYPES = {
    "Open": {"script": "tigervnc.py", "count": 2},
    "Closed off": {"script": "tigervnc.py", "count": 2, "users": ["ALL"], "users-deny": ["anna"]},
    "House": {"script": "tigervnc.py", "count": 1, "users": ["ALL"], "addresses": ["192.0.2.0/24"]},
    "None": {"script": "tigervnc.py", "count": 0},
    "No script": {"script": "nothing.py", "count": 1},
    "Wrong": {"script": "tigervnc.py", "count": "many"},
    "Mine": {"script": "tigervnc.py", "count": 1},
    "Several": {"script": "tigervnc.py", "count": 4, "per-user": 2},
}


@pytest.fixture
def types(explain: Explain) -> Explain:
    """The same with session types, a portal and an empty store."""
    (explain.folder / "types.json").write_text(json.dumps(TYPES))
    explain.portal()
    assert RemoteDesktops(explain.store).everything() == []  # and the store is there
    return explain


def said(explain: Explain, *arguments: str) -> dict[str, tuple[bool, str]]:
    """What the command says of each session type: whether it is offered, and why."""
    status, out, _ = explain.run("--user", "anna", *arguments)
    assert status == 0
    lines = out.partition("session types in ")[2].splitlines()[1:]
    found = [re.fullmatch(r"(offered|denied) +\[(.+?)\]  (.+)", line) for line in lines]
    return {line[2]: (line[1] == "offered", line[3]) for line in found if line is not None}


def test_each_session_type_has_its_decision_and_the_reason(types: Explain) -> None:
    found = said(types, "--address", "192.0.2.7")
    assert found.keys() == TYPES.keys()
    assert found["Open"] == (True, "no rules; 2 of 2 places free")
    assert found["Closed off"] == (False, "acl-users-deny = anna")
    assert found["House"][0]
    assert found["None"] == (False, "count = 0: it has no places")
    assert found["No script"][0] is False
    assert found["No script"][1].startswith("out of service: ")
    assert "types.json:" in found["Wrong"][1]
    assert "count" in found["Wrong"][1]
    assert said(types, "--address", "198.51.100.1")["House"] == (False, "acl-clients-allow: no match")


def test_places_that_are_taken_and_ones_own_desktop(types: Explain) -> None:
    desktops = RemoteDesktops(types.store)
    for user in ("bert", "carl"):
        assert desktops.reserve("Open", 2, user, {}, "") is not None
    mine = desktops.reserve("Mine", 1, "anna", {}, "")
    assert mine is not None
    found = said(types)
    assert found["Open"] == (False, "all places are taken (2)")
    assert found["Mine"] == (True, f"no rules; has {mine.id[:8]}, which is reserved")
    desktops.begin_start(mine.id, "here")
    desktops.change(mine.id, BROKEN)
    assert said(types)["Mine"] == (False, f"no rules; has {mine.id[:8]}, which is broken")


def test_how_many_of_a_type_the_user_has(types: Explain) -> None:
    desktops = RemoteDesktops(types.store)
    slots = []
    for number in range(2):
        slot = desktops.reserve("Several", 4, "anna", {}, "", per_user=2)
        assert slot is not None
        desktops.begin_start(slot.id, "here")
        slots.append(slot)
        if number == 0:
            has = f"no rules; has 1 of 2 (per-user): {slot.id[:8]} (starting)"
            assert said(types)["Several"] == (True, f"{has}; 3 of 4 places free")
            DesktopOrders(types.store).close("eva")
            assert said(types)["Several"] == (True, f"{has}; closed for new desktops by eva")
            DesktopOrders(types.store).open()
    desktops.change(slots[0].id, RUNNING)
    shown = f"{slots[0].id[:8]} (running), {slots[1].id[:8]} (starting)"
    assert said(types)["Several"] == (True, f"no rules; has 2 of 2 (per-user): {shown}; may have no more")
    desktops.change(slots[0].id, BROKEN)
    for user in ("bert", "carl"):
        assert desktops.reserve("Several", 4, user, {}, "") is not None
    shown = f"{slots[0].id[:8]} (broken), {slots[1].id[:8]} (starting)"
    assert said(types)["Several"] == (True, f"no rules; has 1 of 2 (per-user): {shown}; all places are taken (4)")
    desktops.release(slots[1].id)
    assert desktops.reserve("Several", 4, "dora", {}, "") is not None
    shown = f"{slots[0].id[:8]} (broken)"
    assert said(types)["Several"] == (False, f"has 0 of 2 (per-user): {shown}; all places are taken (4)")


def test_who_is_locked_out_gets_none(types: Explain) -> None:
    Lockouts(types.store).lock("Anna", "eva", "lost laptop")
    assert said(types)["Open"] == (False, "the user is locked out by eva: lost laptop")


def test_an_account_that_may_not_have_any(types: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(user: str) -> None:
        raise NotPermittedError(f"the account {user} is locked or has expired")

    monkeypatch.setattr(explained, "check_account", refuse)
    assert said(types)["Open"] == (False, "the account anna is locked or has expired")


def test_while_it_is_closed_only_those_who_have_one_get_theirs(types: Explain) -> None:
    desktops = RemoteDesktops(types.store)
    mine = desktops.reserve("Mine", 1, "anna", {}, "")
    assert mine is not None
    desktops.begin_start(mine.id, "here")
    DesktopOrders(types.store).close("eva", "new\x1b kernel")
    found = said(types)
    assert found["Open"] == (False, "closed for new desktops by eva: new\\x1b kernel")
    assert found["Mine"][0]


def test_without_a_store_the_rules_are_explained_all_the_same(types: Explain) -> None:
    types.store.close()
    for path in types.folder.glob(FILE_NAME + "*"):
        path.unlink()
    status, out, err = types.run("--user", "anna")
    assert status == 0
    assert "offered  [Open]" in out
    assert "who is locked out, and which places are taken, is not known: there is no state store" in err
    assert not list(types.folder.glob(FILE_NAME + "*"))


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ("enable-portal = false", "enable-portal is off"),
        ("enable-portal = true\ndefault-auth-mech = none", "the portal checks nobody's name"),
    ],
)
def test_portals_that_give_nobody_a_desktop(types: Explain, more: str, note: str) -> None:
    types.portal(more)
    assert note in types.run("--user", "anna")[2]


def test_a_file_of_session_types_that_cannot_be_used(types: Explain) -> None:
    (types.folder / "types.json").write_text("{,")
    status, out, err = types.run("--user", "anna")
    assert (status, "session types" in out) == (0, False)
    assert "no session type is in service: " in err
    assert "types.json:1" in err


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"locked": 1, "closed": "", "taken": {}, "mine": {}}',
        b'{"locked": "", "closed": "", "taken": {"a": "b"}, "mine": {}}',
        b'{"locked": "", "closed": "", "taken": {}, "mine": {"a": ["b"]}}',
        b'{"locked": "", "closed": "", "taken": {}, "mine": {"a": [1, 2]}}',
        b'{"locked": "", "closed": "", "taken": {}, "mine": {"a": "bc"}}',
        b'{"locked": "", "closed": "", "taken": {}, "mine": {"a": [["b"]]}}',
        b'{"locked": "", "closed": "", "taken": {}, "mine": {"a": [["b", "c", "d"]]}}',
    ],
)
def test_what_the_other_process_says_has_a_form(text: bytes) -> None:
    with pytest.raises(JsonError):
        Places.read(text)
