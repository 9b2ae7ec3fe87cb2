"""The commands for an X2Go Server that start, resume, suspend and end sessions, and their answers.

Source: x2goserver 4.1.0.3 and what X2Go's clients send (docs/reference/protocol.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from x2gobroker.model.sessions import SESSION_NAME
from x2gobroker.x2go.errors import X2GoDesktopSharingDenied, X2GoTerminalSessionException
from x2gobroker.x2go.texts import printable
from x2gobroker.x2go.wire.commands import space_chars, word
from x2gobroker.x2go.wire.params import KDRIVE, SHADOW, XDMCP, X2GoSessionParams, check_form
from x2gobroker.x2go.wire.reply import Reply

START_SECONDS = 90
RESUME_SECONDS = 60  # the server's script never ends for a session that nobody ever connected to
# x2goagent dies of session names above about 111 characters, as trials on an X2Go Server showed: some less are safe. A
# name is USER-DISPLAY-TIME_stTYPELABEL_dpDEPTH: without user and label at most the 26 of -65535-1795274779_stR_dp24
LONGEST_NAME = 105
LENGTH_OF_THE_REST = 26
USUAL_LONGEST_USER = 32
SHORTEST_LABEL = len("PUBLISHED")  # a mark that has to stay whole
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
# The agent gives up after 60 s by itself; slow lines and busy machines need many of them.
SETTLED_SECONDS = 70.0
PORT_LINE = re.compile(r"^(gr_port|sound_port|fs_port)=([0-9]{1,5})\s*$", re.MULTILINE)
STATE_LINE = re.compile(r"^state=([A-Z]{0,40})$", re.MULTILINE)

# Without a place for its cookies xauth waits for a lock, again and again, and the session cannot be shown in the end.
NO_HOME = 113
HOME_CHECK = f'[ -w "$HOME" ] || [ -n "$XAUTHORITY" ] || exit {NO_HOME}'

# 10 s for the agent; 3 s where it is STARTING: nobody is connected whom it could let go. Its file is empty for a moment
# whenever it writes a new state.
SUSPEND = """\
x2gosuspend-session {name} >/dev/null 2>&1 </dev/null
f="$HOME"/.x2go/C-{name}/state
i=0; while [ $i -lt 100 ]; do
  s=; [ -r "$f" ] && s=$(cat "$f")
  case "$s" in SUSPENDED|TERMINAT*) break ;; STARTING) [ $i -gt 30 ] && break ;; '') [ -r "$f" ] || break ;; esac
  sleep 0.1; i=$((i + 1))
done; echo "state=$s\""""
TERMINATE = """\
p={agent}; c=; [ $p -gt 0 ] && read -r c 2>/dev/null <"/proc/$p/cmdline"
case "$c" in *"X2GO-"{name}*) ;; *) p=$("$(x2gopath libexec)"/x2gogetagent {name} </dev/null 2>/dev/null) ;; esac
case "$p" in ''|*[!0-9]*) echo state=UNKNOWN; exit ;; esac
x2goterminate-session {name} >/dev/null 2>&1 </dev/null
i=0; while kill -0 "$p" 2>/dev/null && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
if kill -0 "$p" 2>/dev/null; then echo state=ALIVE; else echo state=TERMINATED; fi"""
STATE = (
    'f="$HOME"/.x2go/C-{name}/state; n=0; s=; while [ -r "$f" ] && [ $n -lt 10 ]; do '
    's=$(cat "$f"); [ -n "$s" ] && break; sleep 0.1; n=$((n + 1)); done; echo "state=$s"'
)


SETTLED = (
    'i=0; while [ $i -lt 1200 ]; do {look}; case "$s" in STARTING) sleep 0.05; i=$((i + 1)) ;; *) break ;; esac; done'
)


def session_word(name: str) -> str:
    """The name of a session as a word of a command. Raises X2GoTerminalSessionException when it is none."""
    if not SESSION_NAME.fullmatch(name):
        raise X2GoTerminalSessionException("this is not the name of an X2Go session")
    return word(name)


def assignments(variables: Mapping[str, str]) -> str:
    """`NAME=value ` for each, to stand before a command. Raises X2GoTerminalSessionException for a bad name."""
    for name, value in variables.items():
        if not VARIABLE.fullmatch(name) or "\0" in str(value):
            raise X2GoTerminalSessionException("this is not a name, or value, of an environment variable")
    return "".join(f"{name}={word(str(value))} " for name, value in variables.items())


