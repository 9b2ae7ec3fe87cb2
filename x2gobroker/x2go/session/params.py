"""The parameters of a session, by whom they are for: the session, its connection, the SSH proxy, or the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SESSION_PARAMS = (
    "use_sshproxy",
    "sshproxy_reuse_authinfo",
    "profile_id",
    "profile_name",
    "session_name",
    "auto_start_or_resume",
    "auto_connect",
    "printing",
    "allow_mimebox",
    "mimebox_extensions",
    "mimebox_action",
    "allow_share_local_folders",
    "share_local_folders",
    "restore_shared_local_folders",
    "control_backend",
    "terminal_backend",
    "info_backend",
    "list_backend",
    "proxy_backend",
    "settings_backend",
    "printing_backend",
    "client_rootdir",
    "sessions_rootdir",
    "ssh_rootdir",
    "keep_controlsession_alive",
    "add_to_known_hosts",
    "known_hosts",
    "forward_sshagent",
    "server",
    "port",
    "connected",
    "activated",
    "virgin",
    "running",
    "suspended",
    "terminated",
    "faulty",
    "client_instance",
)
# What `update_params` changes on a session that is there already.
CHANGEABLE_PARAMS = frozenset(
    SESSION_PARAMS[SESSION_PARAMS.index("auto_start_or_resume") : SESSION_PARAMS.index("control_backend")]
) | {"use_sshproxy", "sshproxy_reuse_authinfo", "forward_sshagent", "port"}

TERMINAL_PARAMS = frozenset(
    (
        *("geometry", "depth", "link", "pack", "dpi", "cache_type", "kbtype", "kblayout", "kbvariant", "clipboard"),
        *("xinerama", "session_type", "kdrive", "snd_system", "snd_port", "cmd", "set_session_title", "session_title"),
        *("rdp_server", "rdp_options", "applications", "xdmcp_server", "rootdir", "print_action", "print_action_args"),
        *("convert_encoding", "client_encoding", "server_encoding", "proxy_options", "published_applications"),
    )
)
CONTROL_PARAMS = frozenset(
    (
        *("username", "key_filename", "pkey", "timeout", "allow_agent", "look_for_keys", "unique_hostkey_aliases"),
        *("force_password_auth",),
    )
)
SSHPROXY_PARAMS = frozenset(
    (
        *("sshproxy_host", "sshproxy_port", "sshproxy_user", "sshproxy_key_filename", "sshproxy_pkey"),
        *("sshproxy_look_for_keys", "sshproxy_allow_agent", "sshproxy_tunnel", "sshproxy_force_password_auth"),
    )
)
SECRETS = frozenset(("password", "passphrase", "sshproxy_password", "sshproxy_passphrase"))
# In profiles and in Python X2Go, but without a meaning here or for a session as a whole.
IGNORED_PARAMS = frozenset(
    ("profiles_backend", "published_applications_no_submenus", "server", "profile_name", "profile_id", "session_name")
)


@dataclass
class SplitParams:
    """Parameters by whom they are for."""

    session: dict[str, Any] = field(default_factory=dict)
    control: dict[str, Any] = field(default_factory=dict)
    sshproxy: dict[str, Any] = field(default_factory=dict)
    terminal: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict, repr=False)


def split_params(params: Mapping[str, Any]) -> SplitParams:
    """Sort parameters. Raises TypeError for one that no session has, as Python does for any function."""
    split = SplitParams()
    for name, value in params.items():
        for known, part in (
            (CHANGEABLE_PARAMS, split.session),
            (TERMINAL_PARAMS, split.terminal),
            (CONTROL_PARAMS, split.control),
            (SSHPROXY_PARAMS, split.sshproxy),
            (SECRETS, split.secrets),
        ):
            if name in known:
                part[name] = value
                break
        else:
            if name not in IGNORED_PARAMS:
                raise TypeError(f"X2Go sessions have no parameter {name!r}")
    return split
