"""Whether a PAM service takes a directory that is down for a wrong password.

A service is read as libpam reads it, and worked through as libpam does: pam.conf(5), and `_pam_dispatch_aux` in the
source of Linux-PAM. Nobody is asked: what modules would say in such an hour stands here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from x2gobroker.authservice.pamcodes import (
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_IGNORE,
    PAM_PERM_DENIED,
    PAM_SUCCESS,
    PAM_USER_UNKNOWN,
    outcome_of,
)
from x2gobroker.authservice.pamfiles import read_service
from x2gobroker.authservice.protocol import REFUSED

# modules that ask a server for the password, and say PAM_AUTHINFO_UNAVAIL where it does not answer
DIRECTORIES = ("pam_krb5.so", "pam_ldap.so", "pam_sss.so", "pam_winbind.so")
LDAP = "pam_ldap.so"
NSSWITCH, NSCD = Path("/etc/nsswitch.conf"), Path("/run/nscd/socket")
MOST_LINES = 512
DEEPEST = 16

SUCCESS, AUTH_ERR, USER_UNKNOWN, UNAVAILABLE = "success", "auth_err", "user_unknown", "authinfo_unavail"
DENIED, IGNORED, DEFAULT = "perm_denied", "ignore", "default"  # libpam says DENIED where nobody has said anything
CODES = {
    SUCCESS: PAM_SUCCESS,
    DENIED: PAM_PERM_DENIED,
    AUTH_ERR: PAM_AUTH_ERR,
    UNAVAILABLE: PAM_AUTHINFO_UNAVAIL,
    USER_UNKNOWN: PAM_USER_UNKNOWN,
    IGNORED: PAM_IGNORE,
}
# after these two, the authentication service asks the name service: `directory.py`
ASKED_AGAIN = {AUTH_ERR, USER_UNKNOWN}

OK, DONE, BAD, DIE, RESET = "ok", "done", "bad", "die", "reset"
WORDS: Mapping[str, Mapping[str, str]] = {
    "required": {SUCCESS: OK, IGNORED: IGNORED, DEFAULT: BAD},
    "requisite": {SUCCESS: OK, IGNORED: IGNORED, DEFAULT: DIE},
    "sufficient": {SUCCESS: DONE, DEFAULT: IGNORED},
    "optional": {SUCCESS: OK, DEFAULT: IGNORED},
}
LINE = re.compile(r"\S+\s+(\[(?:\\.|[^\]\\])*\]|\S+)\s+(\S+)(.*)")
PAIR = re.compile(r"([a-z_]+)=(ignore|ok|done|bad|die|reset|[1-9][0-9]*)")
SUBSTACK, BROKEN = "substack", "broken"
# what certain modules say, whoever comes; those that check passwords: of somebody whom the directory alone knows
SAYINGS: Mapping[str, tuple[str, ...]] = {
    "pam_deny.so": (AUTH_ERR,),
    "pam_permit.so": (SUCCESS,),
    BROKEN: (DENIED,),
    **dict.fromkeys(("pam_unix.so", *DIRECTORIES), (AUTH_ERR, USER_UNKNOWN)),
}
ANYTHING = (SUCCESS, IGNORED, AUTH_ERR)
POSITIVE, NEGATIVE, NONE = "positive", "negative", ""


@dataclass(frozen=True)
class Line:
    """One line of the phase `auth`: its module, what follows from each code, and in how many substacks it is."""

    module: str
    actions: Mapping[str, str]
    level: int
    arguments: tuple[str, ...] = ()

    def action(self, code: str) -> str:
        """What follows from a code."""
        return self.actions.get(code) or self.actions.get(DEFAULT, BAD)

    def objects(self, code: str) -> bool:
        """Whether this code keeps the user out: it becomes the answer of the whole."""
        return self.action(code) in (BAD, DIE) or (code != SUCCESS and self.action(code) in (OK, DONE))


@dataclass(frozen=True)
class State:
    """How far a login has come: the next line, what libpam thinks of it, and whether the directory has failed it.

    `saved` has what it thought at the beginning of each substack that it is in.
    """

    place: int = 0
    impression: str = NONE
    code: str = DENIED
    saved: tuple[tuple[str, str], ...] = ((NONE, DENIED),)
    failed: bool = False

    def entering(self, level: int) -> State:
        """The same in a line of this level."""
        deeper = level + 1 - len(self.saved)
        return replace(self, saved=(*self.saved[: level + 1], *((self.impression, self.code),) * deeper))


def outage_is_refused(service: str, module: str) -> bool:
    """Whether a right password is refused by this PAM service while nobody answers `module`, one of DIRECTORIES.

    False where the service does not name it. A refusal in which the name service would find the outage is none.
    """
    lines = tuple(_lines(service))
    codes = {end.code for end in _ends(lines, module) if end.failed}
    if module == LDAP and _names_are_of_ldap():
        codes -= ASKED_AGAIN
    return any(outcome_of(CODES[code]) == REFUSED for code in codes)


def _names_are_of_ldap() -> bool:
    """Whether the name service itself asks LDAP, and says so when that does not answer; nscd would not."""
    try:
        text = NSSWITCH.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    sources = re.search(r"^\s*passwd:([^#\n]*)", text, re.MULTILINE)
    return sources is not None and "ldap" in sources[1].split() and not NSCD.exists()


# --- how libpam reads a service


def _lines(service: str) -> Iterator[Line]:
    """The lines of the phase `auth`, in their order, with those of what is included."""
    for number, line in enumerate(_included(service, 0, 0)):
        if number >= MOST_LINES:
            return
        yield line


def _included(service: str, level: int, depth: int) -> Iterator[Line]:
    texts = read_service(service) if depth <= DEEPEST else None
    if texts is None:  # libpam refuses everybody
        yield Line(BROKEN, {}, level)
        return
    for text in texts:
        words = text.split()
        if words[:1] == ["@include"]:  # of Debian's libpam
            yield from _included(" ".join(words[1:2]), level, depth + 1)
        elif words and words[0].lower().lstrip("-") == "auth":
            yield from _of_text(text.strip(), level, depth)


def _of_text(text: str, level: int, depth: int) -> Iterator[Line]:
    match = LINE.fullmatch(text)
    if match is None:
        yield Line(BROKEN, {}, level)
        return
    control, module, arguments = match.groups()
    word = control.lower()
    if word == "include":
        yield from _included(module, level, depth + 1)
    elif word == SUBSTACK:
        yield Line(SUBSTACK, {}, level)
        yield from _included(module, level + 1, depth + 1)
    else:
        yield Line(module.rpartition("/")[2], _actions(word), level, tuple(arguments.split()))


def _actions(control: str) -> Mapping[str, str]:
    """What a control says of codes; of nonsense, libpam makes that everything is bad."""
    if control in WORDS:
        return WORDS[control]
    pairs = [PAIR.fullmatch(word) for word in re.sub(r"\s*=\s*", "=", control.strip("[]")).split()]
    return {pair[1]: pair[2] for pair in pairs if pair} if all(pairs) else {}


# --- how libpam works through it


def _ends(lines: tuple[Line, ...], down: str) -> set[State]:
    """How the logins of a user of `down` may end, while that says that nobody answers it."""
    ends, seen, left = set[State](), set[State](), [State()]
    while left:
        state = left.pop()
        if state in seen:
            continue
        seen.add(state)
        if state.place >= len(lines):
            ends.add(state)
            continue
        state = state.entering(lines[state.place].level)
        left += [_after(lines, state, code, down) for code in _codes(lines[state.place], state, down)]
    return {replace(end, code=DENIED) if end.code == SUCCESS and end.impression != POSITIVE else end for end in ends}


def _codes(line: Line, state: State, down: str) -> tuple[str, ...]:
    """What a module may say.

    What keeps the user out before the directory has failed says nothing about that. Afterwards, too, modules that are
    in no way concerned have no objections, unless they have nothing else to say (`[default=die] pam_faillock.so`).
    """
    if line.module == SUBSTACK:
        return (IGNORED,)
    if line.module == down:
        return (IGNORED if "ignore_authinfo_unavail" in line.arguments else UNAVAILABLE,)
    codes = SAYINGS.get(line.module, ANYTHING)
    kind = tuple(code for code in codes if not line.objects(code))
    if not state.failed:
        return kind
    return codes if line.module in SAYINGS else kind or (AUTH_ERR,)


def _after(lines: tuple[Line, ...], state: State, code: str, down: str) -> State:
    """What one line makes of a login when its module says this."""
    line = lines[state.place]
    if line.module == SUBSTACK:
        return replace(state, place=state.place + 1)
    action, place = line.action(code), state.place
    impression, status = state.impression, state.code
    if action == RESET:
        impression, status = state.saved[line.level]
    elif action in (OK, DONE):
        if impression == NONE or (impression == POSITIVE and status == SUCCESS):
            impression, status = POSITIVE, code
    elif action in (BAD, DIE):
        if impression != NEGATIVE:
            impression, status = NEGATIVE, DENIED if code == IGNORED else code
    elif action.isdigit():
        place, whole = _jump(lines, place, int(action))
        if not whole:
            impression, status = NEGATIVE, DENIED
    if action == DIE or (action == DONE and impression == POSITIVE):
        while place + 1 < len(lines) and lines[place + 1].level >= line.level:
            place += 1
    return replace(
        state, place=place + 1, impression=impression, code=status, failed=state.failed or line.module == down
    )


def _jump(lines: tuple[Line, ...], place: int, many: int) -> tuple[int, bool]:
    """The last line that a jump leaves out, a substack being one line; False where there are not so many."""
    level = lines[place].level
    while many and place + 1 < len(lines) and lines[place + 1].level >= level:
        place += 1
        while place + 1 < len(lines) and lines[place + 1].level > level:
            place += 1
        many -= 1
    return place, not many
