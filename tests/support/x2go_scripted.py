"""X2Go Servers that follow a script, for the logic of sessions: what control and terminal sessions answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from x2gobroker.x2go.errors import X2GoControlSessionException
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo, X2GoServerSessionList

COOKIE = "0123456789abcdef0123456789abcdef"


class ScriptedServer:
    """The sessions of one user. `listings` counts how often they were listed."""

    def __init__(self, user: str = "anna") -> None:
        self.user = user
        self.states: dict[str, str] = {}
        self.changes: dict[str, int] = {}
        self.alive = True
        self.listings = 0
        self.refuse_start: Exception | None = None
        self.start_seconds = 0.0
        self.starts = 0
        self.desktops: list[str] | Exception = []
        self._lock = threading.Lock()

    def add(self, state: str = "R", command: str = "Rxterm") -> str:
        """A further session; its name."""
        with self._lock:
            number = len(self.changes)
            name = f"{self.user}-{50 + number}-{1700000000 + number}_st{command}_dp24"
            self.states[name], self.changes[name] = state, 0
        return name

    def change(self, name: str, state: str) -> None:
        """Somebody changes a session: `R`, `S`, or `` for its end."""
        self.changes[name] += 1
        if state:
            self.states[name] = state
        else:
            self.states.pop(name, None)

    def listing(self) -> str:
        """What x2golistsessions prints."""
        lines = []
        for name, state in self.states.items():
            display = name.split("-")[1]
            changed = f"2026-01-01T00:00:{self.changes[name] % 60:02d}"
            words = [f"1{display}", name, display, "host", state, f"2026-01-01T00:{int(display) - 50:02d}:00", COOKIE]
            words += ["127.0.0.1", "30001", "30002", changed, self.user, "10", "30003", "-1", "-1"]
            lines.append("|".join(words))
        return "\n".join(lines)


class ScriptedTerminal:
    """What shows a session: it notes what is called."""

    def __init__(self, control: ScriptedControl, info: X2GoServerSessionInfo, params: Mapping[str, Any]) -> None:
        self.control = control
        self.session_info = info
        self.params = dict(params)
        self.session_title = ""
        self.sharing = None
        self.shown = True
        self.calls: list[str] = []
        self.refuse: dict[str, Exception] = {}
        self.shared: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refuse:
            raise self.refuse[name]

    def ok(self) -> bool:
        """Whether the proxy runs."""
        return self.shown

    def get_session_name(self) -> str:
        return self.session_info.name

    def get_session_info(self) -> X2GoServerSessionInfo:
        return self.session_info

    def get_session_type(self) -> str:
        return self.session_info.get_session_type() or ""

    def get_session_cmd(self) -> str:
        return str(self.params.get("cmd"))

    def is_published_applications_provider(self) -> bool:
        return bool(self.session_info.is_published_applications_provider())

    def start_sound(self) -> None:
        self._call("start_sound")

    def start_sshfs(self) -> None:
        self._call("start_sshfs")

    def start_printing(self) -> None:
        self._call("start_printing")

    def get_printing_spooldir(self) -> str:
        return "/spool"

    def start_mimebox(self, mimebox_extensions: list[str], mimebox_action: str) -> None:
        self._call("start_mimebox")

    def get_mimebox_spooldir(self) -> str:
        return "/mimebox"

    def run_command(self, env: Mapping[str, str]) -> None:
        self.environment = dict(env)
        self._call("run_command")

    def share_local_folder(self, local_path: str) -> bool:
        self._call("share_local_folder")
        self.shared.append(local_path)
        return not local_path.endswith("refused")

    def unshare_local_folder(self, local_path: str) -> bool:
        self._call("unshare_local_folder")
        return not local_path.endswith("busy")

    def unshare_all_local_folders(self) -> bool:
        self._call("unshare_all_local_folders")
        return True

    def set_session_window_title(self, title: str) -> None:
        self._call(f"title {title}")

    def raise_session_window(self) -> None:
        self._call("raise")

    def set_print_action(self, print_action: Any, **kwargs: Any) -> None:
        self._call(f"print action {print_action}")

    def exec_published_application(self, exec_name: str, timeout: float, env: Mapping[str, str]) -> None:
        self._call(f"exec {exec_name}")

    def suspend(self) -> bool:
        self._call("suspend")
        return self.control.suspend(self.session_info.name)

    def terminate(self) -> bool:
        self._call("terminate")
        return self.control.terminate(self.session_info.name)

    def release_proxy(self) -> None:
        self._call("release_proxy")
        self.shown = False

    def post_terminate_cleanup(self) -> None:
        self._call("post_terminate_cleanup")


class ScriptedControl:
    """The control session of a scripted server, found by the name that `connect` is told."""

    servers: ClassVar[dict[str, ScriptedServer]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        self.server: ScriptedServer | None = None
        self.hostname: str | None = None
        self.low_latency = False
        self.connects: list[dict[str, Any]] = []
        self.dissociated: list[Any] = []
        self.last_failure = ""
        self.refuse_connect: Exception | None = None
        self.refuse_command: dict[str, Exception] = {}
        self.shown_host_key: tuple[str, str] | None = ("SHA256:abc", "SSH-ED25519")
        self.knows_host = False
        self.sshfs = True
        self.terminals: list[ScriptedTerminal] = []
        self.refuse_terminal: dict[str, Exception] = {}
        self.remote_home = "/home/anna"
        self.profile_name = str(parameters.get("profile_name"))

    def connect(self, hostname: str, **parameters: Any) -> bool:
        self.connects.append(parameters)
        if self.refuse_connect is not None:
            raise self.refuse_connect
        self.hostname, self.server = hostname, self.servers[hostname]
        return True

    def _live(self) -> ScriptedServer:
        if self.server is None or not self.server.alive:
            raise X2GoControlSessionException("the connection is lost")
        return self.server

    def disconnect(self) -> bool:
        was, self.server = self.server, None
        return was is not None and was.alive

    def is_connected(self) -> bool:
        return self.server is not None and self.server.alive

    is_alive = is_connected

    def has_session_died(self) -> bool:
        return self.server is not None and not self.server.alive

    def get_hostname(self) -> str | None:
        return self.hostname

    def get_port(self) -> int | None:
        return 2222 if self.hostname else None

    def set_profile_name(self, profile_name: str) -> None:
        self.profile_name = profile_name

    def check_host(self, hostname: str, port: int) -> bool:
        return self.knows_host

    def remote_username(self) -> str:
        return self._live().user

    def remote_peername(self) -> tuple[str, int]:
        return "127.0.0.1", 2222

    def is_x2gouser(self, username: str) -> bool:
        return username == self._live().user

    def is_sshfs_available(self) -> bool:
        return self.sshfs

    def query_server_features(self, force: bool = False) -> list[str]:
        self._live()
        return ["X2GO_LIST_DESKTOPS"]

    get_server_features = query_server_features

    def get_server_versions(self, force: bool = False) -> dict[str, str]:
        return {"x2goserver": "4.1.0.3"}

    def command(self, command: str, seconds: float) -> None:
        self._live()
        if "command" in self.refuse_command:
            raise self.refuse_command["command"]

    def list_sessions(self, raw: bool = False) -> Any:
        server = self._live()
        server.listings += 1
        return server.listing() if raw else X2GoServerSessionList(server.listing())

    def list_desktops(self, raw: bool = False) -> Any:
        desktops = self._live().desktops
        if isinstance(desktops, Exception):
            raise desktops
        return "\n".join(desktops) if raw else desktops

    def list_mounts(self, session_name: str, raw: bool = False) -> Any:
        self._live()
        return "" if raw else []

    def get_published_applications(self, **parameters: Any) -> Any:
        if "published" in self.refuse_command:
            raise self.refuse_command["published"]
        return parameters

    def _state(self, session_name: str) -> str | None:
        return self._live().states.get(session_name)

    def is_running(self, session_name: str) -> bool | None:
        state = self._state(session_name)
        return None if state is None else state == "R"

    def is_suspended(self, session_name: str) -> bool | None:
        state = self._state(session_name)
        return None if state is None else state == "S"

    def has_terminated(self, session_name: str) -> bool | None:
        return self._state(session_name) is None

    def resume(
        self, session_name: str | None, session_instance: Any, session_list: Any, logger: Any, **params: Any
    ) -> Any:
        server = self._live()
        if server.refuse_start is not None:
            raise server.refuse_start
        time.sleep(server.start_seconds)
        if session_name is None:
            server.starts += 1
            kind = {"desktop": "D", "published": "R"}.get(str(params.get("session_type")), "R")
            session_name = server.add(command=f"{kind}{params.get('cmd') or 'TERMINAL'}")
        elif session_name not in server.states:
            self.last_failure = "the server does not list such a session"
            return None
        server.change(session_name, "R")
        return self._terminal(session_name, params)

    def _terminal(self, name: str, params: Mapping[str, Any]) -> ScriptedTerminal:
        terminal = ScriptedTerminal(self, X2GoServerSessionList(self._live().listing())[name], params)
        terminal.refuse = dict(self.refuse_terminal)
        self.terminals.append(terminal)
        return terminal

    def share_desktop(self, desktop: str, share_mode: int, session_instance: Any, logger: Any, **params: Any) -> Any:
        if "share" in self.refuse_command:
            raise self.refuse_command["share"]
        name = self._live().add(command=f"S{share_mode}XSHAD{desktop.replace(':', 'PP')}")
        terminal = self._terminal(name, params)
        del self._live().states[name]  # views of desktops are not listed
        return terminal

    def suspend(self, session_name: str) -> bool:
        if "suspend" in self.refuse_command:
            raise self.refuse_command["suspend"]
        if self._state(session_name) is None:
            return False
        self._live().change(session_name, "S")
        return True

    def terminate(self, session_name: str) -> bool:
        if self._state(session_name) is None:
            return False
        self._live().change(session_name, "")
        return True

    def clean_sessions(self, destroy_terminals: bool = True, published_applications: bool = False) -> None:
        self._live().states.clear()

    def dissociate(self, terminal_session: Any) -> None:
        self.dissociated.append(terminal_session)
