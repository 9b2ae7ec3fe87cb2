"""The part of the table of options that is about sessions in the browser."""

from __future__ import annotations

from x2gobroker.model.options import Kind, Option

OURS = "1.0"

REMOTE = (
    Option(
        "global",
        "remote-session-config",
        Kind.PATH,
        "",
        "JSON file with the session types: the sessions that users can open in the browser. Empty: none.",
        since=OURS,
        environment=("CEI_NEXUS_REMOTE_CONFIG", "X2GOBROKER_REMOTE_CONFIG"),
    ),
    Option(
        "global",
        "remote-vnc-password",
        Kind.TEXT,
        "",
        "Password that VNC servers of sessions in the browser ask for if their script sets none; VNC uses only the "
        "first 8 bytes (in UTF-8). The service gives it to the VNC servers, and no browser sees it. Empty: the user is "
        "asked for it.",
        since=OURS,
        secret=True,
        environment=("CEI_NEXUS_REMOTE_VNCPASSWORD", "X2GOBROKER_REMOTE_VNCPASSWORD"),
    ),
    Option(
        "global",
        "remote-listen",
        Kind.TEXT,
        "127.0.0.1:6080",
        "Where `x2gobroker-remote` listens for the web server in front of it: `address:port`, or the path of a Unix "
        "socket.",
        since=OURS,
    ),
    Option(
        "global",
        "remote-tls-certificate",
        Kind.PATH,
        "",
        "Certificate of `x2gobroker-remote`, in PEM form, if browsers reach it without a web server in front; with "
        "`remote-tls-key`, it turns TLS on.",
        since=OURS,
    ),
    Option(
        "global",
        "remote-tls-key",
        Kind.PATH,
        "",
        "Private key of that certificate, in PEM form; empty: it is in the same file.",
        since=OURS,
    ),
    Option(
        "global",
        "remote-origins",
        Kind.LIST,
        (),
        "Origins of the pages that may open a desktop, such as `https://portal.example.org`. Empty: pages from the "
        "host name that the browser connects to.",
        since=OURS,
    ),
    Option(
        "global",
        "remote-proxies",
        Kind.LIST,
        ("127.0.0.0/8", "::1"),
        "Addresses and networks of web servers in front of `x2gobroker-remote`. It trusts the header X-Forwarded-For "
        "only from these.",
        since=OURS,
    ),
    Option(
        "global",
        "remote-connections",
        Kind.INTEGER,
        2000,
        "How many connections from browsers to desktops may be open at the same time.",
        since=OURS,
        minimum=1,
        maximum=20000,
    ),
    Option(
        "global",
        "remote-connections-per-user",
        Kind.INTEGER,
        20,
        "How many of them may go to the desktops of one user, including those of guests.",
        since=OURS,
        minimum=1,
        maximum=20000,
    ),
    Option(
        "global",
        "remote-connections-per-address",
        Kind.INTEGER,
        200,
        "How many of them may come from one address.",
        since=OURS,
        minimum=1,
        maximum=20000,
    ),
    Option(
        "global",
        "remote-stop-with-service",
        Kind.BOOLEAN,
        False,
        "Stop all desktops when `x2gobroker-remote` is stopped. By default they keep running, and the service finds "
        "them again when it next starts, so updates and restarts end nobody's work.",
        since=OURS,
    ),
)

REMOTE_ENVIRONMENT = (
    Option(
        "environment",
        "X2GOBROKER_REMOTE_FOLDER",
        Kind.PATH,
        "/run/x2gobroker-remote",
        "Folder where the scripts of session types keep sockets and notes about what they have started. "
        "`x2gobroker-remote` creates it; it has to belong to the account that starts `x2gobroker-remote`.",
        since=OURS,
    ),
    Option(
        "environment",
        "X2GOBROKER_REMOTE_CONFIG",
        Kind.PATH,
        "",
        "JSON file with the session types; overrides `remote-session-config` of `[global]` when set.",
        since=OURS,
    ),
    Option(
        "environment",
        "CEI_NEXUS_REMOTE_CONFIG",
        Kind.PATH,
        "",
        "The name of `X2GOBROKER_REMOTE_CONFIG` in CEI Nexus; the broker reads it if that variable is not set.",
        since=OURS,
    ),
    Option(
        "environment",
        "X2GOBROKER_REMOTE_VNCPASSWORD",
        Kind.TEXT,
        "",
        "Password of the VNC servers; overrides `remote-vnc-password` of `[global]` when set.",
        since=OURS,
        secret=True,
    ),
    Option(
        "environment",
        "CEI_NEXUS_REMOTE_VNCPASSWORD",
        Kind.TEXT,
        "",
        "The name of `X2GOBROKER_REMOTE_VNCPASSWORD` in CEI Nexus; the broker reads it if that variable is not set.",
        since=OURS,
        secret=True,
    ),
)
