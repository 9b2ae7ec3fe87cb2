"""The options of session profiles that the broker itself knows: types and defaults.

Types and defaults are those of the reference (its sample session profile file and its answers). Keys that are not
in this table are passed on as they stand: a newer client may know them. `PYHOCA_*` are the keys that Python X2Go
0.6.1 knows (its own profile defaults); it ends with a traceback on a text option outside them.
"""

from __future__ import annotations

from x2gobroker.model.options import Kind, Option, Value

PROFILE = "session profile"
ACL_PREFIX = "acl-"
BROKER_PREFIX = "broker-"

B, N, T, L, P, C = Kind.BOOLEAN, Kind.INTEGER, Kind.TEXT, Kind.LIST, Kind.PATH, Kind.CHOICE


def _option(name: str, kind: Kind, default: Value, text: str, **more: object) -> Option:
    return Option(PROFILE, name, kind, default, text, **more)  # type: ignore[arg-type]


# In this order they follow the keys of the file in an answer.
CLIENT_OPTIONS = (
    _option(
        "command", T, "TERMINAL", "What to start; desktops by name, such as KDE or XFCE; SHADOW to share a desktop."
    ),
    _option("kdrive", B, False, "Run the session in a KDrive X server."),
    _option("defsndport", B, True, "Use the default port of the sound system."),
    _option("useiconv", B, False, "Convert file names of shared folders."),
    _option("iconvfrom", T, "UTF-8", "Character set of the client."),
    _option("height", N, 600, "Height of the window, in pixels."),
    _option("export", T, "", "Folders that the client shares."),
    _option("quality", N, 9, "Quality of compressed images, 0 to 9."),
    _option("fullscreen", B, False, "Open the session in full screen."),
    _option("layout", T, "", "Keyboard layout."),
    _option("useexports", B, True, "Share the folders of `export`."),
    _option("width", N, 800, "Width of the window, in pixels."),
    _option("speed", N, 2, "Connection: 0 modem, 1 ISDN, 2 ADSL, 3 WAN, 4 LAN."),
    _option("soundsystem", T, "pulse", "Sound system: pulse, arts or esd."),
    _option("print", B, True, "Print on the client's printers."),
    _option("type", T, "auto", "Keyboard model."),
    _option("sndport", N, 4713, "Port of the sound system."),
    _option("xinerama", B, True, "Tell the session about several screens."),
    _option("variant", T, "", "Keyboard variant."),
    _option("usekbd", B, True, "Set the keyboard in the session."),
    _option("fstunnel", B, True, "Share folders through the SSH connection."),
    _option(
        "applications",
        L,
        ("TERMINAL", "WWWBROWSER", "MAILCLIENT", "OFFICE"),
        "Applications that a rootless session offers.",
    ),
    _option("multidisp", B, False, "Use one of several screens."),
    _option("sshproxyport", N, 22, "SSH port of the proxy host.", minimum=1, maximum=65535),
    _option("sound", B, True, "Play the session's sound on the client."),
    _option("rootless", B, True, "Show each window on its own; off for the desktops known by name."),
    _option("iconvto", T, "UTF-8", "Character set of the server."),
    _option("soundtunnel", B, True, "Send sound through the SSH connection."),
    _option("dpi", N, 96, "Dots per inch, if `setdpi` is on."),
    _option("sshport", N, 22, "SSH port of the X2Go Servers.", minimum=1, maximum=65535),
    _option("setdpi", N, 0, "1: set the resolution to `dpi`."),
    _option("pack", T, "16m-jpeg", "Image compression method."),
    _option("user", T, "BROKER_USER", "User name on the X2Go Server; BROKER_USER stands for the one at the broker."),
    _option(
        "host",
        L,
        ("localhost",),
        "The X2Go Servers: `name`, `name (address)` or `name (address:port)`, separated by commas.",
    ),
    _option("directrdp", B, False, "Connect by RDP, without X2Go."),
)

