"""Packages on a bare Debian that has booted: a broker that serves within a minute, and the agent on an X2Go Server."""

from __future__ import annotations

from pathlib import Path

from tests.packages.booted.bare import Stopwatch, bare, figure, gets_in, release  # noqa: F401 - a fixture
from tests.support.processes import wait_until

ANNA = ("anna", "Right-pw-1")
LOGIN_SECONDS = 60.0


def test_one_command_and_a_login_works(tmp_path: Path, release: str) -> None:  # noqa: F811
    with bare(tmp_path, release) as site:
        machine = site.machine
        assert site.is_system() == "running", site.failed_units()
        site.make_user(*ANNA)
        watch = Stopwatch()
        took = site.apt("install", site.deb("x2gobroker"))
        wait_until(lambda: gets_in(*ANNA), "a login")
        until = watch.took()
        figure(f"{release}: installed in {took}, a login after {until}")
        assert until.own < LOGIN_SECONDS
        assert not gets_in(ANNA[0], "wrong")
        assert site.is_system() == "running", site.failed_units()
        said = machine.call("x2gobroker", "check-config")
        print(said.stdout, said.stderr)
        assert said.returncode == 0
        assert "write the name of yours" in said.stdout, "what is missing is said"
        size = machine.run("dpkg-query", "-W", "-f", "${Installed-Size}", "x2gobroker")
        packed = int(machine.run("stat", "-c", "%s", site.deb("x2gobroker")))
        figure(f"{release}: {packed / 1e6:.1f} MB, installed {int(size) / 1024:.1f} MB")
        assert packed < 12e6
        assert int(size) < 60 * 1024
        machine.run("man", "-w", "x2gobroker") if machine.call("which", "man").returncode == 0 else None


def test_the_agent_on_an_x2go_server(tmp_path: Path, release: str) -> None:  # noqa: F811
    with bare(tmp_path, release) as site:
        machine = site.machine
        site.make_user(*ANNA)
        site.apt("install", "openssh-server", "x2goserver")
        took = site.apt("install", site.deb("x2gobroker-agent"))
        figure(f"{release}: the agent was installed in {took}")
        machine.run("install", "-d", "-m", "700", "-o", "x2gobroker", "-g", "x2gobroker", "/var/lib/x2gobroker/.ssh")
        machine.run(
            "runuser",
            "-u",
            "x2gobroker",
            "--",
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            "/var/lib/x2gobroker/.ssh/id_ed25519",
        )
        machine.run("sh", "-c", "cd /var/lib/x2gobroker/.ssh && cp -p id_ed25519.pub authorized_keys")
        machine.run("sh", "-c", "ssh-keyscan -t ed25519 127.0.0.1 > /var/lib/x2gobroker/.ssh/known_hosts")
        machine.run("systemctl", "is-active", "ssh")
        for task, wanted in (("ping", "OK\n"), ("listsessions", "OK\n")):
            asked = ("ssh", "-o", "BatchMode=yes", "x2gobroker@127.0.0.1", "/usr/bin/x2gobroker-agent", "anna", task)
            assert machine.run("runuser", "-u", "x2gobroker", "--", *asked) == wanted
        assert site.is_system() == "running", site.failed_units()
