#!/bin/sh
# Print where the running service can write and whether it listens; as root. Ends with status 1 if
# that is more than its own state, /run/switchboard and its own /tmp, or if there is any socket.
set -eu

unit=${1:-switchboard}
pid=$(systemctl show --property MainPID --value "$unit")
[ "$pid" != 0 ] || {
    echo "$unit: found it stopped, expected it running: sudo systemctl start $unit" >&2
    exit 2
}

# As its user, in its mount namespace, without the caller's rights.
as_service() {
    nsenter --target "$pid" --mount \
        setpriv --reuid switchboard --regid switchboard --init-groups --no-new-privs -- "$@"
}

# In /dev and /proc the device list and the kernel decide, not file modes.
writable=$(as_service find / \( -path /proc -o -path /sys -o -path '/dev/*' \) -prune -o \
    \( -type d -o -type f \) -writable -print 2>/dev/null |
    grep -vE '^(/var/lib/switchboard|/run/switchboard|/tmp|/var/tmp)(/|$)' || true)
keys=$(as_service find /var/lib/switchboard/.ssh -writable 2>/dev/null || true)
sockets=$(awk 'FNR > 1' "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" "/proc/$pid/net/udp" "/proc/$pid/net/udp6" 2>/dev/null || true)

echo "writable besides its own: ${writable:-nothing}${keys:+ $keys}"
echo "network sockets: ${sockets:-none}"
[ -z "$writable$keys$sockets" ]
