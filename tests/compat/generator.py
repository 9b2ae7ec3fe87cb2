"""Configurations and requests by chance, but the same ones on every run."""

from __future__ import annotations

import grp
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.compat.exchange import FORM, Authid, Fields, Request
from tests.compat.scenario import Files, Scenario, ini

SEED = 20044
BOOLEAN = {True: ["true", "yes", "on", "1", "True", "YES", "On"], False: ["false", "no", "off", "0", "False", "NO"]}
BOOLEANS = [
    "kdrive",
    "defsndport",
    "useiconv",
    "fullscreen",
    "useexports",
    "print",
    "xinerama",
    "usekbd",
    "fstunnel",
    "multidisp",
    "sound",
    "rootless",
    "soundtunnel",
    "directrdp",
]
INTEGERS = {"height": 1080, "quality": 7, "width": 1920, "speed": 3, "sndport": 4714, "sshproxyport": 2022,
            "dpi": 120, "setdpi": 1}  # fmt: skip
TEXTS = {
    "iconvfrom": ["ISO-8859-1", "not-set"],
    "iconvto": ["UTF-8", "ISO-8859-15"],
    "export": ["", "/home/share:1;", "not-set", "a = b", "/one:1;\n/two:0;"],
    "layout": ["de", "us,de", "not-set"],
    "variant": ["nodeadkeys", ""],
    "soundsystem": ["pulse", "none", "esd"],
    "type": ["pc105/us", "auto"],
    "pack": ["16m-png", "4k-jpeg", "not-set"],
    "clipboard": ["both", "none"],
    "icon": [":icons/128x128/x2gosession.png", "https://example.org/i.png"],
    "usebrokerpass": ["true", "false"],
    "sessiontitle": ["Büro %u 100%", "not-set"],
    "some-later-option": ["äöü; x", "1", "%(here)s ${there}"],
    "user": ["BROKER_USER", "fixed", "broker_user", "xBROKER_USER"],
    "applications": ["TERMINAL, OFFICE", "TERMINAL", "WWWBROWSER,,MAILCLIENT,"],
    "sshproxyhost": ["gate.example.org"],
    "default": ["true"],
    "autologin": ["true", "false"],
    "published": ["yes", "0"],
    "rdpport": ["3390"],
    "rdpserver": ["rdp.example.org"],
    "krblogin": ["sometimes"],
    "Height": ["700"],
}
COMMANDS = [
    "KDE", "kde", "Gnome", "XFCE", "cinnamon", "mate", "Lxde", "trinity", "UNITY", "IceWM", "openbox", "xdmcp",
    "TERMINAL", "terminal", "SHADOW", "shadow", "firefox -P x", "/usr/bin/xterm", "FLUXBOX",
]  # fmt: skip
PROFILE_NAMES = ["alpha", "Beta", "gamma delta", "x.y", "ünï", "0", "a-b_c", "ZULU", "prof/one", "e=mc", "k&r+%41"]
HOSTS: list[tuple[str, tuple[str, str | None]]] = [
    ("h1.example.org", ("h1.example.org", None)),
    ("10.0.2.18", ("10.0.2.18", None)),
    ("ts1 (10.0.2.19)", ("10.0.2.19", None)),
    ("ts2 (10.0.2.20:2222)", ("10.0.2.20", "2222")),
    ("ts3 (real.example.org)", ("real.example.org", None)),
    ("ts4.example.org (real4.example.org:2022)", ("real4.example.org", "2022")),
    ("short", ("short", None)),
]
CLIENTS = ["127.0.0.1", "127.0.0.0/8", "127.0.0.1/32", "127.0.0.0/255.0.0.0", "ALL", "0.0.0.0/0", "10.0.0.0/8",
           "192.168.1.7", "::1", "::/0", "2001:db8::/32", "127.0.0.2", "127.4.0.0/16"]  # fmt: skip
ORDERS = ["allow-deny", "deny-allow", "", "Allow-Deny", "allow-deny\n", "nonsense"]
AUTHIDS: list[str | Authid] = [Authid.UNKNOWN, Authid.FOREIGN, "nonsense", "../x"]
METHODS = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO"]
PATHS = ["/{}/inifile", "/{}/inifile/", "/{}/", "/{}/inifile"]
CONTENT_TYPES = ["application/x-www-form-urlencoded; charset=UTF-8", "text/plain", "application/json", "x", "", None]


