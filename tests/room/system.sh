# Sourced by scripts that boot a system in namespaces of their own, in a cgroup namespace that it may use up.

# what a kernel and udev give to a system whose files are at ROOT
furnish() { # ROOT
  mount -t proc proc "$1/proc"
  mount -t sysfs sysfs "$1/sys"
  mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
  rmdir "$1/dev" 2>/dev/null || rm -rf "$1/dev"
  bash "$(dirname "${BASH_SOURCE[0]}")/dev.sh" "$1/dev"
  mount -t tmpfs -o mode=755 tmpfs "$1/run"
  mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
}

# make ROOT the root, and start its systemd in place of this process
boot() { # ROOT
  echo 0 >"$1/sys/fs/cgroup/cgroup.procs" # the root of its hierarchy; whoever waits for this process is elsewhere
  mkdir "$1/.old"
  cd "$1"
  pivot_root . .old
  umount -l /.old
  rmdir /.old
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=room /usr/lib/systemd/systemd --system --log-target=console --log-level=info
}
