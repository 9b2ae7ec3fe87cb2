"""A report and a plan as text for administrators, and as values for machines."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence

from x2gobroker.migration.findings import Finding
from x2gobroker.migration.plan import is_left
from x2gobroker.migration.site import Site
from x2gobroker.migration.steps import Step

WIDTH = 100


def command_line(argv: Sequence[str]) -> str:
    """A command as an administrator can type it."""
    return shlex.join(argv)


def _wrapped(text: str, first: str, further: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def shown_finding(finding: Finding, steps: Sequence[Step]) -> Iterator[str]:
    """The lines of one finding."""
    number = next((at for at, step in enumerate(steps, 1) if step.id == finding.step), 0)
    text = f"{finding.who}: {finding.text}" if finding.who else finding.text
    yield from _wrapped(f"{text}.", "  ! " if finding.blocks else "  - ", "    ")
    if finding.advice:
        yield from _wrapped(finding.advice, "      do: ", "          ")
    if number:
        yield f"      step {number} deals with it"


def shown_site(site: Site) -> Iterator[str]:
    """What was found, in a few lines."""
    for package in site.packages:
        yield f"  package {package.name} {package.version}: {package.state}"
    for unit in site.units:
        if unit.path:
            state = ", ".join(["enabled" if unit.enabled else "not enabled"] + ["running"] * unit.active)
            yield f"  unit {unit.name}: {'of this broker' if unit.ours else 'of 0.0.4.3'}, {state} ({unit.path})"
    for file in site.apache:
        yield f"  Apache: {file.path}, line {file.line}"
    for override in site.overrides:
        yield f"  stat override: {override.user} {override.group} {override.mode} {override.path}"
    if site.profile_texts.sections:
        yield f"  session profiles: {len(site.profiles)}, in {site.profile_texts.path}"
    if site.keys or site.known_hosts:
        yield f"  SSH: keys {', '.join(site.keys) or 'none'}; {len(site.known_hosts)} lines of known hosts"


def shown_step(number: int, step: Step, systemd: bool) -> Iterator[str]:
    """The lines of one step."""
    yield f"  {number}. {step.title}"
    if step.note:
        yield from _wrapped(step.note, "     ", "     ")
    for file in step.files:
        yield f"     {file.path} gets:"
        yield from (f"       | {line}" for line in file.text.splitlines())
    for command in step.commands:
        left_out = "  (left out: systemd does not run here)" if command.live and not systemd else ""
        yield f"     # {command_line(command.argv)}{left_out}"


def shown_report(
    site: Site, way: Sequence[Finding], different: Sequence[Finding], steps: Sequence[Step]
) -> Iterator[str]:
    """The whole report."""
    yield f"x2gobroker {site.own.version} in {site.own.prefix}"
    yield from shown_site(site)
    if not site.is_former and not site.by_package:
        yield ""
        yield from shown_rest(site)
        return
    for title, findings in (("In the way", way), ("What will be different, and for whom", different)):
        yield ""
        yield title if findings else f"{title}: nothing"
        for finding in findings:
            yield from shown_finding(finding, steps)
    yield ""
    if not steps:
        yield from shown_rest(site)
        return
    yield "What `x2gobroker migrate apply` does"
    for number, step in enumerate(steps, 1):
        yield from shown_step(number, step, site.systemd)


def shown_rest(site: Site) -> Iterator[str]:
    """What is said where no step is left."""
    if site.by_package:
        yield "This broker's Debian package has taken over by itself: nothing is left to do."
    elif not site.is_former:
        yield "There is nothing of x2gobroker 0.0.4.3 here: nothing to migrate."
        yield "docs/how-to/install.md says how to install this broker."
    else:
        yield "Nothing is left to do for `x2gobroker migrate apply`."
        if is_left(site):
            yield "When you are sure that you stay: `x2gobroker migrate apply --remove-packages`"


def report_values(
    site: Site, way: Sequence[Finding], different: Sequence[Finding], steps: Sequence[Step]
) -> dict[str, object]:
    """The report for machines: what JSON can hold."""
    return {
        "version": site.own.version,
        "former": site.is_former,
        "by-package": site.by_package,
        "systemd": site.systemd,
        "packages": [
            {"name": package.name, "version": package.version, "state": package.state} for package in site.packages
        ],
        "units": [
            {"name": unit.name, "file": unit.path, "ours": unit.ours, "enabled": unit.enabled, "active": unit.active}
            for unit in site.units
            if unit.path
        ],
        "in-the-way": [_finding_values(finding) for finding in way],
        "different": [_finding_values(finding) for finding in different],
        "steps": [
            {
                "id": step.id,
                "title": step.title,
                "files": {file.path: file.text for file in step.files},
                "commands": [
                    {
                        "argv": list(command.argv),
                        "live": command.live,
                        "undo": [list(one.argv) for one in command.undo],
                    }
                    for command in step.commands
                ],
            }
            for step in steps
        ],
    }


def _finding_values(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id,
        "text": finding.text,
        "who": finding.who,
        "advice": finding.advice,
        "blocks": finding.blocks,
        "step": finding.step,
    }
