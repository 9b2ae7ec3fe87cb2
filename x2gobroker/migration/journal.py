"""The journal: which commands were run, and what undoes them. It is root's alone, as root runs what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from x2gobroker.errors import BrokerError, ConfigurationError
from x2gobroker.migration.steps import FOLDER, Undo
from x2gobroker.privilege import MissingError, own_folder, read_trusted

NAME = "journal.json"
MODE = 0o600
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """A command that was run for a step. `done`: it ended well; otherwise nobody knows how far it came."""

    step: str
    argv: tuple[str, ...]
    undo: tuple[Undo, ...]
    done: bool = False


class Journal:
    """The entries in the order in which they were made. Every change is on the disk before the next command runs."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.folder = root / FOLDER.lstrip("/")
        self.entries: list[Entry] = []

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / NAME

    def load(self) -> Journal:
        """Read it; empty where there is none. Raises BrokerError where it is damaged, or not root's alone."""
        try:
            text = read_trusted(self.path)
        except MissingError:
            self.entries = []
            return self
        try:
            self.entries = [_entry(item) for item in json.loads(text)["entries"]]
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(f"{self.path} is damaged; the copies in {self.folder} are there") from None
        return self

    def begin(self, entry: Entry) -> None:
        """Note a command that is about to run. Raises BrokerError."""
        self.entries.append(entry)
        self._save()

    def finish(self) -> None:
        """Note that the last command ended well. Raises BrokerError."""
        self.entries[-1] = replace(self.entries[-1], done=True)
        self._save()

    def drop(self) -> None:
        """Forget the last entry: it is undone. Raises BrokerError."""
        self.entries.pop()
        self._save()

    def undone(self, left: tuple[Undo, ...]) -> None:
        """Keep of the last entry only what is left to undo. Raises BrokerError."""
        self.entries[-1] = replace(self.entries[-1], undo=left)
        self._save()

    def write(self, name: str, text: str) -> None:
        """Write a file into the folder `new` beside the journal. Raises BrokerError."""
        self._write(self.folder / "new", name, text)

    def _save(self) -> None:
        entries = [
            {
                "step": entry.step,
                "command": list(entry.argv),
                "done": entry.done,
                "undo": [{"command": list(one.argv), "needs": one.needs, "live": one.live} for one in entry.undo],
            }
            for entry in self.entries
        ]
        self._write(self.folder, NAME, json.dumps({"version": VERSION, "entries": entries}, indent=1) + "\n")

    def _write(self, place: Path, name: str, text: str) -> None:
        try:
            with own_folder(place) as folder:
                folder.write(name, text.encode(), MODE)
        except OSError as error:
            raise ConfigurationError(f"{place / name} cannot be written: {error.strerror or error}") from error
        except BrokerError as error:
            raise ConfigurationError(f"{place / name} is not written: {error}") from error


def _entry(item: object) -> Entry:
    """Raises ValueError, KeyError and TypeError for what is no entry."""
    if not isinstance(item, dict):
        raise TypeError
    undo = tuple(Undo(_argv(one["command"]), str(one["needs"]), one["live"] is True) for one in item["undo"])
    return Entry(str(item["step"]), _argv(item["command"]), undo, item["done"] is True)


def _argv(words: object) -> tuple[str, ...]:
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise TypeError
    return tuple(words)
