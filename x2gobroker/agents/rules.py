"""How the broker agents of a session profile are reached: the profile's word before the backend's and the global."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint, split_address
from x2gobroker.model.options import unquote
from x2gobroker.model.profile import SessionProfile
from x2gobroker.settings import BACKEND_PREFIX, ENVIRONMENT, GLOBAL, Settings

NONE = "NONE"
LOCAL = "LOCAL"
SSH = "SSH"
NO_FOLDER = Path("/nonexistent")

_at_home: WeakKeyDictionary[Settings, Path] = WeakKeyDictionary()


@dataclass(frozen=True)
class AgentRules:
    """How to reach broker agents.

    `mode` is NONE, LOCAL or SSH. For SSH: `user` to log in as, `folder` with keys and known hosts, `host_key_policy`,
    and the `proxy` to go through, `[user@]host[:port]` or empty; in mode LOCAL the same, for hosts that are reached by
    SSH all the same; in mode NONE `folder` is NO_FOLDER. `command` is the agent's path on the server, `timeout` the
    seconds that one call may take, connection included. `shared_database`: one agent knows the sessions of all servers.
    """

    mode: str
    user: str
    command: str
    folder: Path
    host_key_policy: str
    proxy: str
    timeout: float
    shared_database: bool = False


def ssh_folder(settings: Settings) -> Path:
    """The folder of the broker's SSH keys and known hosts. The home of its user is looked up once for each Settings."""
    if settings.environment("X2GOBROKER_SSH_FOLDER"):
        return settings.path(ENVIRONMENT, "X2GOBROKER_SSH_FOLDER")
    folder = _at_home.get(settings)
    if folder is None:
        try:
            folder = Path(pwd.getpwnam(settings.environment("X2GOBROKER_DAEMON_USER")).pw_dir) / ".ssh"
        except KeyError:
            # where it is on Debian; nothing is there, and the log says so. Not remembered: the user may yet be made
            return Path("/var/lib/x2gobroker/.ssh")
        _at_home[settings] = folder
    return folder


def mode_of(settings: Settings, backend: str, profile: SessionProfile | None = None) -> str:
    """NONE, LOCAL or SSH for a profile of a backend; without a profile, for the backend. Cheaper than all rules."""
    own = profile.broker_text("agent-query-mode") if profile is not None else ""
    return own or settings.for_backend(backend, "agent-query-mode")


def agent_rules(settings: Settings, backend: str, profile: SessionProfile | None = None) -> AgentRules:
    """The rules for a profile of a backend; without a profile, those of the backend."""
    shared = settings.boolean(GLOBAL, "default-shared-session-database")
    proxy = settings.text(GLOBAL, "default-agent-ssh-proxy")
    mode = mode_of(settings, backend, profile)
    policy = settings.for_backend(backend, "agent-hostkey-policy")
    if profile is not None:
        policy = profile.broker_text("agent-hostkey-policy") or policy
        proxy = profile.broker_text("agent-ssh-proxy") or proxy
        shared = profile.broker_flag("shared-session-database", shared)
    return AgentRules(
        mode,
        settings.environment("X2GOBROKER_AGENT_USER"),
        settings.text(ENVIRONMENT, "X2GOBROKER_AGENT_CMD"),
        NO_FOLDER if mode == NONE else ssh_folder(settings),
        policy,
        proxy_text(proxy),
        settings.integer(GLOBAL, "agent-timeout"),
        shared,
    )


def proxy_text(text: str) -> str:
    """A proxy host as administrators write it, with or without quotes; empty for none at all."""
    proxy = unquote(text.strip()).strip()
    return "" if proxy.lower() == "none" else proxy


def split_proxy(proxy: str) -> tuple[str, Endpoint]:
    """User (empty: the one of the agents) and SSH server of `[user@]host[:port]`. Raises ValueError for other texts."""
    user, at, where = proxy.rpartition("@")
    try:
        address, port = split_address(where)
    except ValueError as error:
        raise ValueError(f"{error}; write [user@]host[:port]") from None
    if not address or (at and not user):
        raise ValueError("write [user@]host[:port]")
    return user, Endpoint(address, address, port or DEFAULT_SSH_PORT)


def proxy_fault(text: str) -> str:
    """Why no proxy host can be meant by the text of an option; empty where one is, or none."""
    proxy = proxy_text(text)
    try:
        split_proxy(proxy or "none")
    except ValueError as error:
        return f"{proxy!r}: {error}"
    return ""


def uses_load_checker(settings: Settings, backend: str, profile: SessionProfile) -> bool:
    """Whether servers of this profile are chosen by the loads that the load checker gathers."""
    section, option = BACKEND_PREFIX + backend, "use-load-checker"
    default = settings.boolean(GLOBAL, "default-use-load-checker")
    if (section, option) in settings.values:
        default = settings.boolean(section, option)
    return profile.broker_flag("use-load-checker", default) and not profile.is_shadow
