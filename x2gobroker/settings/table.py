"""The one table of every option of x2gobroker.conf, defaults.conf and the environment.

The sample configuration, the reference page, the messages about unknown names and the typed look-ups are all made
from it. Options of session profiles have a table of their own, `model/profile_options.py`: they are per profile.
"""

from __future__ import annotations

from x2gobroker.model.options import Kind, Option

REFERENCE = "0.0.4"
OURS = "1.0"

B, N, T, L, P, C = Kind.BOOLEAN, Kind.INTEGER, Kind.TEXT, Kind.LIST, Kind.PATH, Kind.CHOICE


def _global(name: str, kind: Kind, default: bool | int | str | tuple[str, ...], text: str, **more: object) -> Option:
    return Option("global", name, kind, default, text, **more)  # type: ignore[arg-type]


GLOBAL = (
    _global(
        "require-password", B, True, "Check the user name and password that a client sends, by the auth mechanism."
    ),
    _global(
        "require-cookie",
        B,
        False,
        "Demand an authid of every request: the pre-shared one of `my-cookie-file` at first contact. With "
        "`require-password = false` as well as this false, everybody is let in without credentials.",
    ),
    _global(
        "use-static-cookie",
        B,
        False,
        "Keep one authid per login instead of a new one with every answer.",
    ),
    _global(
        "auth-timeout",
        N,
        36000,
        "Seconds after the login for which an authid stands for the password.",
        minimum=0,
        maximum=366 * 86400,
    ),
    _global(
        "cookie-directory",
        P,
        "/var/lib/x2gobroker/cookies",
        "Folder of the state store (an SQLite file), where `database-url` is not set. It is made, for the broker's "
        "own user only, when it is missing. Only hashes of authids are stored.",
    ),
    _global(
        "database-url",
        T,
        "",
        "Database of the state store, such as `postgresql://user:password@host/name`. Brokers on several hosts that "
        "name the same database share their logins. Empty: an SQLite file in `cookie-directory`.",
        since=OURS,
        secret=True,
    ),
    _global("pre_auth_scripts", L, (), "Scripts to run before a login is checked (reserved for a coming version)."),
    _global("post_auth_scripts", L, (), "Scripts to run after a login was checked (reserved for a coming version)."),
    _global("select_session_scripts", L, (), "Scripts to run once a server is chosen (reserved for a coming version)."),
    _global(
        "my-cookie",
        T,
        "",
        "The pre-shared authid itself. Everybody who may read the file knows it.",
        secret=True,
        deprecated="put it into the file that `my-cookie-file` names",
    ),
    _global(
        "my-cookie-file",
        P,
        "/etc/x2go/broker/x2gobroker.authid",
        "File that holds the pre-shared authid: the first word of the first line that is no comment. It wins over "
        "`my-cookie`. Keep it readable for the broker's group only.",
    ),
    _global("verify-ip", B, True, "Accept an authid only from the address that logged in."),
    _global("enable-plain-output", B, True, "Serve `/plain/`, the text frontend of X2Go Client.", on_error=False),
    _global("enable-json-output", B, True, "Serve `/json/`, the frontend of PyHoca and Python X2Go.", on_error=False),
    _global("enable-uccs-output", B, False, "Serve `/uccs/`, the frontend of login greeters."),
    _global(
        "my-uccs-url-base",
        T,
        "http://localhost:8080/",
        "URL of this broker as greeters reach it; it appears in the UCCS answers.",
    ),
    _global("default-auth-mech", T, "pam", "Auth mechanism of the backends that name none."),
    _global("default-user-db", T, "libnss", "Name service for users, of the backends that name none."),
    _global("default-group-db", T, "libnss", "Name service for groups, of the backends that name none."),
    _global(
        "ignore-primary-group-memberships",
        B,
        True,
        "Do not count a user's primary group in group rules, only the groups that list the user as a member.",
    ),
    _global(
        "default-session-autologin",
        B,
        False,
        "Let the broker put a short-lived key on the X2Go Server so that the client logs in without a password. "
        "A profile's `broker-session-autologin` overrides it. In this version clients are told so, but "
        "no key is put anywhere yet.",
    ),
    _global(
        "default-authorized-keys",
        P,
        "%h/.x2go/authorized_keys",
        "Where the broker agent puts autologin keys on an X2Go Server; `%h` home folder, `%u` user name, `%U` and "
        "`%G` their numbers, `%%` a percent sign. A profile's `broker-authorized-keys` overrides it. "
        "Not used by this version yet.",
    ),
    _global(
        "default-sshproxy-authorized-keys",
        P,
        "%h/.x2go/authorized_keys",
        "The same for an SSH proxy host. A profile's `broker-sshproxy-authorized-keys` overrides it. "
        "Not used by this version yet.",
    ),
    _global(
        "default-agent-query-mode",
        C,
        "NONE",
        "How broker agents are reached: not at all, on this host, or by SSH on the X2Go Servers. A backend's "
        "`agent-query-mode` and a profile's `broker-agent-query-mode` override it. Not used by this version yet.",
        choices=("NONE", "LOCAL", "SSH"),
    ),
    _global(
        "default-agent-hostkey-policy",
        C,
        "RejectPolicy",
        "What to do about an X2Go Server whose host key is not known. Not used by this version yet.",
        choices=("RejectPolicy", "WarningPolicy", "AutoAddPolicy"),
    ),
    _global(
        "default-portscan-x2goservers",
        B,
        True,
        "Where a profile has several hosts, offer only those whose SSH port answers. A profile's "
        "`broker-portscan-x2goservers` overrides it.",
    ),
    _global(
        "default-use-load-checker",
        B,
        False,
        "Choose among several hosts by the loads that the load checker gathers. Not used by this version yet.",
    ),
    _global(
        "load-checker-intervals",
        N,
        300,
        "Seconds between two rounds of the load checker. Not used by this version yet.",
        minimum=1,
        maximum=86400,
    ),
    _global(
        "check-credentials",
        B,
        True,
        "`false` means the same as `require-password = false` with `require-cookie = false`.",
        deprecated="use `require-password` and `require-cookie`",
    ),
    _global(
        "plain-refusal",
        C,
        "message",
        "How `/plain/` refuses a login: `message` is a 200 that says so, upon which X2Go Client shows its form again; "
        "`status` is a 401 as the reference broker sends it, upon which X2Go Client ends itself.",
        since=OURS,
        choices=("message", "status"),
    ),
    _global(
        "client-events",
        B,
        False,
        "Ask X2Go Client (4.1.2.2 and later) to report the start, the end and the life of its sessions.",
        since=OURS,
    ),
    _global(
        "client-live-event",
        N,
        30,
        "Seconds between two signs of life of X2Go Client, where `client-events` is on; 0: none.",
        since=OURS,
        minimum=0,
        maximum=86400,
    ),
    _global(
        "client-sync-interval",
        N,
        0,
        "Seconds after which X2Go Client asks for its session profiles again, where `client-events` is on; 0: never.",
        since=OURS,
        minimum=0,
        maximum=86400,
    ),
)


