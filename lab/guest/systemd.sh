# systemd as the first process of a namespace, for the unit of ductd: told to start nothing but its
# journal. `systemctl` reaches it from outside.
units=/run/systemd/system
mkdir -p $units /run/systemd/system.conf.d /run/log/journal
cp userland/system/ductd@.service $units/
cat >$units/lab.target <<END
[Unit]
DefaultDependencies=no
Wants=systemd-journald.service
END
# Where the guest's programs find the project, as every other process is told.
printf '[Manager]\nDefaultEnvironment=%s %s %s\n' "PYTHONPATH=$PYTHONPATH" \
    "PYTHONPYCACHEPREFIX=$PYTHONPYCACHEPREFIX" "PYTHONSAFEPATH=$PYTHONSAFEPATH" \
    >/run/systemd/system.conf.d/lab.conf
container=lab exec unshare --pid --fork --kill-child --mount --mount-proc -- sh -c '
    mount --bind /run/bin /usr/local/bin
    exec /usr/lib/systemd/systemd --system --unit=lab.target --show-status=no'
