"""The one table of every option of x2gobroker.conf, defaults.conf and the environment.

The sample configuration, the reference page, the messages about unknown names and the typed look-ups are all made
from it. Options of session profiles have a table of their own, `model/profile_options.py`: they are per profile.
"""

from __future__ import annotations

from x2gobroker.model.options import Kind, Option
from x2gobroker.settings.table_portal import PORTAL, PORTAL_ENVIRONMENT
from x2gobroker.settings.table_remote import REMOTE, REMOTE_ENVIRONMENT
from x2gobroker.settings.table_servers import SERVERS, SERVERS_OF_BACKEND
from x2gobroker.settings.table_services import AUTH_MECHANISMS, ENVIRONMENT

REFERENCE = "0.0.4"
OURS = "1.0"

B, N, T, L, P, C = Kind.BOOLEAN, Kind.INTEGER, Kind.TEXT, Kind.LIST, Kind.PATH, Kind.CHOICE


def _global(name: str, kind: Kind, default: bool | int | str | tuple[str, ...], text: str, **more: object) -> Option:
    return Option("global", name, kind, default, text, **more)  # type: ignore[arg-type]


GLOBAL = (
    _global(
        "require-password", B, True, "Have the auth mechanism check the user name and password that a client sends."
    ),
    _global(
        "require-cookie",
        B,
        False,
        "Require an authid with every request; at first contact, the pre-shared one from `my-cookie-file`. If this "
        "and `require-password` are both false, everybody gets in without credentials.",
    ),
    _global(
        "use-static-cookie",
        B,
        False,
        "Keep one authid per login instead of giving out a new one with every answer.",
    ),
    _global(
        "auth-timeout",
        N,
        36000,
        "Seconds after the login during which an authid replaces the password.",
        minimum=0,
        maximum=366 * 86400,
    ),
    _global(
        "cookie-directory",
        P,
        "/var/lib/x2gobroker/cookies",
        "Folder of the state store (an SQLite file) if `database-url` is not set. The broker creates the folder if it "
        "is missing, for its own user only. It stores only hashes of authids.",
    ),
    _global(
        "database-url",
        T,
        "",
        "Database for the state store, such as `postgresql://user:password@host/name`. Brokers on several hosts that "
        "name the same database share their logins. Empty: an SQLite file in `cookie-directory`.",
        since=OURS,
        secret=True,
    ),
    _global(
        "pre_auth_scripts",
        L,
        (),
        "Scripts to run before a login is checked: names from the entry-point group `x2gobroker.scripts`, in the "
        "order in which they run.",
    ),
    _global(
        "post_auth_scripts",
        L,
        (),
        "Scripts to run after a login has been checked: names from the entry-point group `x2gobroker.scripts`, in the "
        "order in which they run.",
    ),
    _global(
        "select_session_scripts",
        L,
        (),
        "Scripts to run once a server has been chosen: names from the entry-point group `x2gobroker.scripts`, in the "
        "order in which they run.",
    ),
    _global(
        "my-cookie",
        T,
        "",
        "The pre-shared authid itself. Everybody who can read the configuration file knows it.",
        secret=True,
        deprecated="put it into the file that `my-cookie-file` names",
    ),
    _global(
        "my-cookie-file",
        P,
        "/etc/x2go/broker/x2gobroker.authid",
        "File with the pre-shared authid: the first word of the first line that is not a comment. It overrides "
        "`my-cookie`. Make it readable only for the broker's group.",
    ),
    _global(
        "my-cookie-old-file",
        P,
        "",
        "File with the previous pre-shared authid, which the broker also accepts while you give clients the new one. "
        "Empty: it accepts only the one in `my-cookie-file`.",
        since=OURS,
    ),
    _global("verify-ip", B, True, "Accept an authid only from the address that logged in."),
    _global(
        "trusted-proxies",
        L,
        (),
        "Addresses and networks of web servers in front of `x2gobroker-daemon`. From these, the broker takes the last "
        "entry of the header X-Forwarded-For as the client's address; it may have a port, brackets or quotes. If the "
        "broker cannot read the entry, or the header is missing and another one of web servers is there, such as "
        "X-Forwarded-Proto or Via, the client has no address, and no rule on addresses lets it in. The last entries of "
        "X-Forwarded-Proto and X-Forwarded-Host say what the browser asked for. Apache with mod_wsgi needs none.",
        since=OURS,
    ),
    _global(
        "daemon-path",
        T,
        "",
        "If a web server in front of `x2gobroker-daemon` passes on only requests below a path of its host: that path, "
        "such as `/x2gobroker`. The web server must pass the path on unchanged. Desktops in the browser are below "
        "that path, too. Apache with mod_wsgi needs none.",
        since=OURS,
    ),
    _global("enable-plain-output", B, True, "Serve `/plain/`, the text frontend of X2Go Client.", on_error=False),
    _global("enable-json-output", B, True, "Serve `/json/`, the frontend of PyHoca and Python X2Go.", on_error=False),
    _global("enable-uccs-output", B, False, "Serve `/uccs/`, the frontend of login greeters."),
    _global(
        "my-uccs-url-base",
        T,
        "http://localhost:8080/",
        "URL of this broker as greeters reach it; it appears in the UCCS answers.",
    ),
    _global("default-auth-mech", T, "pam", "Auth mechanism for backends that do not name one."),
    _global(
        "default-second-factor",
        C,
        "off",
        "Who has to type a six-digit code after the password, from a phone enrolled with `x2gobroker totp enroll`: "
        "`off`, nobody; `enrolled`, users who are enrolled; `required`, everybody, and users who are not enrolled "
        "cannot log in. A backend's `second-factor` overrides it.",
        since=OURS,
        choices=("off", "enrolled", "required"),
        on_error="required",
    ),
    _global(
        "default-second-factor-groups",
        L,
        (),
        "Only members of these groups need the code; empty: everybody. A backend's `second-factor-groups` overrides "
        "it.",
        since=OURS,
    ),
    _global(
        "default-second-factor-exempt-networks",
        L,
        (),
        "Networks and addresses from which no code is needed. A backend's `second-factor-exempt-networks` overrides "
        "it.",
        since=OURS,
    ),
    _global("default-user-db", T, "libnss", "Name service for users, for backends that do not name one."),
    _global("default-group-db", T, "libnss", "Name service for groups, for backends that do not name one."),
    _global(
        "ignore-primary-group-memberships",
        B,
        True,
        "Do not count a user's primary group in group rules, only the groups that list the user as a member.",
    ),
    _global(
        "check-credentials",
        B,
        True,
        "`false` means the same as `require-password = false` with `require-cookie = false`.",
        deprecated="use `require-password` and `require-cookie`",
    ),
    _global(
        "penalties",
        B,
        True,
        "Make clients wait after wrong passwords: an address that fails for one account, or that fails often.",
        since=OURS,
    ),
    _global(
        "penalty-ban-failures",
        N,
        10,
        "Number of wrong passwords from one address for one account after which the address is banned from that "
        "account. After ten times as many for all accounts together, an address is banned altogether.",
        since=OURS,
        minimum=1,
        maximum=1_000_000,
    ),
    _global(
        "penalty-ban-seconds",
        N,
        300,
        "Seconds that a ban lasts.",
        since=OURS,
        minimum=1,
        maximum=366 * 86400,
    ),
    _global(
        "penalty-forget-seconds",
        N,
        900,
        "Seconds without another wrong password after which the broker forgets the earlier ones.",
        since=OURS,
        minimum=1,
        maximum=366 * 86400,
    ),
    _global(
        "penalty-trusted-networks",
        L,
        (),
        "Addresses and networks, such as `192.0.2.0/24, 2001:db8::/32`, whose wrong passwords do not count. Put a "
        "reverse proxy into `trusted-proxies` instead. It belongs here only if it cannot pass on its clients' "
        "addresses, because they all then have the address of the proxy.",
        since=OURS,
    ),
    _global(
        "plain-refusal",
        C,
        "message",
        "How `/plain/` refuses a login: `message` is a 200 that says so, and X2Go Client shows its form again; "
        "`status` is a 401 like that of the former broker, and X2Go Client exits.",
        since=OURS,
        choices=("message", "status"),
    ),
    _global(
        "client-events",
        B,
        False,
        "Ask X2Go Client (4.1.2.2 and later) to report when its sessions start and end, and that they are alive.",
        since=OURS,
    ),
    _global(
        "client-live-event",
        N,
        30,
        "Seconds between two signs of life from X2Go Client if `client-events` is on; 0: none.",
        since=OURS,
        minimum=0,
        maximum=86400,
    ),
    _global(
        "client-sync-interval",
        N,
        0,
        "Seconds after which X2Go Client asks for its session profiles again if `client-events` is on; 0: never.",
        since=OURS,
        minimum=0,
        maximum=86400,
    ),
)


