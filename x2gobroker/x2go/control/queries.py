"""What a control session can ask a server: who may what there, its sessions, desktops, mounts and applications."""

from __future__ import annotations

import copy
import re
import threading
import time
from typing import Protocol

from x2gobroker.model.sessions import CLIENT, SESSION_NAME, SHARED_DESKTOP
from x2gobroker.x2go import defaults
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoException, X2GoTimeOutException
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_INFO, LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.terminal import X2GoTerminalSession
from x2gobroker.x2go.weak import Weak
from x2gobroker.x2go.wire.commands import word
from x2gobroker.x2go.wire.listing import LOCKED, X2GoServerSessionInfo, X2GoServerSessionList, database_failure
from x2gobroker.x2go.wire.pubapp import Menu, RawApplication, menu_tree, own_language, raw_applications
from x2gobroker.x2go.wire.reply import Reply
from x2gobroker.x2go.wire.session_probe import Listing, Question

NOT_FOUND = 127
LISTING_SECONDS = 20.0
LOCKED_PAUSE = 0.5
MOST_NAMES = 10_000
PUBLISHED_SECONDS = 60.0
PUBLISHED_BYTES = 32 << 20
PUBLISHING = "X2GO_PUBLISHED_APPLICATIONS"
FEATURE = re.compile(r"[A-Z0-9_]{1,80}")
COMPONENT = re.compile(r"([A-Za-z0-9_.+-]{1,80}):[ \t]*([A-Za-z0-9_.:~+-]{1,80})")
LONGEST_PATH = 4096

# A user with the limit 0 may never start a session. x2gosessionlimit asks the session database for what is not needed
# here, so it is only asked where the settings have a 0 at all.
X2GOUSER_QUERY = (
    "id -un; command -v x2gostartagent >/dev/null && command -v x2golistsessions >/dev/null && echo installed; "
    "{ grep -Eq '^[^#;=]*=[[:space:]\"]*0' /etc/x2go/x2goserver.conf && "
    '[ "$(x2gosessionlimit)" = 0 ]; } || echo allowed'
)
# x2gomountdirs runs sshfs as the user, and fusermount opens the device with the user's rights
SSHFS_QUERY = (
    "command -v sshfs >/dev/null && { command -v fusermount || command -v fusermount3; } >/dev/null "
    "&& [ -r /dev/fuse ] && [ -w /dev/fuse ] && echo yes"
)


class Asked(Protocol):
    """What questions need of the connection."""

    logger: X2GoLogger
    hostname: str | None
    session_died: bool
    associated_terminals: dict[str, X2GoTerminalSession]
    terminated_terminals: list[str]
    published_applications_no_submenus: int

    def command(self, command: str, seconds: float = ..., max_bytes: int = ..., input: bytes = ...) -> Reply:
        """Run a command on the server."""

    def patience(self, seconds: float) -> float:
        """So many seconds, or more on a slow line."""

    def remote_username(self) -> str:
        """Who is logged in on the server."""

    def list_sessions(self) -> X2GoServerSessionList:
        """The user's sessions on the server."""

    def query_server_features(self) -> list[str]:
        """The features that the server names."""


