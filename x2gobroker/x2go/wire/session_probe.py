"""The list of a user's sessions, asked for in one command that costs next to nothing when nothing has changed.

x2golistsessions and x2golistshadowsessions are two Perl programs that ask a database through a third; together they
take some tenths of a second. What they say of a session follows from what its agent does, and that can be seen in the
user's own files: /tmp/.x2go-USER has a folder for each session, and `state` in it holds the agent's state.

So the command begins with a fingerprint: the inode and the time of the last change, in nanoseconds, of that folder, of
the state of each session that was listed last time and of the file of X cookies (which each start of a session, also
of a view of somebody else's, adds to); the states; and whether the agents live. While it is the same as last time, so
is the list. It is trusted only
- if that listing was settled: each line was understood, is in the state that its agent says (R is RUNNING, S is
  SUSPENDED), belongs to an agent that lives, and is no view of another session, whose state is in somebody else's
  folder; nothing in the fingerprint had changed in the last seconds before the listing, in which the database may lag
  behind, nor while it was made;
- for a while (`FRESH_SECONDS`), because an administrator may change the database by hand.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field

from x2gobroker.model.sessions import SESSION_NAME
from x2gobroker.x2go.log import X2GoLogger
from x2gobroker.x2go.wire.commands import word
from x2gobroker.x2go.wire.listing import X2GoServerSessionList, database_failure

FRESH_SECONDS = 30.0
CALM_SECONDS = 3
MOST_REMEMBERED = 64
NOT_INSTALLED = 127
SETTLED = {"R": "RUNNING", "S": "SUSPENDED"}
STAT_LINE = re.compile(r"(.{1,300})\|[0-9]+\|(-?[0-9]{1,12})\|[-+:. 0-9]+")

# In one line: some login shells cannot have several in one word. `read` sees the states as the agents leave them,
# without an end of line. The command lines of agents hold the names of their sessions: process IDs are used again.
FINGERPRINT = (
    "p() { d=/tmp/.x2go-${USER:-$(id -un)}; set --; for l in $k; do n=${l#*|}; n=${n%%|*}; s=; c=; "
    'read -r s <"$d/C-$n/state"; read -r c <"/proc/${l%%|*}/cmdline"; '
    'case $c in *"X2GO-$n"*) a=1;; *) a=0;; esac; echo "$n|$s|$a"; set -- "$@" "$d/C-$n/state"; done; '
    'stat -Lc "%n|%i|%Y|%y" / "$d" "${XAUTHORITY:-$HOME/.Xauthority}" "$@"; echo end; } 2>/dev/null; set -f; '
)
UNCHANGED = 'k=KNOWN; [ "$(p)" = BEFORE ] && { echo same; exit; }; '
LIST = (
    "command -v x2golistsessions >/dev/null || { echo x2golistsessions: not found >&2; exit 127; }; "
    "export HOSTNAME; t=$(date +%s); "
    "o=$({ command -v x2golistshadowsessions >/dev/null && x2golistshadowsessions; } | "
    '{ x2golistsessions; echo "MARK $?"; cat; }); '
    'printf "%s\\n" "$t" "$o" MARK; IFS=$(printf "\\n "); IFS=${IFS% }; k=; '
    'for l in $o; do case $l in *"|"*) r=${l#*|}; k="$k${l%%|*}|${r%%|*}$IFS";; esac; done; p'
)


@dataclass(frozen=True)
class Listing:
    """What a server said: the `text` of its two programs, and when (by time.monotonic()).

    `fingerprint` is empty when the listing must not be used again, else `known` are its sessions as the command wants
    them. `failure` is what is wrong with the server's session database.
    """

    text: str = field(repr=False)
    asked_at: float
    sessions: X2GoServerSessionList
    status: int
    failure: str | None = None
    known: str = ""
    fingerprint: str = ""

    def is_fresh(self) -> bool:
        """Whether the server may be asked for changes only."""
        return bool(self.fingerprint) and time.monotonic() - self.asked_at < FRESH_SECONDS


class Question:
    """One command that lists sessions, or says that `before` is still right; and how to read the answer."""

    def __init__(self, before: Listing | None = None) -> None:
        self.before = before if before is not None and before.is_fresh() else None
        self.asked_at = time.monotonic()
        self._mark = f"X2GOLIST-{secrets.token_hex(8)}"

    @property
    def command(self) -> str:
        """The command for the server's /bin/sh."""
        shortcut = ""
        if self.before is not None:
            known, fingerprint = word(self.before.known), word(self.before.fingerprint)
            shortcut = UNCHANGED.replace("KNOWN", known).replace("BEFORE", fingerprint)
        return FINGERPRINT + shortcut + LIST.replace("MARK", self._mark)

    def read(self, output: str, logger: X2GoLogger | None = None) -> Listing | None:
        """What the server answered; None when it is no answer at all (cut off, or something else ran)."""
        if self.before is not None and output.strip() == "same":
            return self.before
        began, _, rest = output.partition("\n")
        own, divided, rest = rest.partition(f"{self._mark} ")
        status, _, rest = rest.partition("\n")
        shadows, ended, probed = rest.partition(self._mark)
        if not (divided and ended and began.isdigit() and status.isdigit()):
            return None
        text = own + shadows
        failure = database_failure(text)
        sessions = X2GoServerSessionList(text, logger=logger)
        listing = Listing(text, self.asked_at, sessions, int(status), failure)
        fingerprint = probed.strip()
        if failure or status != "0" or not _is_settled(sessions, fingerprint, int(began)):
            return listing
        known = " ".join(f"{info.agent_pid}|{info.name}" for info in sessions.values())
        return Listing(text, self.asked_at, sessions, 0, None, known, fingerprint)


def _is_settled(sessions: X2GoServerSessionList, fingerprint: str, began: int) -> bool:
    """Whether a later fingerprint like this one means that the sessions are still the same."""
    lines = fingerprint.split("\n")
    if sessions.unclear or len(sessions) > MOST_REMEMBERED or lines[-1] != "end":
        return False
    for number, info in enumerate(sessions.values()):
        state = SETTLED.get(info.status)
        if state is None or info.get_share_mode() is not None or not SESSION_NAME.fullmatch(info.name):
            return False
        if lines[number] != f"{info.name}|{state}|1":
            return False
    changed = [STAT_LINE.fullmatch(line) for line in lines[len(sessions) : -1]]
    states = sum(found is not None and found[1].endswith("/state") for found in changed)
    # that / is there shows that this server's stat understands what it is asked
    can_tell = bool(changed) and changed[0] is not None and changed[0][1] == "/"
    calm = can_tell and all(found is not None and int(found[2]) <= began - CALM_SECONDS for found in changed)
    return calm and states == len(sessions)
