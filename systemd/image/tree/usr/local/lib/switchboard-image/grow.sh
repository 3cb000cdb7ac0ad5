#!/bin/sh
# Let the data partition end where the card ends. The table is one sector, which the card writes whole
# or not at all; where nothing is to be done, nothing is written. The file system follows by
# x-systemd.growfs in fstab.
set -eu
partition=$(readlink -f "${1:-/dev/disk/by-label/switchboard}")
here=/sys/class/block/${partition##*/}
disk=$(basename "$(readlink -f "$here/..")")
end=$(($(cat "$here/start") + $(cat "$here/size")))
room=$(($(cat "/sys/class/block/$disk/size") - end))
# In sectors of 512 bytes: less than 4 MiB is the remainder of the alignment.
[ "$room" -ge 8192 ] || exit 0
number=$(cat "$here/partition")
echo "growing $partition by $((room / 2048)) MiB"
echo ', +' | sfdisk --quiet --no-reread --no-tell-kernel --partno "$number" "/dev/$disk"
partx --update --nr "$number" "/dev/$disk"
# What udev then looks at must not be a file system that is just being made larger: it would seem gone,
# and be unmounted.
udevadm settle --timeout=120
