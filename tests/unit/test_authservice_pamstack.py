"""Which PAM services take a directory that is down for a wrong password, read as libpam reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from x2gobroker.authservice import pamstack
from x2gobroker.authservice.pamstack import DIRECTORIES, outage_is_refused

UNIX = "auth [success=done default=ignore] pam_unix.so\n"
DIE = "[success=done authinfo_unavail=die cred_unavail=die system_err=die default=ignore]"
DENY = "auth requisite pam_deny.so\n"
PERMIT = "auth required pam_permit.so\n"
# of pam-auth-update: where each of the modules goes in Debian
FIRST = "auth [success=3 default=ignore] pam_krb5.so minimum_uid=1000\n"
COMMON = f"""\
auth\t[success=2 default=ignore]\tpam_unix.so nullok try_first_pass
auth\t[success=1 default=ignore]\t{{module}} use_first_pass
{DENY}{PERMIT}auth optional pam_cap.so
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of PAM services; the name service asks no LDAP."""
    monkeypatch.setattr("x2gobroker.authservice.pamfiles.SERVICE_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(pamstack, "NSSWITCH", tmp_path / "nsswitch.conf")
    monkeypatch.setattr(pamstack, "NSCD", tmp_path / "nscd")
    return tmp_path


def refused(folder: Path, lines: str, module: str = "pam_sss.so") -> bool:
    """What becomes of an outage with these lines."""
    (folder / "x2gobroker").write_text(lines)
    return outage_is_refused("x2gobroker", module)


@pytest.mark.parametrize("module", DIRECTORIES)
@pytest.mark.parametrize(
    "own", ["@include common-auth\n", "auth include common-auth\n", "auth substack common-auth\n", "AUTH Include {}\n"]
)
def test_the_common_auth_of_debian(folder: Path, module: str, own: str) -> None:
    (folder / "common-auth").write_text(COMMON.format(module=module))
    assert refused(folder, own.format(folder / "common-auth"), module)
    other = next(name for name in DIRECTORIES if name != module)
    assert not refused(folder, own.format(folder / "common-auth"), other), "the service does not name it"


def test_what_the_pages_say_to_write(folder: Path) -> None:
    pages = Path(__file__).resolve().parents[2] / "docs/how-to"
    for name, modules in (("authentication", DIRECTORIES), ("session-types", ("pam_krb5.so",))):
        blocks = re.findall(r"```text\n(.*?)```", (pages / f"{name}.md").read_text(), re.DOTALL)
        for module in modules:
            (line,) = (line for block in blocks for line in block.splitlines() if f" {module} " in line)
            (stack,) = (block for block in blocks if "pam_deny.so" in block)
            unix, _, *rest = [line.strip() for line in stack.splitlines() if " common-" not in line]
            assert not refused(folder, "\n".join([unix, line.strip(), *rest, ""]), module)


@pytest.mark.parametrize("module", DIRECTORIES)
@pytest.mark.parametrize("lines", [f"{UNIX}auth {DIE} {{}} use_first_pass\n{DENY}", "auth required /lib/security/{}\n"])
def test_what_the_how_to_says_instead(folder: Path, module: str, lines: str) -> None:
    assert not refused(folder, lines.format(module), module)


def test_two_directories_are_two_questions(folder: Path) -> None:
    lines = f"{UNIX}auth {DIE} pam_krb5.so\nauth [success=done default=ignore] pam_sss.so\n{DENY}"
    assert not refused(folder, lines, "pam_krb5.so")
    assert refused(folder, lines, "pam_sss.so")


def test_kerberos_before_the_passwords_of_the_host(folder: Path) -> None:
    assert refused(folder, FIRST + COMMON.format(module="pam_sss.so"), "pam_krb5.so")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # written out, and no better
        (f"{UNIX}auth [success=done default=ignore] pam_sss.so use_first_pass\n{DENY}", True),
        ("auth sufficient pam_unix.so\nauth sufficient pam_sss.so\n", True),  # libpam says no where nobody says yes
        ("auth sufficient pam_sss.so\nauth required pam_unix.so use_first_pass\n", True),
        ("auth [success=done default=die] pam_sss.so\n", False),
        ("auth requisite pam_sss.so\n" + DENY, False),
        ("auth required pam_sss.so\n" + DENY, False),  # the first that is bad counts
        (f"auth [default=bad success=done] pam_sss.so\n{DENY}", False),
        (f"auth [success=done] pam_sss.so\n{DENY}", False),  # what is not named is bad
        (f"auth [success=done authinfo_unavail = die\\\n default=ignore] pam_sss.so\n{DENY}", False),
        (f"auth [success=done authinfo_unavail=die nonsense] pam_sss.so\n{DENY}", False),  # all is bad
        ("auth required pam_sss.so ignore_authinfo_unavail\n" + DENY, True),
        # a jump over pam_deny, and one over nothing
        (f"auth [authinfo_unavail=1 default=ignore] pam_sss.so\n{DENY}{PERMIT}", False),
        (f"auth [authinfo_unavail=7 default=ignore] pam_sss.so\n{PERMIT}", True),
        (f"auth [authinfo_unavail=reset default=ignore] pam_sss.so\n{DENY}", True),
        # of Red Hat
        (
            "auth required pam_env.so\nauth [default=1 ignore=ignore success=ok] pam_localuser.so\n"
            "auth sufficient pam_unix.so nullok\nauth sufficient pam_sss.so forward_pass\nauth required pam_deny.so\n",
            True,
        ),
        # of modules that have nothing to do with it
        (f"auth required pam_nologin.so\nauth {DIE} pam_sss.so\n{DENY}", False),
        (f"auth required pam_faillock.so preauth\n{UNIX}auth {DIE} pam_sss.so\n{DENY}", False),
        (
            f"{UNIX}auth [success=done default=ignore] pam_sss.so\n"
            f"auth [default=die] pam_faillock.so authfail\n{PERMIT}",
            True,
        ),
        (f"auth [success=1 default=ignore] pam_succeed_if.so uid < 1000\nauth {DIE} pam_sss.so\n{DENY}", False),
        (f"auth [success=done user_unknown=ignore default=die] pam_unix.so\nauth {DIE} pam_sss.so\n{DENY}", False),
        # other phases, and no lines of any
        (f"account required pam_sss.so\n{UNIX}{DENY}", False),
        (f"# auth sufficient pam_sss.so\n{UNIX}{DENY}", False),
        (f"-auth sufficient pam_sss.so # if it is there\n{DENY}", True),
        ("auth sufficient\n", False),
        ("", False),
    ],
)
def test_stacks(folder: Path, lines: str, expected: bool) -> None:
    assert refused(folder, lines) is expected


def test_a_substack_ends_with_itself_and_an_include_with_all(folder: Path) -> None:
    (folder / "inner").write_text(f"auth [success=done default=ignore] pam_sss.so\n{DENY}")
    (folder / "apart").write_text(f"auth {DIE} pam_sss.so\n{DENY}")
    assert refused(folder, f"auth substack inner\n{PERMIT}")
    assert not refused(folder, f"auth substack apart\n{DENY}")
    assert not refused(folder, f"auth include apart\n{DENY}")
    # a substack is one line to whoever jumps over it
    jump = "auth [authinfo_unavail=1 default=ignore] pam_sss.so\n"
    (folder / "deny").write_text(DENY + DENY)
    assert not refused(folder, f"{jump}auth substack deny\n{PERMIT}")
    assert refused(folder, f"{jump}auth include deny\n{PERMIT}")


def test_files_that_include_each_other_or_are_not_there(folder: Path) -> None:
    (folder / "a").write_text("@include x2gobroker\n@include a\n")
    assert not refused(folder, "@include a\n@include a\n")
    assert not refused(folder, "@include gone\n")
    assert not outage_is_refused("gone", "pam_sss.so")
    assert refused(folder, "auth sufficient pam_sss.so\n@include gone\n"), "libpam refuses there"


@pytest.mark.parametrize(
    ("nsswitch", "nscd", "expected"),
    [
        ("passwd: files systemd ldap\n", False, False),
        ("passwd: files ldap\n", True, True),
        ("passwd: files sss\nshadow: ldap\n", False, True),
        ("#passwd: ldap\n", False, True),
        (None, False, True),
    ],
)
def test_where_the_name_service_asks_ldap_itself_the_outage_is_found_there(
    folder: Path, nsswitch: str | None, nscd: bool, expected: bool
) -> None:
    if nsswitch is not None:
        (folder / "nsswitch.conf").write_text(nsswitch)
    if nscd:
        (folder / "nscd").touch()
    assert refused(folder, COMMON.format(module="pam_ldap.so"), "pam_ldap.so") is expected
    assert refused(folder, COMMON.format(module="pam_sss.so"))
    # where nobody has said anything, nobody asks the name service
    assert refused(folder, "auth sufficient pam_unix.so\nauth sufficient pam_ldap.so\n", "pam_ldap.so")
