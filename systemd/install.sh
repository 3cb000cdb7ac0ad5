#!/bin/sh
# Install the instrument as an appliance, or bring it up to date: see --help.
set -eu
# The service's account has to read what is installed, whatever the umask of the caller.
umask 022

usage() {
    cat <<'END'
sudo systemd/install.sh [options] [WHEEL or CHECKOUT]

Installs Lo-Fi Switchboard so that it plays from power-on. Run again, it brings the device up to
date, keeps configuration and models, and goes back if the new version does not play.

  --wheelhouse DIR  take every package from DIR, nothing from the network (`make wheelhouse`)
  --root DIR        into the root tree of an image, with this machine's Python
  --no-start        do not start it now; it plays from the next boot on
  --advertise       let Avahi announce it in the network: `switchboard boxes` finds it
  --no-advertise    announce it no longer
  --panel           with the phone panel, which listens on port 8077; later runs keep it
  --no-panel        without it again
  --uninstall       remove it; configuration and models stay
  --purge           with --uninstall: configuration, models and user go too
  --dry-run         print what would be done, change nothing

Without a WHEEL it takes the one beside it in a wheelhouse, else the checkout it is in.
END
}

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=slots.sh
. "$here/slots.sh"

root='' tree='' tried='' wheelhouse='' source='' dry='' start=yes advertise='' panel='' uninstall='' purge='' unfinished='' scratch=''

main() {
    options "$@"
    [ -n "$dry" ] || [ "$(id -u)" = 0 ] || [ -n "$root" ] || fail "found user $(id -un), expected root: use sudo"
    [ -z "$root" ] || [ -d "$root" ] || fail "$root: found no such folder, expected a root tree"
    trap tidy EXIT
    trap 'exit 130' INT TERM HUP
    if [ -n "$uninstall" ]; then uninstall; else install_; fi
}

options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --wheelhouse) wheelhouse=$(folder "${2-}") && shift ;;
            --root) root=$(folder "${2-}") && shift && start='' tree=yes ;;
            --no-start) start='' ;;
            --advertise) advertise=yes ;;
            --no-advertise) advertise=no ;;
            --panel) panel=yes ;;
            --no-panel) panel=no ;;
            --uninstall) uninstall=yes ;;
            --purge) purge=yes ;;
            --dry-run) dry=yes ;;
            -h | --help) usage && exit 0 ;;
            -*) usage >&2 && exit 2 ;;
            *) source=$1 ;;
        esac
        shift
    done
    if [ -n "$purge" ] && [ -z "$uninstall" ]; then usage >&2 && exit 2; fi
    [ "$root" != / ] || root='' tree=''
    [ -n "$panel" ] || [ ! -e "$root$units/switchboard-panel.socket" ] || panel=yes
}

install_() {
    python=$(find_python)
    if [ -z "$wheelhouse" ] && [ -n "$(wheel_in "$here/..")" ]; then wheelhouse=$(folder "$here/.."); fi
    system_packages
    service_user
    wheel=$(find_wheel)
    state_folders
    version_folder
    configuration
    activate
    if [ "$panel" = yes ]; then open_panel; fi
    only_two_versions
    say "done: switchboard doctor checks whether everything is there"
}

# Steps

