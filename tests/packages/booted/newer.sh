#!/bin/bash
# Make of each package the one of a made-up next version: newer.sh DEBS FOLDER PYTHON. Its store has one more column, which must have
# a value, and one more table; programs of before can go on with it.
set -euo pipefail
debs=$1 folder=$2 python=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder"
for deb in "$debs"/*.deb; do
  dpkg-deb -R "$deb" "$work/package"
  sed -i -E 's/^(Version: [^+]*)/\1.99/' "$work/package/DEBIAN/control"
  schema=$(find "$work/package" -path '*/site-packages/x2gobroker/store/schema.py')
  if [ -n "$schema" ]; then
    "$python" - "$schema" <<'END'
import re, sys
from pathlib import Path
schema = Path(sys.argv[1])
text = schema.read_text()
known = [int(number) for number in re.findall(r"^\s+(?:Step\()?(\d+),$", text, re.MULTILINE)]
number = max(known) + 1
text = text.replace(
    "STEPS: tuple[Step, ...] = (",
    'def _made_up(connection: Connection) -> None:\n'
    '    connection.execute(text("ALTER TABLE authids ADD COLUMN made_up INTEGER NOT NULL DEFAULT 7"))\n\n\n'
    "STEPS: tuple[Step, ...] = (",
)
end = text.index("\n)\n", text.index("STEPS: tuple"))
text = text[:end] + f'\n    Step({number}, "a made-up step", 1, _made_up),' + text[end:]
schema.write_text(text)
package = schema.parents[1] / "__init__.py"
said = package.read_text()
changed = re.sub(r'(__version__ = "[^"]*)"', r'\1.99"', said)
assert changed != said
package.write_text(changed)
END
    (cd "$work/package" && find * -path DEBIAN -prune -o -type f -exec md5sum {} + >DEBIAN/md5sums)
  fi
  dpkg-deb -Zgzip -z1 --root-owner-group -b "$work/package" "$folder/" >/dev/null
  rm -rf "$work/package"
done
ls "$folder"