def groups_with_members() -> list[tuple[str, str]]:
    """Up to four (group, member) pairs of this machine, from group memberships that are not primary."""
    return [(entry.gr_name, entry.gr_mem[0]) for entry in sorted(grp.getgrall()) if entry.gr_mem][:4]


@dataclass
class Choice:
    """The dice, and who there is."""

    rng: random.Random
    users: list[str]
    groups: list[str]

    def chance(self, part: float) -> bool:
        """True in `part` of all cases."""
        return self.rng.random() < part

    def some(self, items: Sequence[str], most: int) -> list[str]:
        """One to `most` of the items, each once."""
        return self.rng.sample(items, self.rng.randint(1, min(most, len(items))))

    def boolean(self, value: bool) -> str:
        """One spelling of it."""
        return self.rng.choice(BOOLEAN[value])


def _conf(dice: Choice, mode: str) -> str:
    flags = {
        "cookie-directory": "{state}",
        "default-portscan-x2goservers": dice.boolean(False),
        "default-auth-mech": dice.rng.choice(["none", "None", "NONE"]),
        "my-cookie-file": "/nonexistent",
        "verify-ip": dice.boolean(dice.chance(0.5)),
    }
    if mode == "open":
        if dice.chance(0.3):
            flags["check-credentials"] = dice.boolean(False)
        else:
            flags |= {"require-password": dice.boolean(False), "require-cookie": dice.boolean(False)}
        flags["enable-uccs-output"] = dice.boolean(dice.chance(0.8))
    elif mode == "pre-shared":
        flags |= {"require-password": dice.boolean(False), "require-cookie": dice.boolean(True),
                  "my-cookie": "0f0f0f0f-aaaa-bbbb-cccc-0123456789ab"}  # fmt: skip
    elif dice.chance(0.3):
        flags |= {"require-password": dice.boolean(True), "check-credentials": dice.boolean(True)}
    if mode == "static" or dice.chance(0.05):
        flags["use-static-cookie"] = dice.boolean(True)
    for frontend in ("plain", "json"):
        if dice.chance(0.15):
            flags[f"enable-{frontend}-output"] = dice.boolean(dice.chance(0.6))
    if dice.chance(0.25):
        flags["ignore-primary-group-memberships"] = dice.boolean(dice.chance(0.5))
    if dice.chance(0.3):
        flags["plain-refusal"] = "status"
    inifile = {"enable": dice.boolean(dice.chance(0.97)), "use-load-checker": "no", "auth-mech": "none"}
    zeroconf = {"enable": dice.boolean(dice.chance(0.5)), "auth-mech": "none"}
    if dice.chance(0.5):
        zeroconf["desktop-shell"] = dice.rng.choice(["XFCE", "mate", "Lxde"])
    return ini({"global": flags, "broker_inifile": inifile, "broker_zeroconf": zeroconf})


def _acls(dice: Choice) -> dict[str, str]:
    rules: dict[str, str] = {}
    for kind, names in (("users", [*dice.users, "ALL", "nobody-here"]), ("groups", dice.groups), ("clients", CLIENTS)):
        if not dice.chance(0.35):
            continue
        for word in ("allow", "deny"):
            if dice.chance(0.6):
                rules[f"acl-{kind}-{word}"] = dice.rng.choice([",", ", ", " , "]).join(dice.some(names, 3))
        if dice.chance(0.6):
            rules[f"acl-{kind}-order"] = dice.rng.choice(ORDERS)
    if dice.chance(0.1):
        rules["acl-users-allow"] = ""
    return rules


