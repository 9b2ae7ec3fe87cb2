#!/bin/bash
# Runs scenarios of check.sh, each in a Debian system of its own: a copy of a minimal one, thrown away afterwards. As root.
#
# Usage: in_roots.sh SUITE FOLDER [SCENARIO...]
#   SUITE     bookworm or trixie
#   FOLDER    the .deb files for that release
#   SCENARIO  without any, all that exist for the release: 0.0.4.3 is in bookworm only
# BASE=FOLDER names a minimal system that is there already, else debootstrap makes one.
set -eu
suite=$1 debs=$(cd "$2" && pwd)
shift 2
source=$(cd "$(dirname "$0")/../.." && pwd)
place=$(mktemp -d /var/tmp/x2gobroker-packages.XXXXXX)
trap 'rm -rf --one-file-system "$place"' EXIT
trap 'exit 143' TERM # when the check that runs has ended: its system is not taken away below it
base=${BASE:-}
if [ -z "$base" ]; then
	base=$place/base
	debootstrap --variant=minbase "$suite" "$base" >"$place/debootstrap.log" 2>&1 || { tail "$place/debootstrap.log" >&2; exit 1; }
fi
scenarios=$*
if [ -z "$scenarios" ]; then
	scenarios="lintian autopkgtest fresh x2go agent"
	[ "$suite" != bookworm ] || scenarios="$scenarios swap unchanged swap_one removed_before purge_one_by_one back wsgi"
fi

. "$source/tests/packages/reach.sh"

# what the scenarios need, of the source and of the packages
furnish() {
	reach "$1"
	install -d "$1/root/src/debian" "$1/root/src/tests" "$1/root/debs"
	cp -r "$source"/debian/{changelog,control,copyright,rules,source,tests} "$1/root/src/debian/"
	cp -r "$source/tests/packages" "$1/root/src/tests/"
	cp "$debs"/*.deb "$1/root/debs/"
}

failed=
for scenario in $scenarios; do
	root=$place/$scenario
	echo "$suite, $scenario"
	cp -a "$base" "$root"
	furnish "$root"
	if ! env -i PATH="$PATH" TERM=dumb unshare --mount --pid --ipc --uts --fork --kill-child --propagation private sh -eu -c '
		mount --bind "$1" "$1"
		mount -t proc proc "$1/proc"
		mount -t tmpfs -o mode=755 tmpfs "$1/dev"
		cd "$1/dev"
		for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
			IFS=: read -r name major minor <<-END
			$node
			END
			mknod -m 666 "$name" c "$major" "$minor"
		done
		mkdir -m 1777 shm
		mkdir pts
		mount -t devpts -o newinstance,ptmxmode=0666 devpts pts
		ln -s pts/ptmx ptmx
		ln -s /proc/self/fd fd
		mount -t tmpfs -o mode=755 tmpfs "$1/run"
		mkdir -m 1777 "$1/run/lock"
		cd /
		exec chroot "$1" /bin/bash /root/src/tests/packages/check.sh /root/debs "$2"
	' sh "$root" "$scenario" </dev/null; then
		failed="$failed $scenario"
	fi
	rm -rf --one-file-system "$root"
done
if [ -n "$failed" ]; then
	echo "failed:$failed" >&2
	exit 1
fi
