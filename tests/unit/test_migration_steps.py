"""Doing it, stopping in the middle, going on, and going back, on made-up sites: afterwards, all files are as before."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.migration_sites import OWN, PREFIX, SNIPPET, MadeSite, SiteRunner, stanza
from x2gobroker.cli.admin import migrate
from x2gobroker.errors import BrokerError
from x2gobroker.migration.journal import Entry, Journal
from x2gobroker.migration.plan import GUARDS, README, plan
from x2gobroker.migration.runner import Done
from x2gobroker.migration.site import Own
from x2gobroker.migration.steps import COPY, FOLDER, Step, undo
from x2gobroker.migration.survey import read_site
from x2gobroker.migration.units import DAEMON

WANTS = "/etc/systemd/system/multi-user.target.wants"


def applied(made: MadeSite, runner: SiteRunner, remove_packages: bool = False) -> tuple[int, str]:
    """`migrate apply`: exit status, and what it says."""
    said: list[str] = []
    status = migrate.apply(made.reader(), OWN, runner, remove_packages, said.append)
    return status, "\n".join(said)


def went_back(made: MadeSite, runner: SiteRunner) -> tuple[int, str]:
    """`migrate back`."""
    said: list[str] = []
    return migrate.back(made.reader(), runner, said.append), "\n".join(said)


def steps(made: MadeSite, remove_packages: bool = False) -> dict[str, Step]:
    """What is planned, by the steps' ids."""
    return {step.id: step for step in plan(made.reader(), made.read(), remove_packages)}


def words(step: Step) -> list[str]:
    """The commands of a step."""
    return [" ".join(command.argv) for command in step.commands]


