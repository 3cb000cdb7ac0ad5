# What the packages' own scripts would have done in the tree "$1", had they been run.
set -eu
cd "$1"
mkdir -p proc etc/ssl/certs
cp usr/share/base-passwd/passwd.master etc/passwd
cp usr/share/base-passwd/group.master etc/group
cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