def start_command(params: X2GoSessionParams, user: str = "") -> str:
    """The call of x2gostartagent; `user` is who is logged in on the server.

    Raises X2GoTerminalSessionException for a parameter that it cannot be given.
    """
    kind = params.rewrite_session_type()
    variables = {"X2GO_XINERAMA": "true" if params.xinerama else "false"}
    if params.checked("dpi"):
        variables["X2GODPI"] = params.dpi
    if params.cmd == XDMCP:
        if not params.checked("xdmcp_server"):
            raise X2GoTerminalSessionException("for a session with XDMCP, xdmcp_server has to be given")
        variables["X2GOXDMCP"] = params.xdmcp_server
    words = [
        params.checked("geometry"),
        params.checked("link"),
        params.checked("pack"),
        f"{params.checked('cache_type')}-depth_{params.checked('depth')}",
        params.checked("kblayout") or "null",
        params.checked("kbtype"),
        "0" if params.kbtype == "null/null" else "1",
        kind,
        _label(params, user),
    ]
    if kind != SHADOW:
        words.append(params.checked("clipboard"))
    arguments = " ".join(word(each) for each in words)
    return f"{HOME_CHECK}; {assignments(variables)}timeout -k 5 {START_SECONDS} x2gostartagent {arguments} </dev/null"


def _label(params: X2GoSessionParams, user: str) -> str:
    """The command for the name of the session, which is a file name, too; cut so that the name is not too long."""
    if params.session_type == SHADOW:
        return params.cmd
    program, _, rest = params.cmd.strip().partition(" ")
    label = space_chars(f"{program.rpartition('/')[2]} {rest}".strip()) or "TERMINAL"
    if not label.isprintable():
        raise X2GoTerminalSessionException("the command holds control characters")
    room = LONGEST_NAME - LENGTH_OF_THE_REST - (len(user.encode()) or USUAL_LONGEST_USER)
    label = label.replace(":", "PP").lstrip("-")  # x2gostartagent replaces it, too: that makes the label longer
    return label.encode()[: max(room, SHORTEST_LABEL)].decode(errors="ignore")


def started_output(reply: Reply, kind: str) -> str:
    """The seven lines of an x2gostartagent that worked.

    Raises X2GoDesktopSharingDenied, and X2GoTerminalSessionException with the reason that the server gave.
    """
    lines = [line.strip() for line in reply.output.splitlines() if line.strip()]
    if len(lines) >= 7:
        return "\n".join(lines)
    if kind == SHADOW and "ACCESS DENIED" in reply.errors:
        raise X2GoDesktopSharingDenied("the other user does not share the desktop, or denied it")
    if kind == KDRIVE:
        raise X2GoTerminalSessionException("the server has no KDrive")
    if "LIMIT" in reply.errors.split():
        raise X2GoTerminalSessionException(
            "the limit of sessions for this user is reached on the server; end one of the others first"
        )
    if reply.status == NO_HOME:
        raise X2GoTerminalSessionException("the home folder on the server cannot be written; X2Go needs that")
    if reply.status == 124:
        raise X2GoTerminalSessionException(f"the server did not start the session within {START_SECONDS} s")
    if reply.status == 127:
        raise X2GoTerminalSessionException("the server has no x2gostartagent; X2Go Server is not installed there")
    raise X2GoTerminalSessionException(f"the server did not start the session; it said: {_reason(reply)}")


def _reason(reply: Reply) -> str:
    """What is left of stderr without what is harmless."""
    lines = [line.strip() for line in reply.errors.splitlines() if line.strip()]
    wanted = [line for line in lines if not re.match(r"xauth:|Died at |loginctl", line)]
    return printable((wanted or lines or ["nothing"])[-1], 300)


def resume_command(params: X2GoSessionParams, name: str) -> str:
    """The call of x2goresume-session. Raises X2GoTerminalSessionException as `start_command` does."""
    words = [
        params.checked("geometry"),
        params.checked("link"),
        params.checked("pack"),
        params.checked("kblayout") or "null",
        params.checked("kbtype"),
        "0" if params.kbtype == "null/null" else "1",
        params.checked("clipboard"),
        "true" if params.xinerama else "false",
    ]
    arguments = " ".join(word(each) for each in words)
    return f"timeout -k 5 {RESUME_SECONDS} x2goresume-session {session_word(name)} {arguments} </dev/null"


