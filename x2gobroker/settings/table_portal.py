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
        "portal-announcement",
        Kind.TEXT,
        "",
        "A notice for all users, shown on the sign-in page, the home page and over desktops: a message of the day, or "
        "that there will be maintenance. Lines that follow it and begin with a blank belong to it.",
        since=OURS,
        check=check_notice,
    ),
    Option(
        "global",
        "portal-announcement-from",
        Kind.TEXT,
        "",
        "From when `portal-announcement` is shown, as a time of this host, such as `2027-01-31 08:00`. Empty: at once.",
        since=OURS,
        check=parse_moment,
    ),
    Option(
        "global",
        "portal-announcement-until",
        Kind.TEXT,
        "",
        "Until when `portal-announcement` is shown, in the same form. Empty: as long as it stands here.",
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
        "File of a logo that stands before the portal's name: png, jpg, webp or svg, at most 512 KiB. Empty: none.",
        since=OURS,
    ),
    Option(
        "global",
        "portal-colour",
        Kind.TEXT,
        "",
        "The colour of buttons and links, such as `#0b5cad`. A darker one is taken where texts could not be read in "
        "it, and a lighter one in the dark scheme. Empty: blue.",
        since=OURS,
        check=check_colour,
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
        "portal-kerberos-tickets",
        Kind.BOOLEAN,
        False,
        "Have PAM set its credentials when somebody signs in with a password, and give the Kerberos ticket to the "
        "user's desktops in the browser, for home folders that need one. Needs the auth mechanism `pam` and "
        "`x2gobroker-authservice`, which reads this at its start.",
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
