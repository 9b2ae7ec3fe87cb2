"""What is in the way of a migration: what steps deal with, and what somebody has to mend by hand before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from x2gobroker.errors import PluginError
from x2gobroker.migration.findings import Finding, several
from x2gobroker.migration.site import BROKEN, REMOVED, Site
from x2gobroker.migration.units import DAEMON, SPOILING, carried_arguments
from x2gobroker.plugins import AUTH_MECHANISMS, load
from x2gobroker.settings import BACKEND_PREFIX

DEBIANS_PYTHON = ("/usr/bin", "/usr")


def _broken_packages(site: Site) -> Iterator[Finding]:
    broken = [package.name for package in site.former if package.state == BROKEN]
    if broken:
        yield Finding(
            "broken-packages",
            f"dpkg has not finished with {several(broken)}",
            advice="dpkg --configure -a, or apt-get -f install",
            blocks=True,
        )


def _place(site: Site) -> Iterator[Finding]:
    if not site.reachable and not site.by_package:
        yield Finding(
            "place",
            f"this installation is in {site.own.prefix}, where neither our units nor the account x2gobroker get",
            advice="install it in /usr/lib/x2gobroker/venv, and run it from there",
            blocks=True,
        )


def _purge(site: Site) -> Iterator[Finding]:
    removed = [package.name for package in site.former if package.state == REMOVED]
    if removed:
        yield Finding(
            "removed-packages",
            f"{several(removed)}: removed, but not purged. Their scripts wait to delete the account x2gobroker, "
            "/var/lib/x2gobroker and /var/log/x2gobroker when somebody purges them",
            step="guard",
        )
    if site.former and not site.by_package:
        yield Finding(
            "purge",
            "a purge of Debian's packages deletes the account, the SSH key, this broker's state store, the logs and "
            "/etc/x2go",
            advice="until the guards stand: neither purge nor autoremove --purge",
            step="guard",
        )


def _programs(site: Site) -> Iterator[Finding]:
    others = [path for path in site.shadowed if path.startswith("/")]
    if others and not site.by_package:
        yield Finding(
            "programs",
            f"who types the name of a program gets Debian's: {several(others)}",
            advice="x2gobroker-testagent of 0.0.4.3 neither shows a fingerprint nor remembers a host key. In shells "
            "that are open: hash -r",
            step="programs",
        )


def _units(site: Site) -> Iterator[Finding]:
    for unit in site.units:
        spoiling = [drop_in for drop_in in unit.drop_ins if drop_in.keys & SPOILING and not _is_ours(site, unit.name)]
        if spoiling and not unit.ours:
            yield Finding(
                "drop-ins",
                f"{several([drop_in.path for drop_in in spoiling])} was made for Debian's unit, and would change ours",
                step="units",
            )
        other = [drop_in.path for drop_in in unit.drop_ins if not drop_in.keys & SPOILING]
        if other and not unit.ours:
            yield Finding(
                "drop-ins-kept", f"{several(other)} goes on to count, for our unit {unit.name}", advice="read it again"
            )
        if unit.path.startswith("/etc/systemd/system/") and not unit.ours:
            yield Finding("own-unit", f"{unit.path} is the site's own; ours takes its place", step="units")
    unit = site.unit(DAEMON)
    _, odd = carried_arguments(unit)
    if odd and not unit.ours:
        yield Finding(
            "arguments",
            f"what {unit.name} starts the daemon with cannot be carried over: {odd}",
            advice="write it into defaults.conf, [daemon], or into a drop-in of its own afterwards",
        )


def _is_ours(site: Site, name: str) -> bool:
    return site.unit(name).ours


def _no_systemd(site: Site) -> Iterator[Finding]:
    if not site.systemd and not site.by_package:
        yield Finding(
            "no-systemd",
            "systemd does not run here: units are put in place, and nothing is stopped or started",
            advice="with another init, start the programs yourself: see `Without systemd` of the page on the "
            "authentication service",
        )


def _apache(site: Site) -> Iterator[Finding]:
    for file in site.apache:
        if file.is_snippet:
            yield Finding(
                "apache-snippet",
                f"{file.path} has Apache run the former broker, at {file.alias or 'no path'}. With ours beside it, "
                "Apache does not start: `Name duplicates previous WSGI daemon definition`",
                step="apache",
            )
        else:
            yield Finding(
                "apache-virtualhost",
                f"{file.path}:{file.line}: a VirtualHost of the site's own runs the former broker",
                advice="replace it by the one in apache/x2gobroker-vhost.conf, by hand: it has names and certificates "
                "of the site",
                blocks=True,
            )
        if file.odd:
            yield Finding(
                "apache-odd", f"{file.path}: this is not carried over: {several(list(file.odd))}", advice="see to it"
            )
    if site.apache and site.own.base not in DEBIANS_PYTHON:
        yield Finding(
            "apache-python",
            f"mod_wsgi is linked to Debian's Python, and this installation is made with the one in {site.own.base}",
            advice="make the virtual environment with /usr/bin/python3",
            blocks=True,
        )


def _readable(site: Site) -> Iterator[Finding]:
    """The former daemon reads as root what it needs at its start; ours is the broker's account from the beginning."""
    if site.account is None:
        return
    for name, path in (
        ("the configuration", site.settings.environment("X2GOBROKER_CONFIG")),
        ("the session profiles", site.settings.text(BACKEND_PREFIX + "inifile", "session-profiles")),
        ("the certificate", site.settings.environment("X2GOBROKER_SSL_CERTFILE")),
        ("the key of the certificate", site.settings.environment("X2GOBROKER_SSL_KEYFILE")),
    ):
        owner = site.files.get(path)
        if owner is not None and not site.account.may_read(owner):
            yield Finding(
                "unreadable",
                f"{path}, {name}, cannot be read by the account x2gobroker, which the daemon starts as",
                advice=f"chgrp x2gobroker {path}; chmod g+r {path}",
                blocks=True,
            )


