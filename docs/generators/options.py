"""The reference pages of options: those of the configuration files, and those of session profiles."""

from __future__ import annotations

from collections.abc import Iterable

from generators.common import anchor, cell, notice, shown, type_of
from x2gobroker.model.options import Option
from x2gobroker.model.profile_options import ACL_OPTIONS, BROKER_OPTIONS, CLIENT_OPTIONS
from x2gobroker.settings import TABLE

SECTIONS = {
    "global": "The section `[global]` of `x2gobroker.conf`: settings for the whole broker.",
    "broker_*": "Options for every section `[broker_<backend>]` of `x2gobroker.conf`, including backends from other "
    "packages.",
    "broker_zeroconf": "Only in `[broker_zeroconf]`.",
    "broker_inifile": "Only in `[broker_inifile]`, or with a different default there.",
    "broker_ldap": "Accepted, so that a file of the former broker causes no error. These options have no effect yet.",
    "authmech_pam": "The auth mechanism `pam`.",
    "authmech_htpasswd": "The auth mechanism `htpasswd`.",
    "authmech_https_get": "The auth mechanism `https_get`.",
    "authmech_remote_user": "The auth mechanism `remote_user`.",
    "environment": "Environment variables of the process, variables that Apache's `SetEnv` sets for a VirtualHost, and "
    "entries of `defaults.conf`.",
}
INTRODUCTION = """\
# Options

This page lists every option of `x2gobroker.conf`, of `defaults.conf` and of the environment. Options of session
profiles have [a page of their own](session-profiles.md).

Write values like this:

- boolean: `true`, `yes`, `on`, `1` or `false`, `no`, `off`, `0`, in upper or lower case
- integer: decimal digits
- list: items separated by commas; blanks around an item and empty items are ignored
- path: the name of a file or folder, with or without quotes around it

If an option is set in several places, the last of these counts: the default, `defaults.conf` (section `[common]`, then
`[daemon]`), `x2gobroker.conf`, the environment of the process, `SetEnv` of an Apache VirtualHost, the command line.

A changed file takes effect with the next request. If the change cannot be read or contains a bad value, the broker
reports it in the log and keeps the last good version in service. `x2gobroker check-config` tells you what is wrong,
with file and line, before you need the log.

"Since" is the version of x2gobroker that introduced the option: 0.0.4 for those that Debian's x2gobroker 0.0.4.3 has.
"""


def title(section: str) -> str:
    """The heading of a section of the table."""
    return "Environment" if section == "environment" else f"`[{section.replace('*', '<backend>')}]`"


def sections(options: Iterable[Option]) -> dict[str, list[Option]]:
    """The options by section, in the order of the table."""
    found: dict[str, list[Option]] = {}
    for option in options:
        found.setdefault(option.section, []).append(option)
    return found


def entry(option: Option) -> list[str]:
    """One option of the configuration, under a heading that can be linked to."""
    lines = [f"({anchor('option', option.section, option.name)})=", f"### `{option.name}`", "", option.help, ""]
    lines += [f"- Type: {type_of(option)}", f"- Default: {shown(option.default)}"]
    if option.on_error is not None:
        lines.append(f"- If the value cannot be read: {shown(option.on_error)}")
    if option.environment:
        names = ", ".join(f"`{name}`" for name in option.environment)
        lines.append(f"- Environment: {names}, which takes precedence if it is set")
    lines.append(f"- Since: {option.since}")
    if option.deprecated:
        lines.append(f"- Deprecated: {option.deprecated}")
    if option.secret:
        lines.append("- Secret: its value is never shown or logged; let nobody but the broker read the file")
    return [*lines, ""]


def options_page() -> str:
    """`reference/options.md`."""
    lines = [notice("x2gobroker/settings/table.py"), INTRODUCTION]
    for section, options in sections(TABLE).items():
        lines += [f"## {title(section)}", "", SECTIONS[section], ""]
        for option in options:
            lines += entry(option)
    return "\n".join(lines).rstrip() + "\n"


def profile_table(options: Iterable[Option]) -> list[str]:
    """Options of session profiles as a table."""
    lines = ["| Option | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{option.name}` | {cell(type_of(option))} | {cell(shown(option.default))} | {cell(option.help)} |"
        for option in options
    ]
    return lines


def session_profile_tables() -> str:
    """The generated part of `reference/session-profiles.md`."""
    parts = (
        ("Options that clients are told", CLIENT_OPTIONS),
        ("Access rules", ACL_OPTIONS),
        ("Options for the broker itself", BROKER_OPTIONS),
    )
    lines: list[str] = []
    for heading, options in parts:
        lines += [f"### {heading}", "", *profile_table(options), ""]
    return "\n".join(lines)
