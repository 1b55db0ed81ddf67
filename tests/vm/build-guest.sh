#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds a small Linux guest for QEMU from the distribution's own kernel package and busybox, without installing either
# and without root. Prints the directory that holds `kernel` and `initrd`, which is a cache: a second run only prints.
#
#   build-guest.sh [--cache DIR] [--modules "NAME..."] [--spare "NAME..."] [--programs "NAME..."] [--helpers "NAME..."]
#                  [--take "PACKAGE:PATH..."] [--package LINUX-IMAGE]
#
#   --cache DIR       where packages and guests are kept (default: $XDG_CACHE_HOME/rdpusb or ~/.cache/rdpusb)
#   --modules NAMES   kernel modules to load on top of the standard ones, in this order
#   --spare NAMES     kernel modules that are there to be loaded later: Guest.load() in guest.py
#   --programs NAMES  programs of this machine that the guest has as well, with their libraries
#   --helpers NAMES   programs to compile from helpers/NAME.c
#   --take FILES      files of packages that need not be installed here; they are in /bin, without their libraries
#   --package NAME    kernel package (default: the one the distribution's linux-image-amd64 stands for)

set -euo pipefail

# The guest's own devices first: its shells are there when USB starts.
MODULES="virtio_pci virtio_console xhci_pci ehci_pci uhci_hcd usb_storage uas sd_mod usbhid hid_generic evdev"
BUSYBOX=/bin/busybox

here=$(dirname "$(readlink -f "$0")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rdpusb
package=linux-image-amd64
spare=
programs=
helpers=
take=
PATH=$PATH:/sbin:/usr/sbin

say() { echo "build-guest.sh: $*" >&2; }
die() { say "$*"; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
        --cache | --modules | --spare | --programs | --helpers | --take | --package) [ $# -ge 2 ] || die "$1 needs a value" ;;
        *) die "unknown option '$1'" ;;
    esac
    case $1 in
        --cache) cache=$2 ;;
        --modules) MODULES+=" $2" ;;
        --spare) spare=$2 ;;
        --programs) programs=$2 ;;
        --helpers) helpers=$2 ;;
        --take) take=$2 ;;
        --package) package=$2 ;;
    esac
    shift 2
done

[ "$(uname -m)" = x86_64 ] || die "the guest is built from an amd64 kernel package; this machine is $(uname -m)"
[ -x "$BUSYBOX" ] || die "$BUSYBOX is missing: install busybox-static"

decisive=("$here/build-guest.sh" "$here/init" "$BUSYBOX")
for name in $programs; do
    decisive+=("$(command -v "$name")") || die "this machine has no program $name: contrib/install-packages.sh test"
done
for name in $helpers; do
    decisive+=("$here/helpers/$name.c")
done
# Whatever decides the result is in its name.
key=$(cat "${decisive[@]}" - <<<"$package $MODULES | $spare | $programs | $helpers | $take" | sha256sum | cut -c1-16)
guest=$cache/guest-$key
if [ -f "$guest/initrd" ]; then
    echo "$guest"
    exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -f "$guest/initrd" ]; then # somebody else built it while we waited
    echo "$guest"
    exit 0
fi
work=$(mktemp -d "$cache/work.XXXXXX")
touch "$work/log"
trap 'rm -rf "$work"' EXIT

# The packages that NAME depends on and that hold kernel or modules. linux-image-amd64 itself holds nothing; newer
# distributions keep the modules in a package of their own.
kernel_packages() {
    apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --recurse "$1" 2>/dev/null |
        grep -E '^linux-(image|modules|binary)-' | sort -u
}

# The packages whose files are taken.
taken=$(for name in $take; do echo "${name%%:*}"; done | sort -u)

