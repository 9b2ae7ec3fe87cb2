"""Commands for an X2Go Server: words that a shell cannot misread, and marks around what a command prints.

The marks are those of Python X2Go and X2Go Client: start-up files of the login shell may print before them.
"""

from __future__ import annotations

import shlex

BEGIN = "X2GODATABEGIN:"
END = "X2GODATAEND:"
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
SPACE = "X2GO_SPACE_CHAR"
MISREAD = frozenset("'!\\\n\r")
CODED = MISREAD | frozenset('"$`')


def word(text: str) -> str:
    """`text` as one word of a POSIX shell. Raises ValueError where no command line can hold it."""
    if "\0" in text:
        raise ValueError("a word of a command cannot hold a NUL character")
    return shlex.quote(text)


def wrap(command: str, mark: str) -> str:
    """The line for the login shell, whatever shell that is: `command` in /bin/sh, marked, with its own exit status.

    Only characters that all shells leave alone stand in the single quotes: csh looks for `!` there, fish for
    backslashes. A command with others comes as octal numbers, which /bin/sh makes a command of.
    """
    if MISREAD.intersection(command):
        coded = "".join(f"\\0{ord(character):03o}" if character in CODED else character for character in command)
        command = f'eval "$(printf %b "{coded}")"'
    # Perl programs of X2Go write nothing about a locale that the server has not
    settings = f"PATH={SEARCH_PATH}; PERL_BADLANG=0; export PATH PERL_BADLANG"
    script = f"{settings}; echo {BEGIN}{mark}; ( {command} ); s=$?; echo {END}{mark}; exit $s"
    return f"/bin/sh -c '{script}'"


def is_marked(output: str, mark: str) -> bool:
    """Whether the command was begun at all."""
    return f"{BEGIN}{mark}" in output


def payload(output: str, mark: str) -> str:
    """What the command printed. The end mark may be missing, or stand behind a line without an end."""
    _, begun, rest = output.partition(f"{BEGIN}{mark}")
    if not begun:
        return ""
    inside, ended, _ = rest.partition(f"{END}{mark}")
    return inside.removeprefix("\r").removeprefix("\n") if ended else rest.partition("\n")[2]


def printable(text: str, limit: int) -> str:
    """What a server said, fit for a message: one line, `limit` characters at most."""
    return "".join(character if character.isprintable() else "?" for character in text[:limit])


def space_chars(command: str) -> str:
    """A command as X2Go's own scripts take it, who split theirs at blanks."""
    return command.replace(" ", SPACE)
