"""The step that puts our units in the place of Debian's: the swap itself."""

from __future__ import annotations

from x2gobroker.migration.reader import Reader
from x2gobroker.migration.site import Site
from x2gobroker.migration.steps import Command, NewFile, Step, aside, command, put, undo
from x2gobroker.migration.units import (
    AUTHSERVICE,
    DAEMON,
    LOADCHECKER,
    REMOTE,
    SERVICES,
    SITE_FOLDER,
    SOCKET,
    SPOILING,
    bind_of,
    carried_arguments,
    port_of,
)
from x2gobroker.settings import ENVIRONMENT

DROP_IN = f"{SITE_FOLDER}/{DAEMON}.d/migrated.conf"
PREFIX = "/usr/lib/x2gobroker/venv"
FIRST_FREE_PORT = 1024


def units(reader: Reader, site: Site) -> Step | None:
    """Stop Debian's, put ours in place, start ours. What was enabled is enabled, and nothing else."""
    former = [unit for unit in site.units if unit.path and not unit.ours]
    wanted = wanted_units(site)
    installed, files = _install(reader, site)
    idle = site.systemd and not all(site.unit(name).active for name in wanted)
    if not (former or installed or idle) and all(site.unit(name).enabled for name in wanted):
        return None
    commands: list[Command] = []
    active = [unit.name for unit in former if unit.active]
    enabled = [unit.name for unit in former if unit.enabled]
    if active:
        started = (undo("systemctl", "daemon-reload", live=True), undo("systemctl", "start", *active, live=True))
        commands.append(command("systemctl", "stop", *active, undo=started, live=True))
    if enabled:
        commands.append(command("systemctl", "disable", *enabled, undo=undo("systemctl", "enable", *enabled)))
    for unit in former:
        for drop_in in unit.drop_ins:
            if drop_in.keys & SPOILING:
                commands.append(aside(reader, drop_in.path))
    commands += installed
    commands.append(command("systemctl", "daemon-reload", live=True))
    if wanted:
        commands.append(command("systemctl", "enable", *wanted, undo=undo("systemctl", "disable", *wanted)))
        commands.append(
            command("systemctl", "start", *wanted, undo=undo("systemctl", "stop", *wanted, live=True), live=True)
        )
    return Step(
        "units",
        "Swap: our units instead of Debian's",
        tuple(commands),
        files,
        "Units in /etc/systemd/system come before Debian's of the same name. Running X2Go sessions are not touched.",
    )


def wanted_units(site: Site) -> list[str]:
    """The units that are to be on: those that are, and the authentication service where PAM is asked."""
    wanted = [name for name in SERVICES if site.unit(name).enabled or site.unit(name).active]
    asks_pam = any(
        site.settings.for_backend(name, "auth-mech").lower() == "pam" and site.settings.backend_enabled(name)
        for name in ("inifile", "zeroconf")
    )
    if AUTHSERVICE not in wanted and asks_pam and (DAEMON in wanted or site.inside_apache):
        wanted.insert(0, AUTHSERVICE)
    return [SOCKET, *wanted] if AUTHSERVICE in wanted else wanted


def _install(reader: Reader, site: Site) -> tuple[list[Command], tuple[NewFile, ...]]:
    commands: list[Command] = []
    files: list[NewFile] = []
    for name in (SOCKET, AUTHSERVICE, DAEMON, LOADCHECKER, REMOTE):
        path = f"{site.own.samples}/etc/systemd/{name}"
        text = reader.text(path) or ""
        if site.own.prefix != PREFIX:
            text = text.replace(f"{PREFIX}/", f"{site.own.prefix}/")
            file = NewFile(name, text)
        else:
            file = None
        made = put(reader, file.path if file else path, f"{SITE_FOLDER}/{name}", text)
        commands += made
        if made and file:
            files.append(file)
    if text := drop_in_text(site):
        file = NewFile("migrated.conf", text)
        made = put(reader, file.path, DROP_IN, text)
        commands += made
        if made:
            files.append(file)
    return commands, tuple(files)


def drop_in_text(site: Site) -> str:
    """What our unit of the daemon needs beyond itself: the former's arguments, the right to a low port. Often empty."""
    unit = site.unit(DAEMON)
    if unit.ours or not unit.path:
        return ""
    arguments, _ = carried_arguments(unit)
    bind = bind_of(arguments) or str(site.settings.value(ENVIRONMENT, "DAEMON_BIND_ADDRESS") or "")
    lines = []
    if arguments:
        lines += ["ExecStart=", f"ExecStart={site.own.program('x2gobroker-daemon')} {arguments}"]
    if 0 < port_of(bind) < FIRST_FREE_PORT:
        # in a user namespace of its own, the capability would be worth nothing
        lines += [
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
            "PrivateUsers=no",
        ]
    return "\n".join(["# What Debian's unit said, by `x2gobroker migrate`.", "[Service]", *lines, ""]) if lines else ""
