#!/bin/bash
# A room for tests, in namespaces that rooms.py has made: room.sh FOLDER COMMAND...
# What tests change of the machine is a copy here, below FOLDER; what is left running ends with this process.
set -euo pipefail

room=$1
shift
mount --make-rprivate /
ip link set lo up
checkout=$PWD
mkdir "$room/checkout"
mount --bind "$checkout" "$room/checkout"
for folder in /etc /run /usr/lib/x2go /usr/share/x2go /var/lib/x2go /var/lib/x2gobroker /var/log/x2gobroker \
  /var/spool /var/cache/cups; do
  [ -d "$folder" ] || continue
  mkdir -p "$room$folder"
  cp -a "$folder/." "$room$folder" || echo "room: not all of $folder could be copied" >&2
  mount --bind "$room$folder" "$folder"
done
mkdir -m 1777 "$room/tmp"
mkdir "$room/home"
mount --bind "$room/tmp" /tmp
mount --bind "$room/home" /home
if [ ! -e "$checkout" ]; then # it is below one of these
  mkdir -p "$checkout"
  mount --bind "$room/checkout" "$checkout"
fi
cd "$checkout"
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
"$@"
exit $? # so that this shell stays, and takes in whoever loses its parent