def _options(dice: Choice) -> dict[str, str]:
    options: dict[str, str] = {}
    for name in dice.some(BOOLEANS, 5):
        if name != "directrdp" or dice.chance(0.3):
            options[name] = dice.boolean(dice.chance(0.5))
    for name in dice.some(list(INTEGERS), 3):
        options[name] = "not-set" if dice.chance(0.2) else str(INTEGERS[name])
    for name in dice.some(list(TEXTS), 5):
        options[name] = dice.rng.choice(TEXTS[name])
    if dice.chance(0.2):
        options["sshport"] = dice.rng.choice(["22", "2200"])
    if dice.chance(0.15):
        options["broker-session-autologin"] = dice.rng.choice(["true", "1", "TRUE", "false", "0", ""])
    if dice.chance(0.15):
        options["broker-authorized-keys"] = "%h/.ssh/keys"
    items = list(options.items())
    dice.rng.shuffle(items)
    return dict(items)


def _hosts(dice: Choice, sshport: str, none: bool) -> tuple[str, frozenset[tuple[str, str]]]:
    if none and dice.chance(0.07):
        return "", frozenset()
    if dice.chance(0.1):
        return "localhost", frozenset({("localhost", sshport)})
    chosen = dice.rng.sample(HOSTS, dice.rng.choice([1, 1, 1, 2, 3]))
    servers = frozenset((address, port or sshport) for _, (address, port) in chosen)
    return dice.rng.choice([",", ", "]).join(text for text, _ in chosen) + dice.rng.choice(["", "", ","]), servers


def _profiles(dice: Choice, none: bool) -> tuple[str, dict[str, frozenset[tuple[str, str]]], list[str]]:
    sections: dict[str, dict[str, str]] = {}
    servers: dict[str, frozenset[tuple[str, str]]] = {}
    defaults: dict[str, str] = {}
    if dice.chance(0.6):
        defaults = {**_options(dice), **(_acls(dice) if dice.chance(0.25) else {})}
        sections["DEFAULT"] = defaults
    names = dice.rng.sample(PROFILE_NAMES, dice.rng.choice([0, 1, 2, 3, 4, 6]))
    for name in names:
        options = {"name": f"The {name}", **_options(dice), "command": dice.rng.choice(COMMANDS)}
        hosts, allowed = _hosts(dice, options.get("sshport", defaults.get("sshport", "22")), none)
        if options["command"] == "SHADOW" and not hosts:
            hosts, allowed = "h9", frozenset({("h9", options.get("sshport", defaults.get("sshport", "22")))})
        if not dice.chance(0.05) or options["command"] == "SHADOW":
            options["host"] = hosts
            servers[name] = allowed
        if dice.chance(0.6):
            options |= _acls(dice)
        sections[name] = options
    return ini(sections), servers, names


def _login(dice: Choice, user: str, authid: str | Authid, password: bool = True) -> Fields:
    fields: list[tuple[str, str | Authid]] = [("user", dice.rng.choice([user, user, f" {user} ", f"{user}\t"]))]
    # beside a password, an authid that turns out to be dead is a login here: see the deviation dead-authid
    if password and not isinstance(authid, Authid):
        fields.append(("password", dice.rng.choice(["secret", "p@ss w&rd+é", ""])))
    fields.append(("authid", authid))
    return tuple(fields)


def _session(dice: Choice, mode: str, user: str, names: Sequence[str]) -> Iterator[Request]:
    """What a client says from its login to its session, with some odd things in between."""
    frontend = dice.rng.choice(["plain", "json"])
    path = dice.rng.choice(PATHS).format(frontend)
    first: str | Authid = "0f0f0f0f-aaaa-bbbb-cccc-0123456789ab" if mode == "pre-shared" else ""
    last: str | Authid = first if mode == "pre-shared" else Authid.LAST
    listing = dice.rng.choice(["listsessions", "listprofiles"]) if frontend == "json" else "listsessions"
    yield Request(frontend, path, (("task", listing), *_login(dice, user, first)))
    for _ in range(dice.rng.randint(1, 3)):
        yield _selection(dice, frontend, path, user, last, names)
    if mode == "open":
        yield from (Request("uccs", f"/uccs/inifile/api/{version}", method="GET") for version in "45")
    for _ in range(dice.rng.randint(1, 3)):
        yield _odd(dice, frontend, path, user, last)
    yield Request(frontend, path, (("task", listing), *_login(dice, user, first)))


