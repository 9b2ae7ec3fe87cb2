"""What manual pages of programs say beside what parsers and tables say: one line, examples, where to read on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CONFIG = ("X2GOBROKER_CONFIG", "X2GOBROKER_DEFAULTS")
PROFILES = ("X2GOBROKER_SESSIONPROFILES", "X2GOBROKER_DEFAULT_BACKEND")
LOGS = ("X2GOBROKER_LOGCONFIG", "X2GOBROKER_LOGFORMAT", "X2GOBROKER_DEBUG", "X2GOBROKER_DEBUG_INTERACTIVELY")
ACCOUNT = ("X2GOBROKER_DAEMON_USER", "X2GOBROKER_DAEMON_GROUP")
AGENTS = ("X2GOBROKER_AGENT_USER", "X2GOBROKER_AGENT_CMD", "X2GOBROKER_SSH_FOLDER")
SESSION_TYPES = ("X2GOBROKER_REMOTE_CONFIG", "CEI_NEXUS_REMOTE_CONFIG")
REMOTE = (
    *SESSION_TYPES,
    "X2GOBROKER_REMOTE_WEBSOCKETURL",
    "CEI_NEXUS_REMOTE_WEBSOCKETURL",
    "X2GOBROKER_REMOTE_VNCPASSWORD",
    "CEI_NEXUS_REMOTE_VNCPASSWORD",
)
SOCKETS = ("X2GOBROKER_AUTHSERVICE_SOCKET",)

CONFIG_PAGE = ("x2gobroker.conf", 5)
PROFILES_PAGE = ("x2gobroker-sessionprofiles.conf", 5)
TYPES_PAGE = ("x2gobroker-session-types", 5)


@dataclass(frozen=True)
class Words:
    """The words for one program, in plain text with backticks around what is typed as it stands.

    `title` is for `apropos`; `variables` are names of the section `environment` of the table of options, and bring
    files along; `environment` and `files` are those that no option names; `examples` are command lines with what each
    does; `also` names other manual pages; a `service` can fail to start.
    """

    section: int
    title: str
    variables: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    also: tuple[tuple[str, int], ...] = ()
    service: bool = False


# the sections are those that the pages of the former broker have in Debian
PROGRAMS = {
    "x2gobroker": Words(
        1,
        "administer an X2Go Session Broker",
        (*CONFIG, *PROFILES, *ACCOUNT, *SOCKETS, *REMOTE),
        examples={
            "x2gobroker check-config": "Show what is wrong with the configuration.",
            "x2gobroker explain --user anna --address 192.0.2.7": "Show which session profiles and session types "
            "anna is offered at this address, and which rules decided.",
            "x2gobroker passwd anna": "Set the password of anna in the file of the auth mechanism htpasswd.",
            "x2gobroker lockout --until 8h --end-sessions anna": "Lock anna out for eight hours, and end her sessions.",
            "x2gobroker desktops list": "List the desktops in the browser.",
            "x2gobroker desktops stop 6f1f77a0": "Stop the desktop with this number.",
            "x2gobroker desktops close --reason 'Maintenance until noon'": "Allow no new desktops in the browser.",
            "x2gobroker drain --reason 'new kernel' ts01": "Send no new sessions to ts01.",
            "x2gobroker drain --end ts01": "Send new sessions to ts01 again.",
            "x2gobroker sessions --user anna": "Show where anna has sessions, as far as the broker knows.",
            "x2gobroker migrate": "Show what a migration from x2gobroker 0.0.4.3 would do and change.",
        },
        also=(("x2gobroker-x2go", 1), ("x2gobroker-daemon", 1), CONFIG_PAGE, PROFILES_PAGE, TYPES_PAGE),
    ),
    "x2gobroker x2go": Words(
        1,
        "list, start, resume, suspend and terminate X2Go sessions",
        environment={
            "DISPLAY": "The display that sessions are shown on.",
            "SSH_AUTH_SOCK": "The SSH agent that `--agent` uses.",
            "NXPROXY_BINARY": "The program nxproxy, if it is not in `PATH`.",
        },
        files={
            "~/.ssh/known_hosts": "The host keys that you trust.",
            "~/.x2goclient/sessions": "The session profiles that `--profile` names.",
        },
        examples={
            "x2gobroker x2go list anna@ts01.example.org": "List the sessions of anna.",
            "x2gobroker x2go start --type desktop --command XFCE ts01.example.org": "Start a desktop and show it.",
            "x2gobroker x2go terminate --all ts01.example.org": "End all your sessions there.",
        },
        also=(("x2gobroker", 1),),
    ),
    "x2gobroker-daemon": Words(
        1,
        "X2Go Session Broker, as a web server of its own",
        (
            *CONFIG,
            *PROFILES,
            *LOGS,
            *ACCOUNT,
            "DAEMON_BIND_ADDRESS",
            "X2GOBROKER_SSL_CERTFILE",
            "X2GOBROKER_SSL_KEYFILE",
            "X2GOBROKER_WORKERS",
            "X2GOBROKER_THREADS",
            "X2GOBROKER_CONNECTIONS",
            "X2GOBROKER_CONNECTIONS_PER_ADDRESS",
            *SOCKETS,
            *AGENTS,
            *REMOTE,
        ),
        examples={
            "x2gobroker-daemon --debug-interactively": "Try the broker: serve at 127.0.0.1:8080, with the log on the "
            "terminal.",
            "x2gobroker-daemon --bind 192.0.2.1:8443 --drop-privileges": "Serve at this address, as the broker's "
            "account.",
        },
        also=(
            ("x2gobroker", 1),
            ("x2gobroker-authservice", 8),
            ("x2gobroker-loadchecker", 8),
            ("x2gobroker-remote", 8),
            CONFIG_PAGE,
            PROFILES_PAGE,
        ),
        service=True,
    ),
    "x2gobroker-testauth": Words(
        1,
        "try a user name and a password as X2Go Session Broker does",
        (*CONFIG, "X2GOBROKER_DEFAULT_BACKEND", *ACCOUNT, *SOCKETS),
        examples={
            "x2gobroker-testauth --user anna": "Ask for the password of anna, and show whether it is right.",
            "x2gobroker-testauth --user anna --auth-mech pam": "The same, with PAM.",
        },
        also=(("x2gobroker-authservice", 8), CONFIG_PAGE),
    ),
    "x2gobroker-ssh": Words(
        1,
        "X2Go Session Broker over SSH",
        (*CONFIG, *PROFILES, *LOGS, *ACCOUNT, *SOCKETS, *AGENTS),
        examples={
            "x2gobroker-ssh --task listsessions": "List your session profiles.",
            "x2gobroker-ssh --task selectsession --profile-id office": "Have the broker choose a server for a "
            "session profile.",
        },
        also=(("x2gobroker", 1), CONFIG_PAGE, PROFILES_PAGE),
    ),
    "x2gobroker-authservice": Words(
        8,
        "checks passwords with PAM for X2Go Session Broker",
        (
            *SOCKETS,
            "X2GOBROKER_AUTHSERVICE_LOGCONFIG",
            "X2GOBROKER_LOGFORMAT",
            "X2GOBROKER_AUTHSERVICE_PAM_SERVICES",
            "X2GOBROKER_AUTHSERVICE_TIMEOUT",
            "X2GOBROKER_AUTHSERVICE_WORKERS",
            "X2GOBROKER_AUTHSERVICE_QUEUE",
            "X2GOBROKER_AUTHSERVICE_PER_PEER",
            *ACCOUNT,
            "X2GOBROKER_DEFAULTS",
            "X2GOBROKER_DEBUG",
            "X2GOBROKER_DEBUG_INTERACTIVELY",
        ),
        files={"/etc/pam.d/x2gobroker": "The PAM configuration for logins at the broker."},
        examples={"x2gobroker-authservice --debug-interactively": "Try the service, with its log on the terminal."},
        also=(("x2gobroker-testauth", 1), ("x2gobroker-daemon", 1), CONFIG_PAGE, ("pam.d", 5)),
        service=True,
    ),
    "x2gobroker-loadchecker": Words(
        8,
        "asks X2Go Servers how busy they are, for X2Go Session Broker",
        (
            *CONFIG,
            "X2GOBROKER_SESSIONPROFILES",
            "X2GOBROKER_LOADCHECKER_SOCKET",
            "X2GOBROKER_LOADCHECKER_LOGCONFIG",
            "X2GOBROKER_LOGFORMAT",
            *ACCOUNT,
            *AGENTS,
            "X2GOBROKER_DEBUG",
            "X2GOBROKER_DEBUG_INTERACTIVELY",
        ),
        examples={"x2gobroker-loadchecker --debug-interactively": "Try the service, with its log on the terminal."},
        also=(("x2gobroker", 1), ("x2gobroker-agent", 8), ("x2gobroker-testagent", 8), CONFIG_PAGE, PROFILES_PAGE),
        service=True,
    ),
    "x2gobroker-remote": Words(
        8,
        "desktops in the browser, for X2Go Session Broker",
        (*CONFIG, *LOGS, *ACCOUNT, "X2GOBROKER_REMOTE_FOLDER", *REMOTE),
        examples={"x2gobroker-remote --debug-interactively": "Try the service, with its log on the terminal."},
        also=(("x2gobroker", 1), ("x2gobroker-daemon", 1), CONFIG_PAGE, TYPES_PAGE),
        service=True,
    ),
    "x2gobroker-agent": Words(
        8,
        "does on an X2Go Server what X2Go Session Broker asks for",
        files={
            "/etc/x2go/x2gobroker-agent.keyfiles": "Further files of keys that may be changed, one pattern per line.",
            "/etc/sudoers.d/x2gobroker-agent": "Lets the account of the broker's key run the agent as root.",
            "/usr/lib/x2go/x2gobroker-agent": "The program itself.",
        },
        examples={
            "x2gobroker-agent anna listsessions": "List the sessions of anna.",
            "x2gobroker-agent anna checkload": "Show how busy this server is.",
            "x2gobroker-agent nobody report": "Show how busy this server is, and list everybody's sessions on it.",
            "x2gobroker-agent nobody watch 30": "Keep showing what changes, until the input ends.",
        },
        also=(("x2gobroker-testagent", 8), ("x2gobroker-pubkeyauthorizer", 8), ("sudoers", 5)),
    ),
    "x2gobroker-testagent": Words(
        8,
        "has a broker agent perform a task, and shows the answer",
        (*CONFIG, "X2GOBROKER_DEFAULT_BACKEND", *ACCOUNT, *AGENTS),
        examples={
            "x2gobroker-testagent --host ts01": "Show whether the agent on ts01 answers.",
            "x2gobroker-testagent --host ts01 --task listsessions --user anna": "List the sessions of anna.",
        },
        also=(("x2gobroker-agent", 8), ("x2gobroker-keygen", 8), ("x2gobroker-pubkeyauthorizer", 8), CONFIG_PAGE),
    ),
    "x2gobroker-keygen": Words(
        8,
        "makes the SSH key of X2Go Session Broker",
        (*CONFIG, *ACCOUNT, "X2GOBROKER_SSH_FOLDER"),
        examples={"x2gobroker-keygen --key-type ED25519": "Make a key of this type."},
        also=(("x2gobroker-pubkeyauthorizer", 8), ("x2gobroker-testagent", 8), ("sshd", 8)),
    ),
    "x2gobroker-pubkeyauthorizer": Words(
        8,
        "lets X2Go Session Broker reach the agent on this X2Go Server",
        ("X2GOBROKER_DEFAULTS", "X2GOBROKER_DAEMON_USER", "X2GOBROKER_AGENT_CMD"),
        examples={
            "x2gobroker-pubkeyauthorizer -t https://broker.example.org/pubkeys/": "Show the keys of this "
            "broker, ask whether to trust them, and let them in."
        },
        also=(("x2gobroker-agent", 8), ("x2gobroker-keygen", 8), ("sshd", 8)),
    ),
}
