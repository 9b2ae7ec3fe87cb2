"""The part of the table of options that is about auth mechanisms and about variables of the environment."""

from __future__ import annotations

from x2gobroker.model.options import Kind, Option

OURS = "1.0"

B, N, T, L, P = Kind.BOOLEAN, Kind.INTEGER, Kind.TEXT, Kind.LIST, Kind.PATH

AUTH_MECHANISMS = (
    Option(
        "authmech_pam",
        "service",
        T,
        "x2gobroker",
        "PAM service (a file in `/etc/pam.d`) that checks the password.",
        since=OURS,
    ),
    Option(
        "authmech_pam",
        "code-digits",
        N,
        0,
        "If the PAM service asks for a one-time code after the password: how many characters at the end of what the "
        "user types are the code. 0: it does not ask for one.",
        since=OURS,
        minimum=0,
        maximum=32,
    ),
    Option(
        "authmech_pam",
        "without-authservice",
        B,
        False,
        "If the socket of the authentication service does not exist, ask PAM directly even though the broker does not "
        "run as root. Use it only for PAM services whose modules need no root rights (SSSD, LDAP, Kerberos): without "
        "these rights, pam_unix takes every password for a wrong one. A broker that runs as root then asks PAM "
        "directly whatever this option says.",
        since=OURS,
    ),
    Option(
        "authmech_htpasswd",
        "file",
        P,
        "/etc/x2go/broker/htpasswd",
        "File with user names and password hashes, written by `x2gobroker passwd` or Apache's htpasswd.",
        since=OURS,
    ),
    Option("authmech_https_get", "host", T, "localhost", "Web server that knows the passwords."),
    Option("authmech_https_get", "path", T, "/auth", "Path on that server that requires HTTP Basic authentication."),
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
        "Cut off the user name that Apache found at the `@` (Kerberos, OIDC).",
        since=OURS,
    ),
)


def _env(name: str, kind: Kind, default: bool | int | str | tuple[str, ...], text: str, **more: object) -> Option:
    return Option("environment", name, kind, default, text, **more)  # type: ignore[arg-type]