def _selection(
    dice: Choice, frontend: str, path: str, user: str, authid: str | Authid, names: Sequence[str]
) -> Request:
    wanted = dice.rng.choice([*names, *names, "no-such-profile", "DEFAULT", ""])
    key = "sid" if frontend == "plain" or dice.chance(0.3) else "profile-id"
    fields: Fields = (("task", "selectsession"), (key, dice.rng.choice([wanted, f" {wanted}"])),
                      *_login(dice, user, authid, dice.chance(0.5)))  # fmt: skip
    if dice.chance(0.4):
        fields += (("login", dice.rng.choice([user, "other"])),)
    if frontend == "json" and dice.chance(0.5):
        fields += (("pubkey", "no-pty ssh-rsa AAAA me@here"),)
    return Request(frontend, path, fields, content_type=dice.rng.choice([*CONTENT_TYPES, *[FORM] * 6]))


def _odd(dice: Choice, frontend: str, path: str, user: str, last: str | Authid) -> Request:
    """Requests that real clients do not send, or seldom."""
    again = (("task", "listsessions"), *_login(dice, user, last))
    wrong: str | Authid = dice.rng.choice(AUTHIDS)
    other = next(name for name in dice.users if name != user)
    return dice.rng.choice([
        Request(frontend, path, _login(dice, user, "")),
        Request(frontend, path, (("task", "setpass"), ("newpass", "x"), *_login(dice, user, ""))),
        Request(frontend, path, (("task", "no-such-task"), *_login(dice, user, last))),
        Request(frontend, path, (("task", "listsessions"), *_login(dice, user, wrong, False))),
        Request(frontend, path, (("task", "listsessions"), *_login(dice, other, last))),
        Request(frontend, path, again, method=dice.rng.choice(METHODS)),
        Request(frontend, path, (), query=again),
        Request(frontend, path, (*again, ("task", "no-such-task"), ("user", user))),
        Request(frontend, path, again, query=(("task", "selectsession"), ("sid", "alpha"))),
        Request(frontend, f"/{frontend}/{dice.rng.choice(['nosuch', 'ldap', 'INIFILE'])}/", again),
        Request(frontend, f"/{dice.rng.choice(['nosuch', frontend.upper()])}/inifile/", again),
        Request(frontend, path, (("task", "clientevent"), ("sid", "anna-50-1_stDKDE_dp24"), ("event", "CONNECTED"),
                                 *_login(dice, user, last))),
        Request("plain", "/plain/zeroconf/", (("task", "listsessions"), *_login(dice, user, ""))),
        Request("plain", "/plain/zeroconf", (("task", "selectsession"), ("sid", "localhost"), *_login(dice, user, ""))),
        Request("json", "/json/zeroconf", (("task", "selectsession"), ("sid", "x"), *_login(dice, user, ""))),
        Request("uccs", f"/uccs/inifile/api/{dice.rng.choice('45')}", method="GET"),
        Request(frontend, path, again, address="127.0.0.2"),
        Request(frontend, path, (("task", "listsessions"), *_login(dice, user, "")), address="127.4.5.6"),
        Request("page", dice.rng.choice(["/", "/pubkeys", "/pubkeys/"]), method="GET"),
        Request(frontend, path, method="POST", raw=b"=&&&;task&user=%zz&+=&password", content_type=None),
    ])  # fmt: skip


def scenarios(count: int, seed: int = SEED) -> Iterator[Scenario]:
    """`count` scenarios, no two of them alike in their files."""
    pairs = groups_with_members()
    users = ["anna", "bert", "root", "daemon", "Änne", "dots.and-dashes_9", *[member for _, member in pairs][:2]]
    groups = ["root", "daemon", "adm", "users", "ALL", "no-such-group", *[group for group, _ in pairs]]
    for number in range(count):
        dice = Choice(random.Random(f"{seed}-{number}"), list(dict.fromkeys(users)), list(dict.fromkeys(groups)))
        mode = dice.rng.choice(["password"] * 5 + ["static", "open", "pre-shared"])
        conf = _conf(dice, mode)
        profiles, servers, names = _profiles(dice, none=mode != "open")
        requests: list[Request] = []
        for user in dice.some(dice.users, 2):
            requests += _session(dice, mode, user, names)
        yield Scenario.of(f"generated {number} ({mode})", Files(conf, profiles), requests, servers=servers)