system_packages() {
    missing=''
    [ -n "$wheelhouse" ] || "$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
    portaudio_is_there || missing="$missing libportaudio2"
    if needs_system_lgpio && ! "$python" -c 'import lgpio' 2>/dev/null; then missing="$missing python3-lgpio"; fi
    [ -n "$missing" ] || return 0
    say "system packages:$missing"
    if [ -n "$(find "${wheelhouse:-/nowhere}" -name '*.deb' 2>/dev/null)" ]; then
        run dpkg --root="${root:-/}" -i "$wheelhouse"/*.deb || true
    elif [ -z "$root" ] && command -v apt-get >/dev/null; then
        # shellcheck disable=SC2086  # a list of packages
        run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing || true
    fi
    [ -n "$dry" ] || [ -n "$root" ] || portaudio_is_there || warn "no libportaudio2: it stays silent until it is installed"
}

service_user() {
    if [ -n "$root" ] && [ ! -f "$root/etc/passwd" ]; then
        say "no user: $root has no /etc/passwd"
        return
    fi
    for group in gpio audio; do
        if ! grep -qs "^$group:" "$root/etc/group"; then
            say "group $group"
            run groupadd ${root:+--root "$root"} --system "$group"
            [ $group = audio ] || udev_rule
        fi
    done
    if ! grep -q "^$user:" "$root/etc/passwd"; then
        say "user $user"
        run useradd ${root:+--root "$root"} --system --user-group --home-dir "$state" --no-create-home \
            --shell /usr/sbin/nologin --comment 'Lo-Fi Switchboard' "$user"
    fi
    run usermod ${root:+--root "$root"} --append --groups gpio,audio "$user"
}

# Raspberry Pi OS has such a rule and the group; a plain Debian has neither.
udev_rule() {
    say "pins for the group gpio: $udev"
    write "$udev" <<'END'
SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"
END
    [ -n "$root" ] || [ ! -d /run/udev ] || run udevadm control --reload || true
    [ -n "$root" ] || [ ! -d /run/udev ] || run udevadm trigger --subsystem-match=gpio || true
}

state_folders() {
    say "models: $state/models"
    run mkdir -p "$root$state"
    own "$root$state"
    # The service must not see .ssh, which holds the keys that may push: so the folder has to exist.
    below_state models 755
    below_state .ssh 700
}

version_folder() {
    id=$(version_id)
    folder=$home/versions/$id
    if [ -f "$root$folder/complete" ]; then
        say "version $id is there"
        return
    fi
    say "version $id: $folder"
    unfinished=$root$folder
    run rm -rf "$unfinished"
    run mkdir -p "$unfinished"
    fill_environment
    [ -z "$root" ] || strip_root
    run mkdir -p "$unfinished/systemd"
    run cp -RL "$here/." "$unfinished/systemd/"
    run rm -rf "$unfinished/systemd/image"
    # Everything is on the disk before a link points to it.
    run sync
    run touch "$unfinished/complete"
    run sync
    unfinished=''
}

fill_environment() {
    site=''
    ! needs_system_lgpio || site=--system-site-packages
    if [ -n "$wheelhouse" ]; then
        # Debian packages ensurepip apart from Python; the wheelhouse contains pip itself.
        run "$python" -m venv --without-pip $site "$unfinished"
        pip=$(find "$wheelhouse" -name 'pip-*.whl')/pip
        set -- --isolated install --no-index --find-links "$wheelhouse"
    else
        run "$python" -m venv $site "$unfinished"
        pip=$(echo "$unfinished"/lib/python3*/site-packages/pip)
        set -- install
        [ ! -f "$here/../constraints.txt" ] || set -- install --constraint "$here/../constraints.txt"
    fi
    # For an image it is compiled afterwards, by a processor that is not emulated.
    [ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || set -- "$@" --no-compile
    # Its own packages whatever the system has, so that a system update changes nothing here.
    extra=''
    [ "$panel" != yes ] || extra='[panel]'
    # The wheel asks for lgpio only where PyPI has it.
    lgpio=$(lgpio_wheel)
    run "$unfinished/bin/python" "$pip" --disable-pip-version-check "$@" --quiet --no-cache-dir \
        --ignore-installed --root-user-action ignore ${lgpio:+"$lgpio"} "$wheel$extra"
}

# Files installed into a root tree must not contain the path of the tree.
strip_root() {
    [ -z "$dry" ] || return 0
    grep -rlI --null -- "$root" "$unfinished/bin" "$unfinished/pyvenv.cfg" | xargs -0r sed -i "s|$root/|/|g"
}

configuration() {
    if [ -f "$root$settings" ]; then
        say "configuration kept: $settings"
    else
        say "configuration: $settings"
        write "$settings" <"$here/switchboard.toml"
    fi
    say "log limit: $journal"
    write "$journal" <"$here/journald.conf"
}

