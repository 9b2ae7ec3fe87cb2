#!/bin/bash
# Boot a Debian that debootstrap made, with systemd-sysv and dbus: boot.sh FOLDER BASE. What is changed is kept in FOLDER, an
# empty one, and BASE stays as it is. Runs in namespaces of its own, with a cgroup namespace that it may use up; the network is
# the caller's.
set -euo pipefail
umask 022
folder=$1 base=$2
here=$(dirname "$(realpath "$0")")
. "$here/../../room/system.sh"
. "$here/../reach.sh"
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder"/{root,upper,work}
root=$folder/root
mount -t overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
furnish "$root"
reach "$root"
: >"$root/etc/fstab"
# the kernel is the machine's: Debian 13 fails to load modules into it
ln -sf /dev/null "$root/etc/systemd/system/systemd-modules-load.service"
hostname broker
echo broker >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tbroker.example.org broker\n::1\tlocalhost\n' >"$root/etc/hosts"
boot "$root"
