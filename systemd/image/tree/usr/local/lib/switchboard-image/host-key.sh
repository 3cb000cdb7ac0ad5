#!/bin/sh
# Make the host key unless there is a good one: under another name, flushed, then renamed.
set -eu
umask 077
key=$1/ssh_host_ed25519_key
if ssh-keygen -y -P '' -f "$key" >/dev/null 2>&1; then exit 0; fi
echo "making a host key: $key"
mkdir -p "$1"
rm -f "$1/new" "$1/new.pub"
ssh-keygen -q -t ed25519 -N '' -C switchboard -f "$1/new"
sync "$1/new" "$1/new.pub"
mv "$1/new.pub" "$key.pub"
mv "$1/new" "$key"
sync "$1"
