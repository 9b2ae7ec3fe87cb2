#!/bin/bash
# One X2Go Server in namespaces of its own (host name, mounts, processes, network), for x2go_farm.py, which sets:
# NODE its folder, NODE_NAME its host name, NODE_ADDRESS its address, DATABASE_HOST and DATABASE_PORT of PostgreSQL,
# CREATE_DATABASE where it is the first one.
set -euo pipefail

mount --make-rprivate /
hostname "$NODE_NAME"
cp -a /etc/x2go/. "$NODE/x2go"
sed -i "s/^backend=.*/backend=postgres/; s/^dbadmin=postgres/dbadmin=broker/; s/^host=localhost/host=$DATABASE_HOST/; s/^port=5432/port=$DATABASE_PORT/" \
  "$NODE/x2go/x2gosql/sql"
cp "$NODE/../pgadmin" "$NODE/x2go/x2gosql/passwords/pgadmin"
if [ ! "${CREATE_DATABASE:-}" ]; then
  cp -a "$NODE/../x2gopgadmin" "$NODE/x2go/x2gosql/passwords/x2gopgadmin"
fi
mount --bind "$NODE/x2go" /etc/x2go
mount --bind "$NODE/../hosts" /etc/hosts
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -m 1777 /tmp/.X11-unix /tmp/.ICE-unix
if [ "${CREATE_DATABASE:-}" ]; then
  x2godbadmin --createdb
  cp -a /etc/x2go/x2gosql/passwords/x2gopgadmin "$NODE/../x2gopgadmin"
fi
install -d -m 0755 /run/sshd
/usr/sbin/sshd -f "$NODE/sshd_config" -E "$NODE/sshd.log"
/usr/bin/perl /usr/sbin/x2gocleansessions --debug >"$NODE/cleaner.log" 2>&1 &
touch "$NODE/ready"
exec sleep infinity
