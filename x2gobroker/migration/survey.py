"""Reads a site: `read_site` gives a `Site` of what is below the root folder, whatever is in its files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath

from x2gobroker.backends.inifile import compile_profiles
from x2gobroker.migration.apache import read_apache
from x2gobroker.migration.reader import Owner, Reader
from x2gobroker.migration.site import (
    ACCOUNT,
    BROKEN,
    FORMER,
    HOME,
    INSTALLED,
    PROGRAMS,
    REMOVED,
    Account,
    Own,
    Package,
    Site,
    StatOverride,
)
from x2gobroker.migration.units import read_units
from x2gobroker.model.profile import SessionProfile
from x2gobroker.settings import BACKEND_PREFIX, ENVIRONMENT, IniError, IniFile, Problem, Settings, parse_ini
from x2gobroker.settings.snapshot import options_of
from x2gobroker.settings.source import contradictions, overridden_by, read_config, read_environment
from x2gobroker.ssh.host_keys import KnownKey, parse_known_hosts

DEFAULTS = "/etc/x2go/broker/defaults.conf"
INIT_FILES = tuple(
    f"/etc/default/{name}"
    for name in ("python-x2gobroker", "x2gobroker-daemon", "x2gobroker-authservice", "x2gobroker-loadchecker")
)
PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
ROTATED = tuple(f"x2gobroker-{name}" for name in ("daemon", "authservice", "loadchecker", "wsgi"))
INIT_VARIABLE = re.compile(r"\s*(?:export\s+)?([A-Z][A-Z0-9_]*)=(.*)")
STATES = {"installed": INSTALLED, "config-files": REMOVED}
SYSTEM_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"
HIDDEN = ("/root/", "/home/", "/run/user/")  # from units with ProtectHome=
LOGGERS = ("X2GOBROKER_LOGCONFIG", "X2GOBROKER_AUTHSERVICE_LOGCONFIG", "X2GOBROKER_LOADCHECKER_LOGCONFIG")


def read_site(reader: Reader, own: Own, active: Collection[str] = ()) -> Site:
    """What is there. `active`: units that run, which no file tells. Never raises for what a file holds."""
    apache, ours_in_apache = read_apache(reader)
    packages = read_packages(reader.text("/var/lib/dpkg/status") or "")
    variables = dict(apache[0].variables) if apache else {}
    settings, problems = read_settings(reader, variables)
    texts, profiles, profile_problems = read_profiles(reader, settings)
    account = read_account(reader)
    home = account.home if account else HOME
    folder = settings.environment("X2GOBROKER_SSH_FOLDER") or f"{home}/.ssh"
    paths = [
        settings.environment("X2GOBROKER_CONFIG"),
        settings.environment("X2GOBROKER_SSL_CERTFILE"),
        settings.environment("X2GOBROKER_SSL_KEYFILE"),
        settings.text(BACKEND_PREFIX + "inifile", "session-profiles"),
        settings.text("global", "cookie-directory"),
        "/var/log/x2gobroker",
        "/run/x2gobroker",
        "/usr/bin/x2gobroker-ssh",
        HOME,
    ]
    return Site(
        own,
        packages,
        read_units(reader, own, active),
        reader.is_folder("/run/systemd/system"),
        apache,
        reader.is_folder("/etc/apache2"),
        ours_in_apache,
        tuple(_overrides(reader.text("/var/lib/dpkg/statoverride") or "")),
        _diverted(reader.text("/var/lib/dpkg/diversions") or ""),
        account,
        settings,
        tuple(dict.fromkeys((*problems, *profile_problems))),
        profiles,
        texts,
        tuple(_known_hosts(reader, (f"{folder}/known_hosts", SYSTEM_KNOWN_HOSTS))),
        tuple(f"{folder}/{name}" for name in reader.names(folder) if name.startswith("id_") and "." not in name),
        tuple(_shadowed(reader, own)),
        _ignored(reader),
        dict(_owners(reader, paths)),
        tuple(f"/etc/logrotate.d/{name}" for name in ROTATED if reader.present(f"/etc/logrotate.d/{name}")),
        frozenset(_changed(reader, packages)),
        tuple(path for name in LOGGERS if reader.present(path := settings.environment(name))),
        tuple(reader.faults),
        _reachable(reader, own.prefix),
    )


def read_packages(text: str) -> tuple[Package, ...]:
    """Packages of the broker in dpkg's status file, those that are not installed any more included."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        if not re.search(r"^Package: \S*x2gobroker", stanza, re.MULTILINE):
            continue
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.split("\n"):
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        status = fields.get("Status", "").split()[-1:]
        version = fields.get("Version") or fields.get("Config-Version", "")
        if fields["Package"] not in FORMER or status in ([], ["not-installed"]):
            continue
        sums = (line.split() for line in fields.get("Conffiles", "").splitlines())
        conffiles = {words[0]: words[1] for words in sums if len(words) >= 2}
        found.append(Package(fields["Package"], version, STATES.get(status[0], BROKEN), conffiles))
    return tuple(sorted(found, key=lambda package: package.name))


