"""Reading a site: packages, units, Apache, configuration; and that no file makes it fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.migration_sites import OWN, SNIPPET, MadeSite, stanza
from tests.unit.properties import FEW
from x2gobroker.migration.differences import differences
from x2gobroker.migration.obstacles import obstacles
from x2gobroker.migration.plan import plan
from x2gobroker.migration.reader import Reader
from x2gobroker.migration.shown import report_values, shown_report
from x2gobroker.migration.survey import read_packages, read_site
from x2gobroker.migration.units import DAEMON, bind_of, carried_arguments, port_of

READ = (
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/statoverride",
    "/var/lib/dpkg/diversions",
    "/etc/passwd",
    "/etc/group",
    "/etc/x2go/x2gobroker.conf",
    "/etc/x2go/broker/defaults.conf",
    "/etc/x2go/broker/x2gobroker-sessionprofiles.conf",
    "/etc/default/x2gobroker-daemon",
    "/etc/apache2/conf-enabled/x2gobroker-wsgi.conf",
    "/etc/apache2/sites-enabled/site.conf",
    "/lib/systemd/system/x2gobroker-daemon.service",
    "/etc/systemd/system/x2gobroker-daemon.service.d/site.conf",
    "/var/lib/x2gobroker/.ssh/known_hosts",
    "/etc/logrotate.d/x2gobroker-daemon",
)
WORDS = st.sampled_from(
    [
        *"[]=%\"'\\\n\0\x85#;,:|*!",
        "Package: x2gobroker\n",
        "Status: install ok installed\n",
        "Version: 0.0.4.3-4\n",
        "Conffiles:\n /etc/x2go/x2gobroker.conf 0\n",
        "[DEFAULT]\n",
        "[Service]\n",
        "[broker_inifile]\nsession-profiles = ",
        "host = ",
        "acl-clients-deny = ",
        "acl-any-order = allow-deny\n",
        "ExecStart=/usr/bin/x2gobroker-daemon -b ",
        "x2gobroker:x:1:1::/:/bin/sh\n",
        "WSGIDaemonProcess x2gobroker\n",
        "WSGIScriptAlias / /x2gobroker-wsgi\n",
        "SetEnv X2GOBROKER_CONFIG ",
        "|1|a|b ssh-rsa AAAA\n",
        "ts01",
        "/etc",
        "ÿ",
    ]
)
RUBBISH = st.one_of(st.binary(max_size=200), st.lists(WORDS, max_size=30).map(lambda words: "".join(words).encode()))


def test_packages_in_every_state() -> None:
    text = "\n".join(
        [
            stanza(
                "x2gobroker-daemon", more="Conffiles:\n /etc/default/x2gobroker-daemon 0123\n /etc/b 4567 obsolete\n"
            ),
            stanza("x2gobroker-ssh", "deinstall ok config-files"),
            stanza("x2gobroker-wsgi", "install ok half-configured"),
            stanza("x2gobroker-agent", "purge ok not-installed"),
            stanza("x2goserver"),
        ]
    )
    found = {package.name: package for package in read_packages(text)}
    assert sorted(found) == ["x2gobroker-daemon", "x2gobroker-ssh", "x2gobroker-wsgi"]
    assert found["x2gobroker-daemon"].conffiles == {"/etc/default/x2gobroker-daemon": "0123", "/etc/b": "4567"}
    assert found["x2gobroker-ssh"].state == "removed, not purged"
    assert found["x2gobroker-wsgi"].state == "half installed"


def test_a_daemon_site(tmp_path: Path) -> None:
    site = MadeSite(tmp_path).daemon().read()
    assert site.is_former
    assert not site.by_package
    unit = site.unit(DAEMON)
    assert (unit.ours, unit.enabled, unit.active) == (False, True, True)
    assert unit.path == "/lib/systemd/system/x2gobroker-daemon.service"
    assert [profile.id for profile in site.profiles] == ["desk"]
    assert "/usr/sbin/x2gobroker-testagent" in site.shadowed
    assert site.changed == {"/etc/x2go/x2gobroker.conf"}


def test_nothing_of_x2gobroker(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.packages(stanza("bash"))
    site = made.read()
    assert not site.is_former
    assert not obstacles(site)
    assert not differences(site)
    assert not plan(made.reader(), site)
    assert "nothing to migrate" in "\n".join(shown_report(site, [], [], []))


def test_a_site_that_our_package_has_taken_over(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.packages(stanza("x2gobroker", version="1.0.0~a1-1"), stanza("x2gobroker-daemon", "deinstall ok config-files"))
    site = made.read()
    assert site.by_package
    assert plan(made.reader(), site) == []
    assert "taken over by itself" in "\n".join(shown_report(site, obstacles(site), differences(site), []))


def test_apache_with_debians_snippet(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.write("/etc/x2go/x2gobroker-wsgi.apache.conf", SNIPPET)
    made.link("/etc/apache2/conf-available/x2gobroker-wsgi.conf", "../../x2go/x2gobroker-wsgi.apache.conf")
    made.link("/etc/apache2/conf-enabled/x2gobroker-wsgi.conf", "../conf-available/x2gobroker-wsgi.conf")
    made.write("/etc/x2go/site.conf", "[global]\nplain-refusal = status\n")
    (file,) = made.read().apache
    assert file.is_snippet
    assert file.alias == "/x2gobroker"
    assert file.requires == ("local",)
    assert file.variables["X2GOBROKER_CONFIG"] == "/etc/x2go/site.conf"
    assert made.read().settings.text("global", "plain-refusal") == "status"


def test_apache_with_a_virtualhost_of_the_sites_own(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.write("/etc/apache2/sites-enabled/broker.conf", "<VirtualHost *:443>\n  WSGIScriptAlias / /x/x2goroker-wsgi\n")
    made.write("/etc/apache2/sites-enabled/ours.conf", "WSGIScriptAlias / /usr/lib/x2gobroker/wsgi/x2gobroker.wsgi\n")
    site = made.read()
    (file,) = site.apache
    assert (file.path, file.line, file.is_snippet) == ("/etc/apache2/sites-enabled/broker.conf", 2, False)
    assert site.has_ours_in_apache
    assert [finding.id for finding in obstacles(site) if finding.blocks] == ["apache-virtualhost"]


def test_links_stay_below_the_root_folder(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.write("/etc/target", "inside")
    made.link("/etc/absolute", "/etc/target")
    made.link("/etc/upwards", "../../../../../etc/target")
    made.link("/etc/round", "round")
    reader = made.reader()
    assert reader.text("/etc/absolute") == reader.text("/etc/upwards") == "inside"
    assert reader.text("/etc/round") is None
    assert reader.faults == ["/etc/round: its links go round in circles"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:

    made = MadeSite(tmp_path)
    made.place("/etc/x2go").mkdir(parents=True)
    os.mkfifo(made.place("/etc/x2go/x2gobroker.conf"))
    assert made.read().settings.usable


@pytest.mark.parametrize(
    ("text", "arguments", "bind"),
    [
        ("--drop-privileges -D --pidfile /run/x.pid", "", ""),
        ("-b 0.0.0.0:8443 -D -P /run/x", "-b 0.0.0.0:8443", "0.0.0.0:8443"),
        ("--pidfile=/run/x --bind=:443 -M HTTP", "--bind=:443", ":443"),
        ("-b[::1]:80 -C /etc/x2go/other.conf", "-b[::1]:80 -C /etc/x2go/other.conf", "[::1]:80"),
        ("-D -P", "", ""),
    ],
)
def test_arguments_of_the_former_daemon(tmp_path: Path, text: str, arguments: str, bind: str) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write(f"/lib/systemd/system/{DAEMON}", f"[Service]\nExecStart=/usr/bin/x2gobroker-daemon {text}\n")
    assert carried_arguments(made.read().unit(DAEMON)) == (arguments, "")
    assert bind_of(arguments) == bind


def test_arguments_that_no_unit_would_read_as_they_are(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write(f"/lib/systemd/system/{DAEMON}", "[Service]\nExecStart=/usr/bin/x2gobroker-daemon -b $BIND\n")
    assert carried_arguments(made.read().unit(DAEMON)) == ("", "-b $BIND")
    assert "arguments" in [finding.id for finding in obstacles(made.read())]


@pytest.mark.parametrize(("bind", "port"), [(":443", 443), ("8080", 8080), ("[::1]:80", 80), ("x", 0), (":999999", 0)])
def test_the_port_of_an_address(bind: str, port: int) -> None:
    assert port_of(bind) == port


@FEW
@given(files=st.dictionaries(st.sampled_from(READ), RUBBISH, max_size=len(READ)))
def test_no_file_makes_reading_fail(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    made = MadeSite(tmp_path_factory.mktemp("site")).daemon()
    for path, data in files.items():
        made.write(path, "")
        made.place(path).write_bytes(data)
    reader = Reader(made.root)
    site = read_site(reader, OWN, made.active)
    values = site, obstacles(site), differences(site), plan(reader, site, remove_packages=True)
    assert "\n".join(shown_report(*values))
    assert report_values(*values)
