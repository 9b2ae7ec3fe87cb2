"""The portal's texts in another folder, as a process that has just started would find them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from x2gobroker.portal import languages


@contextmanager
def texts_in(folder: Path) -> Iterator[None]:
    """Meanwhile, what is read is in this folder; what was found there stays known, as in a process that goes on."""
    forget()
    with mock.patch.object(languages, "FOLDER", folder):
        yield


def forget() -> None:
    """As in a new process."""
    languages.language.cache_clear()
    languages.faults.cache_clear()
