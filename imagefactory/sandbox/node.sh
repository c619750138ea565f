#!/bin/bash
# First process of every container of the sandbox: node.sh login|compute|registry REGISTRY_PORT.
# It sets the node up from /sandbox (read-only), starts the node's services, and ends as soon as
# one of them ends, so that a broken node is seen as a stopped container with a log.
set -euo pipefail
role=$1
port=$2

trap 'exit 0' TERM INT

watch_services() {
    wait -n || true
    echo "node.sh: a service of this $role node ended" >&2
    exit 1
}

if [ "$role" = registry ]; then
    docker-registry serve /sandbox/registry.yml &
    watch_services
fi

chmod 666 /dev/fuse # an ordinary user mounts images through it
getent passwd "$SITE_USER" >/dev/null ||
    useradd --no-create-home --home-dir "/shared/home/$SITE_USER" --shell /bin/bash \
        --uid "$SITE_USER_ID" --password '*' "$SITE_USER"
install -m 0644 /sandbox/slurm.conf /etc/slurm/slurm.conf
install -o munge -g munge -m 0400 /sandbox/munge.key /etc/munge/munge.key
install -d -o munge -g munge -m 0755 /run/munge
install -d -m 0755 /var/spool/slurmctld /var/spool/slurmd /run/sshd
runuser -u munge -- /usr/sbin/munged --foreground &
until [ -S /run/munge/munge.socket.2 ]; do sleep 0.05; done

if [ "$role" = compute ]; then
    # A slurmd that finds no controller asks again only after 10 s.
    until scontrol ping 2>/dev/null | grep -q UP; do sleep 0.1; done
    slurmd -D -N "$(hostname)" &
    watch_services
fi

home=/shared/home/$SITE_USER
install -d -m 0755 /shared/home
install -d -o "$SITE_USER" -g "$SITE_USER" -m 0755 "$home" /shared/imagefactory
install -d -o "$SITE_USER" -g "$SITE_USER" -m 0700 "$home/.ssh"
install -o "$SITE_USER" -g "$SITE_USER" -m 0600 /sandbox/authorized_keys "$home/.ssh/authorized_keys"
install -m 0600 /sandbox/host_key /etc/ssh/ssh_host_ed25519_key
# One reference is valid everywhere: the registry answers here at the address it has for the user.
socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" TCP:registry:5000 &
slurmctld -D &
/usr/sbin/sshd -D -e -f /sandbox/sshd_config &
watch_services
