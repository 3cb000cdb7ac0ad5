#!/bin/sh
# Play the bundled model: first without the configured model, then also without the configuration,
# then also without the switches.
set -u

here=$(dirname "$0")
config=${1:-/etc/switchboard/switchboard.toml}

play() {
    "$here/../bin/switchboard" play --service --model bundled "$@"
    status=$?
    # 60: the button that shuts down was held.
    case $status in 0 | 60) exit $status ;; esac
    echo "last resort: could not play with: $*" >&2
}

play --config "$config"
play --config "$here/switchboard.toml"
play --config "$here/switchboard.toml" --switches demo
exit 1
