"""What a part knows of the whole that it belongs to."""

from __future__ import annotations

import weakref
from typing import Generic, TypeVar

T = TypeVar("T")


class Weak(Generic[T]):
    """An attribute that does not keep alive what it holds.

    Parts know their session by it. So a session that a program forgets is gone at once, without waiting for the
    garbage collector, and its connection is closed.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = f"{name} (weak)"

    def __set__(self, part: object, value: T) -> None:
        vars(part)[self._place] = weakref.ref(value)

    def __get__(self, part: object, owner: type | None = None) -> T:
        value: T | None = vars(part)[self._place]()
        if value is None:
            raise ReferenceError("what this is a part of is gone")
        return value
