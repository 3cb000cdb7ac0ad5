# What makes a machine of the tree in "$1": a disk, a network card, pins and a sound card.
set -eu
root=$1
echo box >"$root/etc/hostname"
echo '/dev/vda / ext4 rw,noatime,errors=remount-ro 0 1' >"$root/etc/fstab"
printf '[Match]\nName=e*\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/10-only.network"
chroot "$root" systemctl -q enable systemd-networkd

# Looking at hardware that is not there is half of the boot where every instruction is emulated.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer modprobe@.service systemd-networkd-wait-online.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
cd "$root"/lib/modules/*/kernel/drivers
rm -rf ata gpu hid infiniband iio input media mmc net/ethernet net/wireless scsi staging usb video
chroot "$root" depmod "$(basename "$(dirname "$(dirname "$PWD")")")"
printf 'gpio-sim\nsnd-aloop\n' >"$root/etc/modules-load.d/appliance.conf"
echo 'options snd-aloop id=Loopback pcm_substreams=1' >"$root/etc/modprobe.d/appliance.conf"

# The chip is there before the instrument, as it is on a Pi, with every switch open. gpiozero asks
# /proc/cpuinfo which Pi it is on.
cat >"$root/usr/local/sbin/appliance-pins" <<'END'
#!/bin/sh
set -eu
modprobe configfs
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
bank=/sys/kernel/config/gpio-sim/pi/bank0
mkdir -p $bank
echo 28 >$bank/num_lines
echo pinctrl-bcm2711 >$bank/label
echo 1 >${bank%/*}/live
ln -sfn /sys/devices/platform/gpio-sim.*/gpiochip* /run/pins
for pull in /run/pins/sim_gpio*/pull; do
    echo pull-up >"$pull"
done
udevadm settle
{ cat /proc/cpuinfo; printf 'Revision\t: c03111\n'; } >/run/cpuinfo
END
chmod +x "$root/usr/local/sbin/appliance-pins"
# Emulated, everything takes a hundred times as long. Read after box.conf, whose limits it replaces.
for unit in switchboard switchboard-fallback; do
    mkdir -p "$root/etc/systemd/system/$unit.service.d"
    cat >"$root/etc/systemd/system/$unit.service.d/simulation.conf" <<'END'
[Unit]
After=appliance-pins.service

[Service]
BindReadOnlyPaths=/run/cpuinfo:/proc/cpuinfo
TimeoutStartSec=900
WatchdogSec=300
END
done

cat >"$root/etc/systemd/system/appliance-pins.service" <<'END'
[Unit]
After=systemd-modules-load.service
Before=switchboard.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/appliance-pins

[Install]
WantedBy=multi-user.target
END
chroot "$root" systemctl -q enable appliance-pins
