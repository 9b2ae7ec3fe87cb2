#!/bin/bash
# Debian packages, installed, swapped in, removed and purged for real. Run as root in a Debian system that is thrown away afterwards:
# tests/packages/in_roots.sh makes one for each scenario.
#
# Usage: check.sh FOLDER SCENARIO     FOLDER has the .deb files, SCENARIO is a function below: its name without "scenario_"
set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
DEBS=$(cd "$1" && pwd)
OUTPUT=$(mktemp)
VENV=/usr/lib/x2gobroker/venv
OLD="x2gobroker x2gobroker-agent x2gobroker-authservice x2gobroker-common x2gobroker-daemon x2gobroker-loadchecker x2gobroker-ssh python3-x2gobroker"
TRANSITIONAL="python3-x2gobroker x2gobroker-authservice x2gobroker-common x2gobroker-daemon x2gobroker-loadchecker"
EDITED="/etc/x2go/x2gobroker.conf /etc/x2go/broker/defaults.conf /etc/x2go/broker/x2gobroker-loggers.conf
  /etc/x2go/broker/x2gobroker-sessionprofiles.conf /etc/x2go/broker/x2gobroker-authservice-logger.conf
  /etc/x2go/broker/x2gobroker-loadchecker-logger.conf /etc/pam.d/x2gobroker"
STATE="/var/lib/x2gobroker/.ssh/id_rsa /var/lib/x2gobroker/.ssh/known_hosts /var/lib/x2gobroker/.ssh/authorized_keys
  /var/lib/x2gobroker/x2gobroker.sqlite /var/log/x2gobroker/broker.log"
PROGRAMS="/usr/bin/x2gobroker /usr/bin/x2gobroker-daemon /usr/bin/x2gobroker-ssh /usr/bin/x2gobroker-testauth /usr/sbin/x2gobroker-authservice
  /usr/sbin/x2gobroker-keygen /usr/sbin/x2gobroker-loadchecker /usr/sbin/x2gobroker-pubkeyauthorizer /usr/sbin/x2gobroker-remote
  /usr/sbin/x2gobroker-testagent"
LINKS="multi-user.target.wants/x2gobroker-daemon.service sockets.target.wants/x2gobroker-authservice.socket"

fail() {
	echo "FAILED: $*" >&2
	echo "--- what was said last:" >&2
	tail -40 "$OUTPUT" >&2
	exit 1
}

# must COMMAND...: a command that has to succeed, with nobody to answer questions
must() {
	local began=$SECONDS
	"$@" >"$OUTPUT" 2>&1 </dev/null || fail "$* gave $?"
	echo "  $((SECONDS - began)) s: $*" | sed "s#$DEBS/##g"
}

apt() {
	must apt-get -y --no-install-recommends "$@"
	if grep -qi 'conffile prompt\|configuration file .* ==> ' "$OUTPUT"; then fail "dpkg asked about a configuration file"; fi
}

equal() { # WHAT WANTED FOUND
	[ "$2" = "$3" ] || fail "$1: wanted '$2', found '$3'"
}

there() {
	local file
	for file in "$@"; do [ -e "$file" ] || [ -L "$file" ] || fail "$file is not there"; done
}

gone() {
	local file
	for file in "$@"; do [ ! -e "$file" ] && [ ! -L "$file" ] || fail "$file is still there: $(ls -ld "$file")"; done
}

# debs NAME...: their files
debs() {
	local name
	for name in "$@"; do ls "$DEBS/${name}"_*.deb; done
}

