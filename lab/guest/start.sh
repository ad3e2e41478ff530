# The guest's second program: what every process finds, then a shell or the agent of the lab.
export PATH=/run/bin:/usr/sbin:/usr/bin HOME=/root TERM=linux LANG=C.UTF-8
export PYTHONPATH=/srv PYTHONPYCACHEPREFIX=/var/cache/python PYTHONSAFEPATH=1
cd /srv
mkdir -p /run/bin /dev/virtio-ports
for tool in ductctl ductclient ductd; do
    printf '#!/bin/sh\nexec /usr/bin/python3 -m userland.%s "$@"\n' "$tool" >"/run/bin/$tool"
    chmod +x "/run/bin/$tool"
done
# A running Debian has udev for this.
for port in /sys/class/virtio-ports/*; do
    [ -e "$port/name" ] && ln -s "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done
for word in $(cat /proc/cmdline); do
    case $word in
    lab.huge_pages=*) echo "${word#*=}" >/proc/sys/vm/nr_hugepages ;;
    lab.shell) shell=yes ;;
    esac
done
if [ -n "$shell" ]; then
    cat lab/guest/welcome.txt
    setsid -c -w bash --rcfile lab/guest/bashrc -i
else
    python3 -m lab.agent /dev/virtio-ports/lab
fi
busybox poweroff -f
