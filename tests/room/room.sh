#!/bin/bash
# A room for tests, in namespaces that rooms.py has made: room.sh FOLDER COMMAND...
# What tests change of the machine is a copy here, below FOLDER; what is left running ends with this process.
# Devices, names, defaults of accounts and logins are the room's own: tests find the same on every machine.
{ # read as a whole, so that it may be edited while rooms are open
set -euo pipefail
umask 022
here=$(dirname "$(realpath "$0")")

room=$1
shift
mount --make-rprivate /
ip link set lo up
hostname room
checkout=$PWD
interpreter=$("$1" -c 'import sys; print(sys.base_prefix)')
mkdir "$room/checkout" "$room/interpreter"
mount --bind "$checkout" "$room/checkout"
mount --bind "$interpreter" "$room/interpreter"

for folder in /etc /run /usr/lib/x2go /usr/share/x2go /var/lib/x2go /var/lib/x2gobroker /var/log/x2gobroker \
  /var/spool /var/cache/cups; do
  [ -d "$folder" ] || continue
  mkdir -p "$room$folder"
  cp -a "$folder/." "$room$folder" || echo "room: not all of $folder could be copied" >&2
  mount --bind "$room$folder" "$folder"
done
bash "$here/etc.sh"
bash "$here/dev.sh" "$room/dev"
mount --rbind "$room/dev" /dev

mkdir -m 1777 "$room/tmp" "$room/var-tmp"
mkdir "$room/home"
mkdir -m 700 "$room/root"
if [ -n "${ROOM_NETWORK:-}" ]; then # it installs packages: from where this machine has them
  for settings in .config/pip .pip .npmrc; do
    [ -e "/root/$settings" ] || continue
    mkdir -p "$room/root/$(dirname "$settings")"
    cp -a "/root/$settings" "$room/root/$settings"
  done
fi
mount --bind "$room/tmp" /tmp
mount --bind "$room/home" /home
mount --bind "$room/root" /root
for kept in checkout interpreter; do # where it is below one of these
  place=${!kept}
  if [ ! -e "$place" ]; then
    mkdir -p "$place"
    mount --bind "$room/$kept" "$place"
  fi
done
# an own hierarchy of cgroups, as rooms.py has put this process into a group of its own
if [ -n "${ROOM_CGROUP:-}" ]; then
  mount -t tmpfs tmpfs /sys/fs/cgroup # the kernel refuses a second cgroup2 in the very place of one
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
unset ROOM_CGROUP ROOM_NETWORK

# as many open files as the units in etc/systemd allow to the daemon
files=16384
allowed() { [ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge "$files" ]; }
allowed || ulimit -Hn "$files" 2>/dev/null || true
if allowed; then
  ulimit -Sn "$files"
else
  echo "room: tests with many connections need $files open files: $(ulimit -Hn) are allowed here" >&2
  ulimit -Sn "$(ulimit -Hn)"
fi
ulimit -c 0
cd "$checkout"
"$@"
exit $? # so that this shell stays, and takes in whoever loses its parent
}
