#!/bin/sh
# Build the image of an SD card: systemd/image/build.sh WHEELHOUSE FOLDER (`make image`).
#
# As root, on a Debian with the packages of `make image-tools`. Debian's packages come from the sources
# that this machine has, for another release, or from $SOURCES, a file of `deb` lines. What they were is
# recorded beside the image. The tree of packages is kept in FOLDER and used again: it takes most of the
# time. The same packages, wheelhouse and $SOURCE_DATE_EPOCH give the same image, whether it is kept or not.
# shellcheck disable=SC2016  # what a program or a chroot expands itself is in single quotes
set -eu
umask 022
export LC_ALL=C TZ=UTC

suite=trixie
packages="systemd-sysv systemd-resolved systemd-timesyncd udev dbus kmod initramfs-tools zstd e2fsprogs fdisk
    linux-image-arm64/trixie-backports raspi-firmware firmware-brcm80211 wireless-regdb wpasupplicant
    iproute2 avahi-daemon openssh-server sudo procps alsa-utils tzdata
    python3 libportaudio2 libgomp1"
# The time of all that the scripts of packages make, whenever they run: the day trixie was released.
packages_time=1754697600
boot_mib=256
# What the system may grow by updates, and what the data partition has before it grows.
spare_mib=200
persist_mib=64

here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$(dirname "$here")")
registry=/proc/sys/fs/binfmt_misc
registered='' mounted=''

main() {
    [ $# = 2 ] || fail "found $# arguments, expected WHEELHOUSE FOLDER"
    [ "$(id -u)" = 0 ] || fail "found user $(id -un), expected root: sudo make image"
    for tool in mmdebstrap genimage mkfs.vfat mcopy xz; do
        command -v $tool >/dev/null || fail "found no $tool, expected it: sudo make image-tools"
    done
    wheelhouse=$(cd "$1" && pwd) || fail "$1: found no wheelhouse, expected one: make wheelhouse PYTHON=3.13"
    mkdir -p "$2"
    folder=$(cd "$2" && pwd)
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$project" log -1 --format=%ct)}
    # A set's order in a compiled file follows from the seed.
    export SOURCE_DATE_EPOCH PYTHONHASHSEED=0
    trap tidy EXIT
    trap 'exit 130' INT TERM
    arm64_programs
    native_programs
    base_tree
    tree=$folder/tree
    rm -rf "$tree" "$folder/parts"
    cp -a --one-file-system "$base" "$tree"
    mkdir "$folder/parts"
    add_files
    configure
    install_instrument
    split
    make_image
}

# Let the kernel run arm64 programs in qemu, from within the tree as well (F).
arm64_programs() {
    [ "$(uname -m)" != aarch64 ] || return 0
    [ -e $registry/register ] || mount -t binfmt_misc binfmt_misc $registry
    ! grep -qs qemu-aarch64 $registry/* || return 0
    qemu=$(command -v qemu-aarch64-static) || fail "found no qemu-aarch64-static, expected it: sudo make image-tools"
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":switchboard-image:M::$magic:$mask:$qemu:F" >$registry/register
    registered=$registry/switchboard-image
}

# The packages, without anything of the instrument's.
# shellcheck disable=SC2086  # a list of words
base_tree() {
    # What the tree depends on; one that was made of anything else is not used.
    recipe=$({
        echo "$suite" $packages $packages_time
        [ -z "${SOURCES:-}" ] || cat "$SOURCES"
        cat "$here"/tree/etc/initramfs-tools/*/* "$here"/tree/etc/initramfs-tools/scripts/*/*
    } 2>/dev/null | sha256sum | cut -c 1-10)
    base=$folder/base-$recipe
    [ ! -d "$base" ] || return 0
    say "packages of $suite for arm64: some minutes"
    rm -rf "$folder"/base-*
    : >"$folder/begun"
    native_helpers
    # Its parts first, and the initramfs once, in the end: the kernel and initramfs-tools would each make
    # it, and an emulated processor takes minutes for it.
    sources | PATH="/native:$PATH" SOURCE_DATE_EPOCH=$packages_time INITRD=No \
        mmdebstrap --mode=root --skip=check/qemu --architectures=arm64 --variant=minbase \
        --include="$(echo $packages | tr ' ' ,)" --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --aptopt="DPkg::Path \"/native:/usr/sbin:/usr/bin:/sbin:/bin\"" \
        --extract-hook="$lend" \
        --essential-hook="mkdir -p \"\$1/etc/initramfs-tools\" && cp -R '$here/tree/etc/initramfs-tools/.' \"\$1/etc/initramfs-tools\"" \
        --customize-hook="$take_back" \
        --customize-hook='chroot "$1" update-initramfs -c -k "$(ls "$1/lib/modules")"' \
        --customize-hook="grep -h -e ^Suite: -e ^Date: \"\$1\"/var/lib/apt/lists/*InRelease >\"\$1/suites\"" \
        $suite "$base.part" -
    find "$base.part" -newer "$folder/begun" -exec touch --no-dereference --date "@$packages_time" {} +
    mv "$base.part" "$base"
}

# Programs of the same release for this machine's processor: they unpack and compile in seconds what takes
# an emulated one minutes, and this mke2fs writes no time of its own (that of Bookworm does).
native_programs() {
    native=$folder/native-$suite
    [ ! -d "$native" ] || return 0
    rm -rf "$native.part" "$folder"/python-*
    sources | mmdebstrap --mode=root --variant=extract --include=python3,libc-bin,e2fsprogs,dpkg,tar \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --aptopt='APT::Install-Recommends "false"' \
        $suite "$native.part" -
    : >"$native.part/etc/mtab"
    mv "$native.part" "$native"
}

# What dpkg finds first while packages are installed, in /native of the tree: this machine's programs for
# unpacking, with their libraries, and a dpkg that names no Python files, which are compiled afterwards.
native_helpers() {
    helpers=$folder/helpers
    loader=/lib64/ld-linux-x86-64.so.2
    lend=true take_back=true
    [ "$(uname -m)" = x86_64 ] || return 0
    rm -rf "$helpers"
    mkdir "$helpers"
    for program in dpkg-deb dpkg-split tar; do
        cp "$native/usr/bin/$program" "$helpers/"
        chroot "$native" $loader --list /usr/bin/$program
    done | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u |
        while read -r library; do cp -L "$native/$library" "$helpers/"; done
    cp -L "$native$loader" "$helpers/"
    cat >"$helpers/dpkg" <<'END'
#!/bin/sh
[ "$1" = -L ] || exec /usr/bin/dpkg "$@"
/usr/bin/dpkg "$@" | grep -v '\.py$'
END
    chmod 755 "$helpers/dpkg"
    # A real folder: packages test that /lib64 is that of /usr.
    lend="cp -R '$helpers' \"\$1/native\" && mkdir \"\$1/usr/lib64\" && ln -s usr/lib64 \"\$1/lib64\" &&
        ln -s /native/${loader##*/} \"\$1/usr$loader\" && ln -s /native \"\$1/usr/lib/x86_64-linux-gnu\""
    take_back='rm -rf "$1/native" "$1/lib64" "$1/usr/lib64" "$1/usr/lib/x86_64-linux-gnu"'
}

