"""The option `export` of session profiles: folders of the client, each with whether it is shared by itself."""

from __future__ import annotations

import re

FLAGGED = re.compile(r"(?P<path>.*):(?P<shared>[01])", re.DOTALL)


def parse_exports(text: str) -> dict[str, bool]:
    """The folders of `/path:1;/other:0;`, each with whether it is to be shared.

    Python X2Go's older clients wrote commas, and paths without a number, which are shared.
    """
    folders = {}
    for entry in map(str.strip, text.replace(",", ";").replace('"', "").split(";")):
        flagged = FLAGGED.fullmatch(entry)
        path = flagged["path"] if flagged else entry
        if path:
            folders[path] = flagged is None or flagged["shared"] == "1"
    return folders