ACL_OPTIONS = (
    _option("acl-users-allow", L, (), "Users who may use the profile; ALL: everybody."),
    _option("acl-users-deny", L, (), "Users who may not use the profile."),
    _option("acl-users-order", T, "", "`allow-deny` or `deny-allow`; empty: `acl-any-order`."),
    _option("acl-groups-allow", L, (), "Groups whose members may use the profile; ALL: everybody."),
    _option("acl-groups-deny", L, (), "Groups whose members may not use the profile."),
    _option("acl-groups-order", T, "", "`allow-deny` or `deny-allow`; empty: `acl-any-order`."),
    _option(
        "acl-clients-allow",
        L,
        (),
        "Client addresses, networks or host names that may use the profile; ALL: all of them.",
    ),
    _option("acl-clients-deny", L, (), "Client addresses, networks or host names that may not use the profile."),
    _option("acl-clients-order", T, "", "`allow-deny` or `deny-allow`; empty: `acl-any-order`."),
    _option(
        "acl-any-order",
        T,
        "deny-allow",
        "Which list is checked first, and wins: with `deny-allow` the deny list, with `allow-deny` the allow list.",
    ),
)

BROKER_OPTIONS = (
    _option(
        "broker-session-autologin", B, False, "Overrides `default-session-autologin`: log in with a short-lived key."
    ),
    _option("broker-portscan-x2goservers", B, True, "Overrides `default-portscan-x2goservers`."),
    _option("broker-use-load-checker", B, False, "Overrides `default-use-load-checker`."),
    _option(
        "broker-agent-query-mode",
        C,
        "",
        "Overrides `default-agent-query-mode`.",
        choices=("", "NONE", "LOCAL", "SSH"),
    ),
    _option(
        "broker-agent-hostkey-policy",
        C,
        "",
        "Overrides `default-agent-hostkey-policy`.",
        choices=("", "RejectPolicy", "WarningPolicy", "AutoAddPolicy"),
    ),
    _option(
        "broker-agent-ssh-proxy", T, "", "Overrides `default-agent-ssh-proxy`; `none`: connect directly.", since="1.0"
    ),
    _option("broker-shared-session-database", B, False, "Overrides `default-shared-session-database`.", since="1.0"),
    _option(
        "broker-host-weights",
        L,
        (),
        "How much load each host can take, such as `ts01:4, ts02:1`, if no load checker is used; a host that is not "
        "named has 1.",
        since="1.0",
    ),
    _option("broker-authorized-keys", P, "", "Overrides `default-authorized-keys`."),
    _option("broker-sshproxy-authorized-keys", P, "", "Overrides `default-sshproxy-authorized-keys`."),
)

PROFILE_TABLE = CLIENT_OPTIONS + ACL_OPTIONS + BROKER_OPTIONS
BY_NAME = {option.name: option for option in PROFILE_TABLE}

DESKTOPS = frozenset(
    ("KDE", "GNOME", "XFCE", "CINNAMON", "MATE", "LXDE", "TRINITY", "UNITY", "ICEWM", "OPENBOX", "XDMCP")
)
SHADOW = "SHADOW"

PYHOCA_BOOLEANS = frozenset(
    "autoconnect autologin autostart defsndport directrdp forwardsshagent fstunnel fullscreen kdrive krblogin maxdim "
    "multidisp print published restoreexports rootless setdpi setsessiontitle sound soundtunnel sshproxyautologin "
    "sshproxysamepass sshproxysameuser startsoundsystem uniquehostkeyaliases useexports useiconv usekbd usemimebox "
    "usesshproxy xinerama".split()
)
PYHOCA_INTEGERS = frozenset("display dpi height quality rdpport sndport speed sshport sshproxyport width".split())
PYHOCA_TEXTS = frozenset(
    "applications clipboard command directrdpsettings export host icon iconvfrom iconvto key layout mimeboxaction "
    "mimeboxextensions name pack rdpclient rdpoptions rdpserver sessiontitle soundsystem sshproxyhost sshproxykeyfile "
    "sshproxytype sshproxyuser type user variant xdmcpserver".split()
)
# What X2Go Client 4.1.2.2 looks for in a session, beside the above.
X2GO_CLIENT_KNOWS = frozenset(
    "directxdmcp directxdmcpsettings icon_foldername krbdelegation running shadowdisplay shadowfullaccess shadowuser "
    "sshproxykrblogin sshproxysamekey status suspended usebrokerpass username xdmcpclient".split()
)
PYHOCA_KNOWS = PYHOCA_BOOLEANS | PYHOCA_INTEGERS | PYHOCA_TEXTS
RULE_NAMES = tuple(option.name for option in ACL_OPTIONS)
BROKER_NAMES = tuple(option.name for option in BROKER_OPTIONS)
CLIENT_NAMES = PYHOCA_KNOWS | X2GO_CLIENT_KNOWS | {option.name for option in CLIENT_OPTIONS}
