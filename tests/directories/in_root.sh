#!/bin/bash
# Runs trial.py in a Debian system of its own with slapd, nslcd and SSSD, whose directory it stops. As root; not part of
# `make test`: it installs packages and waits for deadlines, some ten minutes in all.
#
# Usage: in_root.sh ROOT [STACK...]
#   ROOT   a minimal Debian 12 system, which is changed: the packages are installed there if they are missing
#   STACK  ldap, sss or sss-enumerate; without any, all
set -eu
root=$(cd "$1" && pwd)
shift
source=$(cd "$(dirname "$0")/../.." && pwd)
packages="python3 iproute2 slapd nslcd libpam-ldapd libnss-ldapd sssd-ldap libpam-sss libnss-sss"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# shellcheck disable=SC2086 # words of their own
if ! chroot "$root" dpkg-query -W $packages >/dev/null 2>&1; then
	env -i PATH="$PATH" DEBIAN_FRONTEND=noninteractive chroot "$root" sh -eu -c 'apt-get -q update; apt-get -qy --no-install-recommends install "$@"' sh $packages
fi
mkdir -p "$root$source"
exec env -i PATH="$PATH" LC_ALL=C.UTF-8 unshare --mount --pid --net --ipc --uts --fork --kill-child --propagation private sh -eu -c '
	root=$1 source=$2
	shift 2
	mount --bind "$root" "$root"
	mount --bind "$source" "$root$source"
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	exec chroot "$root" sh -eu -c "cd \"\$1\"; shift; exec .venv/bin/python -m tests.directories.trial \"\$@\"" sh "$source" "$@"
' sh "$root" "$source" "$@"
