# Read by `sh -s` on a device: let one key push models there, and do nothing else.
#
#   sh -s -- KEY PROGRAM STORE      a public key, and two paths that may be empty
#
# Answers in lines of NAME=VALUE; the last one is state=new, state=found or what is wrong.
set -eu

key=$1 program=$2 store=$3

answer() { printf '%s=%s\n' "$1" "$2"; }
end() {
    answer state "$1"
    exit 0
}

# The account of an installed device, else the one we are logged in to.
account=$(id -un) home=$HOME shell=
installed=/opt/switchboard/current/bin/switchboard
if [ -z "$program$store" ] && [ -x "$installed" ] && entry=$(getent passwd switchboard); then
    account=switchboard
    home=$(echo "$entry" | cut -d : -f 6)
    shell=$(echo "$entry" | cut -d : -f 7)
    program=$installed
fi
[ -n "$program" ] || program=$(command -v switchboard) || end noprogram
answer account "$account"
answer program "$program"
[ -x "$program" ] || end noprogram

# No command here may read standard input: it is this script.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
as_account() {
    if [ "$account" = "$(id -un)" ]; then
        "$@"
    else
        as_root setpriv --reuid "$account" --regid "$account" --init-groups -- "$@"
    fi
}
# Make a folder with the rights of the account that owns its parents: root follows no links of others.
as_owner_of() {
    place='' owner=0
    IFS=/
    # shellcheck disable=SC2086  # a path from / on, of letters, digits and ./+-_
    set -- $1 -- "$@"
    unset IFS
    while [ "$1" != -- ]; do
        place=$place/$1
        [ "$owner" != 0 ] || owner=$(stat -c %u "$place" 2>/dev/null) || owner=0
        [ "$owner" != 0 ] || owner=$(stat -Lc %u "$place" 2>/dev/null) || owner=0
        shift
    done
    shift 2
    if [ "$(id -u)" = 0 ] && [ "$owner" != 0 ]; then
        setpriv --reuid "$owner" --regid "$owner" --clear-groups -- "$@"
    else
        as_account "$@"
    fi
}
as_account true </dev/null 2>/dev/null || end nosudo
folder=${store:-/var/lib/switchboard/models}
answer store "$folder"
as_owner_of "$folder" mkdir -p "$folder" </dev/null 2>/dev/null || end nostore
as_account test -w "$folder" </dev/null || end nostore

# sshd runs the one command through the account's shell. It has no password and no other key.
case $shell in
    */nologin | */false)
        as_root usermod --shell /bin/sh "$account" </dev/null
        answer shell /bin/sh
        ;;
esac

command="$program receive${store:+ --store $store}"
as_account sh -s -- "$home/.ssh" "restrict,command=\"$command\" $key" <<'END'
set -eu
folder=$1 line=$2 keys=$1/authorized_keys
# The key itself, without options and comment.
blob=" $(echo "$line" | sed 's/.* \([^ ]*\) [^ ]*$/\1/')"
umask 077
mkdir -p "$folder"
touch "$keys"
if grep -qxF -- "$line" "$keys"; then
    echo state=found
    exit
fi
# A line for this key is an older pairing, or it permits more than a pairing does.
pairing='^restrict,command="[^"]* receive( --store [^"]*)?" '
if grep -F -- "$blob" "$keys" | grep -qvE -- "$pairing"; then
    echo state=taken
    exit
fi
part=$folder/.authorized_keys.part
{ grep -vF -- "$blob" "$keys" || true; echo "$line"; } >"$part"
sync "$part"
mv "$part" "$keys"
sync "$folder"
echo state=new
END
