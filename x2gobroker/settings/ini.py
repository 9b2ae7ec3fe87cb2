"""INI files as the reference reads them (configparser, case kept), with the file and line of whatever is wrong."""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from x2gobroker.errors import ConfigurationError

MAX_FILE_SIZE = 64 * 1024 * 1024
SECTION = re.compile(r"\[(?P<name>.+)\]")


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


@dataclass(frozen=True, eq=False)
class IniFile:
    """The sections of one file, each with its options as text, in the order of the file."""

    path: str
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    text: str = ""

    @cached_property
    def _lines(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        section = ""
        for number, line in enumerate(self.text.split("\n"), 1):
            if header := SECTION.match(line.strip()):
                section = header["name"]
                found.setdefault((section, ""), number)
            else:
                found.setdefault((section, re.split(r"[=:]", line, maxsplit=1)[0].strip()), number)
        return found

    def line_of(self, section: str, option: str = "") -> int:
        """Line number of an option, or of the section's header; 0 when it does not stand there."""
        return self._lines.get((section, option), 0)

    def problem(self, section: str, option: str, message: str, error: bool = True, blocks: bool = False) -> Problem:
        """A problem with one option of this file, or with a section when `option` is empty."""
        return Problem(self.path, self.line_of(section, option), message, error, blocks)


def read_ini(path: Path) -> IniFile:
    """Read one file. Raises IniError when it cannot be read or is no INI file, OSError never."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise IniError(Problem(str(path), 0, f"cannot be read: {error.strerror}", blocks=True)) from error
    if len(data) > MAX_FILE_SIZE:
        raise IniError(Problem(str(path), 0, f"is larger than {MAX_FILE_SIZE} bytes", blocks=True))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = "is not UTF-8 text; save the file in UTF-8"
        raise _ini_error(str(path), line, message) from error
    return parse_ini(text, str(path))


def parse_ini(text: str, path: str) -> IniFile:
    """Parse the text of one file. Raises IniError with the first line that cannot be understood."""
    parser = configparser.RawConfigParser(default_section="\0")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text, path)
    except configparser.DuplicateSectionError as error:
        raise _ini_error(path, error.lineno, f"section [{error.section}] stands twice; merge the two") from error
    except configparser.DuplicateOptionError as error:
        message = f"option {error.option!r} stands twice in section [{error.section}]; delete one"
        raise _ini_error(path, error.lineno, message) from error
    except configparser.MissingSectionHeaderError as error:
        raise _ini_error(path, error.lineno, "stands before the first [section] header") from error
    except configparser.ParsingError as error:
        line = error.errors[0][0] if error.errors else 0
        raise _ini_error(path, line, "is neither `option = value` nor a [section] header nor a # comment") from error
    except (configparser.Error, AttributeError, ValueError) as error:
        # CPython's parser itself stumbles over some input (a continuation line behind a header, for one)
        raise _ini_error(path, 0, "cannot be understood as an INI file") from error
    sections = {name: dict(parser.items(name)) for name in parser.sections()}
    return IniFile(path, sections, text)


def _ini_error(path: str, line: int | None, message: str) -> IniError:
    return IniError(Problem(path, line or 0, message, blocks=True))
