"""Session profiles of a client: read from X2Go Client's `sessions` file, or given as a mapping."""

from __future__ import annotations

import configparser
import os
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from x2gobroker.model.ini_text import text_between_quotes
from x2gobroker.x2go.errors import X2GoProfileException
from x2gobroker.x2go.profiles.options import DEFAULTS, format_option, session_params, typed

LARGEST_FILE = 1 << 20
Profiles = Mapping[str, Mapping[str, Any]]


def read_profiles(text: str) -> dict[str, dict[str, Any]]:
    """The profiles of a `sessions` file by their IDs, which are its sections; options that are not known stay away.

    Raises X2GoProfileException when this is no such file, or an option has no value of its type.
    """
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    try:
        parser.read_string(text)
        return {section: _typed_options(_as_meant(parser.items(section))) for section in parser.sections()}
    except (configparser.Error, ValueError) as error:
        raise X2GoProfileException(f"the session profiles cannot be read: {error}") from error


def _as_meant(options: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What X2Go Client has put between quotes, as it does with `command="xterm -title a=b"`, without them."""
    return {name: text_between_quotes(text) for name, text in options}


def _typed_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: typed(name, value) for name, value in options.items() if name in DEFAULTS}


class X2GoSessionProfiles:
    """The profiles by ID and by name. With a file, `write` stores changes there.

    `config_files`: the first that exists is read. `profiles`: options by profile ID, in place of a file.
    """

    def __init__(self, config_files: Iterable[str] = (), profiles: Profiles | None = None) -> None:
        self.config_files = tuple(config_files)
        self._lock = threading.Lock()
        if profiles is None:
            self.profiles = self._read()
            return
        try:
            self.profiles = {str(key): _typed_options(options) for key, options in profiles.items()}
        except (ValueError, TypeError) as error:
            raise X2GoProfileException(f"the session profiles cannot be used: {error}") from error

    def _read(self) -> dict[str, dict[str, Any]]:
        for path in self.config_files:
            try:
                with open(path, encoding="utf-8") as file:
                    text = file.read(LARGEST_FILE + 1)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise X2GoProfileException(f"{path} cannot be read: {error}") from error
            if len(text) > LARGEST_FILE:
                raise X2GoProfileException(f"{path} is larger than {LARGEST_FILE} characters")
            return read_profiles(text)
        return {}

    @property
    def profile_ids(self) -> list[str]:
        """The IDs of all profiles."""
        return list(self.profiles)

    @property
    def profile_names(self) -> list[str]:
        """The names of all profiles."""
        return [self._name(options) for options in self.profiles.values()]

    @staticmethod
    def _name(options: Mapping[str, Any]) -> str:
        return str(options.get("name", DEFAULTS["name"]))

    def has_profile_id(self, profile_id: str) -> bool:
        """Whether there is a profile of this ID."""
        return profile_id in self.profiles

    def has_profile_name(self, profile_name: str) -> bool:
        """Whether there is a profile of this name."""
        return profile_name in self.profile_names

    def has_profile(self, profile_id_or_name: str) -> bool:
        """Whether there is a profile of this ID or name."""
        return self.has_profile_id(profile_id_or_name) or self.has_profile_name(profile_id_or_name)

    def to_profile_id(self, profile_name: str) -> str | None:
        """The ID of the profile of this name. None when there is none. Raises X2GoProfileException for several."""
        found = [key for key, options in self.profiles.items() if self._name(options) == profile_name]
        if len(found) > 1:
            raise X2GoProfileException(f"{len(found)} session profiles are called {profile_name!r}; use their IDs")
        return found[0] if found else None

    def to_profile_name(self, profile_id: str) -> str:
        """The name of the profile of this ID; empty when there is none."""
        return self._name(self.profiles[profile_id]) if profile_id in self.profiles else ""

    def check_profile_id_or_name(self, profile_id_or_name: str) -> str:
        """The ID of the profile of this ID or name. Raises X2GoProfileException when there is none."""
        if profile_id_or_name in self.profiles:
            return profile_id_or_name
        found = self.to_profile_id(profile_id_or_name)
        if found is None:
            raise X2GoProfileException(f"there is no session profile {profile_id_or_name!r}")
        return found

    def get_profile_config(self, profile_id_or_name: str, parameter: str | None = None) -> Any:
        """One option of a profile, or all of them; those it does not set have their defaults."""
        key = self.check_profile_id_or_name(profile_id_or_name)
        options = {**{name: typed(name, default) for name, default in DEFAULTS.items()}, **self.profiles[key]}
        if parameter is None:
            return options
        if parameter not in options:
            raise X2GoProfileException(f"session profiles have no option {parameter!r}")
        return options[parameter]

    def update_value(self, profile_id_or_name: str, parameter: str, value: Any) -> None:
        """Set one option of a profile; `write` stores it."""
        key = self.check_profile_id_or_name(profile_id_or_name)
        if parameter not in DEFAULTS:
            raise X2GoProfileException(f"session profiles have no option {parameter!r}")
        try:
            self.profiles[key][parameter] = typed(parameter, value)
        except (ValueError, TypeError) as error:
            raise X2GoProfileException(str(error)) from error

    def to_session_params(self, profile_id: str) -> dict[str, Any]:
        """The parameters of X2GoSession for a profile. Raises X2GoProfileException when there is none."""
        return session_params(self.profiles[self.check_profile_id_or_name(profile_id)])

    def write(self) -> bool:
        """Store all profiles in the first file; False without a file. Raises X2GoProfileException when it fails.

        Options that this library does not know are kept as they stand in the file.
        """
        if not self.config_files:
            return False
        path = Path(self.config_files[0])
        parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
        with self._lock:
            try:
                parser.read(path, encoding="utf-8")
                for key, options in self.profiles.items():
                    if not parser.has_section(key):
                        parser.add_section(key)
                    for name, value in options.items():
                        parser.set(key, name, format_option(name, value))
                _replace(path, parser)
            except (OSError, ValueError, configparser.Error) as error:
                raise X2GoProfileException(f"{path} cannot be written: {error}") from error
        return True


def _replace(path: Path, parser: configparser.RawConfigParser) -> None:
    """Write the file beside the old one and put it in its place, so that nobody ever reads half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".sessions-", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            parser.write(file, space_around_delimiters=False)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
