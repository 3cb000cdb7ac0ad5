# Do for the tree "$1", which was only unpacked, what the scripts of its packages would have done.
set -eu
cd "$1"
mkdir -p etc/ssl/certs
cp usr/share/base-passwd/passwd.master etc/passwd
cp usr/share/base-passwd/group.master etc/group
cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
chroot . ldconfig
