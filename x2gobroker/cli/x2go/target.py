"""The options of `x2gobroker x2go`, as the library takes them."""

from __future__ import annotations

import argparse
import getpass
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from x2gobroker.cli.x2go.options import MANY, ONE, SESSIONS_FILE, CommandError
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, parse_port, split_address
from x2gobroker.x2go.errors import X2GoProfileException
from x2gobroker.x2go.profiles.file import X2GoSessionProfiles

# what profiles have for a client that stays, and what each action here does by itself
NOT_FROM_PROFILE = (
    *("server", "port", "profile_name", "auto_connect", "auto_start_or_resume", "restore_shared_local_folders"),
    *("share_local_folders", "allow_share_local_folders", "allow_mimebox", "mimebox_extensions", "mimebox_action"),
)


@dataclass
class Target:
    """Where to connect, as whom, and with which parameters of X2GoSession. Passwords are not in it."""

    host: str
    port: int
    user: str
    profile: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """How messages name it."""
        return f"{self.user}@{self.host}" + ("" if self.port == DEFAULT_SSH_PORT else f":{self.port}")


def _address(parser: argparse.ArgumentParser, text: str, what: str) -> tuple[str, str, int | None]:
    """User, host and port of `[user@]host[:port]`; ends the program with status 2 for anything else."""
    user, at, where = text.rpartition("@")
    try:
        host, port = split_address(where)
        if not host or (at and not user):
            raise ValueError("a part is missing")
    except ValueError as error:
        parser.error(f"{what} {text!r}: {error}; write [user@]host[:port]")
    return user, host, port


def read_target(options: argparse.Namespace) -> Target:
    """What the options say. Ends the program with status 2 where they make no sense. Raises CommandError."""
    parser: argparse.ArgumentParser = options.parser
    words = [options.words] if isinstance(options.words, str) else list(options.words or ())
    target = _from_profile(options) if options.profile else Target("", DEFAULT_SSH_PORT, "")
    # with a profile, a word is the server only where it cannot be a session
    if not options.profile or (options.takes == ONE and words):
        if not words:
            parser.error("name the server, as [user@]host[:port], or a session profile with --profile")
        user, target.host, port = _address(parser, words.pop(0), "the server")
        target.user, target.port = user or target.user, port or target.port
    options.names = words
    _check_names(options)
    try:
        target.port = parse_port(options.port) if options.port else target.port
    except ValueError as error:
        parser.error(f"--port: {error}")
    target.user = options.user or target.user or _own_name()
    target.params["username"] = target.user
    _set_connection(target, options)
    _set_session(target, options)
    options.folders = target.folders
    return target


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise CommandError("your account has no name; say who logs in with --user") from None


def _check_names(options: argparse.Namespace) -> None:
    """Whether there are as many names of sessions as the action takes."""
    if hasattr(options, "all") and options.all == bool(options.names):
        options.parser.error("name the sessions, or say --all")
    if options.takes == MANY and not hasattr(options, "all") and len(options.names) > 1:
        options.parser.error("one session at a time can be resumed")
    if getattr(options, "full_access", False) and not options.view:
        options.parser.error("--full-access is for --view")
    if getattr(options, "view", None) and (options.command or options.type or options.detach):
        options.parser.error("--view shows a desktop that runs already: no --command, --type or --detach")


def _from_profile(options: argparse.Namespace) -> Target:
    """A session profile. Raises CommandError when there is none of this name."""
    path = os.path.expanduser(options.sessions_file or SESSIONS_FILE)
    if not os.path.isfile(path):
        raise CommandError(f"{path} is not there; name the file with session profiles with --sessions-file")
    try:
        profiles = X2GoSessionProfiles([path])
        key = profiles.check_profile_id_or_name(options.profile)
        params = profiles.to_session_params(key)
    except (X2GoProfileException, ValueError) as error:
        names = ", ".join(profiles.profile_names) if "profiles" in locals() else ""
        raise CommandError(f"{path}: {error}" + (f"; it has {names}" if names else "")) from None
    hosts = params["server"] or [""]
    kept = {name: value for name, value in params.items() if name not in NOT_FROM_PROFILE}
    folders = list(params["share_local_folders"]) if params["allow_share_local_folders"] else []
    user = str(kept.pop("username") or "")
    return Target(str(hosts[0]), int(params["port"]), user, profiles.to_profile_name(key), kept, folders)


def _set_connection(target: Target, options: argparse.Namespace) -> None:
    params = target.params
    if options.key:
        params["key_filename"] = options.key
        for path in options.key:
            if not Path(path).is_file():
                raise CommandError(f"the key {path} is not there")
    has_key = bool(params.get("key_filename"))
    params["allow_agent"] = options.agent or bool(params.get("allow_agent"))
    params["look_for_keys"] = not has_key and not options.password_file and not options.agent
    if options.proxy:
        user, host, port = _address(options.parser, options.proxy, "--proxy")
        params.update(use_sshproxy=True, sshproxy_host=host, sshproxy_port=port or DEFAULT_SSH_PORT)
        params["sshproxy_user"] = user or target.user
        for name in ("key_filename", "look_for_keys", "allow_agent"):
            params[f"sshproxy_{name}"] = params.get(name)
        params["sshproxy_look_for_keys"] = not has_key and not options.proxy_password_file and not options.agent
    elif options.proxy_password_file and not params.get("use_sshproxy"):
        options.parser.error("--proxy-password-file is for --proxy")


def _set_session(target: Target, options: argparse.Namespace) -> None:
    """The parameters of the session's terminal, where the action has them."""
    params = target.params
    given = vars(options)
    for name in ("geometry", "link", "pack", "clipboard", "dpi"):
        if given.get(name):
            params[name] = given[name]
    if given.get("command"):
        params["cmd"] = given["command"]
        params["published_applications"] = False
    if given.get("type"):
        params["session_type"] = given["type"]
    if given.get("keyboard"):
        params.update(keyboard_params(given["keyboard"]))
    if given.get("sound"):
        params["snd_system"] = "pulse"
    elif not options.profile:
        params["snd_system"] = "none"
    params["printing"] = bool(given.get("printing") or params.get("printing"))
    target.folders += [os.path.abspath(os.path.expanduser(path)) for path in given.get("share") or ()]
    for path in target.folders:
        if not os.path.isdir(path):
            raise CommandError(f"the folder {path} is not there")
    params["allow_share_local_folders"] = bool(target.folders)


def keyboard_params(text: str) -> dict[str, str]:
    """The parameters for `--keyboard`: `auto`, `none`, `layout` or `layout/variant`."""
    if text in ("auto", "none"):
        return {"kbtype": "auto" if text == "auto" else "null/null", "kblayout": "null", "kbvariant": "null"}
    layout, _, variant = text.partition("/")
    return {"kbtype": f"pc105/{layout.partition(',')[0]}", "kblayout": layout, "kbvariant": variant or "null"}
