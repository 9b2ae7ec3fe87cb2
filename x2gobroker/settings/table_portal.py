"""The part of the table of options that is about the portal: the pages on which users open sessions in the browser."""

from __future__ import annotations

from x2gobroker.model.options import Kind, Option

OURS = "1.0"
WEBSOCKET_VARIABLES = ("CEI_NEXUS_REMOTE_WEBSOCKETURL", "X2GOBROKER_REMOTE_WEBSOCKETURL")

PORTAL = (
    Option(
        "global",
        "enable-portal",
        Kind.BOOLEAN,
        False,
        "Serve the portal, `/portal/`: pages on which users sign in and open sessions.",
        since=OURS,
    ),
    Option(
        "global",
        "portal-backend",
        Kind.TEXT,
        "",
        "Backend whose session profiles and login the portal has. Empty: that of `X2GOBROKER_DEFAULT_BACKEND`.",
        since=OURS,
    ),
    Option(
        "global",
        "portal-title",
        Kind.TEXT,
        "",
        "What the portal is called at the top of each page. Empty: `Sessions`, in the user's language.",
        since=OURS,
    ),
    Option(
        "global",
        "portal-idle-minutes",
        Kind.INTEGER,
        30,
        "Minutes after which somebody who does nothing in the portal is signed out. Working at a desktop counts as "
        "doing something.",
        since=OURS,
        minimum=1,
        maximum=7 * 24 * 60,
    ),
    Option(
        "global",
        "portal-absolute-hours",
        Kind.INTEGER,
        10,
        "Hours after which everybody has to sign in again.",
        since=OURS,
        minimum=1,
        maximum=7 * 24,
    ),
    Option(
        "global",
        "portal-keep-password",
        Kind.BOOLEAN,
        True,
        "Keep the password of a user who signs in, encrypted with a key that only the browser's cookie has, to list, "
        "suspend and terminate the user's sessions on X2Go Servers. With false, the portal does not show them.",
        since=OURS,
        on_error=False,
    ),
    Option(
        "global",
        "remote-websocket-url",
        Kind.TEXT,
        "",
        "Where browsers reach `x2gobroker-remote`, such as `wss://desktops.example.org/websockify`. Empty: "
        "`/websockify` on the portal's own host.",
        since=OURS,
        environment=WEBSOCKET_VARIABLES,
    ),
)

PORTAL_ENVIRONMENT = (
    Option(
        "environment",
        "X2GOBROKER_REMOTE_WEBSOCKETURL",
        Kind.TEXT,
        "",
        "Where browsers reach `x2gobroker-remote`; overrides `remote-websocket-url` of `[global]` when set.",
        since=OURS,
    ),
    Option(
        "environment",
        "CEI_NEXUS_REMOTE_WEBSOCKETURL",
        Kind.TEXT,
        "",
        "The name of `X2GOBROKER_REMOTE_WEBSOCKETURL` in CEI Nexus; read where that one is not set.",
        since=OURS,
    ),
)
