# What makes a machine of the tree in "$1": a disk, a network card, GPIO and a sound card.
set -eu
root=$1
echo box >"$root/etc/hostname"
echo '/dev/vda / ext4 rw,noatime,errors=remount-ro 0 1' >"$root/etc/fstab"
printf '[Match]\nName=e*\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/10-only.network"
chroot "$root" systemctl -q enable systemd-networkd
# They cost more than they give where every instruction is emulated.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
printf 'gpio-sim\nsnd-aloop\n' >"$root/etc/modules-load.d/rehearsal.conf"
echo 'options snd-aloop id=Loopback pcm_substreams=1' >"$root/etc/modprobe.d/rehearsal.conf"
# Nobody here has them, and looking for them takes a third of the boot.
for module in kvm_amd kvm_intel cfg80211 ahci psmouse pcspkr i2c_i801 lpc_ich iTCO_wdt; do
    echo "blacklist $module"
done >>"$root/etc/modprobe.d/rehearsal.conf"
