#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Shows what rdpusb does: installs what is missing, builds, and lets a stock RDP client give an emulated USB stick to a
# small Linux guest in the stock QEMU. Then tells how to use it with a machine and a client of your own.
#
#   contrib/quickstart.sh           the show
#   contrib/quickstart.sh --serve   serves your own virtual machine and client until Ctrl+C

set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

serve=false
case ${1-} in
    '') ;;
    --serve) serve=true ;;
    *) echo "quickstart.sh: unknown argument '$1' (there is --serve only)" >&2; exit 2 ;;
esac

state=${XDG_STATE_HOME:-$HOME/.local/state}/rdpusb-quickstart
socket=$state/vm.sock
port=3390

echo "1. Packages"
contrib/install-packages.sh build demo

echo "2. Build (in build/)"
quietly() {
    local log
    log=$("$@" 2>&1) || { echo "$log"; exit 1; }
}
[ -f build/build.ninja ] || quietly meson setup build
quietly ninja -C build

mkdir -p "$state"
chmod 700 "$state"
[ -s "$state/password" ] || (umask 077; head -c 9 /dev/urandom | base64 | tr '+/' '-_' >"$state/password")

tell() {
    cat <<END

Your own virtual machine needs these options of QEMU (any order of starting will do):

  qemu-system-x86_64 ... -device qemu-xhci -chardev socket,id=rdpusb,path=$socket,server=on,wait=off -device usb-redir,chardev=rdpusb

and the computer with the USB device this command (its VVVV:PPPP is what lsusb shows):

  xfreerdp3 /v:$(hostname):$port /u:demo /p:$(cat "$state/password") /cert:tofu /usb:id:VVVV:PPPP

END
}

if $serve; then
    tell
    echo "Serving on port $port until Ctrl+C."
    # The daemon refuses rules that others may write, as a checkout's files may be.
    install -d -m 755 "$state/rules.d"
    install -m 644 server/policy/50-default.rules "$state/rules.d"
    export RDPUSB_SESSION=$PWD/build/server/session/rdpusb-session
    exec build/server/broker/rdpusbd --listen "0.0.0.0:$port" --state-dir "$state" --user demo \
        --password-file "$state/password" --rules-dir "$state/rules.d" --chardev "unix:$socket"
fi

echo "3. A stick at xfreerdp3 becomes a stick in a guest"
RDPUSB_BUILD=build python3 tests/integration/demo.py
tell
echo "\`contrib/quickstart.sh --serve\` starts rdpusbd for these two."
