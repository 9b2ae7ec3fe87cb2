"""The part of the table of options that is about X2Go Servers: agents, load, scheduling, autologin."""

from __future__ import annotations

from x2gobroker.model.options import Kind, Option

OURS = "1.0"

B, N, T, L, P, C = Kind.BOOLEAN, Kind.INTEGER, Kind.TEXT, Kind.LIST, Kind.PATH, Kind.CHOICE
QUERY_MODES = ("NONE", "LOCAL", "SSH")
HOST_KEY_POLICIES = ("RejectPolicy", "WarningPolicy", "AutoAddPolicy")


def _global(name: str, kind: Kind, default: bool | int | str | tuple[str, ...], text: str, **more: object) -> Option:
    return Option("global", name, kind, default, text, **more)  # type: ignore[arg-type]


def _backend(name: str, kind: Kind, default: bool | int | str | tuple[str, ...], text: str, **more: object) -> Option:
    return Option("broker_*", name, kind, default, text, **more)  # type: ignore[arg-type]


SERVERS = (
    _global(
        "default-agent-query-mode",
        C,
        "NONE",
        "How the broker reaches broker agents: not at all, on this host, or by SSH on the X2Go Servers. A backend's "
        "`agent-query-mode` and a profile's `broker-agent-query-mode` override it.",
        choices=QUERY_MODES,
    ),
    _global(
        "default-agent-hostkey-policy",
        C,
        "RejectPolicy",
        "What to do about an X2Go Server whose host key is not known: do not connect to it, connect and log a "
        "warning, or remember the key. The broker always refuses a key that differs from the known one.",
        choices=HOST_KEY_POLICIES,
    ),
    _global(
        "default-agent-ssh-proxy",
        T,
        "",
        "`[user@]host[:port]` of an SSH server through which the broker reaches broker agents; empty: it connects "
        "directly. A profile's `broker-agent-ssh-proxy` overrides it.",
        since=OURS,
    ),
    _global(
        "agent-timeout",
        N,
        5,
        "Seconds that a broker agent may take to answer, including the connection. Suspending or terminating a "
        "session may take 20 seconds longer.",
        since=OURS,
        minimum=1,
        maximum=120,
    ),
    _global(
        "default-shared-session-database",
        B,
        False,
        "The X2Go Servers of a session profile share one session database (PostgreSQL). Every agent then knows all "
        "sessions, so the broker asks two agents instead of all. A profile's `broker-shared-session-database` "
        "overrides it.",
        since=OURS,
    ),
    _global(
        "session-status-in-listing",
        B,
        True,
        "Ask broker agents each time a client lists session profiles, so that X2Go Client shows where a session is "
        "running or suspended.",
        since=OURS,
    ),
    _global(
        "default-portscan-x2goservers",
        B,
        True,
        "If a profile has several hosts, offer only those whose SSH port answers. A profile's "
        "`broker-portscan-x2goservers` overrides it.",
    ),
    _global(
        "default-use-load-checker",
        B,
        False,
        "Choose among several hosts by the loads that `x2gobroker-loadchecker` collects. A backend's "
        "`use-load-checker` and a profile's `broker-use-load-checker` override it.",
    ),
    _global(
        "load-checker-intervals",
        N,
        300,
        "Interval, in seconds, in which the load checker asks every X2Go Server once.",
        minimum=1,
        maximum=86400,
    ),
    _global(
        "sessions-known-for",
        N,
        -1,
        "How old the information that `x2gobroker-loadchecker` has about the sessions on an X2Go Server may be for a "
        "login to use it instead of asking the server. -1: only for servers that the load checker watches, whose "
        "agents report changes at once; a login asks all others. 0: every login asks all servers, and the load "
        "checker watches none. Any other number: seconds for which a report from a server that is not watched counts "
        "as well; the broker does not find a session that was started since then without it.",
        since=OURS,
        minimum=-1,
        maximum=86400,
    ),
    _global(
        "reservation-seconds",
        N,
        90,
        "Seconds for which a server that the broker has given to a user counts as having one more session, unless the "
        "session appears earlier.",
        since=OURS,
        minimum=0,
        maximum=3600,
    ),
    _global(
        "new-logins-per-server",
        N,
        0,
        "How many users may be starting a session on one server at the same time; further users get another server. "
        "Resuming a session is never delayed. 0: no limit.",
        since=OURS,
        minimum=0,
        maximum=10000,
    ),
    _global(
        "default-session-autologin",
        B,
        False,
        "Let the broker put a short-lived key on the X2Go Server so that the client logs in without a password; needs "
        "broker agents. A profile's `broker-session-autologin` overrides it.",
    ),
    _global(
        "default-authorized-keys",
        P,
        "%h/.x2go/authorized_keys",
        "Where the broker agent puts autologin keys on an X2Go Server; `%h` is the home folder, `%u` the user name, "
        "`%U` and `%G` the numbers of the user and the primary group, `%%` a percent sign. A profile's "
        "`broker-authorized-keys` overrides it.",
    ),
    _global(
        "default-sshproxy-authorized-keys",
        P,
        "%h/.x2go/authorized_keys",
        "The same on an SSH proxy host. A profile's `broker-sshproxy-authorized-keys` overrides it.",
    ),
    _global(
        "autologin-key-seconds",
        N,
        180,
        "Seconds after which the broker removes an autologin key again. X2Go Client logs in with it only once its "
        "user has chosen among the sessions to resume.",
        since=OURS,
        minimum=5,
        maximum=3600,
    ),
    _global(
        "autologin-key-type",
        C,
        "rsa",
        "Type of key that the broker makes for a client that sends none. X2Go Client reads `rsa`, and from 4.1.2.3 on "
        "also the others.",
        since=OURS,
        choices=("rsa", "ecdsa", "ed25519"),
    ),
)

SERVERS_OF_BACKEND = (
    _backend(
        "use-load-checker",
        B,
        False,
        "Choose among several hosts by load, for this backend; if it is not set, `default-use-load-checker` applies.",
    ),
    _backend("load-checker", B, False, "The former name of `use-load-checker`.", deprecated="use `use-load-checker`"),
    _backend(
        "agent-query-mode",
        C,
        "",
        "How the broker reaches broker agents for this backend; empty: `default-agent-query-mode`.",
        choices=("", *QUERY_MODES),
    ),
    _backend(
        "agent-hostkey-policy",
        C,
        "",
        "What to do about unknown host keys for this backend; empty: `default-agent-hostkey-policy`.",
        choices=("", *HOST_KEY_POLICIES),
    ),
)
