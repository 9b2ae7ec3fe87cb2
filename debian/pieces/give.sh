NOTES=/var/lib/x2gobroker-package # what was given, as SHA-256: root's alone

sum_of() {
	sha256sum <"$1" | cut -d ' ' -f 1
}

note_of() {
	echo "$NOTES/$(echo "$1" | tr / _)"
}

# give SAMPLE FILE MODE GROUP: copy a sample to where a file is missing. What nobody has changed since becomes the new sample;
# what was changed, or was there before, or has been deleted, stays as it is. No conffile: dpkg would ask, and ends where nobody answers.
give() {
	note=$(note_of "$2")
	if [ -e "$2" ] || [ -L "$2" ]; then
		[ -f "$note" ] && [ -f "$2" ] && [ "$(cat "$note")" = "$(sum_of "$2")" ] || return 0
	elif [ -e "$note" ]; then
		return 0
	fi
	install -d -m 755 "$NOTES"
	rm -f "$2.dpkg-new"
	install -m 600 "$1" "$2.dpkg-new"
	if [ -f "$2" ]; then
		chown --reference="$2" "$2.dpkg-new"
		chmod --reference="$2" "$2.dpkg-new"
	else
		chgrp "$4" "$2.dpkg-new"
		chmod "$3" "$2.dpkg-new"
	fi
	mv -f "$2.dpkg-new" "$2"
	sum_of "$2" >"$note"
}

# take FILE: delete what was given, unless it has been changed since.
take() {
	note=$(note_of "$1")
	if [ -f "$note" ] && [ -f "$1" ] && [ "$(cat "$note")" = "$(sum_of "$1")" ]; then
		rm -f "$1"
	fi
	rm -f "$note"
	rmdir --ignore-fail-on-non-empty "$NOTES" 2>/dev/null || true
}

# drop_empty_sudoers: sudo, where it went first, could not remove its folder.
drop_empty_sudoers() {
	if [ -d /etc/sudoers.d ] && ! dpkg-query -S /etc/sudoers.d >/dev/null 2>&1; then
		rmdir --ignore-fail-on-non-empty /etc/sudoers.d
	fi
}

# old PACKAGE: whether dpkg knows it as Debian's 0.0.4.3, installed or only removed.
old() {
	version=$(dpkg-query -W -f '${Config-Version} ${Version}' "$1" 2>/dev/null) || return 1
	state=$(dpkg-query -W -f '${db:Status-Status}' "$1")
	[ "$state" != not-installed ] && dpkg --compare-versions "${version##* }" lt 1.0~
}