def _backend(name: str, kind: Kind, default: bool | int | str | tuple[str, ...], text: str, **more: object) -> Option:
    return Option("broker_*", name, kind, default, text, **more)  # type: ignore[arg-type]


ANY_BACKEND = (
    _backend("enable", B, False, "Serve this backend."),
    _backend("auth-mech", T, "", "Auth mechanism of this backend; empty: `default-auth-mech`."),
    _backend(
        "second-factor",
        C,
        "",
        "Whether users of this backend need a code after their password; empty: `default-second-factor`.",
        since=OURS,
        choices=("", "off", "enrolled", "required"),
        on_error="required",
    ),
    _backend(
        "second-factor-groups",
        L,
        (),
        "Only members of these groups need the code, `ALL` for everybody; empty: `default-second-factor-groups`.",
        since=OURS,
    ),
    _backend(
        "second-factor-exempt-networks",
        L,
        (),
        "Networks from which no code is needed, `NONE` for no network; empty: `default-second-factor-exempt-networks`.",
        since=OURS,
    ),
    _backend("user-db", T, "", "Name service for users; empty: `default-user-db`."),
    _backend("group-db", T, "", "Name service for groups; empty: `default-group-db`."),
)

BACKENDS = (
    Option(
        "broker_zeroconf",
        "desktop-shell",
        T,
        "KDE",
        "Desktop that the single session profile of `zeroconf` starts on this host.",
    ),
    Option("broker_inifile", "enable", B, True, "Serve this backend.", on_error=False),
    Option(
        "broker_inifile",
        "session-profiles",
        P,
        "/etc/x2go/broker/x2gobroker-sessionprofiles.conf",
        "File with the session profiles.",
        environment=("X2GOBROKER_SESSIONPROFILES",),
    ),
    Option("broker_ldap", "uri", T, "ldap://localhost:389", "Reserved: there is no `ldap` backend yet."),
    Option("broker_ldap", "base", T, "dc=example,dc=org", "Reserved: there is no `ldap` backend yet."),
    Option(
        "broker_ldap",
        "user-search-filter",
        T,
        "(&(objectClass=posixAccount)(uid=*))",
        "Reserved: there is no `ldap` backend yet.",
    ),
    Option(
        "broker_ldap",
        "host-search-filter",
        T,
        "(&(objectClass=ipHost)(serial=X2GoServer)(cn=*))",
        "Reserved: there is no `ldap` backend yet.",
    ),
    Option(
        "broker_ldap",
        "group-search-filter",
        T,
        "(&(objectClass=posixGroup)(cn=*))",
        "Reserved: there is no `ldap` backend yet.",
    ),
    Option("broker_ldap", "starttls", B, False, "Reserved: there is no `ldap` backend yet."),
)

TABLE: tuple[Option, ...] = (
    GLOBAL
    + SERVERS
    + PORTAL
    + REMOTE
    + ANY_BACKEND
    + SERVERS_OF_BACKEND
    + BACKENDS
    + AUTH_MECHANISMS
    + ENVIRONMENT
    + REMOTE_ENVIRONMENT
    + PORTAL_ENVIRONMENT
)
