#!/bin/bash
# Make of each package the one of a made-up next version: newer.sh DEBS FOLDER PYTHON. newer.py, beside it, gives its store another schema.
set -euo pipefail
debs=$1 folder=$2 python=$3
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder"
for deb in "$debs"/*.deb; do
  dpkg-deb -R "$deb" "$work/package"
  sed -i -E 's/^(Version: [^+]*)/\1.99/' "$work/package/DEBIAN/control"
  schema=$(find "$work/package" -path '*/site-packages/x2gobroker/store/schema.py')
  if [ -n "$schema" ]; then
    "$python" "$here/newer.py" "${schema%/x2gobroker/store/schema.py}"
    (cd "$work/package" && find * -path DEBIAN -prune -o -type f -exec md5sum {} + >DEBIAN/md5sums)
  fi
  dpkg-deb -Zgzip -z1 --root-owner-group -b "$work/package" "$folder/" >/dev/null
  rm -rf "$work/package"
done
ls "$folder"