# as it is for a site with Debian's 0.0.4.3, files edited and state in its folders
old_site() {
	apt install $OLD "$@"
	local file
	for file in $EDITED; do [ ! -e "$file" ] || echo "# edited by the site" >>"$file"; done
	printf '[ours]\nname = Ours\nhost = localhost\ncommand = TERMINAL\nacl-users-allow = anna\n' >>/etc/x2go/broker/x2gobroker-sessionprofiles.conf
	install -d -m 700 -o x2gobroker -g x2gobroker /var/lib/x2gobroker/.ssh
	for file in $STATE; do echo "state of $file" >>"$file"; chown x2gobroker "$file"; done
	chmod 600 /var/lib/x2gobroker/.ssh/*
	IDENTITY=$(id x2gobroker)
	sha256sum $(ls $EDITED $STATE 2>/dev/null) >/root/sums
}

# nothing that was the site's is lost
intact() {
	equal "the account after $1" "$IDENTITY" "$(id x2gobroker 2>&1)"
	sha256sum --quiet -c /root/sums >"$OUTPUT" 2>&1 || fail "after $1, files of the site are not as they were"
}

# ours is installed, whole, and the only one
ours() {
	equal "state of x2gobroker" "ii 1" "$(dpkg-query -W -f '${db:Status-Abbrev}${Version}' x2gobroker | cut -c 1-4)"
	local program link
	for program in $PROGRAMS; do
		case "$(readlink -m "$program")" in $VENV/bin/*) ;; *) fail "$program is not ours" ;; esac
		"$program" --help >"$OUTPUT" 2>&1 </dev/null || fail "$program --help gave $?"
	done
	for link in $LINKS; do there "/etc/systemd/system/$link"; done
	x2gobroker check-config >"$OUTPUT" 2>&1 || fail "check-config gave $?"
	gone /etc/logrotate.d/x2gobroker-daemon /etc/logrotate.d/x2gobroker-authservice /etc/logrotate.d/x2gobroker-loadchecker
	there /etc/fail2ban/filter.d/x2gobroker.conf /etc/fail2ban/jail.d/x2gobroker.conf
	there /etc/logrotate.d/x2gobroker /etc/pam.d/x2gobroker /etc/pam.d/x2gobroker-desktop /lib/systemd/system/x2gobroker-daemon.service
	equal "stat overrides" "" "$(dpkg-statoverride --list '*x2gobroker' | cat; dpkg-statoverride --list '*x2gobroker-ssh' | cat)"
	equal "mode of the program of SSH" "root:root" "$(stat -c %U:%G /usr/bin/x2gobroker-ssh)"
	equal "programs that run as others" "" "$(find /usr/lib/x2gobroker /usr/bin/x2go* /usr/sbin/x2go* -perm /6000 2>/dev/null)"
	equal "what dpkg says" "" "$(dpkg --audit)"
}

agent_works() {
	there /usr/bin/x2gobroker-agent /etc/sudoers.d/x2gobroker-agent
	equal "mode of the agent" "755 root:root" "$(stat -c '%a %U:%G' /usr/lib/x2go/x2gobroker-agent)"
	equal "mode of its rule" "440 root:root" "$(stat -c '%a %U:%G' /etc/sudoers.d/x2gobroker-agent)"
	must visudo -c
	equal "shell of the account" "yes" "$(getent passwd x2gobroker | grep -q 'sh$' && echo yes)"
	id berta >/dev/null 2>&1 || must useradd -m berta
	runuser -u x2gobroker -- /usr/bin/x2gobroker-agent berta ping >"$OUTPUT" 2>&1 || fail "the agent gave $?"
	equal "answer of the agent" OK "$(head -1 "$OUTPUT")"
	runuser -u x2gobroker -- sudo -n -l /usr/lib/x2go/x2gobroker-agent >"$OUTPUT" 2>&1 || fail "sudo does not let the account run the agent"
}

# measured PACKAGE [FOLDER]: the figures of docs/reference/packages.md; FOLDER is where Python has compiled
measured() {
	local compiled=0
	[ -z "${2:-}" ] || compiled=$(($(du -sk "$2" | cut -f 1) - $(du -sk --exclude=__pycache__ "$2" | cut -f 1)))
	echo "  size of $1: file $(stat -c %s "$(debs "$1")") B, on the disk $(dpkg-query -W -f '${Installed-Size}' "$1") kB, compiled $compiled kB"
}

# what a system holds, for a comparison before and after
inventory() {
	{ find /etc /var/lib /var/log /usr /lib /opt /run /srv -xdev \
		! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*' ! -path '/var/log/apt/*' ! -path '/var/lib/systemd/*' ! -path '*/__pycache__*' \
		! -path '/etc/*-' ! -path '/run/adduser*' ! -path '/run/motd.dynamic' ! -path '/var/log/dpkg.log' ! -path '/var/log/alternatives.log' | sort; getent passwd; getent group; } >"$1"
}

scenario_fresh() {
	apt install python3 sudo adduser procps
	inventory /root/before
	apt install $(debs x2gobroker x2gobroker-agent x2gobroker-ssh)
	measured x2gobroker $VENV
	measured x2gobroker-agent
	measured x2gobroker-ssh
	LINKS="$LINKS" ours
	agent_works
	userdel -r berta 2>/dev/null
	must "$SOURCE/debian/tests/smoke"
	rm -rf /var/lib/x2gobroker/cookies # where a trial has left its store
	# what the services leave in /run: their units preserve it
	install -d -m 700 /run/x2gobroker-tickets
	install -d -m 711 /run/x2gobroker-remote
	touch /run/x2gobroker-tickets/1000
	apt remove x2gobroker
	there /etc/x2go/x2gobroker.conf /run/x2gobroker-remote
	gone /run/x2gobroker-tickets
	apt install $(debs x2gobroker)
	ours
	install -d -m 700 /run/x2gobroker-tickets
	echo "# edited" >>/etc/x2go/x2gobroker.conf
	rm /etc/x2go/broker/defaults.conf
	must dpkg --unpack $(debs x2gobroker)
	must dpkg --configure -a
	ours
	equal "the edit" "# edited" "$(tail -1 /etc/x2go/x2gobroker.conf)"
	gone /etc/x2go/broker/defaults.conf # who deletes it wants it gone
	sed -i '$d' /etc/x2go/x2gobroker.conf
	apt purge x2gobroker-ssh x2gobroker x2gobroker-agent
	gone /run/x2gobroker /run/x2gobroker-tickets /run/x2gobroker-remote
	inventory /root/after
	diff /root/before /root/after | grep -v 'x2gobroker-users' | grep '^[<>]' >"$OUTPUT" && fail "remove and purge leave or take this"
	:
}

scenario_swap() {
	old_site
	local began=$SECONDS
	apt install $(debs $OLD)
	echo "  swapped in $((SECONDS - began)) s"
	intact swap
	ours
	agent_works
	there /etc/sudoers.d/x2gobroker-ssh
	grep -q '^%x2gobroker-users ALL = (x2gobroker) NOPASSWD: NOSETENV: /usr/bin/x2gobroker-ssh --piped' /etc/sudoers.d/x2gobroker-ssh || fail "rule of SSH"
	apt install logrotate
	logrotate -d /etc/logrotate.conf >"$OUTPUT" 2>&1 || fail "logrotate gave $?"
	! grep -i 'error:\|duplicate' "$OUTPUT" || fail "logrotate complains"
	apt purge $TRANSITIONAL
	intact "purge of the transitional packages"
	apt autoremove --purge
	intact autoremove
	apt purge '~c'
	intact "purge of what is left"
	ours
	apt remove x2gobroker
	intact "removal"
	apt install $(debs x2gobroker)
	intact "installing again"
	ours
	apt purge x2gobroker x2gobroker-ssh
	intact "purge of ours"
	agent_works
}

# nobody has changed anything of Debian's, and at the end everything goes; ca-certificates, which Debian's broker brings along, is there
# before: apt recommends it, so that autoremove keeps it
scenario_unchanged() {
	apt install python3 sudo adduser procps libpam-runtime perl ca-certificates
	inventory /root/before
	apt install x2gobroker x2gobroker-common
	apt install $(debs x2gobroker)
	ours
	apt purge x2gobroker-common
	there /etc/x2go/x2gobroker.conf /etc/pam.d/x2gobroker
	apt purge x2gobroker
	apt purge '~c'
	apt autoremove --purge
	inventory /root/after
	diff /root/before /root/after | grep '^[<>]' >"$OUTPUT" && fail "the swap and the purge of all leave or take this"
	:
}

# apt-get is given one file only: it removes Debian's packages, and dpkg keeps their scripts for a purge
scenario_swap_one() {
	old_site
	apt install $(debs x2gobroker)
	intact "swap by one file"
	ours
	equal "the old daemon package" "rc" "$(dpkg-query -W -f '${db:Status-Abbrev}' x2gobroker-daemon | tr -d ' ')"
	apt purge '~c'
	intact "purge of what is left"
	ours
	apt autoremove --purge
	intact autoremove
	ours
}

# Debian's packages were removed long ago; ours comes, goes, and only then they are purged
scenario_removed_before() {
	old_site
	apt remove $OLD
	apt install $(debs x2gobroker)
	intact "installing over removed packages"
	ours
	apt remove x2gobroker
	apt purge x2gobroker-daemon x2gobroker-authservice x2gobroker-loadchecker x2gobroker-common
	intact "purge of Debian's while ours is removed"
	apt install $(debs x2gobroker)
	intact "installing again"
	ours
}

scenario_purge_one_by_one() {
	old_site
	apt install $(debs $OLD)
	local name
	for name in x2gobroker-common x2gobroker-daemon python3-x2gobroker x2gobroker-loadchecker x2gobroker-authservice; do
		apt remove $name
		intact "removal of $name"
		apt purge $name
		intact "purge of $name"
	done
	ours
	apt remove x2gobroker x2gobroker-agent x2gobroker-ssh
	intact "removal of everything"
	apt purge '~c'
	intact "purge of everything"
}

scenario_back() {
	old_site
	dpkg -L $OLD | sort -u | while read -r file; do [ -d "$file" ] || [ ! -e "$file" ] || echo "$file"; done >/root/files
	apt install $(debs $OLD)
	intact swap
	local name versions=
	for name in $OLD; do versions="$versions $name=0.0.4.3-4"; done
	apt install --allow-downgrades $versions
	intact "going back"
	there $(cat /root/files)
	gone $VENV/bin/python /etc/logrotate.d/x2gobroker /etc/fail2ban/jail.d/x2gobroker.conf
	there /usr/sbin/x2gobroker-daemon-debug /etc/logrotate.d/x2gobroker-daemon /usr/lib/x2go/x2gobroker-agent.pl
	equal "diversions" "" "$(dpkg-divert --list '*x2go*')"
	equal "what dpkg says" "" "$(dpkg --audit)"
	equal "the old agent" "4750" "$(stat -c %a /usr/lib/x2go/x2gobroker-agent)"
	/usr/bin/x2gobroker --help >"$OUTPUT" 2>&1 || fail "the old broker does not run"
	apt install $(debs $OLD)
	intact "the second swap"
	ours
	agent_works
}

# an X2Go Server: the agent alone, over Debian's where Debian has one
scenario_agent() {
	local first=x2gobroker-agent
	apt-cache show $first >/dev/null 2>&1 || first=$(debs $first)
	apt install $first
	install -d -m 700 -o x2gobroker -g x2gobroker /var/lib/x2gobroker/.ssh
	echo "ssh-ed25519 AAAA broker" >/var/lib/x2gobroker/.ssh/authorized_keys
	apt install $(debs x2gobroker-agent)
	agent_works
	equal "the broker's key" "ssh-ed25519 AAAA broker" "$(cat /var/lib/x2gobroker/.ssh/authorized_keys)"
	apt remove x2gobroker-agent
	apt install $(debs x2gobroker-agent)
	apt purge x2gobroker-agent
	equal "the broker's key" "ssh-ed25519 AAAA broker" "$(cat /var/lib/x2gobroker/.ssh/authorized_keys)"
	gone /etc/sudoers.d/x2gobroker-agent /usr/bin/x2gobroker-agent
}

# Debian's Apache configuration, in use, goes on with this broker
scenario_wsgi() {
	apt install x2gobroker-wsgi apache2 libapache2-mod-wsgi-py3 curl
	must apt-get install -y --reinstall x2gobroker-wsgi
	there /etc/apache2/conf-enabled/x2gobroker-wsgi.conf
	apt install $(debs x2gobroker x2gobroker-common python3-x2gobroker x2gobroker-wsgi)
	must apache2ctl configtest
	must apache2ctl start
	local tries=0
	until curl -fsS http://127.0.0.1/x2gobroker/health >"$OUTPUT" 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 60 ] || { tail -20 /var/log/apache2/error.log >>"$OUTPUT"; fail "the broker does not answer inside Apache"; }
		sleep 0.5
	done
	grep -q '"version": "1' "$OUTPUT" || fail "it is not ours that answers"
	apache2ctl stop
	gone /etc/systemd/system/multi-user.target.wants/x2gobroker-daemon.service
	apt purge x2gobroker-wsgi x2gobroker-common
	must apache2ctl configtest
	there /etc/x2go/x2gobroker-wsgi.apache.conf
}

# the command, as a user, at an X2Go Server on this host
x2go_works() {
	runuser -u berta -- x2gobroker x2go list -p 42222 --accept-new-host-key localhost >"$OUTPUT" 2>&1 || fail "x2gobroker x2go list gave $?"
	equal "the sessions of berta" "There are no sessions." "$(tail -1 "$OUTPUT")"
	bash -c '. /usr/share/bash-completion/completions/x2gobroker; COMP_WORDS=(x2gobroker x2go sus); COMP_CWORD=2
		_x2gobroker x2gobroker; echo "${COMPREPLY[@]}"' >"$OUTPUT" 2>&1
	equal "completion" suspend "$(cat "$OUTPUT")"
	man -P cat x2gobroker-x2go >"$OUTPUT" 2>&1 || fail "man gave $?"
	grep -q 'list, start, resume' "$OUTPUT" || fail "the manual page"
	equal "what dpkg says" "" "$(dpkg --audit)"
}

# a user's machine: the library and its command, without the broker, beside it, and left over by it
scenario_x2go() {
	apt install python3 openssh-server x2goserver man-db adduser procps sudo libpam-runtime
	must useradd -m -s /bin/bash berta
	install -d /run/sshd
	must runuser -u berta -- sh -c 'mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519 && cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys'
	must /usr/sbin/sshd -p 42222
	inventory /root/before
	apt install $(debs x2gobroker-x2go)
	measured x2gobroker-x2go /usr/lib/x2gobroker-x2go
	x2go_works
	printf '#!/usr/lib/x2gobroker-x2go/venv/bin/python\nfrom x2gobroker.x2go import X2GoSession\nprint(X2GoSession.__name__)\n' >/root/script
	chmod 755 /root/script
	must /root/script
	! x2gobroker check-config >"$OUTPUT" 2>&1 || fail "check-config without a broker"
	grep -q 'in the package x2gobroker' "$OUTPUT" || fail "it does not say where check-config is"
	gone /etc/x2go/x2gobroker.conf /lib/systemd/system/x2gobroker-daemon.service /usr/bin/x2gobroker-daemon
	! getent passwd x2gobroker >/dev/null || fail "it makes an account"

	apt install $(debs x2gobroker)
	ours
	x2go_works
	apt remove x2gobroker-x2go
	ours
	apt install $(debs x2gobroker-x2go)
	ours
	must dpkg --unpack $(debs x2gobroker-x2go)
	must dpkg --configure -a
	ours
	apt purge x2gobroker
	x2go_works
	must /root/script
	rm -rf /home/berta/.ssh/known_hosts /var/lib/x2gobroker /var/log/x2gobroker
	apt purge x2gobroker-x2go
	inventory /root/after
	diff /root/before /root/after | grep '^[<>]' | grep -v /var/cache/man >"$OUTPUT" && fail "installing and purging leave or take this"
	kill "$(cat /run/sshd.pid)"
}

# Debian's policy, as far as a program can check it
scenario_lintian() {
	apt install lintian
	must lintian --allow-root --fail-on error,warning "$DEBS"/*.deb
}

# the tests of debian/tests/control, as Debian runs them
scenario_autopkgtest() {
	apt install autopkgtest
	must autopkgtest -B "$SOURCE" $(debs x2gobroker x2gobroker-x2go) -- null
}

if [ "$(type -t "scenario_${2:-}")" != function ]; then
	echo "usage: $0 FOLDER $(declare -F | sed -n 's/^declare -f scenario_//p' | paste -sd '|')" >&2
	exit 2
fi
[ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d; }
must apt-get update
"scenario_$2"
echo "passed: $2"
