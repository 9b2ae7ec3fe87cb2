"""What is in the way and what will be different: each is found where it is so, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.migration_sites import MadeSite, stanza
from x2gobroker.migration.differences import differences
from x2gobroker.migration.findings import Finding
from x2gobroker.migration.obstacles import obstacles
from x2gobroker.migration.site import Own
from x2gobroker.migration.survey import read_site

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def found(findings: list[Finding], name: str) -> list[Finding]:
    """The findings with this id."""
    return [finding for finding in findings if finding.id == name]


def of_profiles(tmp_path: Path, text: str, config: str = "[global]\n") -> list[Finding]:
    """What will be different for these session profiles."""
    made = MadeSite(tmp_path).daemon()
    made.write("/etc/x2go/x2gobroker.conf", config + "[broker_inifile]\nenable = true\n")
    made.profiles(text)
    return differences(made.read())


def test_deny_all_wins_over_an_allow_list(tmp_path: Path) -> None:
    text = "[pool]\nhost=a\nacl-groups-allow=staff\nacl-groups-deny=ALL\nacl-any-order=deny-allow\n"
    text += "[fine]\nhost=a\nacl-groups-allow=staff\nacl-groups-deny=guests\n"
    (finding,) = found(of_profiles(tmp_path, text), "deny-all")
    assert "[pool]" in finding.text
    assert finding.who.endswith("staff")


def test_acl_any_order_lets_in(tmp_path: Path) -> None:
    text = "[DEFAULT]\nacl-any-order=allow-deny\n[pool]\nhost=a\nacl-users-allow=anna\nacl-users-deny=ALL\n"
    text += "[own]\nhost=a\nacl-users-order=deny-allow\nacl-users-allow=anna\nacl-users-deny=bert\n"
    (finding,) = found(of_profiles(tmp_path, text), "acl-any-order")
    assert "[pool]" in finding.text
    assert "anna" in finding.who


def test_host_names_of_clients(tmp_path: Path) -> None:
    text = "[a]\nhost=a\nacl-clients-allow=desk1.example.org\n[b]\nhost=b\nacl-clients-deny=kiosk,10.0.0.0/8\n"
    first, second = found(of_profiles(tmp_path, text), "client-host-names")
    assert "desk1.example.org" in first.who
    assert "kiosk" in second.who


def test_slips_that_close(tmp_path: Path) -> None:
    text = "[a]\nhost=a\nacl-group-allow=staff\n[b]\nhost=b\nacl-clients-deny=10.0.0.0/33\n"
    findings = of_profiles(tmp_path, text)
    (closed,) = found(findings, "closed-profiles")
    assert "[a]" in closed.text
    (bad,) = found(findings, "bad-entries")
    assert "10.0.0.0/33" in bad.text


def test_yes_is_true_now(tmp_path: Path) -> None:
    text = "[a]\nhost=a\nbroker-session-autologin=yes\n[b]\nhost=b\nbroker-session-autologin=true\n"
    (finding,) = found(of_profiles(tmp_path, text), "broker-booleans")
    assert finding.who == "users of a"


def test_brackets_and_quotes(tmp_path: Path) -> None:
    text = '[a]\nhost=[ts01, ts02]\n[b]\nhost=b\nacl-groups-allow="Domain Users"\n'
    findings = of_profiles(tmp_path, text)
    assert [finding.id for finding in findings if finding.id in ("quotes", "bracket-lists")] == [
        "bracket-lists",
        "quotes",
    ]


AUTOLOGIN = "[DEFAULT]\nbroker-session-autologin=true\nbroker-agent-query-mode=SSH\n"


def test_servers_whose_keys_are_not_known(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.profiles(f"{AUTOLOGIN}[pool]\nhost=ts01, ts02:2222, ts03 (10.0.0.3), ts04 (10.0.0.4:23)\n")
    made.write("/var/lib/x2gobroker/.ssh/known_hosts", f"ts01,10.0.0.3 ssh-ed25519 {KEY}\n")
    (finding,) = found(differences(made.read()), "host-keys")
    assert finding.who == "users of pool"
    asked = "x2gobroker-testagent -H ts02 -p 2222; x2gobroker-testagent -H 'ts04 (10.0.0.4)' -p 23"
    assert finding.advice.endswith(asked)  # as the broker itself says when it refuses a server
    assert "2 X2Go Servers" in finding.text
    assert found(differences(made.read()), "ssh-key")
    made.write("/var/lib/x2gobroker/.ssh/id_rsa", "secret")
    assert not found(differences(made.read()), "ssh-key")


def test_other_policies_need_no_known_keys(tmp_path: Path) -> None:
    text = f"{AUTOLOGIN}broker-agent-hostkey-policy=AutoAddPolicy\n[pool]\nhost=ts01\n"
    assert not found(of_profiles(tmp_path, text), "host-keys")


def test_no_key_for_users_whom_nobody_has_checked(tmp_path: Path) -> None:
    text = f"{AUTOLOGIN}[pool]\nhost=ts01\n"
    assert found(of_profiles(tmp_path / "a", text, "[global]\ndefault-auth-mech = none\n"), "unchecked-users")
    assert not found(of_profiles(tmp_path / "b", text), "unchecked-users")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("cookie-directory = /srv/cookies\n", "cookie-directory"),
        ("pre_auth_scripts = site_script\n", "scripts"),
        ("[broker_zeroconf]\nenable = true\n", "zeroconf-id"),
    ],
)
def test_options_that_matter(tmp_path: Path, config: str, name: str) -> None:
    assert found(of_profiles(tmp_path / "with", "", f"[global]\n{config}"), name)
    assert not found(of_profiles(tmp_path / "without", ""), name)


def test_plain_refusal(tmp_path: Path) -> None:
    assert found(of_profiles(tmp_path / "a", ""), "plain-refusal")
    assert not found(of_profiles(tmp_path / "b", "", "[global]\nplain-refusal = status\n"), "plain-refusal")


def test_the_option_session_profiles_counts(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write("/etc/x2go/x2gobroker.conf", "[broker_inifile]\nenable = true\nsession-profiles = /srv/profiles.conf\n")
    made.write("/srv/profiles.conf", "[other]\nhost = a\n")
    site = made.read()
    assert [profile.id for profile in site.profiles] == ["other"]
    assert found(differences(site), "session-profiles")


def test_what_init_scripts_read(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write("/etc/default/x2gobroker-daemon", "START_BROKER=true\n#A=1\nDAEMON_BIND_ADDRESS=0.0.0.0:8080\n")
    (finding,) = found(differences(made.read()), "init-files")
    assert "DAEMON_BIND_ADDRESS=0.0.0.0:8080" in finding.text
    assert "START" not in finding.text


def test_a_configuration_that_the_account_cannot_read(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.place("/etc/x2go/x2gobroker.conf").chmod(0o600)
    (finding,) = found(obstacles(made.read()), "unreadable")
    assert finding.blocks


def test_a_configuration_that_nobody_can_read(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write("/etc/x2go/x2gobroker.conf", "[global\n")
    assert any(finding.blocks for finding in found(obstacles(made.read()), "configuration"))


def test_a_mechanism_that_is_not_there(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write("/etc/x2go/x2gobroker.conf", "[global]\ndefault-auth-mech = kerberos\n[broker_inifile]\nenable = true\n")
    assert [finding.blocks for finding in found(obstacles(made.read()), "auth-mech")] == [True]


def test_packages_in_the_middle_of_something(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.packages(stanza("x2gobroker-daemon", "install ok unpacked"))
    assert [finding.blocks for finding in found(obstacles(made.read()), "broken-packages")] == [True]


def test_packages_that_wait_to_be_purged(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.packages(stanza("x2gobroker-daemon", "deinstall ok config-files"))
    (finding,) = found(obstacles(made.read()), "removed-packages")
    assert finding.step == "guard"


def test_a_python_that_apache_cannot_load(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.write(
        "/etc/apache2/conf-enabled/x2gobroker-wsgi.conf",
        "WSGIScriptAlias /b /usr/lib/x2gobroker/wsgi/x2gobroker-wsgi\n",
    )
    site = read_site(made.reader(), Own("/opt/venv", "/opt/python", "/", "1"))
    assert [finding.blocks for finding in found(obstacles(site), "apache-python")] == [True]


def test_no_systemd(tmp_path: Path) -> None:
    assert found(obstacles(MadeSite(tmp_path / "a", systemd=False).daemon().read()), "no-systemd")
    assert not found(obstacles(MadeSite(tmp_path / "b").daemon().read()), "no-systemd")


@pytest.mark.parametrize(("prefix", "mode"), [("/root/venv", 0o755), ("/srv/venv", 0o700)])
def test_an_installation_where_no_unit_gets(tmp_path: Path, prefix: str, mode: int) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write(f"{prefix}/bin/x2gobroker", "")
    made.place(prefix).chmod(mode)
    site = read_site(made.reader(), Own(prefix, "/usr", "/", "1"))
    assert [finding.blocks for finding in found(obstacles(site), "place")] == [True]


def test_open_clients_go_on_unless_they_have_to_show_the_pre_shared_authid(tmp_path: Path) -> None:
    text = "[pool]\nhost=a\n"
    (usual,) = found(of_profiles(tmp_path / "usual", text), "sign-ins")
    assert "logs in again by itself" in usual.text
    assert not usual.advice
    for number, more in enumerate(("", "require-password = false\n", "use-static-cookie = true\n")):
        config = f"[global]\nrequire-cookie = true\n{more}"
        (strict,) = found(of_profiles(tmp_path / str(number), text, config), "sign-ins")
        assert "by itself" not in strict.text
        assert "start it again" in strict.advice
        assert strict.who == usual.who