ENVIRONMENT = (
    _env("X2GOBROKER_CONFIG", P, "/etc/x2go/x2gobroker.conf", "The main configuration file."),
    _env(
        "X2GOBROKER_SESSIONPROFILES",
        P,
        "",
        "File with the session profiles; overrides `session-profiles` of `[broker_inifile]` when set.",
    ),
    _env("X2GOBROKER_DEFAULT_BACKEND", T, "inifile", "Backend for URLs that do not name one."),
    _env(
        "X2GOBROKER_DEBUG",
        B,
        False,
        "Log everything, and answer GET as well as POST so that you can try the broker in a web browser.",
    ),
    _env("X2GOBROKER_DEBUG_INTERACTIVELY", B, False, "Log to the terminal instead of the log files, as `-i` does."),
    _env("X2GOBROKER_LOGCONFIG", P, "/etc/x2go/broker/x2gobroker-loggers.conf", "Where the three loggers write."),
    _env(
        "X2GOBROKER_LOGFORMAT",
        Kind.CHOICE,
        "text",
        "Format of the log lines of every program, wherever they go: `text`, or `json`, one JSON object for each line.",
        since=OURS,
        choices=("text", "json"),
    ),
    _env("X2GOBROKER_DAEMON_USER", T, "x2gobroker", "User that the broker runs as."),
    _env("X2GOBROKER_DAEMON_GROUP", T, "x2gobroker", "Group that the broker runs as."),
    _env(
        "X2GOBROKER_AGENT_USER",
        T,
        "x2gobroker",
        "User that the broker logs in as on X2Go Servers, to reach their broker agents.",
    ),
    _env("X2GOBROKER_AGENT_CMD", P, "/usr/lib/x2go/x2gobroker-agent", "The broker agent's program on X2Go Servers."),
    _env(
        "X2GOBROKER_SSH_FOLDER",
        P,
        "",
        "Folder with the broker's own SSH keys (`id_ed25519`, `id_ecdsa`, `id_rsa`) and the `known_hosts` of X2Go "
        "Servers; empty: `.ssh` in the home folder of X2GOBROKER_DAEMON_USER.",
        since=OURS,
    ),
    _env(
        "X2GOBROKER_AUTHSERVICE_SOCKET",
        P,
        "/run/x2gobroker/x2gobroker-authservice.socket",
        "Socket of the authentication service. The auth mechanism `pam` uses it if it exists.",
    ),
    _env(
        "X2GOBROKER_AUTHSERVICE_LOGCONFIG",
        P,
        "/etc/x2go/broker/x2gobroker-authservice-logger.conf",
        "Where the logger of the authentication service writes.",
    ),
    _env(
        "X2GOBROKER_AUTHSERVICE_PAM_SERVICES",
        L,
        ("x2gobroker",),
        "PAM services that the authentication service may ask; it refuses all others.",
        since=OURS,
    ),
    _env(
        "X2GOBROKER_AUTHSERVICE_TIMEOUT",
        N,
        30,
        "Seconds that one login may take in the authentication service, including the wait for its turn.",
        since=OURS,
        minimum=1,
        maximum=300,
    ),
    _env(
        "X2GOBROKER_AUTHSERVICE_WORKERS",
        N,
        32,
        "How many logins the authentication service handles at the same time, each in a process of its own.",
        since=OURS,
        minimum=1,
        maximum=512,
    ),
    _env(
        "X2GOBROKER_AUTHSERVICE_QUEUE",
        N,
        256,
        "How many logins may wait for their turn in the authentication service; it refuses more at once.",
        since=OURS,
        minimum=0,
        maximum=10000,
    ),
    _env(
        "X2GOBROKER_AUTHSERVICE_PER_PEER",
        N,
        256,
        "How many logins of one account's processes, such as the broker's, may be in progress or waiting in the "
        "authentication service.",
        since=OURS,
        minimum=1,
        maximum=10000,
    ),
    _env(
        "X2GOBROKER_AUTHSOCKET",
        P,
        "",
        "The name that old Apache samples have for `X2GOBROKER_AUTHSERVICE_SOCKET`.",
        deprecated="use `X2GOBROKER_AUTHSERVICE_SOCKET`",
    ),
    _env(
        "X2GOBROKER_LOADCHECKER_SOCKET",
        P,
        "/run/x2gobroker/x2gobroker-loadchecker.socket",
        "Socket of the load checker.",
    ),
    _env(
        "X2GOBROKER_LOADCHECKER_LOGCONFIG",
        P,
        "/etc/x2go/broker/x2gobroker-loadchecker-logger.conf",
        "Where the logger of the load checker writes.",
    ),
    _env("X2GOBROKER_TESTSUITE", B, False, "Log only critical messages.", deprecated="it is no longer needed"),
    _env(
        "X2GOBROKER_DEFAULTS",
        P,
        "/etc/x2go/broker/defaults.conf",
        "File with environment variables for all programs of the broker.",
        since=OURS,
    ),
    _env("DAEMON_BIND_ADDRESS", T, "127.0.0.1:8080", "`[address:]port` that `x2gobroker-daemon` listens on."),
    _env("X2GOBROKER_SSL_CERTFILE", P, "", "Certificate, in PEM form; with the key file it turns TLS on."),
    _env("X2GOBROKER_SSL_KEYFILE", P, "", "Private key of the certificate, in PEM form."),
    _env("X2GOBROKER_WORKERS", N, 2, "Worker processes of `x2gobroker-daemon`.", since=OURS, minimum=1, maximum=128),
    _env(
        "X2GOBROKER_THREADS",
        N,
        32,
        "Threads of each worker process; a login that is being checked occupies one.",
        since=OURS,
        minimum=1,
        maximum=256,
    ),
    _env(
        "X2GOBROKER_CONNECTIONS",
        N,
        1000,
        "How many connections each worker process of `x2gobroker-daemon` has with clients at the same time. When "
        "there are more, it closes one that is idle, or else the one that has waited longest for the rest of its "
        "request. There are never more than the limit on open files leaves room for.",
        since=OURS,
        minimum=16,
        maximum=100000,
    ),
    _env(
        "X2GOBROKER_CONNECTIONS_PER_ADDRESS",
        N,
        100,
        "How many of these may come from one IPv4 address or one IPv6 /64 network. The loopback and `trusted-proxies` "
        "may have all of them.",
        since=OURS,
        minimum=4,
        maximum=100000,
    ),
)