# Leaves the names in `packages` and the files in $cache/packages.
get_packages() {
    local name
    mapfile -t packages < <(kernel_packages "$package")
    [ ${#packages[@]} -gt 0 ] || return 1
    for name in "${packages[@]}" $taken; do
        say "getting the package $name"
        (cd "$cache/packages" && apt-get -q download "$name") >"$work/log" 2>&1 || return 1
    done
}

mkdir -p "$cache/packages"
if ! get_packages; then
    say "the package lists are missing or old: updating them"
    if [ "$(id -u)" -eq 0 ]; then apt-get -q update; else sudo apt-get -q update; fi >&2
    get_packages || die "APT has no package ${packages[*]:-$package}: $(cat "$work/log")"
fi

# newest PACKAGE: the file of the newest one there
newest() { printf '%s\n' "$cache/packages/$1"_*.deb | sort -V | tail -n 1; }
for name in "${packages[@]}"; do
    dpkg-deb -x "$(newest "$name")" "$work/root"
done
for name in $taken; do
    dpkg-deb -x "$(newest "$name")" "$work/taken-$name"
done
image=$(find "$work/root/boot" -name 'vmlinuz-*' | sort -V | tail -n 1)
[ -n "$image" ] || die "no kernel in ${packages[*]}"
version=${image##*/vmlinuz-}

# A kernel that unpacks itself needs 3 s of emulated CPU time for that; QEMU boots the ELF file inside as well (PVH).
# Offsets: Documentation/x86/boot.rst, setup_sects, payload_offset and payload_length.
field() { od -An -v -t "u$2" -j "$1" -N "$2" "$image" | tr -d ' '; }
unpack_kernel() {
    local start=$((($(field $((0x1f1)) 1) + 1) * 512 + $(field $((0x248)) 4)))
    local length=$(($(field $((0x24c)) 4) - 4)) # the last four bytes tell the unpacked size
    local unpack
    case $(od -An -t x1 -j "$start" -N 4 "$image" | tr -d ' ') in
        fd377a58) unpack=xz ;;
        28b52ffd) unpack=zstd ;;
        1f8b*) unpack=gzip ;;
        *) return 1 ;;
    esac
    head -c $((start + length)) "$image" | tail -c +$((start + 1)) | "$unpack" -dc
}
mkdir "$work/guest"
if ! unpack_kernel >"$work/guest/kernel" 2>"$work/log"; then
    say "$image is packed in an unknown way; taking it as it is (boots more slowly) $(cat "$work/log")"
    cp "$image" "$work/guest/kernel"
fi

say "building the guest with Linux $version"
root=$work/initrd
mkdir -p "$root"/{bin,dev,proc,sys,run,tmp,lib/modules}
cp "$BUSYBOX" "$root/bin/busybox"
cp "$here/init" "$root/init"
chmod 755 "$root/init"
modules=$work/root
[ -d "$work/root/lib/modules/$version" ] || modules=$work/root/usr
depmod -b "$modules" "$version"

# add_module NAME LIST: unpacks a module and what it needs, and appends them to a list in the order of loading
add_module() {
    local name=$1 how path file
    modprobe -C /dev/null -S "$version" -d "$modules" --show-depends "$name" >"$work/depends" 2>"$work/log" ||
        die "Linux $version has no module $name: $(cat "$work/log")"
    while read -r how path _; do
        [ "$how" = insmod ] || continue
        file=${path##*/}
        file=${file%.xz}
        file=${file%.zst}
        grep -qxF "$file" "$root/lib/modules/$2" 2>/dev/null || echo "$file" >>"$root/lib/modules/$2"
        [ ! -e "$root/lib/modules/$file" ] || continue
        case $path in
            *.xz) xz -dc "$path" ;;
            *.zst) zstd -dcq "$path" ;;
            *) cat "$path" ;;
        esac >"$root/lib/modules/$file"
    done <"$work/depends"
}

for name in $MODULES; do
    add_module "$name" order
done
for name in $spare; do
    add_module "$name" "order.$name"
done
for name in $programs; do
    cp "$(command -v "$name")" "$root/bin/$name"
    while read -r library; do
        mkdir -p "$root/${library%/*}"
        cp "$library" "$root/$library"
    done < <(ldd "$root/bin/$name" | grep -o '/[^ ]*')
done
for name in $helpers; do
    "${CC:-cc}" -std=gnu11 -O2 -Wall -Wextra -Werror -static -o "$root/bin/$name" "$here/helpers/$name.c" ||
        die "$here/helpers/$name.c does not compile"
done
for name in $take; do
    cp "$work/taken-${name%%:*}/${name#*:}" "$root/bin/"
done
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$work/guest/initrd"
echo "$version" >"$work/guest/version"

find "$cache" -maxdepth 1 -name 'guest-*' -mtime +30 -exec rm -rf {} +
mv "$work/guest" "$guest"
echo "$guest"
