# shellcheck shell=sh
# Sourced by install.sh and trial.sh: the versions below /opt/switchboard, and which of them plays.
#
# A version is a folder that is complete (it has a file of that name) or is never used. `current` is a
# link to the one that plays. While a new one is on trial, the file `trial` has three words: the new
# version, the one to go back to, and how often the new one was started; `trying` is a link to it.
# What is decided after a power cut is decided from these alone, by trial.sh.
#
# Expects $root (empty, or the root tree of an image), $dry, $panel and $advertise, and with $dry also $here.
# shellcheck disable=SC2034,SC2154  # where it is sourced

user=switchboard
home=/opt/switchboard
state=/var/lib/switchboard
settings=/etc/switchboard/switchboard.toml
units=/etc/systemd/system
journal=/etc/systemd/journald.conf.d/switchboard.conf
udev=/etc/udev/rules.d/60-switchboard-gpio.rules
link=/usr/local/bin/switchboard
avahi=/etc/avahi/services/switchboard.service
panel_state=/var/lib/switchboard-panel
panel_wanted=$units/sockets.target.wants/switchboard-panel.socket
unit_files='switchboard.service switchboard-fallback.service switchboard-retry.path switchboard-trial.service'

# Versions

current() { [ ! -L "$root$home/current" ] || basename "$(readlink "$root$home/current")"; }

is_complete() { [ -f "$root$home/versions/$1/complete" ]; }

# The version that has played: where one is on trial, the one before it.
confirmed() {
    if [ -f "$root$home/trial" ]; then
        cut -d ' ' -f 2 "$root$home/trial"
    else
        current
    fi
}

begin_trial() {
    relink "versions/$1" "$home/trying"
    echo "$1 $2 0" | write "$home/trial"
}

end_trial() {
    run rm -f "$root$home/trial" "$root$home/trying"
    [ ! -d "$root$home" ] || run sync "$root$home"
}

# First it is no longer complete, so that a half-removed one is never taken for a version.
remove_version() {
    run rm -f "$root$home/versions/$1/complete"
    run sync
    run rm -rf "$root$home/versions/$1"
}

# Units and link of one version; the link changes last and at once.
switch_to() {
    from=$root$home/versions/$1/systemd
    [ -z "$dry" ] || from=$here
    for unit in $unit_files; do
        # A version of before had fewer.
        [ ! -f "$from/$unit" ] || write "$units/$unit" <"$from/$unit"
    done
    for unit in switchboard switchboard-fallback; do
        write "$units/$unit.service.d/box.conf" <"$from/switchboard.service.d/box.conf"
    done
    advertise "$1"
    if [ "$panel" = no ]; then remove_panel; elif [ -n "$panel" ]; then panel_units; fi
    relink "versions/$1" "$home/current"
    relink "$home/current/bin/switchboard" "$link"
    for unit in switchboard switchboard-trial; do
        relink "$units/$unit.service" "$units/multi-user.target.wants/$unit.service"
    done
    run sync
}

# Off unless it was asked for, in this call or an earlier one. Avahi reads the file at once.
advertise() {
    if [ "$advertise" = no ]; then
        run rm -f "$root$avahi"
    elif [ -n "$advertise" ] || [ -f "$root$avahi" ]; then
        [ -f "$from/switchboard.avahi" ] || return 0
        say "announced by Avahi: $avahi"
        sed "s/VERSION/${1%-*}/" "$from/switchboard.avahi" | write "$avahi"
    fi
}

# Of a version that has a panel: the one before may have none.
panel_units() {
    [ -f "$from/switchboard-panel.socket" ] || return 0
    for unit in switchboard-panel.socket switchboard-panel.service; do
        write "$units/$unit" <"$from/$unit"
    done
    for unit in switchboard switchboard-fallback; do
        write "$units/$unit.service.d/panel.conf" <"$from/panel/control.conf"
    done
    run mkdir -p "$root${panel_wanted%/*}"
    relink "$units/switchboard-panel.socket" "$panel_wanted"
}

# All of it, the token as well: no link opens it any more.
remove_panel() {
    [ -n "$root" ] || ! systemd_runs ||
        run systemctl stop switchboard-panel.socket switchboard-panel.service 2>/dev/null || true
    run rm -f "$root$units/switchboard-panel.socket" "$root$units/switchboard-panel.service" "$root$panel_wanted" \
        "$root$units/switchboard.service.d/panel.conf" "$root$units/switchboard-fallback.service.d/panel.conf"
    run rm -rf "$root$panel_state"
}

systemd_runs() { [ -d "$root/run/systemd/system" ]; }

# Start it and wait: for READY, which is sent with the first block of sound, and for three seconds more.
first_sound() {
    run systemctl reset-failed switchboard switchboard-fallback 2>/dev/null || true
    run systemctl restart switchboard || return 1
    # Resetting one unit makes the other one fail, which has no consequence.
    run systemctl reset-failed switchboard-retry.path 2>/dev/null || true
    [ -z "$dry" ] || return 0
    # A version that ends soon after the first sound does not play either.
    sleep 3
    [ "$(systemctl show -p NRestarts --value switchboard)" = 0 ] || return 1
    systemctl --quiet is-active switchboard || return 1
    say "$(systemctl show -p StatusText --value switchboard)"
}

# Tools

run() {
    if [ -n "$dry" ]; then echo "    $*"; else "$@"; fi
}

# Write standard input to a file below the root, whole or not at all.
write() {
    if [ -n "$dry" ]; then
        echo "    write $root$1"
        return
    fi
    mkdir -p "$root${1%/*}"
    cat >"$root$1.new"
    chmod 644 "$root$1.new"
    sync "$root$1.new"
    mv "$root$1.new" "$root$1"
    sync "$root${1%/*}"
}

relink() {
    run mkdir -p "$root${2%/*}"
    run ln -sfn "$1" "$root$2.new"
    run mv -T "$root$2.new" "$root$2"
}

say() { echo "switchboard: $*"; }
warn() { echo "switchboard: $*" >&2; }
fail() {
    warn "$*"
    exit 1
}
