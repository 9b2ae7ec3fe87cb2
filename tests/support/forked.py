"""Work done in a child process: what it gives up, such as root's rights, is not missing afterwards."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_a_child(work: Callable[[], T]) -> T:
    """The result of `work`, or the exception that it raises."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            try:
                answer: tuple[bool, object] = (True, work())
            except BaseException as error:  # noqa: BLE001 - it is raised in the parent
                traceback.print_exc()
                answer = (False, error)
            with open(writing, "wb") as stream:
                pickle.dump(answer, stream)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    done, value = pickle.loads(data)  # noqa: S301 - our own child
    if not done:
        raise value
    return value  # type: ignore[no-any-return]
