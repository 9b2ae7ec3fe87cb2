"""INI files as the reference reads them (configparser, case kept), with the file and line of whatever is wrong.

What configparser drops or takes for something else without a word is a fault here: text behind a section's header, a
section or an option that is indented and so continues the value above it, blanks around a section's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from x2gobroker.errors import ConfigurationError
from x2gobroker.settings.text_files import TextFileError, read_text

COMMENTS = ("#", ";")
DELIMITER = re.compile(r"\s*[=:]\s*")
SOME_LINE_END = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
LOOKS_LIKE_AN_OPTION = re.compile(r"[^\W\d_]\w*(?:[-_. ][^\W\d_]\w*)*\s*=")
LOOKS_LIKE_A_HEADER = re.compile(r"\[(?P<name>[^\[\],'\"]+)\](?![:,\w])")


@dataclass(frozen=True)
class Problem:
    """Something wrong with the configuration, and where.

    `error` is False for what works and should be mended all the same (a deprecated name). `blocks` is True where the
    text cannot be used at all: such a change keeps the last good version in service.
    """

    path: str
    line: int
    message: str
    error: bool = True
    blocks: bool = False

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {'error' if self.error else 'warning'}: {self.message}"


class IniError(ConfigurationError):
    """An INI file that cannot be read at all; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True)
class Fault:
    """A line that was read, and may well not mean what it says: the section that it belongs to, and what is wrong."""

    section: str
    problem: Problem


@dataclass(frozen=True, eq=False)
class IniFile:
    """The sections of one file, each with its options as text, in the order of the file; lines by (section, option)."""

    path: str
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def line_of(self, section: str, option: str = "") -> int:
        """Line number of an option, or of the section's header; 0 when it does not stand there."""
        return self.lines.get((section, option), 0)

    def problem(self, section: str, option: str, message: str, error: bool = True, blocks: bool = False) -> Problem:
        """A problem with one option of this file, or with a section when `option` is empty."""
        return Problem(self.path, self.line_of(section, option), message, error, blocks)


def read_ini(path: Path, keep_faults: bool = False) -> IniFile:
    """Read one file. Raises IniError when it cannot be read or is no INI file, OSError never.

    A fault in a section is an IniError as well, unless `keep_faults`: then the caller answers for that section.
    """
    try:
        text = read_text(path)
    except TextFileError as error:
        raise IniError(Problem(error.path, error.line, error.reason, blocks=True)) from error
    return parse_ini(text, str(path), keep_faults)


def parse_ini(text: str, path: str, keep_faults: bool = False) -> IniFile:
    """Parse the text of one file, as `read_ini`. Raises IniError with the first line that cannot be understood."""
    parser = _Parser(path)
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        parser.take(number, line)
    found = parser.finish()
    if found.faults and not keep_faults:
        raise IniError(found.faults[0].problem)
    return found


class _Parser:
    """Takes line after line; the rules are those of configparser."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._values: dict[str, dict[str, list[str]]] = {}
        self._lines: dict[tuple[str, str], int] = {}
        self._faults: list[Fault] = []
        self._section: str | None = None
        self._value: list[str] | None = None
        self._indent = 0

    def take(self, number: int, line: str) -> None:
        """Read one line."""
        stripped = line.strip()
        if SOME_LINE_END.search(stripped):
            message = "holds a character that some editors take for the end of a line; end lines with line feeds"
            raise self._error(number, message)
        if stripped.startswith(COMMENTS):
            return
        if not stripped:
            if self._value is not None:
                self._value.append("")
            return
        indent = len(line) - len(line.lstrip())
        if self._value is not None and indent > self._indent:
            self._continue(number, stripped, self._value)
        elif stripped.startswith("[") and "]" in stripped:
            self._indent = indent
            self._begin_section(number, stripped)
        else:
            self._indent = indent
            self._begin_option(number, stripped)

    def _continue(self, number: int, text: str, value: list[str]) -> None:
        header = LOOKS_LIKE_A_HEADER.match(text)
        if header and not _is_ip_address(header["name"]):
            self._fault(number, "a section that is indented continues the value above it; begin the line with it")
        elif LOOKS_LIKE_AN_OPTION.match(text):
            self._fault(number, "an option that is indented continues the value above it; begin the line with it")
        value.append(text)

    def _begin_section(self, number: int, text: str) -> None:
        name, _, rest = text[1:].partition("]")
        if not name.strip():
            raise self._error(number, "is a section without a name")
        if name in self._values:
            raise self._error(number, f"section [{name}] stands twice; merge the two")
        self._section, self._value = name, None
        self._values[name] = {}
        self._lines[name, ""] = number
        if rest.strip() and not rest.strip().startswith(COMMENTS):
            self._fault(number, f"text behind the section's header [{name}]; write it on a line of its own")
        if name != name.strip():
            self._fault(number, f"blanks around the section's name [{name}]; take them out")

    def _begin_option(self, number: int, text: str) -> None:
        if self._section is None:
            raise self._error(number, "stands before the first [section] header")
        delimiter = DELIMITER.search(text)
        if delimiter is None or not delimiter.start():
            raise self._error(number, "is neither `option = value` nor a [section] header nor a # comment")
        name = text[: delimiter.start()]
        options = self._values[self._section]
        if name in options:
            raise self._error(number, f"option {name!r} stands twice in section [{self._section}]; delete one")
        self._value = options[name] = [text[delimiter.end() :]]
        self._lines[self._section, name] = number

    def _fault(self, number: int, message: str) -> None:
        section = self._section or ""
        self._faults.append(Fault(section, Problem(self._path, number, f"[{section}] {message}", blocks=True)))

    def _error(self, number: int, message: str) -> IniError:
        return IniError(Problem(self._path, number, message, blocks=True))

    def finish(self) -> IniFile:
        """What was read."""
        sections = {
            section: {name: "\n".join(value).rstrip() for name, value in options.items()}
            for section, options in self._values.items()
        }
        return IniFile(self._path, sections, self._lines, tuple(self._faults))


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
