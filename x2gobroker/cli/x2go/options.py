"""The options of `x2gobroker x2go`."""

from __future__ import annotations

import argparse
import re
from typing import Any

from x2gobroker.errors import BrokerError

KNOWN_HOSTS = "~/.ssh/known_hosts"
SESSIONS_FILE = "~/.x2goclient/sessions"
ONE, MANY = "one", "many"
LINKS = ("modem", "isdn", "adsl", "wan", "lan")
CLIPBOARDS = ("both", "server", "client", "none")
GEOMETRY = re.compile(r"[0-9]{2,5}x[0-9]{2,5}|fullscreen|maximize")
PACK = re.compile(r"[a-z0-9]{1,20}(-[a-z0-9]{1,20}){0,4}")
KEYBOARD = re.compile(r"auto|none|[A-Za-z0-9_,.+()-]{1,60}(/[A-Za-z0-9_,.+()-]{1,60})?")


class CommandError(BrokerError):
    """The command cannot do what it was asked; the text says why, and what to do."""


def add_connection_options(parser: argparse.ArgumentParser, words: str) -> None:
    """The server, who logs in and with what, and how the answer is printed."""
    metavar: Any = "SERVER" if words == ONE else ("SERVER", "SESSION")
    text = "the X2Go Server, as [USER@]HOST[:PORT]; left out with --profile"
    parser.add_argument(
        "words",
        nargs="?" if words == ONE else "*",
        metavar=metavar,
        help=text if words == ONE else f"{text}. Then names of sessions, as `list` shows them",
    )
    add = parser.add_argument
    add(
        "-u",
        "--user",
        metavar="USER",
        help="the user to log in as (default: the one in SERVER or the profile, else you)",
    )
    add("-p", "--port", metavar="PORT", help="the SSH port of the server (default: 22)")
    add(
        "-i", "--key", metavar="FILE", action="append", default=[], help="log in with this private key; may be repeated"
    )
    add("--agent", action="store_true", help="log in with the keys of your SSH agent")
    add(
        "--password-file",
        metavar="FILE",
        help="a file whose first line is the password, or the passphrase of the key; - reads it from standard input. "
        "Without this option, the program tries the keys in ~/.ssh, and then asks you. You cannot give a password as "
        "an argument: others could read it in the process list",
    )
    add("--proxy", metavar="PROXY", help="go through this SSH server, as [USER@]HOST[:PORT], with the same keys")
    add("--proxy-password-file", metavar="FILE", help="the same as --password-file, for the proxy")
    add("--known-hosts", metavar="FILE", help=f"the host keys that you trust (default: {KNOWN_HOSTS})")
    add(
        "--accept-new-host-key",
        action="store_true",
        help="trust a server whose host key is not known, and remember the key, without asking. Without this option, "
        "the program shows its SHA-256 fingerprint and asks whether it is right; it always refuses a key that has "
        "changed",
    )
    add("--profile", metavar="NAME", help="take server, user and session from this session profile of X2Go Client")
    add("--sessions-file", metavar="FILE", help=f"the file with session profiles (default: {SESSIONS_FILE})")
    add("--json", action="store_true", help="print JSON, for programs")
    add("-d", "--debug", action="store_true", help="say more about what it does")


def add_session_options(parser: argparse.ArgumentParser) -> None:
    """How a session is shown here."""
    add = parser.add_argument
    add(
        "--geometry",
        type=_geometry,
        metavar="SIZE",
        help="such as 1024x768, or fullscreen, or maximize (default: 800x600)",
    )
    add("--link", choices=LINKS, help="how fast the connection is (default: adsl)")
    add("--pack", type=_pack, metavar="PACK", help="how images are compressed (default: 16m-jpeg-9)")
    add(
        "--keyboard",
        type=_keyboard,
        metavar="LAYOUT",
        help="such as de or de/nodeadkeys; auto uses the display's, none leaves it unchanged (default: none)",
    )
    add("--clipboard", choices=CLIPBOARDS, help="which way the clipboard works (default: both)")
    add("--dpi", type=_dpi, metavar="DPI", help="dots per inch of the session's screen")
    add(
        "--share",
        metavar="FOLDER",
        action="append",
        default=[],
        help="mount this folder in the session; may be repeated",
    )
    add("--print", dest="printing", action="store_true", help="take print jobs from the session")
    add("--sound", action="store_true", help="play the sound of the session on this machine, with PulseAudio")


def add_start_options(parser: argparse.ArgumentParser) -> None:
    """What is started."""
    add = parser.add_argument
    add("--command", metavar="COMMAND", help="what runs in the session (default: TERMINAL, the server's terminal)")
    add(
        "--type",
        choices=("application", "desktop"),
        help="separate windows, or one window for the whole session (default: depends on the command)",
    )
    add("--view", metavar="USER@:DISPLAY", help="show this running desktop instead; `desktops` lists them")
    add("--full-access", action="store_true", help="with --view: also use mouse and keyboard there")
    stay = parser.add_mutually_exclusive_group()
    stay.add_argument("--wait", action="store_true", help="stay until the session ends; this is the default")
    stay.add_argument(
        "--detach",
        action="store_true",
        help="suspend the session as soon as it has started, and leave it on the server, so that you can resume it "
        "from anywhere",
    )


def add_application_options(parser: argparse.ArgumentParser) -> None:
    """How published applications are printed."""
    parser.add_argument("--lang", metavar="LOCALE", help="the language of names, such as de_DE (default: yours)")
    parser.add_argument("--icons", action="store_true", help="with --json: include the icons, in base64")


# ---------------------------------------------------------------- values


def _matching(form: str | re.Pattern[str], text: str, wanted: str) -> str:
    if not re.fullmatch(form, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return text


def _geometry(text: str) -> str:
    return _matching(GEOMETRY, text, "a size like 1024x768, fullscreen or maximize")


def _pack(text: str) -> str:
    return _matching(PACK, text, "like 16m-jpeg-9")


def _keyboard(text: str) -> str:
    return _matching(KEYBOARD, text, "a layout like de or de/nodeadkeys, auto or none")


def _dpi(text: str) -> str:
    return _matching(r"[1-9][0-9]{1,3}", text, "a number like 96")
