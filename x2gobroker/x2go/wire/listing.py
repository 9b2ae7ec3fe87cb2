"""Sessions as a server lists them: one object each, and the list of them.

Source of the formats: the answers of x2goserver 4.1.0.3 (docs/reference/protocol.md). Names and attributes are those
of Python X2Go. A session's cookie lets anybody draw on it: it is never shown by repr() and never logged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from x2gobroker.model.sessions import RUNNING, SESSION_NAME, SUSPENDED, SessionRecord
from x2gobroker.x2go.log import LOGLEVEL_INFO, X2GoLogger, logger_of

SHADOW = "S"
DESKTOP_TYPES = ("D", "K")
NX_TYPES = ("D", "R", "S", "P")
PROVIDER = re.compile(r"_st[RP]PUBLISHED_")
TYPE = re.compile(r"_st([A-Z])([01])?")
MOST_LINES = 5000
MOST_SAID = 10  # lines that are left out, each with its reason; of further ones only the number

# x2golistsessions prints the text of a failure as if it were a session, without blanks, and reports success
LOCKED = "the session database is locked"
FAILED_DATABASE = re.compile(r"DBD::|DBI ?connect\(")


class X2GoServerSessionInfo:
    """What is known of one session. Ports and process IDs are 0, texts empty, until they are known.

    `status` is R (running), S (suspended) or T (about to end); dates are the server's local time as
    `YYYY-MM-DDThh:mm:ss`; `age` is seconds since the start. `local_container` and `remote_container` are the folders
    of the session on the client and on the server.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.name = self.cookie = self.username = self.hostname = self.status = ""
        self.date_created = self.date_suspended = ""
        self.local_container = self.remote_container = ""
        self.agent_pid = self.display = self.age = 0
        self.graphics_port = self.snd_port = self.sshfs_port = 0
        self.tekictrl_port = self.tekidata_port = -1
        self.protected = self.initialized = False
        self.session_type_cached: str | None = None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        """Everything but the cookie."""
        shown = (f"{name}={value!r}" for name, value in sorted(vars(self).items()) if name != "cookie")
        return f"X2GoServerSessionInfo({', '.join(shown)})"

    def initialize(
        self,
        x2go_output: str,
        username: str = "",
        hostname: str = "",
        local_container: str = "",
        remote_container: str = "",
    ) -> None:
        """Take what x2gostartagent printed: display, cookie, process ID, name and ports, one a line.

        The information is protected from `update` afterwards. Raises ValueError when it is anything else.
        """
        self._take(SessionRecord.just_started(x2go_output))
        self.username, self.hostname = username, hostname
        self.local_container, self.remote_container = local_container, remote_container
        self.protect()

    def _parse_x2golistsessions_line(self, x2go_output: str) -> None:
        """Take one line of a listing. Raises ValueError; the text does not repeat the line."""
        self._take(SessionRecord.listed(x2go_output))

    def _take(self, record: SessionRecord) -> None:
        """What a server says: the only way by which it gets in here, checked field by field."""
        self.clear()
        self.name, self.cookie, self.status = record.name, record.cookie, record.state
        self.hostname, self.username, self.age = record.server, record.user, record.age
        self.agent_pid, self.display = record.agent_pid, record.display
        self.date_created, self.date_suspended = record.started, record.changed
        self.graphics_port, self.snd_port, self.sshfs_port = (
            record.graphics_port,
            record.sound_port,
            record.folders_port,
        )
        self.tekictrl_port, self.tekidata_port = record.control_port, record.data_port
        self.initialized = True

    def update(self, session_info: X2GoServerSessionInfo) -> None:
        """Take over what changes in the life of a session: ports, status, dates."""
        for name in (
            "graphics_port",
            "snd_port",
            "sshfs_port",
            "tekictrl_port",
            "tekidata_port",
            "date_suspended",
            "status",
            "age",
        ):
            setattr(self, name, getattr(session_info, name))

    def protect(self) -> None:
        """Let nobody update this any more."""
        self.protected = True

    def unprotect(self) -> None:
        """Let it be updated again."""
        self.protected = False

    def is_protected(self) -> bool:
        """Whether this is not to be updated."""
        return self.protected

    def is_initialized(self) -> bool:
        """Whether anything is known."""
        return self.initialized

    def get_status(self) -> str | None:
        """R, S or T; None when nothing is known."""
        return self.status if self.initialized else None

    def is_running(self) -> bool | None:
        """Whether it runs, in front of somebody or about to be; None when nothing is known."""
        return self.status == RUNNING if self.initialized else None

    def is_suspended(self) -> bool | None:
        """Whether it is suspended; None when nothing is known."""
        return self.status == SUSPENDED if self.initialized else None

    def get_session_type(self) -> str | None:
        """D (desktop), R (single application), S (view of another session), P (published applications), K (KDrive).

        None when nothing is known, or when the name says nothing of it.
        """
        if not self.initialized:
            return None
        if self.session_type_cached is None:
            found = TYPE.search(self.name)
            self.session_type_cached = "P" if PROVIDER.search(self.name) else found[1] if found else None
        return self.session_type_cached

    def get_share_mode(self) -> str | None:
        """Of a view of another session: `0` view only, `1` full access. None for all others."""
        found = TYPE.search(self.name)
        return found[2] if self.initialized and found and found[1] == SHADOW else None

    def is_published_applications_provider(self) -> bool | None:
        """Whether it offers published applications; None when nothing is known."""
        return self.get_session_type() == "P" if self.initialized else None

    def is_desktop_session(self) -> bool | None:
        """Whether it is a whole desktop; None when nothing is known."""
        return self.get_session_type() in DESKTOP_TYPES if self.initialized else None

    def is_kdrive_session(self) -> bool | None:
        """Whether its agent is x2gokdrive; None when nothing is known."""
        return self.get_session_type() == "K" if self.initialized else None

    def is_nx3_session(self) -> bool | None:
        """Whether its agent is x2goagent; None when nothing is known."""
        return self.get_session_type() in NX_TYPES if self.initialized else None


