#!/bin/sh
# Makes a directory the root of everything that is started from here, then starts it.
#
#   unshare --mount --pid --fork --kill-child enter.sh ROOT [BIND...] -- COMMAND...
#
# A chroot would not do: in one, Linux refuses user namespaces (EPERM) and pivot_root
# (EINVAL), and the lab's chapters need both.
set -eu
root=$1
shift

mount --make-rprivate /
mount --bind "$root" "$root"           # pivot_root wants a mount point
mount --rbind /sys "$root/sys"         # with the cgroup hierarchies
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"        # of the new PID namespace: pid 1 is this shell
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind -o ro "$1" "$root$1"
    shift
done
shift

cd "$root"
mkdir -p old
pivot_root . old
umount -l /old
rmdir /old
cd /root/labkit
"$@"                                   # not exec: PID 1 must wait for orphans
