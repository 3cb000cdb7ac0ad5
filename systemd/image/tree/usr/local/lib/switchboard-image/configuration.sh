#!/bin/sh
# Copy the configuration from the boot partition, which only root can read, to where the instrument
# reads it; the one that came with the image where there is none.
set -eu
to=${2:-/run/switchboard-setup}
source=${1:-/boot/firmware}/switchboard.toml
[ -f "$source" ] || source=/opt/switchboard/current/systemd/switchboard.toml
mkdir -p "$to"
# Without the mark that some editors put before the first letter. More than 64 KiB is no configuration.
head -c 65536 "$source" | sed '1s/^\xef\xbb\xbf//' >"$to/switchboard.toml.new"
chmod 644 "$to/switchboard.toml.new"
mv "$to/switchboard.toml.new" "$to/switchboard.toml"