activate() {
    before=$(confirmed) played=$(current)
    say "switching to $id${before:+ from $before}"
    # One that is still on trial is not decided in between.
    ! systemd_runs || [ -n "$tree" ] || run systemctl stop switchboard-trial 2>/dev/null || true
    # A root tree is no device that could go back; and of the first version there is no way back.
    case $before in '' | "$id") tried='' ;; *) [ -n "$tree" ] || tried=yes ;; esac
    [ -z "$tried" ] || begin_trial "$id" "$before"
    switch_to "$id"
    [ -n "$tried" ] || end_trial
    if [ -z "$start" ] || ! systemd_runs; then
        say "it plays from the next boot on"
    elif [ -n "$tried" ]; then
        try_now
    elif [ "$played" = "$id" ] && systemctl --quiet is-active switchboard; then
        say "it plays already"
    else
        say "starting, until the first sound"
        reload
        first_sound || fail "it does not play: journalctl -u switchboard -n 30"
    fi
}

reload() {
    run systemctl daemon-reload
    run systemctl try-restart systemd-journald || true
}

# By a service, which goes on where this process ends, at the next boot as well.
try_now() {
    say "trying it until the first sound"
    since=$(date +%s)
    reload
    run systemctl reset-failed switchboard-trial 2>/dev/null || true
    run systemctl restart switchboard-trial || true
    [ -z "$dry" ] || return 0
    until case $(systemctl show -p ActiveState --value switchboard-trial) in inactive | failed) ;; *) false ;; esac; do
        sleep 0.2
    done
    journalctl --sync 2>/dev/null || true
    journalctl -u switchboard-trial --since "@$since" --no-pager -o cat _TRANSPORT=stdout || true
    [ "$(confirmed)" = "$id" ] || fail "version $id is not taken"
}

# The token and the link; then its port, at which nothing runs until a browser comes.
open_panel() {
    if [ -n "$root" ]; then
        say "the panel listens once there is a token: sudo switchboard panel --link"
        return
    fi
    run "$home/current/bin/switchboard" panel --link
    if [ -n "$start" ] && systemd_runs; then
        run systemctl stop switchboard-panel.service
        run systemctl restart switchboard-panel.socket
    fi
}

# The one that plays and the one before it.
only_two_versions() {
    case $before in '' | "$id") return 0 ;; esac
    for folder in "$root$home"/versions/*; do
        case ${folder##*/} in
            "$id" | "$before") ;;
            *) say "removing the old $folder" && remove_version "${folder##*/}" ;;
        esac
    done
}

uninstall() {
    if systemd_runs && [ -z "$root" ]; then
        run systemctl stop switchboard-trial switchboard switchboard-fallback switchboard-retry.path 2>/dev/null || true
    fi
    say "removing $home, units, $journal, $avahi, $link"
    remove_panel
    for unit in $unit_files; do
        run rm -rf "$root$units/$unit" "$root$units/$unit.d" "$root$units/multi-user.target.wants/$unit"
    done
    run rm -f "$root$journal" "$root$udev" "$root$avahi" "$root$link"
    run rm -rf "$root$home"
    if [ -n "$purge" ]; then
        say "removing $settings, $state, user $user"
        run rm -rf "$root${settings%/*}" "$root$state"
        ! grep -qs "^$user:" "$root/etc/passwd" || run userdel ${root:+--root "$root"} "$user"
    else
        close_account
        say "kept: $settings, $state, user $user (--purge removes them)"
    fi
    ! systemd_runs || [ -n "$root" ] || run systemctl daemon-reload
}

# What `switchboard pair` opened.
close_account() {
    say "removing the keys that may push"
    run rm -rf "$root$state/.ssh"
    ! grep -qs "^$user:.*:/bin/sh$" "$root/etc/passwd" ||
        run usermod ${root:+--root "$root"} --shell /usr/sbin/nologin "$user"
}

# Queries

find_python() {
    # The system's Python first: the service sees no home folders, where others are often installed.
    for name in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "found $(python3 --version 2>&1), expected Python 3.11 to 3.13: sudo apt install python3"
}

# PyPI has no wheel of lgpio for Python 3.13 yet: a wheelhouse has one that was built for it, and
# Raspberry Pi OS has python3-lgpio.
needs_system_lgpio() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))' || return 1
    [ -z "$(lgpio_wheel)" ]
}

lgpio_wheel() { find "${wheelhouse:-/nowhere}" -maxdepth 1 -name 'lgpio-0.2*.whl' 2>/dev/null | sort | tail -n 1; }

