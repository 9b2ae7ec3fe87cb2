#!/bin/bash
# All tests of the packages of one release, one after the other; `make test-packages` calls it. As root, on Debian 12, with the network,
# where nobody else listens at 127.0.0.1:8080.
#
# Usage: all.sh [RELEASE]     bookworm or trixie; without one, that of this machine. dist/RELEASE has the packages.
# BASES=FOLDER keeps the minimal Debian systems that are booted, for the next time; else they are in /var/tmp/x2gobroker-bases.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
. "$source/tests/packages/reach.sh"
release=${1:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
debs=$source/dist/$release
bases=${BASES:-/var/tmp/x2gobroker-bases}
if ! ls "$debs"/x2gobroker_*.deb >/dev/null 2>&1; then
	echo "There are no packages in $debs: \`make deb\` on a Debian of that release makes them." >&2
	exit 2
fi
work=$(mktemp -d /var/tmp/x2gobroker-packages.XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 143' TERM
export X2GOBROKER_TEST_ARTIFACTS=${X2GOBROKER_TEST_ARTIFACTS:-$work/artifacts}

# piuparts has its own opinion of what installing and purging may leave. In namespaces: what it starts ends with it.
policy() {
	cp -a "$bases/$release" "$work/piuparts" && reach "$work/piuparts" || return 1
	SUDO_FORCE_REMOVE=yes unshare --mount --pid --ipc --uts --fork --kill-child --mount-proc --propagation private \
		piuparts -d "$release" -e "$work/piuparts" --keep-sources-list --tmpdir="$work" "$debs"/x2gobroker_*.deb \
		>"$work/piuparts.log" 2>&1 || { tail -60 "$work/piuparts.log" >&2; return 1; }
}

# booted NAME...: the files test_booted_NAME.py, for the packages in $work/debs. They have the machine's network, so one at a time.
booted() {
	local name files=()
	for name in "$@"; do files+=("tests/packages/booted/test_booted_$name.py"); done
	cd "$source" && X2GOBROKER_TEST_BASES=$bases X2GOBROKER_TEST_DEBS=$work/debs .venv/bin/python -m tests.rooms -j 1 "${files[@]}"
}

failed=
part() { # WHAT COMMAND...
	echo "== $1, $release"
	"${@:2}" || failed="$failed $1"
}

"$source/tests/packages/booted/bases.sh" "$bases" "$release"
mkdir "$work/debs"
ln -s "$debs" "$work/debs/$release"
part roots "$source/tests/packages/in_roots.sh" "$release" "$debs"
part piuparts policy
part booted booted install pages upgrade
[ "$release" != bookworm ] || part swap booted swap tutorial
if [ -d "$source/dist/bookworm" ] && [ -d "$source/dist/trixie" ]; then
	"$source/tests/packages/booted/bases.sh" "$bases" bookworm
	ln -sfn "$source/dist/bookworm" "$work/debs/bookworm"
	ln -sfn "$source/dist/trixie" "$work/debs/trixie"
	part "upgrade-of-Debian" booted release
else
	echo "left out: test_booted_release.py, which needs the packages of both releases in dist/"
fi
[ ! -f "$X2GOBROKER_TEST_ARTIFACTS/packages.txt" ] || cat "$X2GOBROKER_TEST_ARTIFACTS/packages.txt"
if [ -n "$failed" ]; then
	echo "failed for $release:$failed" >&2
	exit 1
fi
