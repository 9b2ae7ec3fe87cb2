"""Log files: opened anew when somebody has moved them away, and by root only where nobody else can swap them.

A file of loggers, as Python's `logging.config.fileConfig` has it, names classes and their arguments, which are
evaluated. So root reads one that is root's only, takes plain values out of it, and lets nothing but `LogFile` open
files.
"""

from __future__ import annotations

import ast
import configparser
import contextlib
import io
import logging
import os
import pkgutil
import re
import sys
from logging.handlers import WatchedFileHandler
from pathlib import Path

from x2gobroker.privilege.files import TrustError, read_trusted
from x2gobroker.privilege.places import open_log

DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
EVALUATED = ("args", "kwargs", "defaults")
PLAIN = (ast.Expression, ast.Tuple, ast.List, ast.Dict, ast.Constant, ast.Name, ast.Attribute, ast.Load, ast.Set)
SIGNED = (ast.UnaryOp, ast.USub, ast.BinOp, ast.BitOr)  # -1, and flags


class LogFile(WatchedFileHandler):
    """Appends to a file. A line that cannot be written there goes to the standard error stream: none is lost.

    The file is made with mode 0640. The constructor raises OSError, and as root TrustError. `spare_formatter` is for
    lines that go to the error stream.
    """

    spare_formatter: logging.Formatter | None = None

    def _open(self) -> io.TextIOWrapper:
        stream = open(open_log(Path(self.baseFilename)), "ab")  # noqa: SIM115 - the handler closes it
        return io.TextIOWrapper(stream, self.encoding, self.errors, line_buffering=True)

    def reopenIfNeeded(self) -> None:  # noqa: N802 - the name is Python's
        """Open the file anew when it is another one than before. Raises OSError, TrustError; the old one stays open."""
        try:
            status = os.stat(self.baseFilename)
        except FileNotFoundError:
            status = None
        if self.stream is not None and status is not None and (status.st_dev, status.st_ino) == (self.dev, self.ino):
            return
        fresh = self._open()
        if self.stream is not None:
            with contextlib.suppress(OSError):  # a full disk: what was not written is told line by line
                self.stream.close()
        self.stream = fresh
        self._statstream()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            self.reopenIfNeeded()
        except (OSError, TrustError):
            spare = logging.StreamHandler(sys.stderr if sys.stderr is not None else io.StringIO())
            spare.setFormatter(self.spare_formatter)
            spare.emit(record)
            return
        logging.FileHandler.emit(self, record)


LOG_FILE = f"{LogFile.__module__}.{LogFile.__qualname__}"


def read_loggers(path: Path) -> configparser.ConfigParser:
    """A file of loggers, for `fileConfig`; every FileHandler in it is a LogFile.

    Raises ValueError, configparser.Error, OSError for what cannot be read; as root TrustError for what could lead root
    astray.
    """
    as_root = os.geteuid() == 0
    data = read_trusted(path) if as_root else path.read_bytes()
    parser = configparser.ConfigParser()
    parser.read_string(data.decode("utf-8-sig"), str(path))
    for name in parser.sections():
        section = parser[name]
        if as_root:
            _check_plain(section)
        if name.startswith("handler_") and "class" in section:
            _take_log_file(section, as_root)
    return parser


def _check_plain(section: configparser.SectionProxy) -> None:
    """Raises TrustError for anything in a section that would be executed."""
    if "class" in section and not DOTTED.fullmatch(section["class"].strip()):
        raise TrustError(f"[{section.name}] class: for root, write the name of a class, such as StreamHandler")
    for option in EVALUATED:
        if option in section and not _is_plain(section.get(option, raw=True) or ""):
            raise TrustError(f"[{section.name}] {option}: for root, write plain values, such as (sys.stderr,)")


def _is_plain(text: str) -> bool:
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, PLAIN + SIGNED) for node in ast.walk(tree))


def _take_log_file(section: configparser.SectionProxy, as_root: bool) -> None:
    """Put our class in the place of those that write to a file. Raises TrustError for another such one, as root."""
    found = _class_named(section["class"].strip())
    if found in (logging.FileHandler, WatchedFileHandler):
        section["class"] = LOG_FILE
    elif as_root and isinstance(found, type) and issubclass(found, logging.FileHandler):
        raise TrustError(f"[{section.name}] class: root writes to files by FileHandler only; logrotate can rotate them")


def _class_named(name: str) -> object:
    """The class that `fileConfig` would find; None where it would find none, which it says itself."""
    for place in (f"logging.{name}", name):
        with contextlib.suppress(ImportError, AttributeError, ValueError):
            return pkgutil.resolve_name(place)
    return None
