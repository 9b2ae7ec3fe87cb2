"""The part of the table of options that is about the portal: the pages on which users open sessions in the browser."""

from __future__ import annotations

from x2gobroker.model.colours import parse_colour
from x2gobroker.model.notices import check_link, check_notice, parse_moment
from x2gobroker.model.options import Kind, Option

OURS = "1.0"
WEBSOCKET_VARIABLES = ("CEI_NEXUS_REMOTE_WEBSOCKETURL", "X2GOBROKER_REMOTE_WEBSOCKETURL")


def check_colour(text: str) -> None:
    """Raises ValueError for what is no colour, and not empty."""
    if text:
        parse_colour(text)


PORTAL = (
    Option(
        "global",
        "enable-portal",
        Kind.BOOLEAN,
        False,
        "Serve the portal, `/portal/`: pages where users sign in and open sessions.",
        since=OURS,
    ),
    Option(
        "global",
        "portal-backend",
        Kind.TEXT,
        "",
        "Backend whose session profiles and login the portal uses. Empty: the one in `X2GOBROKER_DEFAULT_BACKEND`.",
        since=OURS,
    ),
    Option(
        "global",
        "portal-title",
        Kind.TEXT,
        "",
        "Name of the portal at the top of each page. Empty: `Sessions`, in the user's language.",
        since=OURS,
    ),
    Option(
        "global",
        "portal-announcement",
        Kind.TEXT,
        "",
        "A notice for all users on the sign-in page, on the home page and over desktops, such as a message of the day "
        "or an announcement of maintenance. Following lines that begin with a blank belong to it.",
        since=OURS,
        check=check_notice,
    ),
    Option(
        "global",
        "portal-announcement-from",
        Kind.TEXT,
        "",
        "When the portal starts to show `portal-announcement`, in local time, such as `2027-01-31 08:00`. Empty: at "
        "once.",
        since=OURS,
        check=parse_moment,
    ),
    Option(
        "global",
        "portal-announcement-until",
        Kind.TEXT,
        "",
        "When the portal stops showing `portal-announcement`, in the same form. Empty: when you remove it.",
        since=OURS,
        check=parse_moment,
    ),
    Option(
        "global",
        "portal-help-url",
        Kind.TEXT,
        "",
        "Address of your help page, or of a mailbox (`mailto:help@example.org`), linked at the foot of each page. "
        "Empty: no link.",
        since=OURS,
        check=check_link,
    ),
    Option(
        "global",
        "portal-imprint-url",
        Kind.TEXT,
        "",
        "Address of your imprint, linked at the foot of each page. Empty: no link.",
        since=OURS,
        check=check_link,
    ),
    Option(
        "global",
        "portal-privacy-url",
        Kind.TEXT,
        "",
        "Address of your privacy policy, linked at the foot of each page. Empty: no link.",
        since=OURS,
        check=check_link,
    ),
    Option(
        "global",
        "portal-logo",
        Kind.PATH,
        "",
        "File with a logo to show before the portal's name: png, jpg, webp or svg, at most 512 KiB. Empty: none.",
        since=OURS,
    ),
    Option(
        "global",
        "portal-colour",
        Kind.TEXT,
        "",
        "Colour of buttons and links, such as `#0b5cad`. The portal uses a darker one where text would not be "
        "readable in it, and a lighter one in the dark scheme. Empty: blue.",
        since=OURS,
        check=check_colour,
    ),
    Option(
        "global",
        "portal-idle-minutes",
        Kind.INTEGER,
        30,
        "Minutes of inactivity after which the portal signs a user out. Working at a desktop counts as activity.",
        since=OURS,
        minimum=1,
        maximum=7 * 24 * 60,
    ),
    Option(
        "global",
        "portal-absolute-hours",
        Kind.INTEGER,
        10,
        "Hours after which every user has to sign in again.",
        since=OURS,
        minimum=1,
        maximum=7 * 24,
    ),
    Option(
        "global",
        "portal-keep-password",
        Kind.BOOLEAN,
        True,
        "Keep the password of a user who signs in, encrypted with a key that only the browser's cookie holds, to "
        "list, suspend and terminate the user's sessions on X2Go Servers. If this is false, the portal does not show "
        "these sessions.",
        since=OURS,
        on_error=False,
    ),
    Option(
        "global",
        "portal-kerberos-tickets",
        Kind.BOOLEAN,
        False,
        "Have PAM set its credentials when somebody signs in with a password, and give the Kerberos ticket to the "
        "user's desktops in the browser, for home folders that need one. Needs the auth mechanism `pam` and "
        "`x2gobroker-authservice`, which reads this option when it starts.",
        since=OURS,
        on_error=False,
    ),
    Option(
        "global",
        "remote-websocket-url",
        Kind.TEXT,
        "",
        "Where browsers reach `x2gobroker-remote`, such as `wss://desktops.example.org/websockify`. Empty: "
        "`/websockify` on the portal's own host, below the broker's path if it has one.",
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
        "The name of `X2GOBROKER_REMOTE_WEBSOCKETURL` in CEI Nexus; the broker reads it if that variable is not set.",
        since=OURS,
    ),
)
