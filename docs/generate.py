"""Write the generated pages of docs/ and the sample files of etc/.

python docs/generate.py            write what has changed, and say so
python docs/generate.py --check    write nothing; exit status 1, and the names, when something is stale
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT)]

from generators import commands, options, samples, served, session_types, x2go_api  # noqa: E402
from generators.common import notice  # noqa: E402

from x2gobroker.remote.keys import schema  # noqa: E402

BEGIN = "<!-- Written by docs/generate.py from {}, up to the end mark. -->"
END = "<!-- End of what docs/generate.py writes. -->"


def with_tables(name: str, source: str, tables: str) -> str:
    """A page that is written by hand, but for the tables between the marks."""
    page = (DOCS / name).read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN.format(source))
    _, end, behind = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"docs/{name} has lost the marks around its tables")
    return f"{before}{begin}\n\n{tables}\n{end}{behind}"


def session_profiles_page() -> str:
    """`reference/session-profiles.md`."""
    source = "x2gobroker/model/profile_options.py"
    return with_tables("reference/session-profiles.md", source, options.session_profile_tables())


def session_types_page() -> str:
    """`reference/session-types.md`."""
    return with_tables("reference/session-types.md", "x2gobroker/remote/keys.py", session_types.session_type_tables())


def schema_file() -> str:
    """`x2gobroker/remote/schema.json`, which editors read."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def deviations_page() -> str:
    """`reference/deviations.md`, from the table that the compatibility test uses."""
    from tests.compat.deviations import deviations_markdown

    return notice("tests/compat/deviations.py") + "\n" + deviations_markdown().rstrip() + "\n"


OUTPUTS: dict[str, Callable[[], str]] = {
    "docs/reference/options.md": options.options_page,
    "docs/reference/session-profiles.md": session_profiles_page,
    "docs/reference/session-types.md": session_types_page,
    "x2gobroker/remote/schema.json": schema_file,
    "docs/reference/commands.md": commands.commands_page,
    "docs/reference/plugins.md": served.plugins_page,
    "docs/reference/routes.md": served.routes_page,
    "docs/reference/deviations.md": deviations_page,
    "docs/reference/x2go-api.md": x2go_api.x2go_api_page,
    "etc/x2gobroker.conf": samples.sample_config,
    "etc/defaults.conf": samples.sample_defaults,
}


def stale() -> dict[str, str]:
    """The files that do not say what the code says, each with what should stand there."""
    found = {}
    for name, make in OUTPUTS.items():
        path = ROOT / name
        text = make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found[name] = text
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the files. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the generated pages of docs/ and the sample files of etc/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something is stale")
    options = parser.parse_args(arguments)
    found = stale()
    for name, text in found.items():
        print(f"{name}: {'is stale; run python docs/generate.py' if options.check else 'written'}")
        if not options.check:
            path = ROOT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if options.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
