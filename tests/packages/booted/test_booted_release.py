"""A machine with the broker goes from Debian 12 to Debian 13, as docs/how-to/install.md says."""

from __future__ import annotations

from pathlib import Path

from tests.packages.booted.bare import DEBS, Bare, bare, figure, gets_in, release_folders
from tests.support.processes import wait_until

ANNA = ("anna", "Right-pw-1")
PROFILES = "/etc/x2go/broker/x2gobroker-sessionprofiles.conf"
KEPT = (PROFILES, "/etc/x2go/x2gobroker.conf", "/var/lib/x2gobroker/cookies/x2gobroker.sqlite")
LOCK = ("runuser", "-u", "x2gobroker", "--", "x2gobroker", "lockout")
OPTIONS = ("-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-confdef")
OLD, NEW = "bookworm", "trixie"


def owners(site: Bare) -> dict[str, str]:
    """Whose the files are that have to stay."""
    return site.machine.owners(*KEPT)


def test_a_broker_goes_from_debian_12_to_13(tmp_path: Path) -> None:
    with bare(tmp_path, OLD) as site:
        machine = site.machine
        for path in release_folders(DEBS, NEW).glob("x2gobroker_*.deb"):
            machine.put(path, f"/root/{NEW}/{path.name}")
        for name, password in (ANNA, ("bert", "Right-pw-2")):
            site.make_user(name, password)
        site.apt("install", site.deb("x2gobroker"))
        machine.write(PROFILES, "[desk]\nname = Desk\nhost = ts01.example.org\nacl-users-allow = ALL\n")
        wait_until(lambda: gets_in(*ANNA), "a login")
        machine.run(*LOCK, "bert", "--reason", "on leave")
        assert not gets_in("bert", "Right-pw-2")
        before, account = owners(site), machine.run("id", "x2gobroker")

        machine.run("sh", "-c", f"sed -i s/{OLD}/{NEW}/g /etc/apt/sources.list $(find /etc/apt/sources.list.d -type f)")
        site.apt("update")
        took = site.apt(*OPTIONS, "full-upgrade")
        figure(f"Debian 12 to 13 in {took}")
        assert f"VERSION_CODENAME={NEW}" in machine.run("cat", "/etc/os-release")
        wait_until(lambda: gets_in(*ANNA), "a login by the package for Debian 12")
        machine.run("systemctl", "restart", "x2gobroker-daemon", "x2gobroker-authservice")
        wait_until(lambda: gets_in(*ANNA), "a login after a restart of both")

        took = site.apt("install", f"/root/{NEW}/" + machine.run("ls", f"/root/{NEW}").strip())
        wait_until(lambda: gets_in(*ANNA), "a login by the package for Debian 13")
        figure(f"the package for Debian 13 over the one for Debian 12 in {took}")
        assert "python3.13" in machine.run("readlink", "-f", "/usr/lib/x2gobroker/venv/bin/python3")
        assert not gets_in("bert", "Right-pw-2"), "what the store had is there"
        assert (owners(site), machine.run("id", "x2gobroker")) == (before, account)
        assert not [unit for unit in site.failed_units() if unit.startswith("x2gobroker")]
        site.apt("autoremove")
        machine.run("systemctl", "restart", "x2gobroker-daemon", "x2gobroker-authservice")
        wait_until(lambda: gets_in(*ANNA), "a login without Python 3.11")