def _backend(name: str, kind: Kind, default: bool | int | str, text: str, **more: object) -> Option:
    return Option("broker_*", name, kind, default, text, **more)  # type: ignore[arg-type]


ANY_BACKEND = (
    _backend("enable", B, False, "Serve this backend."),
    _backend("auth-mech", T, "", "Auth mechanism of this backend; empty: `default-auth-mech`."),
    _backend("user-db", T, "", "Name service for users; empty: `default-user-db`."),
    _backend("group-db", T, "", "Name service for groups; empty: `default-group-db`."),
    _backend(
        "use-load-checker",
        B,
        False,
        "Choose among several hosts by load, for this backend. Not used by this version yet.",
    ),
    _backend("load-checker", B, False, "The former name of `use-load-checker`.", deprecated="use `use-load-checker`"),
    _backend(
        "agent-query-mode",
        C,
        "",
        "How broker agents are reached, for this backend; empty: `default-agent-query-mode`. "
        "Not used by this version yet.",
        choices=("", "NONE", "LOCAL", "SSH"),
    ),
    _backend(
        "agent-hostkey-policy",
        C,
        "",
        "What to do about unknown host keys, for this backend; empty: `default-agent-hostkey-policy`. "
        "Not used by this version yet.",
        choices=("", "RejectPolicy", "WarningPolicy", "AutoAddPolicy"),
    ),
)

