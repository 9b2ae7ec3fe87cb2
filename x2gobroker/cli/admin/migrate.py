"""`x2gobroker migrate`: takes a site from Debian's x2gobroker 0.0.4.3 to this broker, and back."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import x2gobroker
from x2gobroker import __version__
from x2gobroker.errors import ConfigurationError
from x2gobroker.migration.carry_out import Failure, Hands, carry_out, take_back
from x2gobroker.migration.differences import differences
from x2gobroker.migration.findings import Finding
from x2gobroker.migration.journal import Journal
from x2gobroker.migration.obstacles import obstacles
from x2gobroker.migration.plan import is_left, plan
from x2gobroker.migration.reader import Reader
from x2gobroker.migration.runner import Runner, SystemRunner, active_units
from x2gobroker.migration.shown import command_line, report_values, shown_finding, shown_report, shown_rest
from x2gobroker.migration.site import Own, Site
from x2gobroker.migration.steps import FOLDER, Step
from x2gobroker.migration.survey import read_site
from x2gobroker.migration.units import UNITS

ROOT = Path("/")
PACKAGED_SAMPLES = Path(x2gobroker.__file__).parent / "samples"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "migrate",
        help="migrate a site from Debian's x2gobroker 0.0.4.3 to this broker, and back",
        description="Without an action, does the same as `migrate plan`: reads what x2gobroker 0.0.4.3 has on this "
        "host, and says what is in the way, what will be different for whom, and what would be done. Exit status 0: "
        "it can be done, 1: something is in the way.",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run_plan, remove_packages=False, dry_run=False)
    actions = parser.add_subparsers(metavar="ACTION")
    planned = actions.add_parser(
        "plan",
        help="say what is in the way, what will be different for whom, and what would be done",
        description="Only reads, and changes nothing. Run it as root, so that it sees everything. Exit status 0: it "
        "can be done, 1: something is in the way.",
    )
    planned.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the report as JSON")
    applied = actions.add_parser(
        "apply",
        help="carry out the plan, step by step",
        description="Carries out the plan, as root, and records each command with what undoes it in "
        f"{FOLDER}. It stops at the first command that fails; run it again to continue there.",
    )
    applied.add_argument("--dry-run", action="store_true", help="only say what would be done, like `migrate plan`")
    for each in (planned, applied):
        each.add_argument(
            "--remove-packages",
            action="store_true",
            help="also remove Debian's packages; only when you are sure that you will stay",
        )
    applied.set_defaults(run=run_apply)
    back = actions.add_parser(
        "back",
        help="undo what `migrate apply` has done",
        description="Undoes, as root and in reverse order, what `migrate apply` has recorded. It keeps what was put in "
        f"place in {FOLDER}/back.",
    )
    back.set_defaults(run=run_back)


@dataclass(frozen=True)
class Report:
    """What is so, and what would be done."""

    site: Site
    way: list[Finding]
    different: list[Finding]
    steps: list[Step]


def this_installation() -> Own:
    """The virtual environment that this program runs from."""
    return Own(sys.prefix, sys.base_prefix, str(PACKAGED_SAMPLES), __version__)


def examine(reader: Reader, own: Own, runner: Runner, remove_packages: bool) -> Report:
    """Read a site, and think."""
    active = active_units(runner, UNITS) if reader.is_folder("/run/systemd/system") else frozenset[str]()
    site = read_site(reader, own, active)
    return Report(site, obstacles(site), differences(site), plan(reader, site, remove_packages))


def run_plan(options: argparse.Namespace) -> int:
    """Print the report; 1 where something is in the way that no step deals with."""
    report = examine(Reader(ROOT), this_installation(), SystemRunner(), options.remove_packages)
    values = report.site, report.way, report.different, report.steps
    if options.json:
        print(json.dumps(report_values(*values), indent=2, ensure_ascii=False))
    else:
        for line in shown_report(*values):
            print(line)
        if os.geteuid() != 0 and report.site.is_former:
            print("not everything can be read: run this as root", file=sys.stderr)
    return int(any(finding.blocks for finding in report.way))


def run_apply(options: argparse.Namespace) -> int:
    """Do it; 1 where something is in the way, or fails. Raises ConfigurationError, BrokerError."""
    if options.dry_run:
        return run_plan(options)
    _check_root("apply")
    return apply(Reader(ROOT), this_installation(), SystemRunner(), options.remove_packages, print)


def apply(reader: Reader, own: Own, runner: Runner, remove_packages: bool, say: Callable[[str], None]) -> int:
    """Do it, and say how it ended. Raises BrokerError."""
    report = examine(reader, own, runner, remove_packages)
    blocking = [finding for finding in report.way if finding.blocks]
    if blocking:
        say("Nothing was done. In the way:")
        for finding in blocking:
            for line in shown_finding(finding, report.steps):
                say(line)
        return 1
    if not report.steps:
        for line in shown_rest(report.site):
            say(line)
        return 0
    hands = Hands(runner, Journal(reader.root).load(), report.site.systemd, say)
    failure = carry_out(report.steps, hands)
    if failure is not None:
        _say_failure(failure, say)
        say("What was done so far stays. To go on: mend it, then x2gobroker migrate apply")
        say("To go back: x2gobroker migrate back")
        return 1
    say("Done. Back again: x2gobroker migrate back")
    if not report.site.systemd:
        say("systemd does not run here: the services start with the next start of this system.")
    if is_left(report.site) and not remove_packages:
        say("Debian's packages are still there. When you are sure: x2gobroker migrate apply --remove-packages")
    return 0


def run_back(_options: argparse.Namespace) -> int:
    """Undo it; 1 where something fails. Raises ConfigurationError, BrokerError."""
    _check_root("back")
    return back(Reader(ROOT), SystemRunner(), print)


def back(reader: Reader, runner: Runner, say: Callable[[str], None]) -> int:
    """Undo it, and say how it ended. Raises BrokerError."""
    journal = Journal(reader.root).load()
    if not journal.entries:
        say("Nothing is noted that could be undone.")
        return 0
    hands = Hands(runner, journal, reader.is_folder("/run/systemd/system"), say)
    failure = take_back(hands, reader)
    if failure is not None:
        _say_failure(failure, say)
        say(f"What is left to undo is in {journal.path}. To go on: mend it, then x2gobroker migrate back")
        return 1
    say("Everything is as it was before. The state store of this broker stays, for the next time.")
    say(f"Copies, and what was put in place, are in {FOLDER}.")
    return 0


def _say_failure(failure: Failure, say: Callable[[str], None]) -> None:
    say(f"This failed, in the step {failure.step!r}, with status {failure.done.status}:")
    say(f"   {command_line(failure.argv)}")
    for line in failure.done.output.splitlines()[-20:]:
        say(f"   | {line}")


def _check_root(action: str) -> None:
    if os.geteuid() != 0:
        raise ConfigurationError(f"migrate {action} changes the system: run it as root")
