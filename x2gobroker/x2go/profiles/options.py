"""The options of session profiles, as X2Go Client keeps them in its `sessions` file, and the parameters they become.

Names, defaults and conversions are those of Python X2Go 0.6.1 (`X2GO_SESSIONPROFILE_DEFAULTS`). Options that are not
in the table mean nothing here and are left out.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from typing import Any

from x2gobroker.model import exports
from x2gobroker.x2go import defaults

MIMEBOX_ACTIONS = ("OPEN", "OPENWITH", "SAVEAS")
TRUE_WORDS = frozenset({"1", "true", "yes", "on", "enabled"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", "disabled", ""})

# Name of the option: its default, which also tells its type.
DEFAULTS: dict[str, Any] = {
    "name": "NEW_PROFILE",
    "icon": ":icons/128x128/x2gosession.png",
    "host": ("server.mydomain",),
    "user": "",
    "key": "",
    "sshport": 22,
    "autologin": True,
    "krblogin": False,
    "forwardsshagent": False,
    "uniquehostkeyaliases": False,
    "autoconnect": False,
    "autostart": False,
    "usesshproxy": False,
    "sshproxyhost": "proxyhost.mydomain",
    "sshproxyport": 22,
    "sshproxyuser": "",
    "sshproxykeyfile": "",
    "sshproxytype": "SSH",
    "sshproxysameuser": False,
    "sshproxysamepass": False,
    "sshproxyautologin": True,
    "setsessiontitle": False,
    "sessiontitle": "",
    "speed": 2,
    "pack": "16m-jpeg",
    "quality": 9,
    "fullscreen": False,
    "maxdim": False,
    "width": 800,
    "height": 600,
    "setdpi": False,
    "dpi": 96,
    "xinerama": False,
    "multidisp": False,
    "display": 1,
    "clipboard": "both",
    "usekbd": True,
    "layout": "us",
    "type": "pc105/us",
    "variant": "",
    "rootless": True,
    "applications": defaults.GENERIC_APPLICATIONS,
    "command": "TERMINAL",
    "published": False,
    "kdrive": False,
    "xdmcpserver": "localhost",
    "directrdp": False,
    "directrdpsettings": "",
    "rdpclient": "rdesktop",
    "rdpport": 3389,
    "rdpoptions": "-u X2GO_USER -p X2GO_PASSWORD",
    "rdpserver": "",
    "sound": False,
    "soundsystem": "pulse",
    "startsoundsystem": False,
    "soundtunnel": True,
    "defsndport": True,
    "sndport": 4713,
    "print": False,
    "useexports": True,
    "restoreexports": False,
    "fstunnel": True,
    "export": {},
    "useiconv": False,
    "iconvto": "UTF-8",
    "iconvfrom": "UTF-8",
    "usemimebox": False,
    "mimeboxextensions": "",
    "mimeboxaction": "OPEN",
}

# Option of a profile: the session's parameter of the same meaning. Others go by another way, or by their own name.
PARAMETER_NAMES = {
    "host": "server",
    "user": "username",
    "soundsystem": "snd_system",
    "sndport": "snd_port",
    "type": "kbtype",
    "layout": "kblayout",
    "variant": "kbvariant",
    "speed": "link",
    "sshport": "port",
    "useexports": "allow_share_local_folders",
    "restoreexports": "restore_shared_local_folders",
    "usemimebox": "allow_mimebox",
    "mimeboxextensions": "mimebox_extensions",
    "mimeboxaction": "mimebox_action",
    "print": "printing",
    "name": "profile_name",
    "key": "key_filename",
    "command": "cmd",
    "rdpserver": "rdp_server",
    "rdpoptions": "rdp_options",
    "xdmcpserver": "xdmcp_server",
    "useiconv": "convert_encoding",
    "iconvto": "server_encoding",
    "iconvfrom": "client_encoding",
    "usesshproxy": "use_sshproxy",
    "sshproxyhost": "sshproxy_host",
    "sshproxyport": "sshproxy_port",
    "sshproxyuser": "sshproxy_user",
    "sshproxykeyfile": "sshproxy_key_filename",
    "sessiontitle": "session_title",
    "setsessiontitle": "set_session_title",
    "published": "published_applications",
    "autostart": "auto_start_or_resume",
    "autoconnect": "auto_connect",
    "forwardsshagent": "forward_sshagent",
    "autologin": "look_for_keys",
    "sshproxyautologin": "sshproxy_look_for_keys",
    "uniquehostkeyaliases": "unique_hostkey_aliases",
    "pack": "pack",
    "clipboard": "clipboard",
    "xinerama": "xinerama",
    "applications": "applications",
    "kdrive": "kdrive",
}


def session_params(options: Mapping[str, Any]) -> dict[str, Any]:
    """What X2GoSession takes, from the options of one profile; options that are left out have their defaults.

    `server` is a list of hosts, as the profile has it. Raises ValueError when an option has no value of its type.
    """
    values = {name: typed(name, options.get(name, default)) for name, default in DEFAULTS.items()}
    params = {parameter: values[name] for name, parameter in PARAMETER_NAMES.items()}
    params["username"] = params["username"] or getpass.getuser()
    for name in ("key_filename", "sshproxy_key_filename", "sshproxy_user"):
        params[name] = params[name] or None
    params["link"] = link_name(values["speed"])
    params["mimebox_extensions"] = _listed(values["mimeboxextensions"])
    if params["mimebox_action"] not in MIMEBOX_ACTIONS:
        params["mimebox_action"] = "OPEN"
    if params["cmd"] == "XFCE4":
        params["cmd"] = "XFCE"
    params["allow_agent"] = values["autologin"]
    params["sshproxy_allow_agent"] = values["sshproxyautologin"]
    if values["quality"]:
        params["pack"] = f"{values['pack']}-{values['quality']}"
    params["share_local_folders"] = [path for path, shared in values["export"].items() if shared]
    params["session_type"] = "application" if values["rootless"] else "desktop"
    params.update(_screen(values), **_keyboard(values))
    if not values["sound"]:
        params["snd_system"] = "none"
    if values["sshproxysameuser"]:
        params["sshproxy_user"] = params["username"]
    if values["sshproxysamepass"]:
        params["sshproxy_reuse_authinfo"] = True
        params["sshproxy_key_filename"] = params["key_filename"]
    return params


def _screen(values: Mapping[str, Any]) -> dict[str, Any]:
    params: dict[str, Any] = {"geometry": f"{values['width']}x{values['height']}"}
    if values["fullscreen"]:
        params["geometry"] = "fullscreen"
    elif values["maxdim"]:
        params["geometry"] = "maximize"
    if values["setdpi"]:
        params["dpi"] = values["dpi"]
    return params


def _keyboard(values: Mapping[str, Any]) -> dict[str, str]:
    wanted = values["usekbd"]
    return {
        "kbtype": (wanted and values["type"].strip()) or "null/null",
        "kblayout": (wanted and values["layout"].strip()) or "null",
        "kbvariant": (wanted and values["variant"].strip()) or "null",
    }


def link_name(speed: object) -> str:
    """The name of a connection speed: 0 to 4, or the name itself."""
    text = str(speed).strip().lower()
    return defaults.LINKS[int(text)] if re.fullmatch(r"[0-4]", text) else text


def typed(name: str, value: Any) -> Any:
    """The value of a profile's option in its type. Raises ValueError when it cannot be one."""
    default = DEFAULTS[name]
    if name == "speed":
        return value
    if isinstance(default, bool):
        return _boolean(name, value)
    if isinstance(default, int):
        return int(value)
    if isinstance(default, tuple):
        return _listed(value)
    if isinstance(default, dict):
        return parse_exports(value)
    return value if isinstance(value, (list, tuple)) else str(value)  # several key files, extensions


def _boolean(name: str, value: Any) -> bool:
    word = str(value).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(f"option {name} of a session profile is neither true nor false")


def _listed(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return [str(part).strip() for part in parts if str(part).strip()]


def parse_exports(value: Any) -> dict[str, bool]:
    """The folders of option `export`, each with whether it is to be shared, also where they are given as a list."""
    if isinstance(value, Mapping):
        return {str(path): bool(shared) for path, shared in value.items()}
    if not isinstance(value, str):
        return {str(path): True for path in value}
    return exports.parse_exports(value)


def format_exports(folders: Mapping[str, bool]) -> str:
    """The folders as the `sessions` file has them."""
    return '"' + "".join(f"{path}:{int(shared)};" for path, shared in folders.items()) + '"'


def format_option(name: str, value: Any) -> str:
    """The value of an option as the `sessions` file has it, on one line."""
    if name == "export":
        text = format_exports(parse_exports(value))
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, (list, tuple)):
        text = ",".join(str(part) for part in value)
    else:
        text = str(value)
    if not text.isprintable():
        raise ValueError(f"option {name} of a session profile has control characters in it")
    return text
