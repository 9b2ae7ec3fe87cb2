#!/bin/bash
# Sourced by scripts that install packages in other Debian systems.

# reach ROOT: apt in there reaches what apt out here reaches
reach() {
	cp -L /etc/resolv.conf "$1/etc/resolv.conf"
	apt-config dump Acquire >"$1/etc/apt/apt.conf.d/99machine"
	if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
		install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
	fi
}
