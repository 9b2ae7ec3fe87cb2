"""What a session is asked to be: the parameters of terminal sessions, and what of them an X2Go Server takes.

The server's own scripts put some of these words into option lists of NX and into commands of sed, unquoted. So each is
checked against what it may be; a shell sees them quoted only. Source: x2gostartagent, x2goresume-session and
x2goruncommand of x2goserver 4.1.0.3.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import Any

from x2gobroker.x2go.defaults import GENERIC_APPLICATIONS, LINKS
from x2gobroker.x2go.errors import X2GoTerminalSessionException

DESKTOP, ROOTLESS, SHADOW, PROVIDER, KDRIVE = "D", "R", "S", "P", "K"
PUBLISHED = "PUBLISHED"
RDP = "RDP"
XDMCP = "XDMCP"
NOTHING = ("", "null")
LONGEST_COMMAND = 4000

# Names of desktops that the server finds the program for, and programs that are such desktops.
DESKTOP_NAMES = frozenset(
    (
        *("CINNAMON", "GNOME", "ICEWM", "IceWM", "KDE", "LXDE", "LXQt", "MATE", "OPENBOX"),
        *("TRINITY", "UNITY", "XFCE", "XFCE4"),
    )
)
DESKTOP_PROGRAMS = frozenset(
    (
        *("cinnamon-session-cinnamon2d", "gnome-session", "icewm", "icewm-session", "mate-session", "openbox-session"),
        *("startkde", "startlxde", "startlxqt", "startplasma-x11", "starttrinity", "unity", "xfce4-session"),
    )
)
SERVER_SIDE_NAMES = DESKTOP_NAMES | frozenset(GENERIC_APPLICATIONS)

TYPES = {
    DESKTOP: ("D", "desktop"),
    SHADOW: ("S", "shared", "shadow"),
    ROOTLESS: ("R", "rootless", "application"),
    PROVIDER: ("P", "published", "published_applications"),
    KDRIVE: ("K",),
}
HOST = r"[A-Za-z0-9_\[:][A-Za-z0-9._:\]%-]{0,252}"
FORMS = {
    "geometry": (r"([0-9]{1,5}x[0-9]{1,5}([+-][0-9]{1,5}){0,2}|fullscreen)?", "like 1024x768, or fullscreen"),
    "link": ("|".join(LINKS), f"one of {', '.join(LINKS)}"),
    "pack": (r"[a-z0-9]{1,20}(-[a-z0-9]{1,20}){0,4}", "like 16m-jpeg-9"),
    "cache_type": (r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", "like unix-kde"),
    "depth": (r"[0-9]{1,2}", "a number of bits, like 24"),
    "dpi": (r"([0-9]{1,4})?", "a number, like 96"),
    "kbtype": (r"[A-Za-z0-9_.+-]{1,40}(/[A-Za-z0-9_.+()-]{1,40})?", "like auto, null/null or pc105/us"),
    "kblayout": (r"[A-Za-z0-9_,.+()-]{0,60}", "like us, or null"),
    "kbvariant": (r"[A-Za-z0-9_,.+()-]{0,60}", "like nodeadkeys, or null"),
    "clipboard": (r"both|server|client|none", "both, server, client or none"),
    "snd_system": (r"pulse|esd|arts|none|nosnd", "pulse, esd or none"),
    "xdmcp_server": (rf"({HOST})?", "a host name or address"),
    "rdp_server": (rf"({HOST})?", "a host name or address"),
}


def check_form(name: str, value: str) -> str:
    """`value`, if it is one that this parameter may have. Raises X2GoTerminalSessionException."""
    form, wanted = FORMS[name]
    if not re.fullmatch(form, value):
        raise X2GoTerminalSessionException(f"the parameter {name} of a session has to be {wanted}")
    return value


@dataclass
class X2GoSessionParams:
    """The parameters of a terminal session, with Python X2Go's names and defaults."""

    geometry: str = "800x600"
    depth: str = "24"
    link: str = "adsl"
    pack: str = "16m-jpeg-9"
    dpi: str = ""
    cache_type: str = "unix-kde"
    kbtype: str = "null/null"
    kblayout: str = "null"
    kbvariant: str = "null"
    clipboard: str = "both"
    xinerama: bool = False
    kdrive: bool = False
    session_type: str = "application"
    snd_system: str = "pulse"
    cmd: str = ""
    published_applications: bool = False
    rdp_server: str = ""
    rdp_options: str = ""
    xdmcp_server: str = ""
    convert_encoding: bool = False
    server_encoding: str = "UTF-8"
    client_encoding: str = "UTF-8"
    rootdir: str = ""

    def rewrite_session_type(self) -> str:
        """Find out the type as the server wants it: D desktop, R rootless, P published applications, S shared, K.

        Commands that are desktops make desktop sessions, whatever was asked for. Sets `session_type` and returns it.
        """
        program = os.path.basename(self.cmd.partition(" ")[0])
        if self.published_applications and self.cmd in ("", PUBLISHED):
            self.session_type, self.cmd = PROVIDER, PUBLISHED
        elif self.cmd == RDP or program in ("rdesktop", "xfreerdp"):
            self.session_type = DESKTOP if self.geometry == "fullscreen" else ROOTLESS
        elif self.session_type not in TYPES[SHADOW] and (
            self.cmd == XDMCP or self.cmd in DESKTOP_NAMES or program in DESKTOP_PROGRAMS
        ):
            self.session_type = DESKTOP
        if self.kdrive and self.session_type in TYPES[DESKTOP]:
            self.session_type = KDRIVE
        for letter, names in TYPES.items():
            if self.session_type in names:
                self.session_type = letter
        return self.session_type

    def update(self, **properties_to_be_updated: Any) -> None:
        """Set several parameters; None stands for empty. Raises TypeError for one that there is not."""
        kinds = {each.name: each.type for each in fields(self)}
        for name, value in properties_to_be_updated.items():
            if name not in kinds:
                raise TypeError(f"a session has no parameter {name!r}")
            setattr(self, name, bool(value) if kinds[name] == "bool" else str("" if value is None else value))
        self.rewrite_session_type()

    def checked(self, name: str) -> str:
        """The value of a parameter, if it is one that the server may be given.

        Raises X2GoTerminalSessionException, which says what it has to look like.
        """
        return check_form(name, str(getattr(self, name)))

    @property
    def sets_keyboard(self) -> bool:
        """Whether layout or variant of the keyboard are to be set by this client."""
        return self.kbtype not in ("null/null", "auto") and (
            self.kblayout not in NOTHING or self.kbvariant not in NOTHING
        )

    def server_command(self, command: str | None = None) -> str:
        """The command as the server takes it: RDP becomes a call of rdesktop; nothing becomes TERMINAL.

        The server splits it at blanks and knows no quotes. Raises X2GoTerminalSessionException when it cannot take
        the command.
        """
        command = (self.cmd if command is None else command).strip() or "TERMINAL"
        if command == RDP:
            command = self._rdp_command()
        if len(command) > LONGEST_COMMAND or not command.isprintable():
            raise X2GoTerminalSessionException("the command is too long, or holds control characters")
        if command.startswith("-"):
            raise X2GoTerminalSessionException("a command cannot begin with a dash")
        if re.search(r"[*?\[\\]", command):
            # x2goruncommand has them expanded to the names of files in the home folder
            raise X2GoTerminalSessionException("X2Go Servers cannot run commands with one of * ? [ \\ in them")
        return command

    def _rdp_command(self) -> str:
        depth = "16" if self.checked("depth") == "17" else self.depth
        if not self.checked("rdp_server"):
            raise X2GoTerminalSessionException("for a session with RDP, rdp_server has to be given")
        size = "-f" if self.geometry == "fullscreen" else f"-g {self.checked('geometry')}"
        return " ".join(f"rdesktop {size} -N {self.rdp_options} {self.rdp_server} -a {depth}".split())
