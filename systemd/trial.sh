#!/bin/sh
# Try the version that install.sh or `switchboard update` has put in place, and go back to the one
# before if it does not play; run by switchboard-trial.service, at once and at every boot until then.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source-path=SCRIPTDIR source=slots.sh
. "$here/slots.sh"
# shellcheck disable=SC2034  # both are used in slots.sh
root=${here%"$home"/versions/*} dry='' advertise='' panel=''
[ ! -e "$root$units/switchboard-panel.socket" ] || panel=yes

# Trials of one version that were cut off, by a pulled plug or by the version itself.
most_starts=2
# Until a card that the version before had is heard again, and until the sound is more than silence.
sound_seconds=30

main() {
    [ -f "$root$home/trial" ] || exit 0
    read -r new before starts <"$root$home/trial"
    heard_before=$(systemctl show -p StatusText --value switchboard)
    if ! is_complete "$new"; then
        go_back "it is not complete"
    elif [ "$starts" -ge $most_starts ]; then
        go_back "its trial was cut off $starts times"
    else
        echo "$new $before $((starts + 1))" | write "$home/trial"
        enter "$new"
        if plays; then keep; else go_back "it did not play within its time"; fi
    fi
}

keep() {
    say "version $new plays"
    report plays ''
    end_trial
}

go_back() {
    warn "version $new: $1"
    journalctl -u switchboard -n 15 --no-pager -o cat 2>/dev/null || true
    # From here on no boot tries it again.
    echo "$new $before $most_starts" | write "$home/trial"
    enter "$before"
    if first_sound; then
        warn "went back to $before, which plays"
    else
        warn "went back to $before, which does not play either: journalctl -u switchboard -n 30"
    fi
    report back "$1"
    end_trial
    remove_version "$new"
}

# What systemd starts from here on is this version; then the services may start, and not before.
enter() {
    switch_to "$1"
    systemctl stop switchboard switchboard-fallback switchboard-retry.path || true
    systemctl daemon-reload
    systemd-notify --ready --status="trying ${1}" || true
}

# By its own account: READY, a card where the version before had one, and sound that is no silence.
plays() {
    first_sound || return 1
    case $heard_before in
        *unheard* | '') ;;
        *) wait_for_card || return 1 ;;
    esac
    # Where the configuration puts the status elsewhere, READY has to do.
    [ ! -f "$root/run/switchboard/status.json" ] ||
        "$root$home/current/bin/switchboard" status --wait $sound_seconds >/dev/null
}

wait_for_card() {
    waited=0
    while [ $waited -lt $sound_seconds ]; do
        case $(systemctl show -p StatusText --value switchboard) in
            *unheard*) sleep 1 && waited=$((waited + 1)) ;;
            *) return 0 ;;
        esac
    done
    warn "no sound card, which the version before had"
    return 1
}

# For `switchboard doctor`, `status` and `update`: no text of it comes from outside.
report() {
    printf '{"outcome": "%s", "version": "%s", "before": "%s", "reason": "%s", "at": %d}\n' \
        "$1" "$new" "$before" "$2" "$(date +%s)" | write "$home/last-update.json"
}

main