sources() {
    if [ -n "${SOURCES:-}" ]; then
        cat "$SOURCES"
        return
    fi
    # shellcheck source=/dev/null
    own=$(. /etc/os-release && echo "$VERSION_CODENAME")
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
        while read -r address release component; do
            case "$component $release" in
                "main $own" | "main $own-updates" | "main $own-security")
                    echo "deb $address $suite${release#"$own"} main non-free-firmware" ;;
            esac
            [ "$component $release" != "main $own" ] || echo "deb $address $suite-backports main non-free-firmware"
        done
}

inside() {
    env -i PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" chroot "$tree" "$@"
}

# A program of this machine's, which sees the folder of the image as /image.
with_folder() {
    mkdir -p "$native/image"
    mount --bind "$folder" "$native/image"
    mounted="$native/image $mounted"
    chroot "$native" "$@"
    umount "$native/image"
    mounted=${mounted#* }
}

add_files() {
    rm -f "$tree/etc/apt/sources.list" "$tree/etc/resolv.conf" "$tree"/etc/ssh/ssh_host_*
    cp -R "$here/tree/." "$tree/"
    chmod 440 "$tree/etc/sudoers.d/switchboard"
    ln -s ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"
    ln -sfn ../run/switchboard-setup/localtime "$tree/etc/localtime"
    echo switchboard >"$tree/etc/hostname"
    ln -sfn ../run/switchboard-setup/hosts "$tree/etc/hosts"
    # Filled at each start, from the board's number.
    : >"$tree/etc/machine-id"
    ln -sfn /etc/machine-id "$tree/var/lib/dbus/machine-id"
    mkdir -p "$tree/boot/firmware" "$tree/persist" "$tree/var/log/journal"
}

configure() {
    inside useradd --create-home --shell /bin/bash --comment 'Owner' pi
    inside systemctl --quiet enable systemd-networkd systemd-resolved systemd-timesyncd avahi-daemon ssh \
        switchboard-setup switchboard-grow
    # Some could only fail on a read-only system; the others are not needed and delay the music.
    inside systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
        e2scrub_reap.service systemd-networkd-wait-online.service getty@tty1.service wpa_supplicant.service
}

install_instrument() {
    say "the instrument"
    mkdir "$tree/wheelhouse"
    mount --bind "$wheelhouse" "$tree/wheelhouse"
    mounted="$tree/wheelhouse"
    mount -t proc proc "$tree/proc"
    mounted="$tree/proc $mounted"
    inside env PYTHONDONTWRITEBYTECODE=1 sh /wheelhouse/systemd/install.sh --no-start --advertise
    # By hash, not by time, and not checked: a read-only system changes neither.
    with_folder python3.13 -s -P -m compileall -q -f -s /image/tree -p / \
        --invalidation-mode unchecked-hash /image/tree/opt/switchboard /image/tree/usr/lib/python3.13
    # What of the kernel and its initramfs is on the boot partition, with the settings of this image.
    inside env DEB_MAINT_PARAMS="'configure'" sh /etc/kernel/postinst.d/z50-raspi-firmware
    unmount
    rmdir "$tree/wheelhouse"
    # Pairing would change the shell, which a read-only system does not let it.
    inside usermod --shell /bin/sh switchboard
    ln -sfn /run/switchboard-setup/switchboard.toml "$tree/etc/switchboard/switchboard.toml"
}

# What is on the other two partitions.
split() {
    parts=$folder/parts
    mkdir "$parts/persist" "$parts/persist/ssh"
    mv "$tree/var/lib/switchboard" "$parts/persist/switchboard"
    mv "$tree/var/lib/systemd" "$parts/persist/systemd"
    mv "$tree/var/log/journal" "$parts/persist/journal"
    mkdir "$tree/var/lib/switchboard" "$tree/var/lib/systemd" "$tree/var/log/journal"
    chmod 700 "$parts/persist/ssh"
    mv "$tree/boot/firmware" "$parts/boot"
    mkdir "$tree/boot/firmware"
    cp "$here"/boot/* "$parts/boot/"
    cp "$project/systemd/switchboard.toml" "$parts/boot/"
    # Variants of the firmware for cameras and for debugging.
    (cd "$parts/boot" && rm -f start_* fixup_* start4?*.elf fixup4?*.dat)
    {
        echo "Suites, as they were:"
        cat "$tree/suites"
        echo "Packages:"
        inside dpkg-query --show
    } >"$folder/lofi-switchboard.packages"
    rm -rf "$tree/suites" "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/*.log "$tree"/var/log/apt \
        "$tree"/boot/initrd.img-*.old "$tree/var/cache/ldconfig/aux-cache" "$tree/root/.cache"
    mkdir -p "$tree/var/lib/apt/lists/partial" "$tree/var/cache/apt/archives/partial"
    find "$tree" "$parts" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
    find "$tree" "$parts" -exec touch --no-dereference --time=atime --date "@$SOURCE_DATE_EPOCH" {} +
}

make_image() {
    say "the image"
    identity=$(echo "lofi-switchboard $SOURCE_DATE_EPOCH" | sha256sum)
    signature=$(echo "$identity" | cut -c 1-8)
    truncate -s ${boot_mib}M "$parts/boot.vfat"
    mkfs.vfat --invariant -F 32 -i "$signature" -n SWITCHBOOT "$parts/boot.vfat" >/dev/null
    (cd "$parts/boot" && find . -mindepth 1 -type d | sort | while read -r name; do mmd -i ../boot.vfat "::$name"; done &&
        find . -type f | sort | while read -r name; do mcopy -m -i ../boot.vfat "$name" "::$name"; done)
    file_system system "$tree" $(($(mebibytes "$tree") * 108 / 100 + spare_mib))
    file_system switchboard "$parts/persist" $persist_mib
    mv "$parts/switchboard.ext4" "$parts/persist.ext4"
    sed "s/@SIGNATURE@/0x$signature/" "$here/genimage.cfg" >"$parts/genimage.cfg"
    mkdir "$parts/empty"
    genimage --loglevel 1 --config "$parts/genimage.cfg" --inputpath "$parts" --rootpath "$parts/empty" \
        --tmppath "$parts/tmp" --outputpath "$folder"
    say "$folder/lofi-switchboard.img: $(($(stat -c %s "$folder/lofi-switchboard.img") / 1000000)) MB"
    # Blocks of one size: the same file whatever the number of processors.
    # The strongest takes five times as long for a seventh less.
    xz -1 --force --keep --threads=0 --block-size=16MiB "$folder/lofi-switchboard.img"
    python3 "$here/manifest.py" "$folder/lofi-switchboard.img" "$SOURCE_DATE_EPOCH"
}

# LABEL FOLDER MIB: the same numbers for the same time.
file_system() {
    number=$(echo "$1 $identity" | sha256sum | sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-4\3-8\4-\5/')
    with_folder mke2fs -q -t ext4 -L "$1" -U "$number" -E "hash_seed=$number,lazy_itable_init=0,root_owner=0:0" \
        -d "/image/${2#"$folder/"}" "/image/parts/$1.ext4" "$3M"
}

# As an ext4 has it, whatever file system the folder is on; a file of two names once.
mebibytes() {
    find "$1" -printf '%i %y %s\n' |
        awk '!seen[$1]++ { kib += $2 == "f" ? int(($3 + 4095) / 4096) * 4 : 4 } END { print int(kib / 1024) + 1 }'
}

unmount() {
    for place in $mounted; do umount "$place"; done
    mounted=''
}

tidy() {
    unmount
    [ -z "$registered" ] || echo -1 >"$registered"
}

say() { echo "image: $*"; }
fail() {
    echo "image: $*" >&2
    exit 1
}

main "$@"
