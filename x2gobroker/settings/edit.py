"""Changes single options of an INI file; comments, order and everything else stay as they are."""

from __future__ import annotations

import grp
import re
from collections.abc import Mapping
from pathlib import Path

from configupdater import Comment, ConfigUpdater, Option, Section

from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import SafeFolder, TrustError, own_folder
from x2gobroker.settings.ini import IniError, IniFile, parse_ini
from x2gobroker.settings.text_files import TextFileError, decode_text

NEW_FILE_MODE = 0o640


def change_file(path: Path, section: str, changes: Mapping[str, str], group: str = "") -> None:
    """Set options of one section of a file, which is made when it is missing; an empty text takes an option out.

    The file is replaced in one step and keeps owner and mode; a new one is for its owner and, where there is such a
    group and we may give it that, `group` to read. Raises ConfigurationError, and then nothing was changed.
    """
    target = path.resolve()
    try:
        with own_folder(target.parent) as folder, folder.locked():
            data = _read(folder, target.name, path)
            text = decode_text(data, path)
            fresh = change_text(text, str(path), section, changes)
            if fresh != text:
                if data.count(b"\r"):
                    fresh = fresh.replace("\n", "\r\n" if b"\r\n" in data else "\r")
                folder.replace(target.name, fresh.encode("utf-8"), NEW_FILE_MODE, _number_of(group))
    except TextFileError as error:
        raise ConfigurationError(f"{error}; nothing was changed") from None
    except TrustError as error:
        raise ConfigurationError(f"{path} cannot be written by root: {error}; nothing was changed") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}; nothing was changed") from None


def _read(folder: SafeFolder, name: str, path: Path) -> bytes:
    try:
        return folder.read(name) or b""
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}; nothing was changed") from None


def _number_of(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid if group else None
    except KeyError:
        return None


def change_text(text: str, path: str, section: str, changes: Mapping[str, str]) -> str:
    """The text of a file with these options set. A new option goes below its commented-out default, if there is one.

    Raises ConfigurationError for a text that is no INI file, and for a value that it cannot hold.
    """
    before = parse_ini(text, path)
    updater = ConfigUpdater()
    updater.optionxform = str  # type: ignore[method-assign,assignment]
    updater.read_string(text if text.endswith("\n") or not text else text + "\n")
    if not updater.has_section(section):
        updater.add_section(section)
    for name, value in changes.items():
        if value and (value.splitlines() != [value] or value != value.strip()):
            raise ConfigurationError(f"{name}: a file cannot hold this value; nothing was changed")
        if not value:
            updater.remove_option(section, name)
        elif updater.has_option(section, name):
            updater[section][name].value = value
        else:
            _insert(updater[section], name, value)
    fresh = str(updater)
    try:
        after = parse_ini(fresh, path)
    except IniError:
        after = IniFile(path)
    _check(before, after, section, changes)
    return fresh


def _insert(section: Section, name: str, value: str) -> None:
    """Put a new option where one would look for it: at its comment, behind the last option, or first."""
    commented = re.compile(rf"^[#;]\s*{re.escape(name)}\s*[=:]", re.MULTILINE)
    comments = (block for block in section.iter_blocks() if isinstance(block, Comment))
    places: list[Comment | Option] = [block for block in comments if commented.search(str(block))]
    places = places or [block for block in section.iter_blocks() if isinstance(block, Option)]
    if places:
        places[-1].add_after.option(name, value)
    elif section.first_block is not None:
        section.first_block.add_before.option(name, value)
    else:
        section.add_option(Option(name, value))


def _check(before: IniFile, after: IniFile, section: str, changes: Mapping[str, str]) -> None:
    """Nothing else may read otherwise than before, and every value as it was given."""
    wanted = {name: dict(options) for name, options in before.sections.items()}
    options = wanted.setdefault(section, {})
    for name, value in changes.items():
        options.pop(name, None)
        if value:
            options[name] = value
    if after.sections != wanted:
        raise ConfigurationError(f"{before.path} cannot be changed by program; edit it by hand")