BACKENDS = (
    Option(
        "broker_zeroconf",
        "desktop-shell",
        T,
        "KDE",
        "Desktop that the only session profile of `zeroconf` starts on this host.",
    ),
    Option("broker_inifile", "enable", B, True, "Serve this backend.", on_error=False),
    Option(
        "broker_inifile",
        "session-profiles",
        P,
        "/etc/x2go/broker/x2gobroker-sessionprofiles.conf",
        "File of the session profiles.",
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

AUTH_MECHANISMS = (
    Option(
        "authmech_pam",
        "service",
        T,
        "x2gobroker",
        "PAM service, a file of `/etc/pam.d`, that checks the password.",
        since=OURS,
    ),
    Option(
        "authmech_htpasswd",
        "file",
        P,
        "/etc/x2go/broker/htpasswd",
        "File of user names and password hashes, written by `x2gobroker passwd` or Apache's htpasswd.",
        since=OURS,
    ),
    Option("authmech_https_get", "host", T, "localhost", "Web server that knows the passwords."),
    Option("authmech_https_get", "path", T, "/auth", "Path, on that server, which needs HTTP Basic authentication."),
    Option("authmech_https_get", "port", N, 443, "Port of the web server; always TLS.", minimum=1, maximum=65535),
    Option(
        "authmech_https_get",
        "ca-file",
        P,
        "",
        "Certificates to trust, in PEM form; empty: those of the system.",
        since=OURS,
    ),
    Option(
        "authmech_https_get",
        "timeout",
        N,
        10,
        "Seconds that the web server may take to answer.",
        since=OURS,
        minimum=1,
        maximum=120,
    ),
    Option(
        "authmech_remote_user",
        "strip-realm",
        B,
        True,
        "Cut the user name that Apache found at its `@` (Kerberos, OIDC).",
        since=OURS,
    ),
)


def _env(name: str, kind: Kind, default: bool | int | str, text: str, **more: object) -> Option:
    return Option("environment", name, kind, default, text, **more)  # type: ignore[arg-type]


ENVIRONMENT = (
    _env("X2GOBROKER_CONFIG", P, "/etc/x2go/x2gobroker.conf", "The main configuration file."),
    _env(
        "X2GOBROKER_SESSIONPROFILES",
        P,
        "",
        "File of the session profiles; overrides `session-profiles` of `[broker_inifile]` when set.",
    ),
    _env("X2GOBROKER_DEFAULT_BACKEND", T, "inifile", "Backend of the URLs that name none."),
    _env(
        "X2GOBROKER_DEBUG",
        B,
        False,
        "Log everything, and answer GET as well as POST so that a web browser can try the broker.",
    ),
    _env("X2GOBROKER_DEBUG_INTERACTIVELY", B, False, "Log to the terminal instead of the log files, as `-i` does."),
    _env("X2GOBROKER_LOGCONFIG", P, "/etc/x2go/broker/x2gobroker-loggers.conf", "Where the three loggers write."),
    _env("X2GOBROKER_DAEMON_USER", T, "x2gobroker", "User that the broker runs as."),
    _env("X2GOBROKER_DAEMON_GROUP", T, "x2gobroker", "Group that the broker runs as."),
    _env(
        "X2GOBROKER_AGENT_USER",
        T,
        "x2gobroker",
        "User that broker agents run as on X2Go Servers. Not used by this version yet.",
    ),
    _env("X2GOBROKER_AGENT_CMD", P, "/usr/lib/x2go/x2gobroker-agent", "The broker agent's program on X2Go Servers."),
    _env(
        "X2GOBROKER_AUTHSERVICE_SOCKET",
        P,
        "/run/x2gobroker/x2gobroker-authservice.socket",
        "Socket of the authentication service. Not used by this version yet.",
    ),
    _env(
        "X2GOBROKER_AUTHSOCKET",
        P,
        "",
        "A name that old Apache samples have for it.",
        deprecated="use `X2GOBROKER_AUTHSERVICE_SOCKET`",
    ),
    _env(
        "X2GOBROKER_LOADCHECKER_SOCKET",
        P,
        "/run/x2gobroker/x2gobroker-loadchecker.socket",
        "Socket of the load checker. Not used by this version yet.",
    ),
    _env("X2GOBROKER_TESTSUITE", B, False, "Log only what is critical.", deprecated="it is no longer needed"),
    _env("X2GOBROKER_DEFAULTS", P, "/etc/x2go/broker/defaults.conf", "The file of these variables.", since=OURS),
    _env("DAEMON_BIND_ADDRESS", T, "127.0.0.1:8080", "`[address:]port` that `x2gobroker-daemon` listens on."),
    _env("X2GOBROKER_SSL_CERTFILE", P, "", "Certificate, in PEM form; with the key file it turns TLS on."),
    _env("X2GOBROKER_SSL_KEYFILE", P, "", "Secret key of the certificate, in PEM form."),
    _env("X2GOBROKER_WORKERS", N, 2, "Worker processes of `x2gobroker-daemon`.", since=OURS, minimum=1, maximum=128),
    _env("X2GOBROKER_THREADS", N, 8, "Threads of each worker process.", since=OURS, minimum=1, maximum=256),
)

TABLE: tuple[Option, ...] = GLOBAL + ANY_BACKEND + BACKENDS + AUTH_MECHANISMS + ENVIRONMENT