def test_there_and_back_again(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    runner = SiteRunner(made)
    before, active = made.tree(), set(made.active)
    assert applied(made, runner)[0] == 0
    assert made.read().unit(DAEMON).ours
    assert made.active == {DAEMON, "x2gobroker-authservice.service", "x2gobroker-authservice.socket"}
    assert made.place("/usr/local/bin/x2gobroker-testagent").readlink() == Path(f"{PREFIX}/bin/x2gobroker-testagent")
    assert not made.place("/etc/logrotate.d/x2gobroker-daemon").exists()
    assert [made.place(path).read_text() for path in GUARDS] == [README, README]
    assert made.place(f"{FOLDER}/before.tar.gz").exists()
    status, said = went_back(made, runner)
    assert status == 0, said
    assert made.tree() == before
    assert made.active == active


def test_it_is_done_once(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    assert applied(made, SiteRunner(made))[0] == 0
    made.write("/var/lib/dpkg/diversions", "/etc/x2go/x2gobroker.conf\n/etc/x2go/x2gobroker.conf.debian-0.0.4.3\n:\n")
    runner = SiteRunner(made)
    status, said = applied(made, runner)
    assert status == 0
    assert "Nothing is left to do" in said
    assert not runner.ran


def test_a_copy_that_broke_off_is_made_anew(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    runner = SiteRunner(made)
    run = runner.run

    def full_disk(argv: Sequence[str]) -> Done:
        done = run(argv)
        if argv[0] != "tar":
            return done
        written = made.place(argv[argv.index("-czf") + 1])
        written.write_bytes(written.read_bytes()[:100])
        return Done(2, "tar: Cannot write: No space left on device")

    runner.run = full_disk  # type: ignore[method-assign]
    status, said = applied(made, runner)
    assert (status, made.place(COPY).exists()) == (1, False)
    assert "No space left on device" in said
    runner.run = run  # type: ignore[method-assign]
    assert applied(made, runner)[0] == 0
    with tarfile.open(made.place(COPY)) as copy:
        assert "etc/x2go/x2gobroker.conf" in copy.getnames()


@pytest.mark.parametrize(
    "failing", [("dpkg-divert",), ("systemd-tmpfiles",), ("systemctl", "enable"), ("systemctl", "start")]
)
def test_it_stops_at_what_fails_and_can_go_on_or_back(tmp_path: Path, failing: tuple[str, ...]) -> None:
    made = MadeSite(tmp_path).daemon()
    runner = SiteRunner(made)
    before = made.tree()
    runner.failing = failing
    status, said = applied(made, runner)
    assert status == 1
    assert "it cannot be" in said
    assert "migrate back" in said
    assert runner.ran[-1][: len(failing)] == failing
    runner.failing = ()
    assert applied(made, runner)[0] == 0
    assert made.read().unit(DAEMON).ours
    assert went_back(made, runner)[0] == 0
    assert made.tree() == before


def test_back_at_once_after_a_failure(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    runner = SiteRunner(made)
    before = made.tree()
    runner.failing = ("systemctl", "enable")
    assert applied(made, runner)[0] == 1
    runner.failing = ()
    assert went_back(made, runner)[0] == 0
    assert made.tree() == before
    assert went_back(made, runner) == (0, "Nothing is noted that could be undone.")


def test_the_way_back_can_be_gone_on_with(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    runner = SiteRunner(made)
    before = made.tree()
    assert applied(made, runner)[0] == 0
    runner.failing = ("dpkg-divert", "--local", "--no-rename", "--remove")
    status, said = went_back(made, runner)
    assert status == 1
    assert "dpkg-divert" in said
    runner.failing = ()
    assert went_back(made, runner)[0] == 0
    assert made.tree() == before


def test_what_the_site_has_changed_is_kept_on_the_way_back(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    runner = SiteRunner(made)
    assert applied(made, runner)[0] == 0
    made.write("/etc/logrotate.d/x2gobroker", "changed since")
    assert went_back(made, runner)[0] == 0
    assert made.place(f"{FOLDER}/back/etc_logrotate.d_x2gobroker").read_text() == "changed since"


def test_units_and_drop_ins_of_the_site(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write(f"/etc/systemd/system/{DAEMON}", "[Service]\nExecStart=/usr/bin/x2gobroker-daemon -b 0.0.0.0:443 -D\n")
    made.place(f"{WANTS}/{DAEMON}").unlink()
    made.link(f"{WANTS}/{DAEMON}", f"/etc/systemd/system/{DAEMON}")
    made.write(f"/etc/systemd/system/{DAEMON}.d/type.conf", "[Service]\nType=simple\n")
    made.write(f"/etc/systemd/system/{DAEMON}.d/limit.conf", "[Service]\nLimitNOFILE=99\n")
    runner = SiteRunner(made)
    before = made.tree()
    assert applied(made, runner)[0] == 0
    text = made.place(f"/etc/systemd/system/{DAEMON}.d/migrated.conf").read_text()
    assert f"ExecStart=\nExecStart={PREFIX}/bin/x2gobroker-daemon -b 0.0.0.0:443\n" in text
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\nPrivateUsers=no\n" in text
    assert not made.place(f"/etc/systemd/system/{DAEMON}.d/type.conf").exists()
    assert made.place(f"/etc/systemd/system/{DAEMON}.d/limit.conf").exists()
    assert went_back(made, runner)[0] == 0
    assert made.tree() == before


def test_a_program_in_the_way_is_put_aside(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write("/usr/local/bin/x2gobroker", "a script of the site's")
    made.link("/usr/local/bin/x2gobroker-keygen", "/opt/other")
    runner = SiteRunner(made)
    before = made.tree()
    assert applied(made, runner)[0] == 0
    assert made.place("/usr/local/bin/x2gobroker").readlink() == Path(f"{PREFIX}/bin/x2gobroker")
    assert went_back(made, runner)[0] == 0
    assert made.tree() == before


def test_only_what_was_on_is_switched_on(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.active.clear()
    for name in ("daemon", "authservice"):
        made.place(f"{WANTS}/x2gobroker-{name}.service").unlink()
    lines = words(steps(made)["units"])
    assert not [line for line in lines if line.startswith("systemctl") and "daemon-reload" not in line]


def test_pam_needs_the_authentication_service(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.place("/lib/systemd/system/x2gobroker-authservice.service").unlink()
    made.place(f"{WANTS}/x2gobroker-authservice.service").unlink()
    made.active.discard("x2gobroker-authservice.service")
    enabling = f"systemctl enable x2gobroker-authservice.socket x2gobroker-authservice.service {DAEMON}"
    assert enabling in words(steps(made)["units"])
    made.write("/etc/x2go/x2gobroker.conf", "[global]\ndefault-auth-mech = htpasswd\n[broker_inifile]\nenable = true\n")
    assert f"systemctl enable {DAEMON}" in words(steps(made)["units"])


def test_without_systemd_nothing_is_started(tmp_path: Path) -> None:
    made = MadeSite(tmp_path, systemd=False).daemon()
    made.active.clear()
    runner = SiteRunner(made)
    before = made.tree()
    status, said = applied(made, runner)
    assert status == 0
    assert "systemd does not run here" in said
    ran = [argv[:2] for argv in runner.ran if argv[0] == "systemctl"]
    assert ran == [("systemctl", "disable"), ("systemctl", "enable")]
    assert went_back(made, runner)[0] == 0
    assert made.tree() == before


def test_apache(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.packages(stanza("x2gobroker-wsgi"))
    made.write("/etc/apache2/conf-enabled/x2gobroker-wsgi.conf", SNIPPET)
    made.write("/etc/x2go/site.conf", "[global]\n")
    made.place("/etc/apache2/conf-available").mkdir()
    step = steps(made)["apache"]
    (file,) = step.files
    assert "Define X2GOBROKER_PATH /x2gobroker\n" in file.text
    assert "Define X2GOBROKER_CONFIG /etc/x2go/site.conf\n" in file.text
    assert "Require local" in file.text
    assert "Require all granted" not in file.text
    lines = words(step)
    assert lines.index("a2disconf --quiet x2gobroker-wsgi") < lines.index("a2enconf --quiet x2gobroker")
    assert lines[-2:] == ["apache2ctl configtest", "systemctl reload apache2.service"]
    runner = SiteRunner(made)
    before = made.tree()
    runner.failing = ("apache2ctl",)
    assert applied(made, runner)[0] == 1
    assert ("systemctl", "reload", "apache2.service") not in runner.ran
    runner.failing = ()
    assert went_back(made, runner)[0] == 0
    assert runner.ran.index(("a2disconf", "--quiet", "x2gobroker")) < runner.ran.index(
        ("a2enconf", "--quiet", "x2gobroker-wsgi")
    )
    assert made.tree() == before


def test_the_broker_over_ssh_keeps_its_group(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.packages(stanza("x2gobroker-ssh"))
    made.write("/usr/bin/x2gobroker-ssh", "Debian's", 0o4550)
    made.write("/var/lib/dpkg/statoverride", "x2gobroker staff 4550 /usr/bin/x2gobroker-ssh\n")
    step = steps(made)["ssh"]
    assert "%staff ALL = (x2gobroker)" in step.files[0].text
    assert "chmod 0755 /usr/bin/x2gobroker-ssh.debian-0.0.4.3" in words(step)
    backs = [" ".join(one.argv[:2]) for command in step.commands for one in command.undo if one.argv[0][:2] == "ch"]
    status = made.place("/usr/bin/x2gobroker-ssh").stat()
    assert backs == [f"chown {status.st_uid}:{status.st_gid}", "chmod 4550"], "the owner first: chown clears the bit"
    last = steps(made, remove_packages=True)["remove-packages"]
    wanted = "dpkg-statoverride --force-statoverride-add --add x2gobroker staff 4550 /usr/bin/x2gobroker-ssh"
    assert wanted in [" ".join(one.argv) for command in last.commands for one in command.undo]


def test_what_blocks_is_said_and_nothing_done(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    made.write("/etc/x2go/x2gobroker.conf", "[global\n")
    runner = SiteRunner(made)
    status, said = applied(made, runner)
    assert status == 1
    assert "Nothing was done" in said
    assert not runner.ran
    assert not made.place(FOLDER).exists()


def test_packages_are_removed_when_asked_for_only(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    assert "remove-packages" not in steps(made)
    made.write("/var/lib/systemd/deb-systemd-helper-enabled/x2gobroker-daemon.service.dsh-also", "")
    step = list(steps(made, remove_packages=True).values())[-1]
    assert "apt-get -y remove x2gobroker-authservice x2gobroker-daemon" in words(step)
    assert not any("purge" in line or "x2gobroker-common=" in line for line in words(step))
    backs = [" ".join(one.argv) for command in step.commands for one in command.undo]
    assert "apt-get -y install x2gobroker-authservice=0.0.4.3-4 x2gobroker-daemon=0.0.4.3-4" in backs


def test_an_environment_elsewhere_is_named_in_units(tmp_path: Path) -> None:
    made = MadeSite(tmp_path).daemon()
    own = Own("/opt/broker", "/usr", OWN.samples, "1")
    site = read_site(made.reader(), own, made.active)
    files = {file.name: file.text for step in plan(made.reader(), site) for file in step.files}
    assert "ExecStart=/opt/broker/bin/x2gobroker-daemon" in files[DAEMON]


@pytest.mark.parametrize("text", ["", "[]", '{"entries": [{}]}', '{"entries": [{"step": "a", "command": []}]}'])
def test_a_damaged_journal_is_refused(tmp_path: Path, text: str) -> None:
    made = MadeSite(tmp_path)
    made.write(f"{FOLDER}/journal.json", text)
    with pytest.raises(BrokerError, match="is damaged"):
        Journal(made.root).load()


def test_a_journal_that_others_could_have_written_is_refused(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.write(f"{FOLDER}/journal.json", '{"entries": []}', 0o666)
    with pytest.raises(BrokerError, match="chmod go-w"):
        Journal(made.root).load()


def test_the_journal_is_roots_alone_and_comes_back_as_it_was(tmp_path: Path) -> None:
    made = MadeSite(tmp_path)
    made.place(FOLDER).mkdir(parents=True)
    journal = Journal(made.root)
    entry = Entry("units", ("systemctl", "stop", "a"), (undo("systemctl", "start", "a", needs="/a", live=True),))
    journal.begin(entry)
    journal.finish()
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert Journal(made.root).load().entries == journal.entries


def test_the_command_plans_and_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from x2gobroker.cli.main import main

    made = MadeSite(tmp_path).daemon()
    monkeypatch.setattr(migrate, "ROOT", made.root)
    monkeypatch.setattr(migrate, "SystemRunner", lambda: SiteRunner(made))
    monkeypatch.setattr(migrate, "this_installation", lambda: OWN)
    for arguments in (["migrate"], ["migrate", "plan"], ["migrate", "apply", "--dry-run"]):
        assert main(arguments) == 0
        assert "What `x2gobroker migrate apply` does" in capsys.readouterr().out
    for arguments in (["migrate", "--json"], ["migrate", "plan", "--json", "--remove-packages"]):
        assert main(arguments) == 0
        assert [step["id"] for step in json.loads(capsys.readouterr().out)["steps"]][:2] == ["copy", "guard"]
    assert not made.place(FOLDER).exists()


@pytest.mark.parametrize("action", ["apply", "back"])
def test_only_root_changes_the_system(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from x2gobroker.cli.main import main

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["migrate", action]) == 1
