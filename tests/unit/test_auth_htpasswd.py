"""The auth mechanism `htpasswd` and its file."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from passlib.hash import bcrypt, sha512_crypt

from tests.unit.configured import replace
from tests.unit.properties import SOME
from x2gobroker.auth import htpasswd
from x2gobroker.auth.base import LONGEST_USER, Credentials, Outcome, Verdict
from x2gobroker.auth.htpasswd import HtpasswdMechanism, parse_users, read_users, write_user
from x2gobroker.auth.passwords import hash_password, verify_password
from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import TrustError
from x2gobroker.settings import Settings

PASSWORD = "p:w é"
HASH = str(sha512_crypt.using(rounds=5000).hash(PASSWORD))
JOIN_DEADLINE = 20.0


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A file with the users anna and bert, of one password."""
    path = tmp_path / "users"
    path.write_text(f"# people\nanna:{HASH}\n\nbert:{HASH}\nodd:$apr1$x$y\n", encoding="utf-8")
    return path


@pytest.fixture
def mechanism() -> HtpasswdMechanism:
    """The mechanism under its registered name."""
    return HtpasswdMechanism("htpasswd")


def settings(path: Path) -> Settings:
    return Settings({("authmech_htpasswd", "file"): str(path)})


def check(mechanism: HtpasswdMechanism, path: Path, user: str, password: str = PASSWORD) -> Verdict:
    return mechanism.authenticate(settings(path), Credentials(user, password))


@pytest.mark.parametrize(
    ("user", "password", "granted", "reason"),
    [
        ("anna", PASSWORD, True, "right password"),
        ("anna", PASSWORD + " ", False, "wrong password"),
        ("anna", "", False, "wrong password"),
        ("anna", HASH, False, "wrong password"),
        ("Anna", PASSWORD, False, "unknown user"),
        ("# people", "", False, "unknown user"),
        ("carla", "nobody has this password", False, "unknown user"),
        ("odd", "x", False, "no usable password hash"),
    ],
)
def test_the_right_password_of_a_known_user_and_nothing_else(
    mechanism: HtpasswdMechanism, users: Path, user: str, password: str, granted: bool, reason: str
) -> None:
    verdict = check(mechanism, users, user, password)
    assert (verdict.granted, verdict.reason) == (granted, reason)


def test_a_changed_file_counts_with_the_next_login(mechanism: HtpasswdMechanism, users: Path) -> None:
    assert check(mechanism, users, "anna").granted
    replace(users, f"carla:{HASH}\n")
    assert not check(mechanism, users, "anna").granted
    assert check(mechanism, users, "carla").granted


def test_a_file_broken_since_keeps_the_users_known_before(mechanism: HtpasswdMechanism, users: Path) -> None:
    assert check(mechanism, users, "anna").granted
    users.write_bytes(b"anna:\xff\n")
    assert check(mechanism, users, "anna").granted


