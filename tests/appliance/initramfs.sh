# Into the tree in "$1" before its kernel: an initramfs of what finds the disk, and no more.
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=lz4\nRESUME=none\n' >"$1/etc/initramfs-tools/conf.d/rehearsal"
printf 'virtio_pci\nvirtio_blk\next4\n' >"$1/etc/initramfs-tools/modules"
