"""How a program of a desktop ended, and what it said last, for the log. Of the standard library only."""

from __future__ import annotations

import os
import re

LONGEST_LINE = 200
MARK = re.compile(r"^\((?:EE|WW|II|NI|!!|--|\*\*|==|\+\+)\)")
NOISE = ("Server terminated with error (1). Closing log file.",)


def how_ended(status: int) -> str:
    """What a status of waitpid(2) says, as the end of a sentence; nothing for a success."""
    if os.WIFSIGNALED(status):
        return f" by signal {os.WTERMSIG(status)}"
    return f" with status {os.waitstatus_to_exitcode(status)}" if status else ""


def meaning_of(text: str) -> str:
    """The last words of a log: two lines at most, without the marks of X servers, and those that are only a mark."""
    lines = [MARK.sub("", line).strip() for line in text.split("\n")]
    said = [line for line in lines if line and line not in NOISE]
    return " / ".join(line[:LONGEST_LINE] for line in said[-2:])