class Queries:
    """The part of a control session that asks and changes nothing. Safe for threads.

    It remembers what it was told, until `forget`. What programs may override is asked through the control session.
    """

    _control = Weak[Asked]()

    def __init__(self, control: Asked) -> None:
        self._control = control
        self._remembering, self._publishing = threading.Lock(), threading.Lock()
        self._seen: dict[str, None] = {}
        self.ended: set[str] = set()  # whose agents the server has seen to end, by our order
        self.forget()

    def forget(self) -> None:
        """What was learned over a connection counts for that one only."""
        self._listing: Listing | None = None
        self._is_let_in = False
        self._server_features: list[str] | None = None
        self._server_versions: dict[str, str] | None = None
        self._published_applications: list[RawApplication] | None = None
        self._published_applications_menu: Menu = {}

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._control.logger

    @property
    def hostname(self) -> str | None:
        """The name of the server, for messages."""
        return self._control.hostname

    def last_seen(self, session_name: str) -> X2GoServerSessionInfo | None:
        """What the last listing that is remembered says of a session."""
        listing = self._listing
        return listing.sessions.get_session_info(session_name) if listing is not None else None

    def is_x2gouser(self, username: str) -> bool:
        """Whether this user may start sessions: X2Go is installed, has no limit of 0, and lists sessions."""
        lines = self._control.command(X2GOUSER_QUERY).output.splitlines()
        if not lines or username not in (lines[0], self._control.remote_username()):
            self.logger("only the user who is logged in can be asked for", LOGLEVEL_INFO)
            return False
        if lines[1:] != ["installed", "allowed"]:
            return False
        if not self._is_let_in:
            listing = self._one_answer(Question())
            if listing is None or listing.failure == LOCKED:
                raise X2GoControlSessionException(f"{self.hostname} cannot tell now who may use X2Go; try again later")
            self._is_let_in = listing.failure is None
        return self._is_let_in

    def is_sshfs_available(self) -> bool:
        """Whether folders of the client can be mounted: sshfs and fusermount are there, and /dev/fuse may be used."""
        return self._control.command(SSHFS_QUERY).output.strip() == "yes"

    def query_server_features(self, force: bool = False) -> list[str]:
        """The features that the server names (`X2GO_LIST_DESKTOPS` ...), sorted; empty where X2Go is not installed."""
        if force or self._server_features is None:
            lines = self._control.command("x2gofeaturelist").output.splitlines()
            self._server_features = sorted({line.strip() for line in lines if FEATURE.fullmatch(line.strip())})
        return list(self._server_features)

    def query_server_versions(self, force: bool = False) -> dict[str, str]:
        """The components of X2Go on the server (`x2goserver` ...) and their versions; empty where there are none."""
        if force or self._server_versions is None:
            lines = self._control.command("x2goversion").output.splitlines()
            found = (COMPONENT.fullmatch(line.strip()) for line in lines)
            self._server_versions = {component[1]: component[2] for component in found if component}
        return dict(self._server_versions)

    def list_sessions(self, raw: bool = False, refresh: bool = False) -> X2GoServerSessionList | str:
        """The user's sessions on the server, also views of others' sessions; a mapping of names, not shared."""
        shown = dict(
            self._control.associated_terminals
        )  # a session that starts while the server answers may not be listed
        listing = self._ask_for_sessions(raw or refresh)
        sessions = X2GoServerSessionList()
        sessions.unclear = listing.sessions.unclear
        for name, info in listing.sessions.items():
            if name in self.ended:
                continue  # the server's cleaner has written down again what it had read before the end
            fresh = copy.copy(info)
            fresh.age += int(time.monotonic() - listing.asked_at)
            sessions.sessions[name] = fresh
        self._follow(sessions, shown)
        return listing.text if raw else sessions

    def forget_sessions(self) -> None:
        """Ask the server for all of the list next time: something was just done to a session."""
        with self._remembering:
            self._listing = None

    def _ask_for_sessions(self, is_full: bool) -> Listing:
        """A list without a failure. Raises X2GoControlSessionException."""
        deadline = time.monotonic() + self._control.patience(LISTING_SECONDS)
        while True:
            with self._remembering:
                question = Question(None if is_full else self._listing)
            listing = self._one_answer(question)
            failure = "x2golistsessions was cut off" if listing is None else listing.failure
            if listing is not None and not failure:
                with self._remembering:
                    newer = self._listing is not None and self._listing.asked_at > listing.asked_at
                    self._listing = self._listing if newer else listing
                    self._is_let_in = True
                return listing
            if time.monotonic() + LOCKED_PAUSE > deadline:
                raise X2GoControlSessionException(f"{self.hostname} cannot list sessions: {failure}")
            self.logger(f"{self.hostname} cannot list sessions: {failure}; trying again", LOGLEVEL_DEBUG)
            time.sleep(LOCKED_PAUSE)

    def _one_answer(self, question: Question) -> Listing | None:
        try:
            reply = self._control.command(question.command, defaults.COMMAND_SECONDS)
        except X2GoTimeOutException as error:
            self._control.session_died = True
            self.logger(f"the connection to {self.hostname} is taken for lost: {error}", LOGLEVEL_WARN)
            raise X2GoControlSessionException(f"{self.hostname} does not list sessions: {error}") from None
        _must_exist(reply, "x2golistsessions")
        return question.read(reply.output, self.logger)

    def _follow(self, sessions: X2GoServerSessionList, shown: dict[str, X2GoTerminalSession]) -> None:
        """Bring what is known of the sessions that are shown here up to date, and let go of those that are not."""
        with self._remembering:
            for name in sessions:
                self._seen.pop(name, None)
                self._seen[name] = None
            for name in list(self._seen)[:-MOST_NAMES]:
                del self._seen[name]
        for name, terminal in shown.items():
            info = sessions.get_session_info(name)
            if info is not None and not terminal.is_session_info_protected():
                terminal.session_info.update(info)
            if (info is None and name not in sessions.unclear) or (info is not None and info.is_suspended()):
                self._let_go(name, terminal, has_ended=info is None)

    def _let_go(self, name: str, terminal: X2GoTerminalSession, has_ended: bool) -> None:
        """A session that was shown here was ended, or suspended: its proxy and its tunnels end."""
        with self._remembering:
            if self._control.associated_terminals.get(name) is not terminal:
                return  # another thread has seen it, too
            del self._control.associated_terminals[name]
        if has_ended:
            self._control.terminated_terminals.append(name)
        try:
            if has_ended:
                terminal.has_been_terminated()
            else:
                terminal.has_been_suspended()
        except X2GoException as error:
            self.logger(f"cleaning up after session {name}: {error}", LOGLEVEL_WARN)

    def _listed(self, session_name: str) -> X2GoServerSessionInfo | None:
        return self._control.list_sessions().get_session_info(session_name)

    def is_running(self, session_name: str) -> bool | None:
        """Whether this session runs; None when it is not listed. Raises what `list_sessions` raises."""
        info = self._listed(session_name)
        return info.is_running() if info is not None else None

    def is_suspended(self, session_name: str) -> bool | None:
        """Whether this session is suspended; None when it is not listed. Raises what `list_sessions` raises."""
        info = self._listed(session_name)
        return info.is_suspended() if info is not None else None

    def has_terminated(self, session_name: str) -> bool | None:
        """Whether this session, once seen by this control session, is no more; None when it was never seen."""
        was_shown = session_name in self._control.associated_terminals
        sessions = self._control.list_sessions()
        if session_name in sessions or session_name in sessions.unclear:
            return False
        with self._remembering:
            was_seen = session_name in self._seen or session_name in self._control.terminated_terminals
        return True if was_shown or was_seen else None

    def list_desktops(self, raw: bool = False, maxwait: float = 20) -> list[str] | str:
        """Desktops that can be shared, as `user@:50`: the user's own, and those that other users offer."""
        end = time.monotonic() + maxwait
        reply = self._control.command("export HOSTNAME; x2golistdesktops", maxwait)
        _must_exist(reply, "x2golistdesktops")
        if raw:
            return reply.output
        found = dict.fromkeys(
            line.strip() for line in reply.output.splitlines() if SHARED_DESKTOP.fullmatch(line.strip())
        )
        applications = self._application_displays(end - time.monotonic()) if found else set()
        return [desktop for desktop in found if desktop not in applications]

    def _application_displays(self, seconds: float) -> set[str]:
        """The displays of the user's sessions of single applications; none if the server does not tell in time."""
        question = Question(self._listing)
        try:
            listing = question.read(self._control.command(question.command, max(0.01, seconds)).output, self.logger)
        except X2GoTimeOutException:
            return set()
        sessions = listing.sessions.values() if listing else ()
        return {f"{info.username}@:{info.display}" for info in sessions if info.get_session_type() in ("R", "P")}

    def list_mounts(self, session_name: str, raw: bool = False, maxwait: float = 20) -> list[str] | str:
        """Folders of the client that are mounted in this session, as `client|path on the server`."""
        if not SESSION_NAME.fullmatch(session_name):
            return "" if raw else []  # the server has no such session
        end = time.monotonic() + maxwait
        failure: str | None = None
        while True:
            try:
                reply = self._mounts(session_name, end - time.monotonic())
            except X2GoTimeOutException:
                if failure is None:
                    raise
                raise X2GoTimeOutException(f"{self.hostname} lists no mounts in {maxwait:g} s: {failure}") from None
            failure = database_failure(f"{reply.output}\n{reply.errors}")
            if failure is None:
                return reply.output if raw else list(filter(_is_mount, reply.output.split("\n")))
            time.sleep(min(LOCKED_PAUSE, max(0.0, end - time.monotonic())))

    def _mounts(self, session_name: str, seconds: float) -> Reply:
        reply = self._control.command(f"export HOSTNAME; x2golistmounts {word(session_name)}", max(0.01, seconds))
        _must_exist(reply, "x2golistmounts")
        return reply

    def get_published_applications(
        self,
        lang: str | None = None,
        refresh: bool = False,
        raw: bool = False,
        very_raw: bool = False,
        max_no_submenus: int = defaults.PUBAPP_MAX_NO_SUBMENUS,
    ) -> Menu | list[RawApplication] | str:
        """The menu of the applications that the server publishes; pubapp.menu_tree tells its form."""
        lang = own_language() if lang is None else lang
        with self._publishing:
            if refresh or raw or very_raw or self._published_applications is None:
                output = self._query_applications()
                self._published_applications = raw_applications(output)
                self._published_applications_menu = {}
                if very_raw:
                    return output
            if raw:
                return copy.deepcopy(self._published_applications)
            if not self._published_applications and PUBLISHING not in self._control.query_server_features():
                return {}
            if max_no_submenus != self._control.published_applications_no_submenus:
                self._control.published_applications_no_submenus = max_no_submenus
                self._published_applications_menu = {}
            if lang not in self._published_applications_menu:
                found = menu_tree(self._published_applications, lang, max_no_submenus)
                self._published_applications_menu.update(found)
            return copy.deepcopy(self._published_applications_menu)

    def _query_applications(self) -> str:
        if PUBLISHING not in self._control.query_server_features():
            return ""
        self.logger(f"asking {self.hostname} for published applications", LOGLEVEL_NOTICE)
        return self._control.command("x2gogetapps", PUBLISHED_SECONDS, PUBLISHED_BYTES).output


def _is_mount(line: str) -> bool:
    """Whether this is a line `client|path` of x2golistmounts."""
    client, bar, path = line.partition("|")
    is_path = path.startswith("/") and path.isprintable() and len(path) <= LONGEST_PATH
    return bool(bar) and bool(CLIENT.fullmatch(client)) and is_path


def _must_exist(reply: Reply, program: str) -> None:
    """Raises X2GoControlSessionException where the server has no such program."""
    if reply.status == NOT_FOUND:
        raise X2GoControlSessionException(
            f"the server has no {program}: is it an X2Go Server? It needs the package x2goserver"
        )
