#!/bin/busybox sh
# The guest's first program: load what reaches files over 9p, and go on in the real root folder.
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
for module in /modules/*; do $bb insmod "$module"; done
shared=ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose
$bb mount -t 9p -o $shared root /mnt
$bb mount -t 9p -o $shared checkout /mnt/srv
$bb mount -t 9p -o $shared compiled /mnt/var/cache/python
$bb mount -t proc proc /mnt/proc
$bb mount -t sysfs sys /mnt/sys
$bb mount -t securityfs security /mnt/sys/kernel/security
for folder in /mnt/tmp /mnt/run /mnt/root; do $bb mount -t tmpfs tmpfs $folder; done
$bb mount --move /dev /mnt/dev
$bb mkdir /mnt/dev/shm /mnt/dev/pts
$bb mount -t tmpfs tmpfs /mnt/dev/shm
$bb mount -t devpts devpts /mnt/dev/pts
exec $bb switch_root /mnt /bin/bash /srv/lab/guest/start.sh
