#!/bin/bash
# Boot systemd on a copy of this machine that keeps nothing: systemd_boot.sh FOLDER SOURCE PACKAGES
# FOLDER: empty; SOURCE: the project's files, to be /usr/src/x2gobroker; PACKAGES: Python packages, to be /usr/lib/python-packages.
# Runs in namespaces of its own, with a cgroup namespace that it may use up; the network is the caller's.
# Of the machine's units run only those that every system has; of x2gobroker nothing is there.
set -euo pipefail
umask 022
folder=$1 source=$2 packages=$3
here=$(dirname "$(realpath "$0")")
. "$here/../room/system.sh"
mount --make-rprivate /

# the upper folder may not lie below the lower one, so it is in memory
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder"/{root,upper,work,upper-etc,work-etc}
root=$folder/root
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mount -t overlay -o "lowerdir=/etc,upperdir=$folder/upper-etc,workdir=$folder/work-etc" overlay "$root/etc"
furnish "$root"
mknod -m 600 "$root/dev/console" c 5 1 || true

mkdir -p "$root/usr/src/x2gobroker" "$root/usr/lib/python-packages"
mount --bind "$source" "$root/usr/src/x2gobroker"
mount --bind "$packages" "$root/usr/lib/python-packages"
mount -o remount,bind,ro "$root/usr/lib/python-packages"

# as on a machine that never had a broker
if grep -q ^x2gobroker: "$root/etc/passwd"; then sed -i /^x2gobroker:/d "$root"/etc/{passwd,shadow}; fi
sed -i /^x2gobroker:/d "$root"/etc/{group,gshadow}
rm -rf "$root"/var/{lib,log}/x2gobroker "$root"/usr/lib/tmpfiles.d/x2gobroker* "$root"/etc/tmpfiles.d/x2gobroker* \
  "$root"/usr/lib/systemd/system/x2go* "$root"/etc/x2go/x2gobroker* "$root"/etc/x2go/broker "$root"/etc/logrotate.d/x2gobroker* \
  "$root"/etc/pam.d/x2gobroker*

# no service of the machine's
rm -rf "$root"/etc/systemd/system "$root"/etc/rc?.d "$root"/etc/init.d
mkdir -p "$root"/etc/systemd/system "$root"/etc/systemd/journald.conf.d
for link in "$root"/usr/lib/systemd/system/*.target.wants/*; do
  case ${link##*/} in
    dbus.s* | systemd-journald.s* | systemd-journald-dev-log.socket | systemd-tmpfiles-setup.service | systemd-user-sessions.service) ;;
    *) rm -f "$link" ;;
  esac
done
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
: >"$root/etc/fstab"
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nForwardToConsole=no\n' >"$root/etc/systemd/journald.conf.d/test.conf"

hostname broker
echo broker >"$root/etc/hostname"
echo "127.0.0.1 broker" >>"$root/etc/hosts"
boot "$root"
