"""The sample files `etc/x2gobroker.conf` and `etc/defaults.conf`: every option, commented out, at its default."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from generators.options import sections
from x2gobroker.model.options import Kind, Option, format_value
from x2gobroker.settings import TABLE

WIDTH = 100
ANY_BACKEND = "broker_*"
RESERVED = "Reserved"
CONFIG_HEAD = """\
# X2Go Session Broker: the main configuration file, /etc/x2go/x2gobroker.conf.
#
# This file has all options, commented out, with their defaults. Change what you need, then check the file with
#     x2gobroker check-config
# Changes take effect with the next request. docs/reference/options.md says more about each option.
"""
DEFAULTS_HEAD = """\
# X2Go Session Broker: variables for its programs, /etc/x2go/broker/defaults.conf.
#
# A variable in the environment of a program, or set by SetEnv in an Apache VirtualHost, takes precedence over this
# file. Variables under [common] are for all programs, those under [daemon] for x2gobroker-daemon.
"""
DAEMON_VARIABLES = (
    "DAEMON_BIND_ADDRESS",
    "X2GOBROKER_SSL_CERTFILE",
    "X2GOBROKER_SSL_KEYFILE",
    "X2GOBROKER_WORKERS",
    "X2GOBROKER_THREADS",
)
NOT_IN_DEFAULTS = ("X2GOBROKER_DEFAULTS",)  # the variable that names this very file


def wanted(option: Option) -> bool:
    """Whether an administrator should meet this option in a sample file."""
    return not option.deprecated and not option.help.startswith(RESERVED)


def values_of(option: Option) -> str:
    """The possible values, where they are not plain from the default."""
    if option.kind is Kind.CHOICE:
        return "One of: " + ", ".join(choice or "(empty)" for choice in option.choices) + "."
    if option.kind is Kind.INTEGER and option.minimum is not None and option.maximum is not None:
        return f"From {option.minimum} to {option.maximum}."
    return ""


def entry(option: Option) -> list[str]:
    """One option: its meaning, and the line to change."""
    text = f"{option.help} {values_of(option)}".strip().replace("`", "")
    comment = textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return [*comment, f"#{option.name} = {format_value(option.default)}".rstrip(), ""]


def section(name: str, options: Iterable[Option]) -> list[str]:
    """One section of a sample file."""
    lines = [f"[{name}]", ""]
    for option in options:
        lines += entry(option)
    return [*lines, ""]


def sample_config() -> str:
    """`etc/x2gobroker.conf`."""
    by_section = sections(option for option in TABLE if wanted(option))
    lines = [CONFIG_HEAD, ""]
    for name, options in by_section.items():
        if name in ("environment", ANY_BACKEND):
            continue
        if name.startswith("broker_"):
            own = {option.name: option for option in options}
            common = [option for option in by_section[ANY_BACKEND] if option.name not in own]
            head = [own.pop("enable")] if "enable" in own else [common.pop(0)]
            options = [*head, *own.values(), *common]
        lines += section(name, options)
    return "\n".join(lines).rstrip() + "\n"


def sample_defaults() -> str:
    """`etc/defaults.conf`."""
    variables = [
        option
        for option in TABLE
        if option.section == "environment" and wanted(option) and option.name not in NOT_IN_DEFAULTS
    ]
    common = [option for option in variables if option.name not in DAEMON_VARIABLES]
    daemon = [option for option in variables if option.name in DAEMON_VARIABLES]
    lines = [DEFAULTS_HEAD, "", *section("common", common), *section("daemon", daemon)]
    return "\n".join(lines).rstrip() + "\n"
