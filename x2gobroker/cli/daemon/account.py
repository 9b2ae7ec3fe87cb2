"""What a daemon that root has started does as root, before it becomes the broker's account: the port, and secret keys.

Root opens nothing for writing below a folder that is not root's, and reads keys only where nobody else can swap them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from x2gobroker.errors import ConfigurationError
from x2gobroker.gate import FixedTls, TlsContext, make_context
from x2gobroker.privilege import TrustError, open_trusted

FILES = ("certfile", "keyfile")
TLS = "tls"  # beside gunicorn's options: TLS that is made already


def tls_of_root(chosen: dict[str, Any]) -> FixedTls | None:
    """TLS with the files of gunicorn's options; None without TLS, or where others than root could change the files."""
    if "certfile" not in chosen:
        return None
    numbers: list[int] = []
    try:
        for name in FILES:
            numbers.append(open_trusted(Path(chosen[name])))
        certificate, key = (f"/proc/self/fd/{number}" for number in numbers)
        return FixedTls(make_context(certificate, key), Path(certificate).read_bytes())
    except TrustError:
        return None
    except OSError as error:  # of TLS, too
        raise _unusable(chosen, error) from None
    finally:
        for number in numbers:
            os.close(number)


def _unusable(chosen: dict[str, Any], error: OSError) -> ConfigurationError:
    reason = getattr(error, "reason", None) or error.strerror
    return ConfigurationError(f"{chosen['certfile']} and its key cannot be used: {reason}")


def tls_options(chosen: dict[str, Any], fixed: FixedTls | None) -> dict[str, Any]:
    """More options for TLS, in a process that is the broker's account; `fixed` was made while it was root.

    Where the account can read the files itself, it does, and its workers notice renewed ones. Raises ConfigurationError
    where neither can be.
    """
    if "certfile" not in chosen:
        return {}
    if all(os.access(chosen[name], os.R_OK) for name in FILES):
        try:
            return {TLS: TlsContext(chosen["certfile"], chosen["keyfile"])}
        except OSError as error:  # of TLS, too
            raise _unusable(chosen, error) from None
    if fixed is None:
        raise ConfigurationError(
            f"{chosen['certfile']} or {chosen['keyfile']} cannot be read by the broker's account, and root reads them "
            "only where nobody else can write: give the files, and the folders above them, to root"
        )
    return {"certfile": os.devnull, "keyfile": None, TLS: fixed}
