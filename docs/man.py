"""Write the manual pages: python docs/man.py FOLDER makes FOLDER/man1, FOLDER/man5 and FOLDER/man8.

Their date is that of SOURCE_DATE_EPOCH (seconds since 1970), else today's.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from generators import manuals, roff  # noqa: E402

from x2gobroker import __version__  # noqa: E402


def write(folder: Path, date: str) -> list[Path]:
    """Write all pages below a folder; the files. Raises OSError."""
    made = []
    for (name, section), page in manuals.pages().items():
        path = folder / f"man{section}" / f"{name}.{section}"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [*roff.head(name, section, date, f"x2gobroker {__version__}"), *page()]
        path.write_text(roff.page(lines), encoding="utf-8")
        made.append(path)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the manual pages of all programs and configuration files.")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where man1, man5 and man8 are made")
    options = parser.parse_args(arguments)
    moment = datetime.fromtimestamp(float(os.environ.get("SOURCE_DATE_EPOCH", time.time())), UTC)
    made = write(options.folder, moment.strftime("%Y-%m-%d"))
    print(f"{len(made)} manual pages are below {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
