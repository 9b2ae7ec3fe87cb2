"""What shuts out everybody, or surprises users, is named by `check-config` before anybody needs the log."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.portal_texts import forget, texts_in
from tests.support.tls import make_certificates
from tests.unit.test_cli_check_config import Check
from tests.unit.test_cli_check_config import check as check_fixture
from x2gobroker.cli.admin.checks import CHECKS
from x2gobroker.cli.admin.modes import folder_fault, may_read
from x2gobroker.privilege.accounts import Account

check = check_fixture
CONFIG = """[global]
default-auth-mech = {mechanism}
cookie-directory = {folder}/state
{more}
[broker_inifile]
session-profiles = {folder}/profiles.conf
[authmech_htpasswd]
file = {folder}/htpasswd
[authmech_https_get]
ca-file = {folder}/ca.pem
"""
STRANGER = Account("x", 54321, 54321, (54321,), "/", "/bin/sh")
HASH = "$2y$05$abcdefghijklmnopqrstuuJ4Dgf5tpVYtRvqLsuz0ErY0gzGH6mZm"


def configure(check: Check, mechanism: str = "none", more: str = "", tail: str = "") -> str:
    """Write the configuration, run the command, and give what it printed."""
    check.config.write_text(CONFIG.format(folder=check.folder, mechanism=mechanism, more=more) + tail)
    status, out, _ = check.run()
    assert status == (1 if ": error: " in out else 0)
    return out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("folder", "directory"),
        (b"anna:\xff\n", "UTF-8"),
        ("anna:x\n".encode("utf-16"), "UTF-16"),
        (b"", "has no users"),
        (b"# anna\n", "has no users"),
    ],
)
def test_a_file_of_users_that_lets_nobody_in(check: Check, content: bytes | str | None, said: str) -> None:
    path = check.folder / "htpasswd"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    out = configure(check, "htpasswd")
    assert "[authmech_htpasswd] file" in out
    assert said in out


@pytest.mark.parametrize(
    ("content", "said"), [("old-secret\n", "still counts"), ("", "has none"), (None, "No such file")]
)
def test_a_pre_shared_authid_of_before_is_not_forgotten(check: Check, content: str | None, said: str) -> None:
    (check.folder / "authid").write_text("secret\n")
    if content is not None:
        (check.folder / "old").write_text(content)
    more = f"my-cookie-file = {check.folder}/authid\nmy-cookie-old-file = {check.folder}/old\n"
    assert "my-cookie-old-file" not in configure(check, more=more)
    out = configure(check, more=more + "require-cookie = true\n")
    assert ": warning: my-cookie-old-file: " in out
    assert said in out


@pytest.mark.parametrize(("more", "named"), [("enable-portal = true\n", True), ("", False)])
def test_texts_of_the_portal_that_are_missing(check: Check, more: str, named: bool) -> None:
    with texts_in(check.folder):
        out = configure(check, more=more)
    forget()
    assert ("enable-portal" in out and "de.mo is missing: install the broker again" in out) is named


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_file_of_users_of_any_editor_is_fine(check: Check, mark: bytes, end: bytes) -> None:
    (check.folder / "htpasswd").write_bytes(mark + f"anna:{HASH}".encode() + end)
    assert "htpasswd" not in configure(check, "htpasswd")


@pytest.mark.parametrize(
    "content", [None, "", "# nothing\n", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n", "caf\xe9", "folder"]
)
def test_a_missing_pre_shared_authid_is_named_where_one_is_asked_for(check: Check, content: str | None) -> None:
    path = check.folder / "authid"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content, encoding="latin-1")
    more = f"my-cookie-file = {path}\n"
    assert "my-cookie-file" not in configure(check, more=more)
    assert "require-cookie is on, and my-cookie-file" in configure(check, more=more + "require-cookie = true\n")
    if content is None:
        assert ": error: " not in configure(check, more=more + "require-cookie = true\nmy-cookie = abc\n")


def test_a_pam_service_without_a_file(check: Check) -> None:
    out = configure(check, "pam", tail="[authmech_pam]\nservice = no-such-service\n")
    assert "there is no file no-such-service in /etc/pam.d" in out
    assert "/etc/pam.d" not in configure(check, "pam", tail="[authmech_pam]\nservice = login\n")


def test_a_pam_stack_that_takes_a_directory_that_is_down_for_a_wrong_password(
    check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("x2gobroker.authservice.pamfiles.SERVICE_FOLDERS", (str(tmp_path),))
    unix, deny = "auth [success=2 default=ignore] pam_unix.so\n", "auth requisite pam_deny.so\n"
    for module in ("pam_krb5.so", "pam_sss.so", "pam_winbind.so"):
        said = f": warning: [authmech_pam] service: x2gobroker: while nobody answers {module}, right passwords count as"
        for down, is_named in (("", True), ("authinfo_unavail=die ", False)):
            (tmp_path / "common-auth").write_text(f"{unix}auth [success=1 {down}default=ignore] {module}\n{deny}")
            (tmp_path / "x2gobroker").write_text("@include common-auth\n")
            assert (said in configure(check, "pam")) is is_named
            assert "while nobody answers" not in configure(check, "none")


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("nothing", "no certificate")])
def test_certificates_of_the_web_server_that_knows_the_passwords(check: Check, content: str | None, said: str) -> None:
    if content:
        (check.folder / "ca.pem").write_text(content)
    out = configure(check, "https_get")
    assert "[authmech_https_get] ca-file" in out
    assert said in out


def test_a_web_server_without_a_name(check: Check) -> None:
    (check.folder / "ca.pem").write_text("")
    assert "names no web server: nobody can log in" in configure(check, "https_get", tail="host =\n")
    assert "names no web server" not in configure(check, "https_get", tail="host = www.example.org\n")
    assert "names no web server" not in configure(check, "none", tail="host =\n")


def test_a_broker_without_any_frontend(check: Check) -> None:
    none = "enable-plain-output = false\nenable-json-output = false\nenable-uccs-output = false\n"
    assert "warning: none of enable-plain-output" in configure(check, more=none)
    for option in ("plain-output", "json-output", "uccs-output", "portal"):
        on = none.replace(f"enable-{option} = false\n", "") + f"enable-{option} = true\n"
        assert "none of" not in configure(check, more=on)


def test_what_no_backend_uses_is_not_looked_at(check: Check) -> None:
    assert "authmech" not in configure(check, "none")
    assert "authmech" not in configure(
        check, "htpasswd", more="require-password = false\nrequire-cookie = true\nmy-cookie = x\n"
    )


def test_tls_files_of_the_daemon(check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    monkeypatch.setenv("X2GOBROKER_SSL_CERTFILE", str(tmp_path / "none.pem"))
    out = configure(check)
    assert "X2GOBROKER_SSL_CERTFILE: " in out
    assert "X2GOBROKER_SSL_KEYFILE: is not set" in out
    (tmp_path / "text.pem").write_text("nothing")
    monkeypatch.setenv("X2GOBROKER_SSL_CERTFILE", str(tmp_path / "text.pem"))
    monkeypatch.setenv("X2GOBROKER_SSL_KEYFILE", str(tmp_path / "text.pem"))
    assert "are no certificate and its key" in configure(check)
    monkeypatch.setenv("X2GOBROKER_SSL_CERTFILE", str(made.certificate))
    monkeypatch.setenv("X2GOBROKER_SSL_KEYFILE", str(made.key))
    assert "TLS" not in configure(check)


@pytest.mark.parametrize("text", ["nonsense\n", "[loggers]\nkeys = root\n", "\ufeff[handlers]\n"])
def test_a_configuration_of_the_loggers_that_cannot_be_used(
    check: Check, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (check.folder / "loggers.conf").write_text(text, encoding="utf-8")
    monkeypatch.setenv("X2GOBROKER_LOGCONFIG", str(check.folder / "loggers.conf"))
    assert "warning: X2GOBROKER_LOGCONFIG" in configure(check)


@pytest.mark.parametrize("path", ["~/.x2go/authorized_keys", "$HOME/.x2go/keys", "%h/my keys", "%h/a;b"])
@pytest.mark.parametrize("name", ["default-authorized-keys", "default-sshproxy-authorized-keys"])
def test_paths_of_authorized_keys_that_servers_would_not_take(check: Check, name: str, path: str) -> None:
    assert f"error: {name}: {path!r}" in configure(check, more=f"{name} = {path}\n")
    (check.folder / "profiles.conf").write_text(f"[desk]\nhost = h\n{name.replace('default', 'broker')} = {path}\n")
    assert f"session profile desk: {name.replace('default', 'broker')}: {path!r}" in configure(check)


@pytest.mark.parametrize("path", ["%h/.x2go/authorized_keys", "/etc/x2go/keys/%u", "%h/.ssh/authorized_keys"])
def test_paths_of_authorized_keys_as_they_should_be(check: Check, path: str) -> None:
    assert "authorized-keys" not in configure(check, more=f"default-authorized-keys = {path}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can tell")
def test_files_that_the_account_of_the_broker_cannot_read(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", "nobody")
    monkeypatch.setenv("X2GOBROKER_DAEMON_GROUP", "nogroup")
    (check.folder / "htpasswd").write_text(f"anna:{HASH}\n")
    (check.folder / "htpasswd").chmod(0o600)
    out = configure(check, "htpasswd")
    assert f"{check.folder}/htpasswd cannot be read by the broker's user nobody" in out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can tell")
def test_a_state_folder_that_the_account_of_the_broker_cannot_use(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "the broker's user: nobody can log in"
    assert said not in configure(check)
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", "nobody")
    monkeypatch.setenv("X2GOBROKER_DAEMON_GROUP", "nogroup")
    with tempfile.TemporaryDirectory(prefix="x2gobroker-state-") as name:
        above = Path(name)
        url = f"database-url = sqlite:///{above}/state/x.sqlite\n"
        assert f"{above}/state does not exist, and nobody cannot make it below {above}, {said}" in configure(
            check, more=url
        )
        above.chmod(0o777)
        assert said not in configure(check, more=url)
        (above / "state").mkdir()
        assert f"{above}/state cannot be read, written and entered by nobody, {said}" in configure(check, more=url)
        (above / "state").chmod(0o777)
        (above / "state/x.sqlite").touch(0o644)
        assert f"{above}/state/x.sqlite cannot be read and written by nobody, {said}" in configure(check, more=url)
        (above / "state/x.sqlite").chmod(0o666)
        assert said not in configure(check, more=url)
    assert said in configure(check)  # cookie-directory, below a folder of root's own
    for elsewhere in ("postgresql://x2gobroker@db.example.org/x2gobroker", "sqlite://"):
        assert said not in configure(check, more=f"database-url = {elsewhere}\n")


def test_what_an_account_may_do_in_a_folder() -> None:
    with tempfile.TemporaryDirectory(prefix="x2gobroker-modes-") as name:
        above = Path(name)
        folder = above / "a/b"
        for mode, fault in ((0o700, f"does not exist, and x cannot make it below {above}"), (0o703, "")):
            above.chmod(mode)
            assert folder_fault(STRANGER, folder) == fault
        above.chmod(0o755)
        folder.mkdir(parents=True)
        for mode in range(8):
            folder.chmod(0o700 | mode)
            fault = "" if mode == 7 else "cannot be read, written and entered by x"
            assert folder_fault(STRANGER, folder) == fault
        folder.chmod(0o777)
        (above / "a").chmod(0o700)
        assert folder_fault(STRANGER, folder) != ""
        (above / "a").chmod(0o755)
        (above / "file").touch()
        assert folder_fault(STRANGER, above / "file") == "is no folder"
        assert folder_fault(STRANGER, above / "file/state") != ""
        (above / "link").symlink_to(folder)
        assert folder_fault(STRANGER, above / "link") == ""


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gate.example:ssh", "'gate.example:ssh': 'ssh' is not a port"),
        ("x2go@", "'x2go@': write [user@]host[:port]"),
        ('"gate example"', "'gate example': "),
        ("gate.example", ""),
        ('"x2go@gate.example:2222"', ""),
        ("'gate.example'", ""),
        ("none", ""),
        ("", ""),
    ],
)
def test_a_proxy_host_of_the_agents_that_cannot_be_one(check: Check, written: str, said: str) -> None:
    out = configure(check, more=f"default-agent-ssh-proxy = {written}\n")
    assert (f"error: default-agent-ssh-proxy: {said}" in out) is bool(said)
    assert ("agent-ssh-proxy" in out) is bool(said)
    (check.folder / "profiles.conf").write_text(f"[desk]\nhost = h\nbroker-agent-ssh-proxy = {written}\n")
    out = configure(check)
    assert (f"error: session profile desk: broker-agent-ssh-proxy: {said}" in out) is bool(said)
    assert ("agent-ssh-proxy" in out) is bool(said)


def test_modes_are_read_as_the_kernel_does() -> None:
    with tempfile.TemporaryDirectory(prefix="x2gobroker-modes-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _modes(folder / "file")
        (folder / "file").chmod(0o644)
        folder.chmod(0o700)
        assert may_read(STRANGER, folder / "file") is False


def _modes(file: Path) -> None:
    file.write_text("")
    owner, someone = file.stat().st_uid, STRANGER
    for mode, wanted in ((0o644, True), (0o640, False), (0o604, True)):
        file.chmod(mode)
        assert may_read(someone, file) is wanted
    mine = Account("y", owner, 54321, (54321,), "/", "/bin/sh")
    file.chmod(0o044)
    assert may_read(mine, file) is (owner == 0)
    group = Account("z", 54321, file.stat().st_gid, (file.stat().st_gid,), "/", "/bin/sh")
    file.chmod(0o604)
    assert may_read(group, file) is False


@pytest.mark.parametrize(
    ("profile", "line", "level", "said"),
    [
        ("host =\n", 3, "error", "names no server"),
        ("host = ,\n", 3, "error", "names no server"),
        ("host = a b\n", 3, "error", "names no server"),
        ("host = 2001:db8::7\n", 3, "warning", "X2Go Client cannot be told 2001:db8::7"),
        ("host = a\nbroker-host-weights = a:2, b:3\n", 4, "warning", "'b:3' is for none of the servers"),
        ("host = a\nacl-users-deny = anna\n", 2, "warning", "let nobody in"),
        ("host = a\nacl-groups-deny = staff\n", 2, "warning", "let nobody in"),
        ("host = a\nacl-clients-deny = 10.0.0.0/8\n", 2, "warning", "let nobody in"),
        ("host = a\nacl-users-allow =\n", 4, "warning", "acl-users-allow is empty"),
        ("host = a\nacl-clients-allow =\n", 4, "warning", "acl-clients-allow is empty"),
    ],
)
def test_profiles_of_no_use_are_named_with_their_line(
    check: Check, profile: str, line: int, level: str, said: str
) -> None:
    check.write(profiles=f"# profiles\n[desk]\n{profile}")
    _, out, _ = check.run()
    (told,) = [told for told in out.splitlines() if said in told]
    assert f"/profiles.conf:{line}: {level}: " in told


@pytest.mark.parametrize(
    "profile",
    [
        "host = a, b (10.0.0.1:22), c:23\nbroker-host-weights = a:2, 10.0.0.1:22:3, c:23:1, b:1\n",
        "directrdp = true\nhost =\n",
        "host = ts01.example.org\nbroker-host-weights = ts01:4, TS01.example.org:2\n",
        "host = a (2001:db8::7)\n",
        "host = a\nacl-users-allow = anna\nacl-groups-deny = staff\n",
    ],
)
def test_profiles_as_they_should_be(check: Check, profile: str) -> None:
    check.write(profiles=f"[desk]\n{profile}")
    status, out, _ = check.run()
    assert (status, out.count("\n")) == (0, 1), out


@pytest.mark.parametrize("section", ["prof/one", "a\\b"])
def test_an_id_that_x2go_client_cannot_list(check: Check, section: str) -> None:
    check.write(profiles=f"[{section}]\nhost = h\n")
    _, out, _ = check.run()
    assert "/profiles.conf:1: warning:" in out


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "here (127.0.0.2)", "[::1]:2222", "localhost:23"]
)
@pytest.mark.parametrize("installed", [False, True])
def test_a_profile_that_leads_to_this_host_wants_an_x2go_server_here(
    check: Check, monkeypatch: pytest.MonkeyPatch, host: str, installed: bool
) -> None:
    """The sample does, on a machine that has the broker alone."""
    monkeypatch.setattr(
        "x2gobroker.cli.admin.checks.shutil.which", lambda name: f"/usr/bin/{name}" if installed else None
    )
    (check.folder / "profiles.conf").write_text(f"[desk]\nname = Desk\nhost = {host}\ncommand = XFCE\n")
    assert ("no X2Go Server is installed on it" in configure(check)) is not installed


@pytest.mark.parametrize("host", ["ts01", "localhost, ts01", "localhost.example.org", "192.0.2.1"])
def test_a_profile_that_leads_elsewhere_wants_none(check: Check, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr("x2gobroker.cli.admin.checks.shutil.which", lambda _name: None)
    (check.folder / "profiles.conf").write_text(f"[desk]\nname = Desk\nhost = {host}\ncommand = XFCE\n")
    assert "no X2Go Server" not in configure(check)


@pytest.mark.parametrize(
    ("more", "profile", "named"),
    [
        ("", "krblogin = true\nbroker-session-autologin = true", "broker-session-autologin"),
        ("default-session-autologin = true", "krblogin = true", "broker-session-autologin"),
        ("", "krblogin = true\nautologin = true", "autologin"),
        ("", "krblogin = true", ""),
        ("default-session-autologin = true", "krblogin = false", ""),
        ("default-session-autologin = true", "krblogin = true\nbroker-session-autologin = false", ""),
        ("default-session-autologin = true", "autologin = true", ""),
    ],
)
def test_a_login_by_kerberos_and_one_by_key_exclude_each_other(
    check: Check, more: str, profile: str, named: str
) -> None:
    (check.folder / "profiles.conf").write_text(f"[desk]\nname = Desk\nhost = 192.0.2.1\ncommand = XFCE\n{profile}\n")
    said = f"warning: session profile desk: krblogin is set together with {named}:"
    assert (said in configure(check, more=more)) == bool(named)


@pytest.mark.parametrize(
    ("mechanism", "lines", "said"),
    [
        ("none", "", "the portal's auth mechanism is none, and tickets come by pam"),
        ("pam", "auth required pam_unix.so\n", "names none of pam_krb5.so, pam_sss.so"),
        ("pam", "auth required pam_krb5.so\n", ""),
        ("pam", "auth required pam_sss.so\n", ""),
    ],
)
def test_what_keeps_tickets_from_desktops(
    check: Check, monkeypatch: pytest.MonkeyPatch, mechanism: str, lines: str, said: str
) -> None:
    (check.folder / "x2gobroker").write_text(lines)
    monkeypatch.setattr("x2gobroker.authservice.pamfiles.SERVICE_FOLDERS", (str(check.folder),))
    out = configure(check, mechanism, "portal-kerberos-tickets = true")
    assert ("portal-kerberos-tickets is on, and" in out) == bool(said)
    assert said in out
    assert "portal-kerberos-tickets is on" not in configure(check, mechanism)


def test_every_check_has_a_text_for_its_words() -> None:
    assert len({one.id for one in CHECKS}) == len(CHECKS)
    finders: set[Callable[..., object]] = {one.find for one in CHECKS}
    assert len(finders) == len(CHECKS)
