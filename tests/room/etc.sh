#!/bin/bash
# What decides how names, accounts and logins work is in a room's /etc as Debian installs it, whatever this machine has.
# Runs in a room, where /etc is a copy.
set -euo pipefail
cd /etc

echo room >hostname
printf '127.0.0.1\tlocalhost\n127.0.1.1\troom\n::1\tlocalhost ip6-localhost ip6-loopback\n' >hosts
if [ -z "${ROOM_NETWORK:-}" ]; then # there is nobody to ask
  rm -f resolv.conf
  echo "nameserver 127.0.0.1" >resolv.conf
fi
cat >nsswitch.conf <<'END'
passwd:         files
group:          files
shadow:         files
gshadow:        files
hosts:          files dns
networks:       files
protocols:      db files
services:       db files
ethers:         db files
rpc:            db files
END
tr -d - </proc/sys/kernel/random/uuid >machine-id
ln -sf /usr/share/zoneinfo/Etc/UTC localtime
echo Etc/UTC >timezone

# people of this machine: tests make their own
for database in passwd shadow group gshadow; do [ -e "$database" ] || touch "$database"; done
people=$(awk -F: '$3 >= 1000 && $3 < 65000 { print $1 }' passwd)
for name in $people; do
  sed -i "/^$name:/d" passwd shadow
  for database in group gshadow; do sed -i -E "s/([:,])$name(,|\$)/\1\2/; s/,,/,/; s/:,/:/; s/,\$//" "$database"; done
done
for name in $(awk -F: '$3 >= 1000 && $3 < 65000 { print $1 }' group); do sed -i "/^$name:/d" group gshadow; done
rm -f passwd.lock shadow.lock group.lock gshadow.lock .pwd.lock nologin
cat >login.defs <<'END'
MAIL_DIR /var/mail
FAILLOG_ENAB yes
LOG_UNKFAIL_ENAB no
SYSLOG_SU_ENAB yes
SYSLOG_SG_ENAB yes
FTMP_FILE /var/log/btmp
SU_NAME su
HUSHLOGIN_FILE .hushlogin
ENV_SUPATH PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV_PATH PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games
TTYGROUP tty
TTYPERM 0600
UMASK 022
PASS_MAX_DAYS 99999
PASS_MIN_DAYS 0
PASS_WARN_AGE 7
UID_MIN 1000
UID_MAX 60000
GID_MIN 1000
GID_MAX 60000
LOGIN_RETRIES 5
LOGIN_TIMEOUT 60
DEFAULT_HOME yes
USERGROUPS_ENAB yes
ENCRYPT_METHOD SHA512
NONEXISTENT /nonexistent
END
rm -f krb5.conf # tests make their own realm
: >adduser.conf
mkdir -p default
echo SHELL=/bin/sh >default/useradd
rm -rf skel profile.d
mkdir skel profile.d
# a shell that gives its terminal a title, as Debian's
cat >skel/.bashrc <<'END'
case $- in *i*) ;; *) return ;; esac
PS1='\u@\h:\w\$ '
case $TERM in xterm* | rxvt*) PS1="\[\e]0;\u@\h: \w\a\]$PS1" ;; esac
END
cat >skel/.profile <<'END'
if [ -n "$BASH_VERSION" ] && [ -f "$HOME/.bashrc" ]; then . "$HOME/.bashrc"; fi
if [ -d "$HOME/bin" ]; then PATH="$HOME/bin:$PATH"; fi
END
[ ! -e /usr/share/base-files/profile ] || cp /usr/share/base-files/profile profile
: >bash.bashrc
: >environment
echo LANG=C.UTF-8 >default/locale
: >motd
: >issue
rm -f issue.net gitconfig

cat >pam.d/common-auth <<'END'
auth	[success=1 default=ignore]	pam_unix.so nullok
auth	requisite			pam_deny.so
auth	required			pam_permit.so
END
cat >pam.d/common-account <<'END'
account	[success=1 new_authtok_reqd=done default=ignore]	pam_unix.so
account	requisite			pam_deny.so
account	required			pam_permit.so
END
cat >pam.d/common-password <<'END'
password	[success=1 default=ignore]	pam_unix.so obscure yescrypt
password	requisite			pam_deny.so
password	required			pam_permit.so
END
for name in common-session common-session-noninteractive; do
  cat >pam.d/$name <<'END'
session	[default=1]			pam_permit.so
session	requisite			pam_deny.so
session	required			pam_permit.so
session	required	pam_unix.so
END
done
if [ -d security ]; then
  rm -rf security/limits.d
  mkdir security/limits.d
  : >security/limits.conf
  : >security/pam_env.conf
  : >security/access.conf
fi
ours=$(dirname "$(realpath "$BASH_SOURCE")")/../../etc/pam.d
# as `x2gobroker remote setup` puts it there
cp "$ours/x2gobroker-desktop" pam.d/
# where Debian has a broker, its package has put its own there
[ -e pam.d/x2gobroker ] || cp "$ours/x2gobroker" pam.d/

# on a busy machine an agent may take longer than ten seconds to start, and X2Go Server of Debian 13 forgets its session then
[ ! -e x2go/x2goserver.conf ] || sed -i 's/^agent-startup-time=.*/agent-startup-time=120/' x2go/x2goserver.conf

if [ -d ssh ]; then
  rm -rf ssh/ssh_config.d ssh/sshd_config.d ssh/ssh_known_hosts
  mkdir ssh/ssh_config.d ssh/sshd_config.d
  cat >ssh/ssh_config <<'END'
Include /etc/ssh/ssh_config.d/*.conf
Host *
    SendEnv LANG LC_*
    HashKnownHosts yes
    GSSAPIAuthentication yes
END
  cat >ssh/sshd_config <<'END'
Include /etc/ssh/sshd_config.d/*.conf
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
END
fi