def _problems(site: Site) -> Iterator[Finding]:
    for problem in site.problems:
        if not problem.error:
            continue
        yield Finding(
            "configuration",
            str(problem),
            advice="mend it where it stands: the former broker does not mind" if not problem.blocks else "",
            blocks=problem.blocks,
        )


def _mechanisms(site: Site) -> Iterator[Finding]:
    for backend in ("inifile", "zeroconf"):
        name = site.settings.for_backend(backend, "auth-mech").lower()
        if site.settings.backend_enabled(backend) and not _is_installed(name):
            yield Finding(
                "auth-mech",
                f"[broker_{backend}] auth-mech = {name}: no such mechanism is installed; nobody can log in",
                blocks=True,
            )


def _is_installed(mechanism: str) -> bool:
    try:
        load(AUTH_MECHANISMS, mechanism, object)
    except PluginError:
        return False
    return True


def _faults(site: Site) -> Iterator[Finding]:
    for fault in site.faults:
        yield Finding("unread", f"could not be read, and is not in this report: {fault}")


def _logrotate(site: Site) -> Iterator[Finding]:
    if site.logrotate and not site.by_package:
        changed = [path for path in site.logrotate if path in site.changed]
        yield Finding(
            "logrotate",
            f"{several(list(site.logrotate))} would rotate the same logs as our file, and logrotate fails upon that",
            advice=f"changed by the site: {several(changed)}; write the changes into /etc/logrotate.d/x2gobroker"
            if changed
            else "",
            step="logs",
        )


def _account_home(site: Site) -> Iterator[Finding]:
    if site.account is not None and PurePosixPath(site.account.home) != PurePosixPath("/var/lib/x2gobroker"):
        yield Finding(
            "home",
            f"the home folder of x2gobroker is {site.account.home}: our units let the daemon write in "
            "/var/lib/x2gobroker only",
            advice=f"a drop-in for {DAEMON}: [Service], ReadWritePaths={site.account.home}",
        )


OBSTACLES: tuple[Callable[[Site], Iterator[Finding]], ...] = (
    _faults,
    _place,
    _broken_packages,
    _problems,
    _mechanisms,
    _readable,
    _apache,
    _units,
    _programs,
    _logrotate,
    _purge,
    _account_home,
    _no_systemd,
)


def obstacles(site: Site) -> list[Finding]:
    """What is in the way, what blocks first. Nothing on a machine where there is nothing to migrate."""
    if not site.is_former:
        return []
    found = dict.fromkeys(finding for look in OBSTACLES for finding in look(site))
    return sorted(found, key=lambda finding: not finding.blocks)
