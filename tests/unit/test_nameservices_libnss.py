"""The name service `libnss`, held against what `id` says of the users there are."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import FEW
from x2gobroker.nameservices.base import NameService
from x2gobroker.nameservices.libnss import LibnssNameService

SERVICE = LibnssNameService()


def real_users() -> list[str]:
    """Some users, those among them whom a group lists as a member; none that other tests make and remove."""
    members = {member for group in grp.getgrall() for member in group.gr_mem}
    everybody = [entry.pw_name for entry in pwd.getpwall()]
    chosen = set(everybody[:8] + everybody[-4:]) | (members & set(everybody))
    return sorted(user for user in chosen if not user.startswith("x2gt-"))


def id_says(user: str) -> frozenset[str]:
    done = subprocess.run(["id", "-Gn", user], capture_output=True, text=True, check=True, timeout=10)
    return frozenset(done.stdout.split())


@pytest.mark.parametrize("user", real_users())
def test_all_groups_are_those_that_id_says(user: str) -> None:
    assert SERVICE.groups_of(user, primary=True) == id_says(user)


@pytest.mark.parametrize("user", real_users())
def test_groups_without_the_primary_one_are_those_that_list_the_user(user: str) -> None:
    listed = frozenset(group.gr_name for group in grp.getgrall() if user in group.gr_mem)
    assert SERVICE.groups_of(user, primary=False) == listed


def test_groups_beside_the_primary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether anybody here is in one depends on the machine."""
    service = LibnssNameService()  # one that remembers nothing
    daemon = pwd.getpwnam("daemon")
    mail = grp.getgrnam("mail").gr_gid
    monkeypatch.setattr(os, "getgrouplist", lambda user, gid: [gid, mail] if user == "daemon" else [gid])
    assert service.groups_of("daemon", primary=False) == frozenset({"mail"})
    assert service.groups_of("daemon", primary=True) == frozenset({"mail", grp.getgrgid(daemon.pw_gid).gr_name})
    assert service.groups_of("mail", primary=False) == frozenset()


@pytest.mark.parametrize("user", real_users())
def test_users_that_exist_are_known(user: str) -> None:
    assert SERVICE.has_user(user) is True


@pytest.mark.parametrize("user", ["", "no-such-user", "Root", "root ", "root:x", "0", "../root", "é" * 300])
def test_unknown_users_are_unknown_and_have_no_groups(user: str) -> None:
    assert SERVICE.has_user(user) is False
    assert SERVICE.groups_of(user, primary=True) == frozenset()


@FEW
@given(st.text(st.characters(exclude_categories=("C", "Z"))))
def test_no_printable_name_raises(user: str) -> None:
    assert SERVICE.has_user(user) in (True, False)
    assert SERVICE.groups_of(user, primary=True) is not None


def test_a_primary_group_that_lists_its_user_as_well_counts_as_a_membership(monkeypatch: pytest.MonkeyPatch) -> None:
    staff = grp.struct_group(("staff", "x", 500, ["anna"]))
    people = grp.struct_group(("people", "x", 501, []))
    anna = pwd.struct_passwd(("anna", "x", 7000, 500, "", "/", "/bin/sh"))
    bert = pwd.struct_passwd(("bert", "x", 7001, 501, "", "/", "/bin/sh"))
    monkeypatch.setattr("pwd.getpwnam", {"anna": anna, "bert": bert}.__getitem__)
    monkeypatch.setattr("grp.getgrgid", {500: staff, 501: people}.__getitem__)
    monkeypatch.setattr("os.getgrouplist", lambda user, gid: [gid])
    assert SERVICE.groups_of("anna", primary=False) == frozenset({"staff"})
    assert SERVICE.groups_of("bert", primary=False) == frozenset()
    assert SERVICE.groups_of("bert", primary=True) == frozenset({"people"})


def test_an_account_is_called_as_the_system_itself_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = pwd.struct_passwd(("anna", "x", 7000, 500, "", "/", "/bin/sh"))
    monkeypatch.setattr("pwd.getpwnam", {"anna": anna, "EXAMPLE\\anna": anna}.__getitem__)
    service = LibnssNameService()
    assert service.own_name("EXAMPLE\\anna") == service.own_name("anna") == "anna"
    assert service.own_name("bert") == service.own_name("") == ""


def test_a_name_is_asked_for_once_in_a_while_and_an_unknown_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def getpwnam(name: str) -> pwd.struct_passwd:
        asked.append(name)
        return {"Anna": pwd.struct_passwd(("anna", "x", 7000, 500, "", "/", "/bin/sh"))}[name]

    monkeypatch.setattr("pwd.getpwnam", getpwnam)
    service = LibnssNameService()
    assert [service.own_name(name) for name in ("Anna", "Anna", "bert", "bert")] == ["anna", "anna", "", ""]
    assert asked == ["Anna", "bert", "bert"]


def test_a_service_that_cannot_tell_knows_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def getpwnam(name: str) -> pwd.struct_passwd:
        raise OSError(5, "the directory is down")

    monkeypatch.setattr("pwd.getpwnam", getpwnam)
    assert LibnssNameService().own_name("Anna") == ""


def test_a_service_of_a_site_that_says_nothing_of_names_knows_each_account_by_one() -> None:
    class Site(NameService):
        def _has_user(self, user: str) -> bool:
            return user == "anna"

        def _groups(self, user: str, primary: bool) -> frozenset[str]:
            return frozenset()

    assert (Site().own_name("anna"), Site().own_name("Anna")) == ("anna", "")


def test_a_group_number_without_a_name_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getgrouplist", lambda user, gid: [gid, 4_000_000_001])
    assert SERVICE.groups_of("root", primary=True) == frozenset({"root"})


def test_no_group_or_user_database_is_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> list[object]:
        raise AssertionError("the whole database was read")

    monkeypatch.setattr("grp.getgrall", never)
    monkeypatch.setattr("pwd.getpwall", never)
    began = time.monotonic()
    for _ in range(200):
        SERVICE.groups_of("root", primary=False)
    assert time.monotonic() - began < 5


class Failing(NameService):
    """A directory that is down."""

    def _has_user(self, user: str) -> bool:
        raise OSError(110, "Connection timed out")

    def _groups(self, user: str, primary: bool) -> frozenset[str]:
        raise OSError(110, "Connection timed out")


def test_a_service_that_fails_knows_no_user_and_cannot_tell_groups(said: pytest.LogCaptureFixture) -> None:
    assert Failing().has_user("an\nna") is False
    assert Failing().groups_of("an\nna", primary=True) is None
    assert [record.getMessage() for record in said.records] == [
        "name service: cannot look up user an\\nna: [Errno 110] Connection timed out",
        "name service: cannot look up the groups of an\\nna: [Errno 110] Connection timed out",
    ]
