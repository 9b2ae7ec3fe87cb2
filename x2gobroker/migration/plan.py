"""What is to be done to a site, as steps: only what is not done yet, so that planning again shows what is left."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from x2gobroker.migration import apache
from x2gobroker.migration.reader import Owner, Reader
from x2gobroker.migration.site import ACCOUNT, FORMER, HOME, INSTALLED, PROGRAMS, Site
from x2gobroker.migration.steps import (
    BACK,
    COPY,
    FOLDER,
    PART,
    PREPARE,
    Command,
    NewFile,
    Step,
    Undo,
    aside,
    command,
    put,
    undo,
)
from x2gobroker.migration.survey import PATH
from x2gobroker.migration.unit_steps import units

README = """\
This folder keeps a promise: scripts of Debian's packages 0.0.4.3, when they are purged, delete the account
x2gobroker and /var/lib/x2gobroker with the state store and the SSH key, unless they find it.
"""
GUARDS = ("/usr/share/doc/x2gobroker-daemon/README.state", "/usr/share/doc/x2gobroker-wsgi/README.state")
DIVERTED_AS = "debian-0.0.4.3"
# of Debian's packages, and in use by this broker: dpkg deletes them in a purge, unless they are diverted
TAKEN = (
    "/etc/x2go/x2gobroker.conf",
    "/etc/x2go/broker/defaults.conf",
    "/etc/x2go/broker/x2gobroker-loggers.conf",
    "/etc/x2go/broker/x2gobroker-sessionprofiles.conf",
    "/etc/x2go/broker/x2gobroker-authservice-logger.conf",
    "/etc/x2go/broker/x2gobroker-loadchecker-logger.conf",
    "/etc/x2go/x2gobroker-wsgi.apache.conf",
    "/etc/x2go/x2gobroker-wsgi.apache.vhost",
    "/etc/pam.d/x2gobroker",
    "/etc/sudoers.d/x2gobroker-ssh",
)
SAVED = ("/etc/x2go", "/etc/pam.d/x2gobroker", "/etc/default", HOME)
LOGS = "/var/log/x2gobroker"
RUN = "/run/x2gobroker"
TMPFILES = tuple(f"/etc/tmpfiles.d/x2gobroker{name}.conf" for name in ("", "-daemon", "-authservice", "-loadchecker"))
SSH = "/usr/bin/x2gobroker-ssh"
SSH_RULE = "/etc/sudoers.d/x2gobroker-ssh"
SSH_GROUP = "x2gobroker-users"
PLAIN_GROUP = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
HELPER = "/var/lib/systemd/deb-systemd-helper-enabled"
KEPT_PACKAGES = ("x2gobroker-common", "x2gobroker-agent")


def sample(reader: Reader, site: Site, name: str) -> tuple[str, str]:
    """The path and the text of a file that comes with this broker, such as `etc/pam.d/x2gobroker`."""
    path = f"{site.own.samples}/{name}"
    return path, reader.text(path) or ""


def _copy(reader: Reader, _site: Site) -> Step | None:
    if reader.present(COPY):
        return None
    places = [path.strip("/") for path in SAVED if reader.present(path)]
    taken = undo("mv", "--backup=numbered", COPY, f"{BACK}/before.tar.gz", needs=COPY)
    # 1: a file of a broker that is running has changed meanwhile
    tar = Command(("tar", "-C", str(reader.root), "-czf", PART, *places), fine=(0, 1))
    return Step(
        "copy",
        "Copy configuration, keys and state",
        (Command(PREPARE), *([tar, command("mv", PART, COPY, undo=taken)] if places else [])),
        note=f"{FOLDER} is root's alone, and no script of Debian's packages touches it.",
    )


def _guard(reader: Reader, site: Site) -> Step | None:
    files = NewFile("README.state", README)
    commands: list[Command] = []
    for path in GUARDS:
        if not reader.present(path):
            commands += put(reader, files.path, path, README)
    for path in TAKEN:
        if reader.present(path) and path not in site.diverted and _conffile(site, path):
            commands.append(
                command(
                    "dpkg-divert", "--local", "--no-rename", "--divert", f"{path}.{DIVERTED_AS}", "--add", path,
                    undo=undo("dpkg-divert", "--local", "--no-rename", "--remove", path),
                )
            )  # fmt: skip
    if not commands or not site.former:
        return None
    return Step(
        "guard",
        "Guard account, state and configuration against a purge of Debian's packages",
        tuple(commands),
        (files,),
        "Their scripts leave account and state alone where they find these folders; dpkg spares what is diverted.",
    )


def _conffile(site: Site, path: str) -> bool:
    return any(path in package.conffiles for package in site.former)


def _programs(reader: Reader, site: Site) -> Step | None:
    commands: list[Command] = []
    for name in PROGRAMS:
        link, target = f"/usr/local/bin/{name}", site.own.program(name)
        first = next((f"{folder}/{name}" for folder in PATH if reader.present(f"{folder}/{name}")), "")
        if first and reader.real(first) in (target, reader.real(target)):
            continue
        back: tuple[Undo, ...] = (undo("rm", "-f", link, needs=link),)
        if reader.link(link):
            back = (undo("ln", "-sfn", reader.link(link), link),)
        elif reader.present(link):
            moved = aside(reader, link)
            commands.append(moved)
        commands.append(command("ln", "-sfn", target, link, undo=back))
    if not commands:
        return None
    return Step(
        "programs",
        "Let names of programs mean this broker's",
        tuple(commands),
        note="/usr/local/bin comes before /usr/bin and /usr/sbin. In shells that are open: hash -r",
    )


def _account(_reader: Reader, site: Site) -> Step | None:
    if site.account is not None:
        return None
    return Step(
        "account",
        "Make the account of the broker",
        (command("adduser", "--system", "--group", "--home", HOME, ACCOUNT),),
        note="It stays on the way back, as files may belong to it.",
    )


def _folders(reader: Reader, site: Site) -> Step | None:
    path, text = sample(reader, site, "etc/tmpfiles.d/x2gobroker.conf")
    before = tuple(_owner_back(place, site.files[place]) for place in (RUN, LOGS, HOME) if place in site.files)
    commands: list[Command] = []
    for target in TMPFILES:
        if target == TMPFILES[0] or reader.present(f"/usr/lib/tmpfiles.d/{PurePosixPath(target).name}"):
            commands += put(reader, path, target, text)
    if not commands:
        return None
    owners = tuple(undo for both in before for undo in both)
    commands.append(command("systemd-tmpfiles", "--create", *TMPFILES[:1], undo=owners))
    return Step(
        "folders",
        "Give the folders of sockets and logs their owners and modes",
        tuple(commands),
        note=f"{RUN} becomes root's and sticky: the account cannot put another socket in the place of the "
        "authentication service's.",
    )


def _owner_back(path: str, owner: Owner) -> tuple[Undo, ...]:
    return (
        undo("chown", f"{owner.uid}:{owner.gid}", path, needs=path),
        undo("chmod", f"{owner.mode:04o}", path, needs=path),
    )


def _logs(reader: Reader, site: Site) -> Step | None:
    commands = [aside(reader, path) for path in site.logrotate]
    path, text = sample(reader, site, "etc/logrotate.d/x2gobroker")
    if not reader.present("/etc/logrotate.d/x2gobroker"):
        commands += put(reader, path, "/etc/logrotate.d/x2gobroker", text)
    if not commands:
        return None
    return Step(
        "logs",
        "Have logs rotated by one file instead of Debian's",
        tuple(commands),
        note="Both name the same logs, which logrotate refuses. No restart is needed after a rotation.",
    )


def _pam(reader: Reader, site: Site) -> Step | None:
    path, text = sample(reader, site, "etc/pam.d/x2gobroker")
    if reader.present("/etc/pam.d/x2gobroker"):
        return None
    return Step("pam", "Put the PAM service in place", put(reader, path, "/etc/pam.d/x2gobroker", text))


def _ssh(reader: Reader, site: Site) -> Step | None:
    if not site.installed("x2gobroker-ssh"):
        return None
    path, text = sample(reader, site, "etc/sudoers.d/x2gobroker-ssh")
    override = next((override for override in site.overrides if override.path == SSH), None)
    group = override.group if override is not None and PLAIN_GROUP.fullmatch(override.group) else SSH_GROUP
    files: tuple[NewFile, ...] = ()
    if group != SSH_GROUP:
        text = text.replace(f"%{SSH_GROUP} ", f"%{group} ")
        files = (NewFile("x2gobroker-ssh", text),)
        path = files[0].path
    commands: list[Command] = []
    if reader.text(SSH_RULE) != text:
        commands.append(command("visudo", "--check", "--file", path))
        commands += put(reader, path, SSH_RULE, text, "440")
    if SSH not in site.diverted:
        former = f"{SSH}.{DIVERTED_AS}"
        # the owner before the mode: a program of root's with the set-user-ID bit would be somebody else's
        owner = site.files.get(SSH, Owner(0, 0, 0o755))
        commands += [
            command(
                "dpkg-divert", "--local", "--rename", "--divert", former, "--add", SSH,
                undo=undo("dpkg-divert", "--local", "--rename", "--remove", SSH),
            ),
            command("chmod", "0755", former, undo=_owner_back(former, owner)),
            command("ln", "-s", site.own.program("x2gobroker-ssh"), SSH, undo=undo("rm", "-f", SSH, needs=SSH)),
        ]  # fmt: skip
    if not commands:
        return None
    return Step(
        "ssh",
        "Let the broker over SSH be ours",
        tuple(commands),
        files,
        f"Members of {group} go on to use it; Debian's program with the set-user-ID bit is put out of use.",
    )


def _apache(reader: Reader, site: Site) -> Step | None:
    former = next((file for file in site.apache if file.is_snippet), None)
    if former is None:
        return None
    path, text = sample(reader, site, "wsgi/x2gobroker.wsgi")
    commands = list(put(reader, path, "/usr/lib/x2gobroker/wsgi/x2gobroker.wsgi", text))
    ours = NewFile(
        "apache-x2gobroker.conf",
        apache.our_text(sample(reader, site, "apache/x2gobroker.conf")[1], former, site.own.prefix),
    )
    reload = ("systemctl", "reload", "apache2.service")
    commands += put(reader, ours.path, apache.OURS, ours.text)
    # undone from the bottom up: Apache reads its files anew when they are as they were
    commands += [
        command("a2disconf", "--quiet", "x2gobroker-wsgi", undo=(
            undo("a2enconf", "--quiet", "x2gobroker-wsgi"), undo("apache2ctl", "configtest"), undo(*reload, live=True),
        )),
        command("a2enconf", "--quiet", "x2gobroker", undo=undo("a2disconf", "--quiet", "x2gobroker")),
        command("apache2ctl", "configtest"),
        command(*reload, live=True),
    ]  # fmt: skip
    return Step(
        "apache",
        f"Have Apache run this broker at {former.alias or '/x2gobroker'}",
        tuple(commands),
        (ours,),
        "Addresses stay the same. The VirtualHosts in apache/ are better, in place of this: first "
        "a2disconf x2gobroker, then docs/how-to/apache-virtualhosts.md",
    )


def _remove(reader: Reader, site: Site) -> Step | None:
    names = [name for name in FORMER if name not in KEPT_PACKAGES and site.installed(name)]
    if not names:
        return None
    versions = [f"{name}={package.version}" for name in names if (package := site.package(name)) is not None]
    notes = [
        f"{folder}/{name}"
        for folder in (HELPER, *(f"{HELPER}/{name}" for name in reader.names(HELPER) if name.endswith(".wants")))
        for name in reader.names(folder)
        if name.startswith("x2gobroker-") and not reader.is_folder(f"{folder}/{name}")
    ]
    # scripts of the packages take their own away
    overrides = tuple(
        undo("dpkg-statoverride", "--force-statoverride-add", "--add", each.user, each.group, each.mode, each.path)
        for each in site.overrides
        if each.path == SSH and "x2gobroker-ssh" in names
    )
    running = [unit.name for unit in site.units if unit.active or unit.enabled]
    restart = ("systemctl", "restart", *running)
    commands = [
        *(aside(reader, path) for path in notes),
        *([command("apt-mark", "manual", "x2gobroker-common")] if site.installed("x2gobroker-common") else []),
        command("apt-get", "-y", "remove", *names, undo=(undo("apt-get", "-y", "install", *versions), *overrides)),
        command("systemctl", "daemon-reload", live=True),
        *([command(*restart, live=True)] if running else []),
    ]
    return Step(
        "remove-packages",
        "Take Debian's packages away",
        tuple(commands),
        note="x2gobroker-common stays, as it owns configuration files; so does Debian's x2gobroker-agent. The way back "
        "needs Debian 12 in apt's sources.",
    )


STEPS: tuple[Callable[[Reader, Site], Step | None], ...] = (
    _copy,
    _guard,
    _programs,
    _account,
    _folders,
    _logs,
    _pam,
    _ssh,
    units,
    _apache,
)


def plan(reader: Reader, site: Site, remove_packages: bool = False) -> list[Step]:
    """The steps that are left to do. None where our Debian package has done it all, or there is nothing to migrate."""
    if site.by_package or not site.is_former:
        return []
    found = [step for make in STEPS if (step := make(reader, site)) is not None and step.commands]
    if [step.id for step in found] == ["copy"]:
        found = []
    if remove_packages and (last := _remove(reader, site)) is not None:
        found.append(last)
    return found


def is_left(site: Site) -> bool:
    """Whether Debian's packages are still installed, once everything else is done."""
    return any(package.state == INSTALLED for package in site.former)
