"""Settings files of X2Go clients in INI form, as X2Go Client (Qt's QSettings) and Python X2Go write them."""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from x2gobroker.x2go.defaults import LOCAL_HOME
from x2gobroker.x2go.errors import X2GoException
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_DEFAULT, LOGLEVEL_ERROR, X2GoLogger, logger_of
from x2gobroker.x2go.texts import printable

MAX_BYTES = 1 << 20
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,4})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_YES = frozenset(("1", "yes", "true", "on"))
_NO = frozenset(("0", "no", "false", "off", ""))


def unquoted(value: str) -> str:
    """A value as QSettings means it: in double quotes, with backslash escapes; any other value as it stands."""
    match = _QUOTED.fullmatch(value)
    if match is None:
        return value
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _LETTERS.get(found[2], found[2]), match[1])


class _Parser(configparser.RawConfigParser):
    """Names of values keep their case."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


class X2GoIniFile:
    """Values of several files and defaults: the first file that has a value wins, the defaults come last.

    `defaults` are sections of values, whose types the values of the files get: bool, int, list or str. Changes are
    written to the first of the files below the user's home folder. Raises `exception` for a file that cannot be read.
    """

    exception: type[X2GoException] = X2GoException

    def __init__(
        self,
        config_files: Sequence[str] | str | None,
        defaults: Mapping[str, Mapping[str, Any]] | None = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        self.logger = logger_of(logger, loglevel, "inifiles")
        paths = [config_files] if isinstance(config_files, str) else config_files or ()
        self.config_files = [os.path.normpath(path) for path in paths]
        self.defaultValues = defaults or {}
        below = os.path.join(os.path.normpath(LOCAL_HOME), "")
        self.user_config_file = next((path for path in self.config_files if path.startswith(below)), None)
        self._changed = False
        self.load()

    def load(self) -> None:
        """Read the files again; changes that were not written are lost."""
        self.iniConfig = _Parser(strict=False)
        for path in reversed(self.config_files):
            self._read(path)
        self._changed = False

    def _read(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise self.exception(f"{printable(path)} is larger than {MAX_BYTES} bytes.")
            self.iniConfig.read_string(content.decode("utf-8-sig"), source=path)
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            raise self.exception(f"{printable(path)} cannot be read: {printable(str(error))}") from None
        self.logger(f"settings read from {printable(path)}", LOGLEVEL_DEBUG)

    def update_value(self, section: str, key: str, value: Any) -> None:
        """Change a value in memory; `write()` saves it."""
        if not self.iniConfig.has_section(section):
            self.iniConfig.add_section(section)
        if isinstance(value, bool):
            text = str(int(value))
        elif isinstance(value, list | tuple):
            text = ", ".join(map(str, value))
        else:
            text = str(value)
        if "\n" in text or "\r" in text:
            raise self.exception(f"The value of {section}/{key} has to be one line.")
        self.iniConfig.set(section, key, text)
        self._changed = True

    def write(self) -> bool:
        """Save changes to the user's file, as a whole or not at all. Whether it was written; False without changes."""
        if self.user_config_file is None or not self._changed:
            return False
        folder = os.path.dirname(self.user_config_file)
        fresh = ""
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            descriptor, fresh = tempfile.mkstemp(dir=folder)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.printable_config_file)
            os.replace(fresh, self.user_config_file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            self.logger(f"{printable(self.user_config_file)} cannot be written: {error.strerror}.", LOGLEVEL_ERROR)
            return False
        self._changed = False
        return True

    def get_type(self, section: str, key: str) -> type:
        """The type of a value, which is that of its default. Raises KeyError for an unknown one."""
        return type(self.defaultValues[section][key])

    def get_value(self, section: str, key: str, key_type: type | None = None) -> Any:
        """A value, as `key_type` or the type of its default; None when neither a file nor the defaults have it.

        Raises `exception` for a value that is not of this type.
        """
        if not self.iniConfig.has_option(section, key):
            default = self.defaultValues.get(section, {}).get(key)
            return list(default) if isinstance(default, list) else default
        text = unquoted(self.iniConfig.get(section, key).strip())
        kind = key_type or type(self.defaultValues.get(section, {}).get(key, ""))
        if kind is bool:
            if text.lower() not in _YES | _NO:
                raise self.exception(f"{section}/{key} is {printable(text)!r}; it has to be true or false.")
            return text.lower() in _YES
        if kind is int:
            try:
                return int(text)
            except ValueError:
                raise self.exception(f"{section}/{key} is {printable(text)!r}; it has to be a number.") from None
        return [part.strip() for part in text.strip("[]").split(",") if part.strip()] if kind is list else text

    def get(self, section: str, key: str, key_type: type | None = None) -> Any:
        """The same as `get_value()`."""
        return self.get_value(section, key, key_type)

    __call__ = get

    @property
    def printable_config_file(self) -> str:
        """The values as one file, the defaults where no file has a value."""
        whole = _Parser()
        for section, values in self.defaultValues.items():
            whole[section] = {
                key: str(int(value)) if isinstance(value, bool) else str(value) for key, value in values.items()
            }
        whole.read_dict(self.iniConfig)
        text = io.StringIO()
        whole.write(text, space_around_delimiters=False)
        return text.getvalue()