def test_a_missing_file_lets_nobody_in_and_the_log_says_how_to_make_it(
    mechanism: HtpasswdMechanism, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    assert check(mechanism, tmp_path / "missing", "anna").reason == "mechanism not available"
    assert "x2gobroker passwd" in said.text


def test_two_virtual_hosts_may_have_two_files(mechanism: HtpasswdMechanism, users: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_user(other, "carla", HASH)
    for _ in range(2):
        assert check(mechanism, users, "anna").granted
        assert check(mechanism, other, "carla").granted
        assert not check(mechanism, other, "anna").granted


def test_a_password_is_changed_with_the_present_one_only(mechanism: HtpasswdMechanism, users: Path) -> None:
    wrong = mechanism.change_password(settings(users), Credentials("anna", "wrong"), "new")
    assert not wrong.changed
    assert check(mechanism, users, "anna").granted
    assert mechanism.change_password(settings(users), Credentials("anna", PASSWORD), "new é").changed
    assert check(mechanism, users, "anna", "new é").granted
    assert not check(mechanism, users, "anna").granted
    assert check(mechanism, users, "bert").granted


def make_unwritable(folder: Path) -> None:
    """Let this process write no file there."""
    if os.geteuid() == 0:
        os.chown(folder, 33, 33)  # root writes nothing in a folder of somebody else
    else:
        folder.chmod(0o500)


def test_a_file_that_cannot_be_written_changes_no_password(mechanism: HtpasswdMechanism, users: Path) -> None:
    make_unwritable(users.parent)
    change = mechanism.change_password(settings(users), Credentials("anna", PASSWORD), "new")
    assert (change.changed, change.reason) == (False, "not possible at present")
    assert check(mechanism, users, "anna").granted


def test_a_new_file_is_for_owner_and_group_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "users"
    assert write_user(path, "anna", "h") is False
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    assert write_user(path, "anna", "i") is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert read_users(path) == {"anna": "i"}


def test_other_lines_stay_as_they_are(users: Path) -> None:
    write_user(users, "anna", "h")
    lines = users.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# people"
    assert f"bert:{HASH}" in lines
    assert lines.count("anna:h") == 1


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"])
def test_what_a_comment_holds_does_not_become_a_user(users: Path, end: str) -> None:
    """Editors and Python take more characters for the end of a line than whoever reads the file."""
    comment = f"# left:{end}carla:{HASH}"
    users.write_text(f"{comment}\nanna:{HASH}\n", encoding="utf-8")
    assert set(read_users(users)) == {"anna"}
    write_user(users, "bert", "h")
    assert set(read_users(users)) == {"anna", "bert"}
    assert users.read_text(encoding="utf-8").split("\n")[0] == comment


def test_a_name_that_nobody_could_log_in_with_is_refused_and_can_be_removed(
    mechanism: HtpasswdMechanism, users: Path
) -> None:
    longest, too_long = "x" * LONGEST_USER, "x" * (LONGEST_USER + 1)
    write_user(users, longest, HASH)
    assert check(mechanism, users, longest).granted
    before = users.read_bytes()
    with pytest.raises(ValueError, match="257 characters is too long"):
        write_user(users, too_long, HASH)
    assert users.read_bytes() == before
    users.write_text(f"{too_long}:{HASH}\n", encoding="utf-8")
    assert not check(mechanism, users, too_long).granted
    assert write_user(users, too_long, None) is True
    assert read_users(users) == {}


def test_a_user_is_removed_and_one_who_is_not_there_is_told(users: Path) -> None:
    assert write_user(users, "anna", None) is True
    assert write_user(users, "anna", None) is False
    assert set(read_users(users)) == {"bert", "odd"}


@pytest.mark.parametrize("user", ["", "a:b", "#a", " a", "a ", "a\nb", "a\0"])
def test_a_name_that_the_format_cannot_hold_is_refused_and_nothing_is_written(users: Path, user: str) -> None:
    before = users.read_bytes()
    with pytest.raises(ValueError, match="no user name"):
        write_user(users, user, "h")
    assert users.read_bytes() == before


def test_nothing_is_left_behind_of_a_change_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.mkdir()
    with pytest.raises((OSError, ConfigurationError), match=r"."):
        write_user(path, "anna", "h")
    assert {file.name for file in tmp_path.iterdir()} <= {"users"}


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_file_keeps_its_owner_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("bert:h\n")
    os.chown(path, 33, 1)
    path.chmod(0o440)
    write_user(path, "anna", "h")
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (33, 1, 0o440)
    assert [file.name for file in tmp_path.iterdir()] == ["users"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders away")
def test_root_writes_nothing_in_a_folder_of_somebody_else(users: Path) -> None:
    before = users.read_bytes()
    os.chown(users.parent, 33, 33)
    with pytest.raises(TrustError, match="number 33"):
        write_user(users, "anna", "h")
    assert users.read_bytes() == before


def test_changes_at_the_same_time_do_not_lose_each_other(tmp_path: Path) -> None:
    path = tmp_path / "users"
    threads = [threading.Thread(target=write_user, args=(path, f"user{number}", "h")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_DEADLINE)
    assert set(read_users(path)) == {f"user{number}" for number in range(8)}


def test_what_cannot_be_read_is_a_configuration_error_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"\xff")
    for path in (tmp_path / "missing", tmp_path / "odd", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigurationError, match=str(path)):
            read_users(path)


@SOME
@given(st.text())
@example("a:b:c\n :x\n#a:b\na\n")
def test_no_text_of_the_file_raises_and_every_user_has_a_name(text: str) -> None:
    for name, hashed in parse_users(text).items():
        assert name
        assert not name.startswith("#")
        assert ":" not in name
        assert "\n" not in hashed


NAMES = st.text("abcé_-.@ #", min_size=1, max_size=8).filter(lambda name: name == name.strip() and name[0] != "#")


@SOME
@given(st.lists(st.tuples(NAMES, st.one_of(st.none(), st.sampled_from(["h1", "$6$x$y", "h:3"])))))
def test_a_series_of_changes_ends_in_the_users_it_says(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str | None]]
) -> None:
    path = tmp_path_factory.mktemp("users") / "users"
    expected: dict[str, str] = {}
    for user, hashed in changes:
        known = write_user(path, user, hashed)
        assert known == (user in expected)
        expected.pop(user, None)
        if hashed is not None:
            expected[user] = hashed
    assert (read_users(path) if path.exists() else {}) == expected


def test_a_password_set_by_the_command_is_right_at_login(mechanism: HtpasswdMechanism, tmp_path: Path) -> None:
    path = tmp_path / "users"
    write_user(path, "anna", hash_password("new"))
    assert verify_password("new", read_users(path)["anna"])
    assert check(mechanism, path, "anna", "new").granted


BCRYPT = str(bcrypt.using(rounds=4).hash("p"))
SHA512 = str(sha512_crypt.using(rounds=1000).hash("p"))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What passwords were compared with."""
    hashes: list[str] = []

    def verify(password: str, hashed: str) -> bool:
        hashes.append(hashed)
        return verify_password(password, hashed)

    monkeypatch.setattr(htpasswd, "verify_password", verify)
    return hashes


def test_an_unknown_users_password_is_compared_with_hashes_of_the_kinds_that_the_file_has(
    mechanism: HtpasswdMechanism, tmp_path: Path, compared: list[str]
) -> None:
    """As often as they are in the file, and always the same for one name: the time of an answer tells nothing."""
    lines = [f"b{number}:{BCRYPT}" for number in range(3)] + [f"s{number}:{SHA512}" for number in range(1)]
    (tmp_path / "mixed").write_text("\n".join(lines) + "\nlocked:!\n")
    for _ in range(2):
        for number in range(80):
            assert check(mechanism, tmp_path / "mixed", f"nobody{number}", "x").reason == "unknown user"
    kinds = [hashed[:3] for hashed in compared]
    assert set(kinds) == {"$2b", "$6$"}
    assert kinds[:80] == kinds[80:]
    assert 40 <= kinds[:80].count("$2b") <= 75


@pytest.mark.parametrize("hashed", ["!", "*", "", "$apr1$x$y", "$argon2id$v=19$m=19456,t=2,p=1$"])
def test_a_user_whose_hash_cannot_be_used_costs_as_much_as_any_other(
    mechanism: HtpasswdMechanism, tmp_path: Path, compared: list[str], hashed: str
) -> None:
    (tmp_path / "users").write_text(f"anna:{BCRYPT}\nlocked:{hashed}\n")
    verdict = check(mechanism, tmp_path / "users", "locked", "x")
    assert (verdict.outcome, verdict.looked) == (Outcome.REFUSED, True)
    assert compared[-1] == BCRYPT


def test_a_file_that_cannot_be_read_is_no_wrong_password(mechanism: HtpasswdMechanism, tmp_path: Path) -> None:
    (tmp_path / "users").write_bytes(b"anna:\xff\n")
    for path in (tmp_path / "users", tmp_path / "missing", tmp_path):
        verdict = check(HtpasswdMechanism("htpasswd"), path, "anna")
        assert (verdict.outcome, verdict.looked) == (Outcome.UNAVAILABLE, False)


def test_a_folder_that_the_broker_may_not_enter_is_no_wrong_password(
    mechanism: HtpasswdMechanism, users: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def denied(path: Path, **more: Any) -> os.stat_result:  # tests may run as root, who enters any folder
        if path == users:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **more)

    monkeypatch.setattr(os, "stat", denied)
    verdict = check(mechanism, users, "anna")
    assert (verdict.outcome, verdict.looked) == (Outcome.UNAVAILABLE, False)
    assert f"{users} cannot be reached: Permission denied; let the broker's user enter its folder" in said.text
    assert mechanism.account(settings(users), "anna", "").outcome is Outcome.UNAVAILABLE
    change = mechanism.change_password(settings(users), Credentials("anna", PASSWORD), "another one")
    assert (change.changed, change.outcome, change.looked) == (False, Outcome.UNAVAILABLE, False)


@pytest.mark.parametrize("user", ["anna", "locked", "nobody"])
def test_a_refusal_without_a_check_costs_one_comparison_as_well(
    mechanism: HtpasswdMechanism, tmp_path: Path, compared: list[str], user: str
) -> None:
    """As a login without the code of a second factor: who has one must not show by the time."""
    (tmp_path / "users").write_text(f"anna:{BCRYPT}\nlocked:!\n")
    for number in range(1, 4):
        assert mechanism.spend(settings(tmp_path / "users"), Credentials(user, "p")) is None
        assert compared.count(BCRYPT) == number


def test_a_refusal_without_a_check_says_as_well_that_nobody_can_check(
    mechanism: HtpasswdMechanism, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    verdict = check(mechanism, tmp_path / "missing", "anna")
    assert verdict.outcome is Outcome.UNAVAILABLE
    assert mechanism.spend(settings(tmp_path / "missing"), Credentials("anna", "p")) == verdict
    assert said.text.count("x2gobroker passwd") == 2


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends_of_any_editor_do_no_harm(mechanism: HtpasswdMechanism, tmp_path: Path, ends: str) -> None:
    text = ends.join([f"anna:{HASH}", f"bert:{HASH}", ""])
    (tmp_path / "users").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert check(mechanism, tmp_path / "users", "anna").granted
    assert check(mechanism, tmp_path / "users", "bert").granted
    write_user(tmp_path / "users", "carla", HASH)
    assert set(read_users(tmp_path / "users")) == {"anna", "bert", "carla"}
