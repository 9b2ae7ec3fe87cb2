"""What a daemon that root has started does as root, before it becomes the broker's account: the port, and secret keys.

Root opens nothing for writing below a folder that is not root's, and reads keys only where nobody else can swap them.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

from x2gobroker.errors import ConfigurationError
from x2gobroker.gate import FixedTls, make_context
from x2gobroker.privilege import TrustError, open_trusted

FILES = ("certfile", "keyfile")
TLS = "tls"  # beside gunicorn's options: TLS that is made already


def context_of_root(chosen: dict[str, Any]) -> ssl.SSLContext | None:
    """TLS with the files of gunicorn's options; None without TLS, or where others than root could change the files."""
    if "certfile" not in chosen:
        return None
    numbers: list[int] = []
    try:
        for name in FILES:
            numbers.append(open_trusted(Path(chosen[name])))
        certificate, key = (f"/proc/self/fd/{number}" for number in numbers)
        context = make_context(certificate, key)
    except TrustError:
        return None
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise ConfigurationError(f"{chosen['certfile']} and its key cannot be used: {reason}") from None
    finally:
        for number in numbers:
            os.close(number)
    return context


def tls_options(chosen: dict[str, Any], context: ssl.SSLContext | None) -> dict[str, Any]:
    """gunicorn's options for TLS, in a process that is the broker's account; `context` was made while it was root.

    Where the account can read the files itself, its workers do, and notice renewed ones. Raises ConfigurationError
    where neither can be.
    """
    if "certfile" not in chosen or all(os.access(chosen[name], os.R_OK) for name in FILES):
        return {}
    if context is None:
        raise ConfigurationError(
            f"{chosen['certfile']} or {chosen['keyfile']} cannot be read by the broker's account, and root reads them "
            "only where nobody else can write: give the files, and the folders above them, to root"
        )
    return {"certfile": os.devnull, "keyfile": None, TLS: FixedTls(context)}