def read_settings(reader: Reader, variables: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """The settings that this broker will have, and what is wrong with the files. `variables`: those of Apache."""
    defaults, faults = _ini(reader, DEFAULTS)
    environment, problems = read_environment(defaults, "daemon", variables)
    default = options_of(ENVIRONMENT)["X2GOBROKER_CONFIG"].default
    config, more = _ini(reader, str(environment.get((ENVIRONMENT, "X2GOBROKER_CONFIG"), default)))
    values, wrong = read_config(config)
    wrong += contradictions(values, config)
    overrides = overridden_by(environment, variables, values)
    settings = Settings({**values, **environment, **overrides}, (), usable=not more)
    return settings, [*faults, *more, *problems, *wrong]


def _ini(reader: Reader, path: str, keep_faults: bool = False) -> tuple[IniFile, list[Problem]]:
    """A file, empty where it is missing or cannot be understood, and what is wrong with it."""
    text = reader.text(path)
    try:
        return parse_ini((text or "").removeprefix("\ufeff"), path, keep_faults), []
    except IniError as error:
        return IniFile(path), [error.problem]


def read_profiles(reader: Reader, settings: Settings) -> tuple[IniFile, tuple[SessionProfile, ...], list[Problem]]:
    """The session profiles of the backend inifile, as text and as this broker takes them, and what is wrong there."""
    path = settings.text(BACKEND_PREFIX + "inifile", "session-profiles")
    texts, problems = _ini(reader, path, keep_faults=True)
    compiled = compile_profiles(texts)
    return texts, compiled.profiles.profiles, [*problems, *compiled.problems]


def read_account(reader: Reader) -> Account | None:
    """The broker's account by /etc/passwd, None where there is none."""
    groups = set()
    for line in (reader.text("/etc/group") or "").split("\n"):
        words = line.split(":")
        if len(words) >= 4 and words[2].isdecimal() and ACCOUNT in words[3].split(","):
            groups.add(int(words[2]))
    for line in (reader.text("/etc/passwd") or "").split("\n"):
        words = line.split(":")
        if words[0] == ACCOUNT and len(words) >= 7 and words[2].isdecimal() and words[3].isdecimal():
            return Account(int(words[2]), int(words[3]), frozenset(groups), words[5], words[6])
    return None


def _overrides(text: str) -> Iterator[StatOverride]:
    for line in text.split("\n"):
        words = line.split()
        if len(words) == 4 and "x2gobroker" in words[3]:
            yield StatOverride(*words)


def _diverted(text: str) -> frozenset[str]:
    """The files that dpkg leaves alone: the first of each three lines."""
    return frozenset(text.removesuffix("\n").split("\n")[::3])


def _known_hosts(reader: Reader, paths: tuple[str, ...]) -> Iterator[KnownKey]:
    for path in paths:
        yield from parse_known_hosts(reader.text(path) or "", path)[0]


def _shadowed(reader: Reader, own: Own) -> Iterator[str]:
    """Names of programs for which root finds another one than ours first."""
    for name in PROGRAMS:
        first = next((f"{folder}/{name}" for folder in PATH if reader.present(f"{folder}/{name}")), "")
        if first and reader.real(first) not in (own.program(name), reader.real(own.program(name))):
            yield first
        elif not first:
            yield name


def _ignored(reader: Reader) -> dict[str, str]:
    """Variables in files of the init scripts, which no unit of systemd's reads, by name; with their files."""
    found = {}
    for path in INIT_FILES:
        for line in (reader.text(path) or "").split("\n"):
            match = INIT_VARIABLE.match(line)
            if match and not match[1].startswith("START_"):
                found[f"{match[1]}={match[2].strip()}"] = path
    return found


def _owners(reader: Reader, paths: list[str]) -> Iterator[tuple[str, Owner]]:
    for path in filter(None, paths):
        owner = reader.owner(path)
        if owner is not None:
            yield path, owner


def _reachable(reader: Reader, prefix: str) -> bool:
    """Whether every account, and our units, get at this installation: ProtectHome= hides some folders from them."""
    folders = [prefix, *map(str, PurePosixPath(prefix).parents)][:-1]
    modes = [owner.mode for folder in folders if (owner := reader.owner(folder)) is not None]
    return not prefix.startswith(HIDDEN) and all(mode & 0o001 for mode in modes)


def _changed(reader: Reader, packages: tuple[Package, ...]) -> Iterator[str]:
    """Configuration files of Debian's packages that the site has changed."""
    for package in packages:
        for path, sum_ in package.conffiles.items():
            text = reader.text(path)
            if text is not None and hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() != sum_:
                yield path
