"""`x2gobroker x2go start` and `resume`: a session on the local display, until it ends or somebody presses Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator

from x2gobroker.cli.x2go import output
from x2gobroker.cli.x2go.options import CommandError
from x2gobroker.x2go import X2GoSession
from x2gobroker.x2go.errors import X2GoException
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo

SETTLING_SECONDS = 10.0  # until the server has noted that a session was ended or suspended
TAKING_SECONDS = 6.0  # who takes a session over has it suspended first
LOOK_SECONDS = 0.3
LONG = 3600.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SUSPENDED, ENDED, TAKEN_OVER, LOST = "suspended", "ended", "taken-over", "lost"
SAID = {
    SUSPENDED: "it is suspended; `x2gobroker x2go resume` shows it again",
    ENDED: "it has ended",
    TAKEN_OVER: "it is shown by another client now",
    LOST: "the connection to the server is lost; the session goes on there, suspended",
}


def start(session: X2GoSession, options: argparse.Namespace) -> int:
    """Start a session, or view a desktop, and stay with it."""
    with _stopped_by_signals():
        if options.view:
            done = session.share_desktop(options.view, share_mode=1 if options.full_access else 0)
        else:
            done = session.start()
        _must_be_shown(session, done)
        if options.detach:
            return _detach(session, options)
        return _stay(session, options)


def resume(session: X2GoSession, options: argparse.Namespace) -> int:
    """Show a session that is there, and stay with it."""
    name = _which(output.sessions_of(session), options.names)
    with _stopped_by_signals():
        _must_be_shown(session, session.resume(name))
        return _stay(session, options)


def _which(sessions: list[X2GoServerSessionInfo], names: list[str]) -> str:
    """The session that is meant. Raises CommandError when there is none, or several might be."""
    known = {each.name: each for each in sessions if each.get_session_type() != "S"}
    if names:
        if names[0] not in known:
            raise CommandError(
                f"there is no session {output.shown(names[0])} that could be resumed; `x2gobroker x2go list` "
                "shows which there are"
            )
        return names[0]
    suspended = [name for name, each in known.items() if each.is_suspended()]
    found = suspended or list(known)
    if not found:
        raise CommandError("there is no session that could be resumed; `x2gobroker x2go start` starts one")
    if len(found) > 1:
        raise CommandError(f"there are {len(found)} sessions; name one of {', '.join(found)}")
    return found[0]


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM, and the end of the terminal, do what Ctrl-C does; and pressing it again keeps nothing from being done.

    What is ignored already, as behind nohup, stays so.
    """
    before = {number: signal.getsignal(number) for number in STOPPING}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def interrupt(_number: int, _frame: object) -> None:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in heeded:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _must_be_shown(session: X2GoSession, done: bool) -> None:
    """Raises CommandError with the reason when the session did not come up."""
    if not done or not session.session_name:
        reason = session.last_error or "the session did not come up"
        raise CommandError(str(reason))


def _detach(session: X2GoSession, options: argparse.Namespace) -> int:
    name = str(session.session_name)
    if not session.suspend():
        raise CommandError(f"session {name} was started, but the server did not suspend it; terminate it, or resume it")
    _tell(session, options, name, SUSPENDED)
    return 0


def _tell(session: X2GoSession, options: argparse.Namespace, name: str, event: str) -> None:
    """What has become of the session, on the standard output."""
    if options.json:
        output.print_json({"event": event, **output.place_of(session), "session": name}, indent=None)
    elif event == "shown":
        print(f"{name}: it is shown; Ctrl-C suspends it", flush=True)
    else:
        print(f"{name}: {SAID[event]}", flush=True)


def _share(session: X2GoSession, folders: list[str]) -> None:
    """Mount the folders; the session goes on without those that cannot be."""
    for path in folders:
        try:
            shared = session.share_local_folder(path, update_exported_folders=False)
        except X2GoException as error:
            print(f"x2gobroker: {path} is not shared: {error}", file=sys.stderr)
            continue
        if not shared:
            print(f"x2gobroker: {path} is not shared: the server does not mount it", file=sys.stderr)


def _stay(session: X2GoSession, options: argparse.Namespace) -> int:
    """Wait for the end of what shows the session; on Ctrl-C, suspend it."""
    name = str(session.session_name)
    is_view = bool(getattr(options, "view", None))
    terminal = session.get_terminal_session()
    proxy = terminal.proxy if terminal is not None else None
    try:
        _tell(session, options, name, "shown")
        _share(session, options.folders)
        while proxy is not None and not proxy.wait(LONG):
            continue
        event = ENDED if is_view else _fate(session, name)
    except KeyboardInterrupt:
        event = _interrupted(session, name, is_view)
    _tell(session, options, name, event)
    return 1 if event == LOST else 0


def _interrupted(session: X2GoSession, name: str, is_view: bool) -> str:
    """Suspend the session; a view of another one ends instead."""
    if is_view:
        session.terminate()
        return ENDED
    if session.suspend():
        return SUSPENDED
    raise CommandError(f"session {name} was not suspended; the server says nothing of it any more")


def _fate(session: X2GoSession, name: str) -> str:
    """Why the session is not shown any more, as the server has it."""
    control = session.get_control_session()
    begun, suspended_since = time.monotonic(), 0.0
    while control is not None:
        try:
            sessions = control.list_sessions(refresh=True)
        except X2GoException:
            return LOST
        now = time.monotonic()
        info = sessions.get_session_info(name)
        if info is None and name not in sessions.unclear:
            return ENDED
        if info is not None and info.is_suspended():
            suspended_since = suspended_since or now
            if now - suspended_since > TAKING_SECONDS:
                return SUSPENDED
        elif suspended_since or now - begun > SETTLING_SECONDS:
            return TAKEN_OVER
        time.sleep(LOOK_SECONDS)
    return LOST
