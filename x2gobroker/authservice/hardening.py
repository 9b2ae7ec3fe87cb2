"""What processes that see passwords give up."""

from __future__ import annotations

import ctypes
import resource

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """No core file and no debugger of the same user for this process. A program that it executes calls it anew."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(PR_SET_DUMPABLE, 0)


def prctl(option: int, value: int) -> None:
    """prctl(2). Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")
