#!/bin/sh
# Check that PortAudio, a system library, is there: install it where no password is needed, otherwise
# print what to install. Never fails: without it, the instrument records to a file.
set -u

found() { ldconfig -p 2>/dev/null | grep -q 'libportaudio\.so\.2'; }

install_it() {
    if [ "$(id -u)" = 0 ]; then as_root=; else as_root='sudo -n'; fi
    $as_root apt-get install -y -qq libportaudio2 ||
        { $as_root apt-get update -qq && $as_root apt-get install -y -qq libportaudio2; }
}

PATH=$PATH:/sbin:/usr/sbin
found && exit 0
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "installing libportaudio2"
    install_it >/dev/null 2>&1
fi
found || echo "PortAudio is missing: install the package libportaudio2 (sudo apt install libportaudio2); until then the music goes to performance.wav"
exit 0
