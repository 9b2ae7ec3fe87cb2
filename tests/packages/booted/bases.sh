#!/bin/bash
# Make a minimal Debian of each release, to be booted: bases.sh FOLDER [RELEASE...]. As root; needs debootstrap.
set -euo pipefail
folder=$1
shift
mkdir -p "$folder"
for release in ${*:-bookworm trixie}; do
  [ ! -d "$folder/$release" ] || continue
  new=$(mktemp -d "$folder/new.XXXXXX")
  chmod 755 "$new"
  debootstrap --variant=minbase --include=systemd-sysv,dbus,ca-certificates "$release" "$new" >"$folder/$release.log" 2>&1 ||
    { tail "$folder/$release.log" >&2; exit 1; }
  mv "$new" "$folder/$release"
done