portaudio_is_there() {
    for library in "$root"/usr/lib/*/libportaudio.so.2 "$root"/usr/lib/libportaudio.so.2; do
        [ ! -e "$library" ] || return 0
    done
    return 1
}

find_wheel() {
    if [ -n "$source" ]; then
        [ -e "$source" ] || fail "$source: found no such file, expected a wheel or a checkout"
        built_wheel "$(cd "$(dirname "$source")" && pwd)/$(basename "$source")"
    elif [ -n "$wheelhouse" ]; then
        found=$(wheel_in "$wheelhouse")
        [ -n "$found" ] || fail "$wheelhouse: found no lofi_switchboard-*.whl, expected one: make wheelhouse"
        echo "$found"
    else
        built_wheel "$(dirname "$here")"
    fi
}

# A wheel as it is; the wheel of a checkout.
built_wheel() {
    if [ -f "$1" ] || [ -n "$dry" ]; then
        echo "$1"
        return
    fi
    [ -f "$1/pyproject.toml" ] || fail "$1: found no pyproject.toml, expected a wheel or a checkout"
    "$python" -m venv "$scratch/build" >&2
    "$scratch/build/bin/python" -m pip --disable-pip-version-check wheel --quiet --no-deps \
        ${wheelhouse:+--no-index --find-links "$wheelhouse"} --wheel-dir "$scratch" "$1" >&2
    wheel_in "$scratch"
}

wheel_in() { find "$1" -maxdepth 1 -name 'lofi_switchboard-*.whl' 2>/dev/null | sort | tail -n 1; }

# The same wheel, packages and Python have the same id; any difference gives another one.
version_id() {
    if [ ! -f "$wheel" ]; then
        echo "of-$(basename "$wheel")"
        return
    fi
    name=$(basename "$wheel")
    name=${name#lofi_switchboard-}
    packages=$here/../constraints.txt
    hash=$({
        cat "$wheel" "$here"/*.service "$here"/*.socket "$here"/*.path "$here"/*.avahi "$here"/*/*.conf "$here"/*.sh
        [ "$panel" != yes ] || echo panel
        if [ -n "$wheelhouse" ]; then ls "$wheelhouse"; elif [ -f "$packages" ]; then cat "$packages"; fi
        "$python" -V
    } | sha256sum | cut -c 1-8)
    echo "${name%%-*}-$hash"
}

folder() {
    if [ -z "$1" ]; then usage >&2 && exit 2; fi
    (cd "$1" 2>/dev/null && pwd) || fail "$1: found no such folder"
}

# Tools

# Give away a folder that only root can have created.
own() {
    ids=$(owner)
    [ -z "$ids" ] || run chown "$ids" "$1"
}

# Make a folder with this mode in $state, where the account may put links to any file: so it is opened
# first, without following a link, and what was opened is changed.
below_state() {
    if [ -n "$dry" ]; then
        echo "    folder $root$state/$1, mode $2, of $user"
        return
    fi
    "$python" -I - "$root$state" "$1" "$2" "$(owner)" <<'END' || fail "see what is there: ls -la $root$state"
import os, sys

state, name, mode, owner = sys.argv[1:]
above = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
try:
    os.mkdir(name, 0o700, dir_fd=above)
except FileExistsError:
    pass
try:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
except OSError:
    sys.exit(f"switchboard: {state}/{name}: found no folder, expected one that is no link either")
if owner:
    os.fchown(folder, *map(int, owner.split(":")))
os.fchmod(folder, int(mode, 8))
END
}

# Numbers of account and group in the tree, which may differ from this machine's.
owner() { grep "^$user:" "$root/etc/passwd" 2>/dev/null | cut -d : -f 3,4; }

tidy() {
    # A trial that was begun is decided now, whatever has ended this.
    [ -n "$dry" ] || [ -z "$tried" ] || [ -z "$start" ] || [ ! -f "$root$home/trial" ] ||
        systemctl start --no-block switchboard-trial 2>/dev/null || true
    [ -z "$unfinished" ] || run rm -rf "$unfinished"
    [ -z "$scratch" ] || rm -rf "$scratch"
}

scratch=$(mktemp -d)
main "$@"
