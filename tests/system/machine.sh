#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine of its own, in new namespaces: becomes systemd as process 1, with
# the units of examples/, unchanged, and the programs of this build where these
# expect them. What it could write is read-only or its own.
# usage: machine.sh UNITS WATCHDOG LIBRARY... PROGRAM...  (a library is lib*)
set -eu
units=$1
watchdog=$2
shift 2
lib=/usr/local/lib/handoff

mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
ip link set lo up
umount -R -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup

for dir in /run /usr/local /etc/systemd/system; do
  mount -t tmpfs none "$dir"
done
mkdir -p $lib /usr/local/bin /etc/systemd/system/service.d
for file in "$@"; do
  case $file in
  */lib*) cp "$file" $lib ;;
  *) cp "$file" /usr/local/bin ;;
  esac
done
cp "$units"/*.service "$units"/*.socket /etc/systemd/system
cp /etc/passwd /run/passwd
echo 'handoff-echo:x:54321:65534::/:/usr/sbin/nologin' >>/run/passwd
mount --bind /run/passwd /etc/passwd

# Nothing of a real start: that would set up devices and clean directories.
for unit in sysinit.target basic.target systemd-tmpfiles-setup.service \
  systemd-journald.service systemd-journald.socket systemd-udevd.service; do
  ln -s /dev/null "/etc/systemd/system/$unit"
done
cat >/etc/systemd/system/service.d/test.conf <<END
[Unit]
DefaultDependencies=no
[Service]
Environment=LD_LIBRARY_PATH=$lib
StandardOutput=append:/run/log
StandardError=append:/run/log
WatchdogSec=$watchdog
END
mkdir /etc/systemd/system/socket.d
printf '[Unit]\nDefaultDependencies=no\n' >/etc/systemd/system/socket.d/test.conf
printf '[Unit]\nDefaultDependencies=no\n' >/etc/systemd/system/test.target

mount -o remount,bind,ro /
mount -t tmpfs none /tmp
mount -t tmpfs none /var
mkdir /var/tmp
export container=test
exec /lib/systemd/systemd --system --unit=test.target --log-target=null \
  --show-status=no