class X2GoServerSessionList(Mapping[str, X2GoServerSessionInfo]):
    """The sessions of a listing by their names: `sessions`, which this is a mapping of.

    Lines that are not understood are left out; `unclear` are the names in them, empty where they hold none. Such a
    line is also how a server lists a session that is just being made.
    """

    def __init__(
        self,
        x2go_output: str | None = None,
        info_backend: type[X2GoServerSessionInfo] = X2GoServerSessionInfo,
        logger: X2GoLogger | None = None,
    ) -> None:
        self.sessions: dict[str, X2GoServerSessionInfo] = {}
        self.unclear: set[str] = set()
        log = logger_of(logger, 0, "listing")
        left_out = 0
        for line in (x2go_output or "").split("\n", MOST_LINES)[:MOST_LINES]:
            if not line.strip():
                continue
            info = info_backend()
            try:
                info._parse_x2golistsessions_line(line.rstrip("\r"))
            except ValueError as error:
                name = line.split("|")[1] if "|" in line else ""
                self.unclear.add(name if SESSION_NAME.fullmatch(name) else "")
                left_out += 1
                if left_out <= MOST_SAID:
                    log(f"a line of the server's list of sessions is left out: {error}", LOGLEVEL_INFO)
            else:
                self.sessions.setdefault(info.name, info)
        if left_out > MOST_SAID:
            log(f"{left_out - MOST_SAID} further lines of the server's list are left out", LOGLEVEL_INFO)

    def __getitem__(self, name: str) -> X2GoServerSessionInfo:
        return self.sessions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sessions)

    def __len__(self) -> int:
        return len(self.sessions)

    def __call__(self) -> dict[str, X2GoServerSessionInfo]:
        """The sessions by their names."""
        return self.sessions

    def get_sessions(self) -> dict[str, X2GoServerSessionInfo]:
        """The sessions by their names."""
        return self.sessions

    def set_sessions(self, sessions: dict[str, X2GoServerSessionInfo]) -> None:
        """Take these sessions in place of what was listed."""
        self.sessions = sessions

    def get_session_info(self, session_name: str) -> X2GoServerSessionInfo | None:
        """What is known of this session; None when it is not listed."""
        return self.sessions.get(session_name)

    def get_session_with(
        self, property_name: str, value: Any, hostname: str | None = None
    ) -> X2GoServerSessionInfo | None:
        """The first session whose attribute has this value, as text; None when there is none.

        A display may be given as `:50` or `:50.0`; `hostname` limits the search to one server.
        """
        wanted = str(value)
        if property_name == "display":
            wanted = wanted.lstrip(":").partition(".")[0]
        for info in self.sessions.values():
            if str(getattr(info, property_name, None)) == wanted and hostname in (None, info.hostname):
                return info
        return None


def database_failure(x2go_output: str) -> str | None:
    """What kept the session database from answering, if that is what a listing holds instead of sessions."""
    for line in x2go_output.split("\n", MOST_LINES)[:MOST_LINES]:
        if FAILED_DATABASE.match(line):
            if "locked" in line:
                return LOCKED
            return "the session database cannot be used; see the server's system log"
    return None
