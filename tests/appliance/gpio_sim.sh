# Build the kernel's own simulated GPIO chip for the guest in "$1", because no Debian kernel has it.
# Sourced by mmdebstrap while the tree still knows where packages come from.
set -eu
root=$1
tools="gcc make xz-utils linux-headers-amd64 linux-source"
chroot "$root" apt-get install -y -q --no-install-recommends $tools
kernel=$(ls "$root/lib/modules" | grep -v -e -common | head -n 1)
mkdir "$root/gpio-sim"
cd "$root/gpio-sim"
tar --strip-components=3 --wildcards -xf "$(ls "$root"/usr/src/linux-source-*.tar.xz)" \
    '*/drivers/gpio/gpio-sim.c' '*/drivers/gpio/gpiolib.h' '*/kernel/irq/irq_sim.c'
mv gpio-sim.c chip.c

# irq_to_desc is the kernel's own; a module may only ask for the same by number.
sed -i 's/handle_simple_irq(irq_to_desc(irqnum));/generic_handle_irq(irqnum);/' irq_sim.c

# What sysfs says is where the switch stands. Upstream takes a consumer's pull-up for a change of
# that, so a switch closed before the start would be opened by who looks at it.
sed -i '/case PIN_CONFIG_BIAS_PULL_UP:/,/default:/s/return gpio_sim_apply_pull(chip, offset, [01]);/return 0;/' chip.c

cat >Makefile <<'END'
obj-m := gpio-sim.o
gpio-sim-y := chip.o irq_sim.o
END
chroot "$root" make -s -C "/lib/modules/$kernel/build" M=/gpio-sim modules
chroot "$root" strip -g /gpio-sim/gpio-sim.ko
install -D -m 644 gpio-sim.ko "$root/lib/modules/$kernel/updates/gpio-sim.ko"
chroot "$root" depmod "$kernel"
cd /
rm -rf "$root/gpio-sim"
# apt never removes headers of a kernel by itself.
chroot "$root" apt-get purge -y -q --auto-remove $tools '^linux-headers-' '^linux-kbuild-'
