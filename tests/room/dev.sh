#!/bin/bash
# Make a /dev in a new FOLDER: dev.sh FOLDER. In it are the nodes that programs need, with the modes that udev gives them.
set -euo pipefail

folder=$1
mkdir "$folder"
mount -t tmpfs -o mode=755,size=16m tmpfs "$folder"
node() { # NAME MINOR-AND-MAJOR...
  local name=$1
  if mknod "$folder/$name" c "$2" "$3" 2>/dev/null && chmod 666 "$folder/$name"; then return; fi
  # device nodes cannot be made here, as in many containers: those of the machine, with their modes
  if [ -c "/dev/$name" ]; then
    touch "$folder/$name"
    mount --bind "/dev/$name" "$folder/$name"
  fi
  case $(stat -c %a "/dev/$name" 2>/dev/null || echo none) in
    *666) ;;
    *) echo "room: a node $name for all cannot be made here, and /dev/$name of this machine is not: 'chmod 666 /dev/$name' first" >&2 ;;
  esac
}
node null 1 3
node zero 1 5
node full 1 7
node random 1 8
node urandom 1 9
node tty 5 0
node fuse 10 229
mkdir "$folder/pts" "$folder/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$folder/pts"
mount -t tmpfs -o mode=1777 tmpfs "$folder/shm"
ln -s pts/ptmx "$folder/ptmx"
ln -s /proc/self/fd "$folder/fd"
for number in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${number%:*}" "$folder/${number#*:}"; done
if ! (: <>"$folder/fuse") 2>/dev/null; then
  echo "room: /dev/fuse cannot be opened here: load the kernel module fuse, or let this container use device 10:229" >&2
fi
