"""What a site with Debian's x2gobroker 0.0.4.3 is, as values: packages, units, Apache, configuration, accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from x2gobroker.migration.reader import Owner
from x2gobroker.model.profile import SessionProfile
from x2gobroker.settings import IniFile, Problem, Settings
from x2gobroker.ssh.host_keys import KnownKey

INSTALLED, REMOVED, BROKEN = "installed", "removed, not purged", "half installed"
FORMER = (
    "x2gobroker",
    "x2gobroker-agent",
    "x2gobroker-authservice",
    "x2gobroker-common",
    "x2gobroker-daemon",
    "x2gobroker-loadchecker",
    "x2gobroker-ssh",
    "x2gobroker-wsgi",
    "python3-x2gobroker",
)
PROGRAMS = (
    "x2gobroker",
    "x2gobroker-authservice",
    "x2gobroker-daemon",
    "x2gobroker-keygen",
    "x2gobroker-loadchecker",
    "x2gobroker-pubkeyauthorizer",
    "x2gobroker-remote",
    "x2gobroker-ssh",
    "x2gobroker-testagent",
    "x2gobroker-testauth",
)
ACCOUNT = "x2gobroker"
HOME = "/var/lib/x2gobroker"


@dataclass(frozen=True)
class Own:
    """This installation: `prefix` of its virtual environment, `base` of the Python below, `samples` of its files."""

    prefix: str
    base: str
    samples: str
    version: str

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return f"{self.prefix}/bin/{name}"


@dataclass(frozen=True)
class Package:
    """One of Debian's packages, as dpkg knows it. `conffiles`: the MD5 sums that it came with, by path."""

    name: str
    version: str
    state: str
    conffiles: Mapping[str, str] = field(default_factory=dict)

    @property
    def former(self) -> bool:
        """Whether it is of 0.0.4.3 or older, and not one of this project's."""
        return self.version.startswith("0.")


@dataclass(frozen=True)
class DropIn:
    """A file beside a unit that changes it. `keys`: what it sets in `[Service]`; `arguments` of its ExecStart."""

    path: str
    keys: frozenset[str]
    arguments: str | None = None


@dataclass(frozen=True)
class Unit:
    """A unit of systemd. `path`: the file that counts, empty where there is none; `ours`: it starts this broker.

    `arguments`: what stands behind the program in ExecStart, drop-ins included.
    """

    name: str
    path: str = ""
    ours: bool = False
    enabled: bool = False
    active: bool = False
    arguments: str = ""
    drop_ins: tuple[DropIn, ...] = ()


@dataclass(frozen=True)
class ApacheFile:
    """A file that Apache has enabled, and that runs the former broker. `line`: where it says so.

    `is_snippet`: it is that of Debian's package, which can be swapped; others are the site's own.
    """

    path: str
    line: int
    is_snippet: bool
    alias: str
    variables: Mapping[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class StatOverride:
    """A mode that dpkg keeps for a file."""

    user: str
    group: str
    mode: str
    path: str


@dataclass(frozen=True)
class Account:
    """The broker's account, by /etc/passwd and /etc/group."""

    uid: int
    gid: int
    groups: frozenset[int]
    home: str
    shell: str

    def may_read(self, owner: Owner) -> bool:
        """Whether a file's owner, group and mode let it read the file."""
        if self.uid in (0, owner.uid):
            return bool(self.uid == 0 or owner.mode & 0o400)
        if owner.gid == self.gid or owner.gid in self.groups:
            return bool(owner.mode & 0o040)
        return bool(owner.mode & 0o004)


@dataclass(frozen=True, eq=False)
class Site:
    """What was read of a site.

    `shadowed`: what root finds in PATH instead of programs of ours, as paths, or as names where nothing is found.
    `ignored`: what files of init scripts set, and units do not read, each with its file. `files`: owners and modes of
    what the configuration names. `changed`: configuration files of Debian's packages that the site has changed.
    `reachable`: the broker's account and our units get at this installation.
    """

    own: Own
    packages: tuple[Package, ...] = ()
    units: tuple[Unit, ...] = ()
    systemd: bool = False
    apache: tuple[ApacheFile, ...] = ()
    has_apache: bool = False
    has_ours_in_apache: bool = False
    overrides: tuple[StatOverride, ...] = ()
    diverted: frozenset[str] = frozenset()
    account: Account | None = None
    settings: Settings = field(default_factory=Settings)
    problems: tuple[Problem, ...] = ()
    profiles: tuple[SessionProfile, ...] = ()
    profile_texts: IniFile = field(default_factory=lambda: IniFile(""))
    known_hosts: tuple[KnownKey, ...] = ()
    keys: tuple[str, ...] = ()
    shadowed: tuple[str, ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Owner] = field(default_factory=dict)
    logrotate: tuple[str, ...] = ()
    changed: frozenset[str] = frozenset()
    loggers: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    reachable: bool = True

    def package(self, name: str) -> Package | None:
        """A package by its name, None where dpkg does not know it."""
        return next((package for package in self.packages if package.name == name), None)

    def installed(self, name: str) -> bool:
        """Whether Debian's package of this name is there, and not only its configuration."""
        package = self.package(name)
        return package is not None and package.former and package.state == INSTALLED

    def unit(self, name: str) -> Unit:
        """A unit by its name; one without a file where there is none."""
        return next((unit for unit in self.units if unit.name == name), Unit(name))

    @property
    def former(self) -> tuple[Package, ...]:
        """Debian's packages of 0.0.4.3, installed or removed."""
        return tuple(package for package in self.packages if package.former)

    @property
    def by_package(self) -> bool:
        """Whether this broker is here by its own Debian package, which has done everything itself."""
        package = self.package("x2gobroker")
        return package is not None and not package.former and package.state == INSTALLED

    @property
    def is_former(self) -> bool:
        """Whether there is anything of 0.0.4.3 to migrate."""
        return bool(self.former or self.apache) or any(unit.path and not unit.ours for unit in self.units)

    @property
    def inside_apache(self) -> bool:
        """Whether the former broker runs in Apache."""
        return bool(self.apache)
