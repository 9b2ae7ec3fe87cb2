"""What the brokers under test are given: session profiles, configuration, and the users and groups of a system."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USER = "bench-user"
VISIBLE = 5  # profiles that USER may see, however many there are
CHOSEN = "visible-4"  # the profile that is selected: one host, let in by a group rule
CHOSEN_SERVER = "SERVER:app4.example.org:22"

OTHER_USERS = tuple(f"user{number:03}" for number in range(1, 61))
NEWCOMERS = tuple(f"guest{number:03}" for number in range(1, 61))  # see VISIBLE profiles too, all by group
OTHER_GROUPS = tuple(f"team{number:02}" for number in range(1, 31))
MY_GROUPS = ("visitors", "printing", "projects", "vpn")  # no profile but the visible ones lets in "visitors"

DEFAULTS = """[DEFAULT]
command = TERMINAL
applications = TERMINAL, WWWBROWSER, MAILCLIENT, OFFICE
rootless = true
sound = true
soundsystem = pulse
soundtunnel = true
defsndport = true
sndport = 4713
print = true
fstunnel = true
useexports = true
export =
useiconv = false
iconvfrom = UTF-8
iconvto = UTF-8
usekbd = true
layout = de
variant = nodeadkeys
type = auto
fullscreen = false
width = 1280
height = 800
xinerama = false
multidisp = false
speed = 2
pack = 16m-jpeg
quality = 9
dpi = 96
setdpi = 0
sshport = 22
sshproxyport = 22
kdrive = false
directrdp = false
user = BROKER_USER
broker-agent-query-mode = NONE
broker-portscan-x2goservers = false
"""


def _profile(name: str, title: str, number: int, *rules: str) -> str:
    """One section; every seventh profile has three hosts, but never one of the first few."""
    host = f"app{number}.example.org"
    if number >= VISIBLE and number % 7 == 0:
        host = ", ".join(f"app{number}{letter}.example.org" for letter in "abc")
    desktop = ("KDE", "XFCE", "TERMINAL")[number % 3]
    lines = [f"[{name}]", f"name = {title}", f"host = {host}", f"command = {desktop}", *rules]
    return "\n".join(lines) + "\n"


def _visible(number: int) -> str:
    """A profile for USER: the even ones by a group rule, the odd ones by a user rule."""
    others = ", ".join((OTHER_USERS + OTHER_USERS)[number * 4 : number * 4 + 6])
    teams = ", ".join(OTHER_GROUPS[number * 3 : number * 3 + 3])
    rule = f"acl-users-allow = {others}, {USER}" if number % 2 else f"acl-groups-allow = {teams}, visitors"
    return _profile(f"visible-{number}", f"Desktop {number}", number, rule)


def _hidden(number: int) -> str:
    """A profile for others, by user or by group; the first two would let USER in by group and deny by name."""
    if number < VISIBLE + 2:
        rules = ["acl-groups-allow = visitors", f"acl-users-deny = {USER}"]
    elif number % 2:
        users = (OTHER_USERS[(number + step * 7) % len(OTHER_USERS)] for step in range(6))
        rules = [f"acl-users-allow = {', '.join(users)}"]
    else:
        groups = (OTHER_GROUPS[(number + step * 5) % len(OTHER_GROUPS)] for step in range(3))
        rules = [f"acl-groups-allow = {', '.join(groups)}"]
    return _profile(f"hidden-{number:05}", f"Department {number}", number, *rules)


def profiles_text(count: int) -> str:
    """A profiles file with `count` profiles of which USER may see exactly VISIBLE."""
    if count < VISIBLE + 2:
        raise ValueError(f"at least {VISIBLE + 2} profiles")
    sections = [DEFAULTS, *(_visible(number) for number in range(VISIBLE))]
    sections += [_hidden(number) for number in range(VISIBLE, count)]
    return "\n".join(sections)


def config_text(*, static: bool, mechanism: str = "none", more: str = "") -> str:
    """A configuration that both brokers understand; `{state}` stands for the folder of the broker's state."""
    return f"""[global]
require-password = true
require-cookie = false
use-static-cookie = {str(static).lower()}
cookie-directory = {{state}}
verify-ip = true
enable-plain-output = true
enable-json-output = true
default-auth-mech = {mechanism}
default-agent-query-mode = NONE
default-portscan-x2goservers = false

[broker_zeroconf]
enable = true
auth-mech = none

[broker_inifile]
enable = true
auth-mech = {mechanism}
{more}"""


def _groups(count: int) -> Iterator[str]:
    """Lines of a group file with exactly `count` groups."""
    yield "root:x:0:"
    yield "nogroup:x:65534:"
    yield f"{USER}:x:5000:"
    for number, name in enumerate(MY_GROUPS, 5001):
        yield f"{name}:x:{number}:{','.join((USER, *NEWCOMERS))}"
    rest = count - 3 - len(MY_GROUPS)
    names = (*OTHER_GROUPS, *(f"unrelated{number:05}" for number in range(rest)))
    for number, name in enumerate(names[:rest]):
        members = ",".join(OTHER_USERS[(number + step * 11) % len(OTHER_USERS)] for step in range(5))
        yield f"{name}:x:{6000 + number}:{members}"


@dataclass(frozen=True)
class Accounts:
    """A system's users and groups: two files to be mounted over /etc/passwd and /etc/group of one program only."""

    passwd: Path
    group: Path
    groups: int

    @classmethod
    def write(cls, folder: Path, groups: int) -> Accounts:
        """Write the files of a system with exactly this many groups."""
        made = cls(folder / f"passwd-{groups}", folder / f"group-{groups}", groups)
        lines = ["root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"]
        lines += [
            f"{name}:x:{number}:5000::/nonexistent:/usr/sbin/nologin"
            for number, name in enumerate((USER, *OTHER_USERS, *NEWCOMERS), 5000)
        ]
        made.passwd.write_text("\n".join(lines) + "\n")
        text = "\n".join(_groups(groups)) + "\n"
        if text.count("\n") != groups:
            raise ValueError(f"a system needs at least {text.count(chr(10))} groups here")
        made.group.write_text(text)
        return made