@dataclass(frozen=True)
class Ports:
    """The ports of a session on its server: graphics, sound, folders. Raises ValueError for what is none."""

    graphics: int
    sound: int
    folders: int

    def __post_init__(self) -> None:
        """Check each."""
        if not all(0 <= port <= 65535 for port in (self.graphics, self.sound, self.folders)):
            raise ValueError("it named ports that cannot be")


def resumed_ports(reply: Reply) -> Ports:
    """The ports that an x2goresume-session printed. Raises X2GoTerminalSessionException when it did not work."""
    found = {name: int(port) for name, port in PORT_LINE.findall(reply.output)}
    if reply.status == 124:
        raise X2GoTerminalSessionException(f"the server did not resume the session within {RESUME_SECONDS} s")
    if "failed to resume" in reply.errors or not found.get("gr_port"):
        raise X2GoTerminalSessionException(f"the server did not resume the session; it said: {_reason(reply)}")
    try:
        return Ports(found["gr_port"], found.get("sound_port", 0), found.get("fs_port", 0))
    except ValueError as error:
        raise X2GoTerminalSessionException(f"the server did not resume the session: {error}") from None


def run_command_line(
    params: X2GoSessionParams, place: tuple[int, int, str, int], command: str, variables: Mapping[str, str]
) -> str:
    """The call of x2goruncommand; `place` is display, process ID, name and sound port of the session."""
    display, agent, name, sound_port = place
    words = [space_chars(params.server_command(command)), params.checked("snd_system"), params.session_type]
    arguments = " ".join(word(each) for each in words)
    return (
        f"{assignments(variables)}setsid x2goruncommand {int(display)} {int(agent)} {session_word(name)}"
        f" {int(sound_port)} {arguments} </dev/null >/dev/null 2>&1 &"
    )


def keyboard_command(display: int, layout: str, variant: str) -> str:
    """The call of setxkbmap. Raises X2GoTerminalSessionException for what is no layout."""
    words = []
    if check_form("kblayout", layout) not in ("", "null"):
        words += ["-layout", layout]
    if check_form("kbvariant", variant) not in ("", "null"):
        words += ["-variant", variant]
    return f"DISPLAY=:{int(display)} setxkbmap {' '.join(word(each) for each in words)} </dev/null".replace("  ", " ")


def resize_command(display: int, geometry: str) -> str:
    """Give a resumed desktop its size: the agent takes over no `geometry` from x2goresume-session.

    Raises X2GoTerminalSessionException for what is no size.
    """
    size = check_form("geometry", geometry).partition("+")[0].partition("-")[0]
    return f"DISPLAY=:{int(display)} xrandr --fb {word(size)} </dev/null 2>/dev/null"


def forget_client_command(name: str) -> str:
    """Make the server forget which of its processes serves the session's client.

    x2goresume-session ends that process for the next client: the whole SSH connection of this one, with all its other
    sessions. The session's own proxy ends anyway.
    """
    return f'rm -f "$HOME"/.x2go/C-{session_word(name)}/sshd.pid'


def suspend_command(name: str) -> str:
    """Suspend, and wait for it; `parse_state` reads the answer."""
    return SUSPEND.format(name=session_word(name))


def terminate_command(name: str, agent: int = 0) -> str:
    """Terminate, and wait for the agent's end; the answer is TERMINATED, ALIVE, or UNKNOWN: no such session.

    `agent` is its process, where that is known: the server's program that tells it costs some tenths of a second.
    """
    return TERMINATE.format(name=session_word(name), agent=int(agent))


def state_command(name: str) -> str:
    """Ask what the session's agent says of itself: STARTING, RUNNING, SUSPENDED ... or nothing."""
    return STATE.format(name=session_word(name))


def settled_command(name: str) -> str:
    """Waits until the session's agent is up; it takes SETTLED_SECONDS at most."""
    return SETTLED.format(look=state_command(name))


def parse_state(output: str) -> str:
    """The state in the answer of the last three; empty when it holds none."""
    found = STATE_LINE.findall(output)
    return str(found[-1]) if found else ""
