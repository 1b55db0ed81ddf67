#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs the distribution's packages that rdpusb needs. A run with nothing to do is quick and changes nothing.
#
#   contrib/install-packages.sh [--list] build|demo|test...
#
#   build   what compiles the programs
#   demo    what quickstart.sh shows them with: an RDP client, a virtual display, QEMU
#   test    what run-tests.sh needs on top: analysers, the older client, documentation checks
#   --list  only print the package names

set -euo pipefail

declare -A PACKAGES=(
    [build]="gcc meson ninja-build pkg-config libglib2.0-dev libglib2.0-bin libusbredirparser-dev freerdp3-dev
             libwinpr3-dev libssl-dev libsystemd-dev libpango1.0-dev python3-docutils
             libpam0g-dev libkrb5-dev libseccomp-dev libjson-glib-dev nettle-dev"
    [demo]="freerdp3-x11 xvfb qemu-system-x86 busybox-static cpio kmod xz-utils zstd libusb-1.0-0-dev
            python3"
    [test]="clang llvm libclang-rt-dev usbredirect libusbredirhost-dev valgrind clang-format xauth
            imagemagick x11-apps man-db git tshark e2fsprogs libc6-dev fido2-tools openssl python3-jsonschema
            krb5-kdc krb5-admin-server krb5-user"
)
VERSION_CODENAME=
[ ! -r /etc/os-release ] || . /etc/os-release
# Debian 13 has no FreeRDP 2 any more: there the tests run with the current client alone.
[ "$VERSION_CODENAME" != bookworm ] || PACKAGES[test]+=" freerdp2-x11"
# Debian 12 has these only, or only new enough, in its backports suite.
FROM_BACKPORTS="freerdp3-dev libwinpr3-dev freerdp3-x11 qemu-system-x86"

list_only=false
sets=()
for argument in "$@"; do
    case $argument in
        --list) list_only=true ;;
        build | demo | test) sets+=("$argument") ;;
        *) echo "install-packages.sh: unknown argument '$argument' (use build, demo, test or --list)" >&2; exit 2 ;;
    esac
done

wanted=()
for set in "${sets[@]}"; do
    read -r -d '' -a names <<<"${PACKAGES[$set]}" || true
    wanted+=("${names[@]}")
done
if $list_only; then
    printf '%s\n' "${wanted[@]}"
    exit 0
fi

# Prints the names of the arguments that are not installed.
missing_of() {
    local name
    for name in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
    done
}

if ! command -v dpkg-query >/dev/null; then
    echo "install-packages.sh: this is not Debian or a relative of it. Please install the equivalent of:" >&2
    printf '  %s\n' "${wanted[@]}" >&2
    exit 1
fi

mapfile -t missing < <(missing_of "${wanted[@]}")
[ ${#missing[@]} -gt 0 ] || exit 0
echo "install-packages.sh: installing ${missing[*]}"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "install-packages.sh: needs root, or sudo, to install packages" >&2; exit 1; }
    as_root=(sudo)
fi

# Debian 12: adds the backports suite beside the machine's own source, with the same archive and key. Its packages are
# marked NotAutomatic by the archive (priority 100), so nothing else on the machine changes its version.
add_backports() {
    local codename=$1 target=/etc/apt/sources.list.d/rdpusb-backports.sources
    apt-cache policy | grep -q "n=$codename-backports" && return
    echo "install-packages.sh: adding the suite $codename-backports in $target"
    python3 - "$codename" <<'PYTHON' | "${as_root[@]}" tee "$target" >/dev/null
import glob, re, sys
codename = sys.argv[1]
for path in sorted(glob.glob('/etc/apt/sources.list.d/*.sources')):
    for stanza in re.split(r'\n\s*\n', open(path).read()):
        lines = [line for line in stanza.splitlines() if line and not line.startswith('#')]
        fields = dict(re.split(r':\s*', line, maxsplit=1) for line in lines if re.match(r'\S+:', line))
        if codename in fields.get('Suites', '').split() and fields.get('Enabled', 'yes') != 'no':
            fields['Suites'] = codename + '-backports'
            print('\n'.join(f'{key}: {value}' for key, value in fields.items()))
            sys.exit()
for path in ['/etc/apt/sources.list'] + sorted(glob.glob('/etc/apt/sources.list.d/*.list')):
    try:
        lines = open(path).read().splitlines()
    except OSError:
        continue
    for line in lines:
        match = re.match(r'deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s+(.*)', line)
        if match and match[3] == codename:
            signed = re.search(r'signed-by=(\S+)', match[1] or '')
            print(f'Types: deb\nURIs: {match[2]}\nSuites: {codename}-backports\nComponents: main')
            if signed:
                print('Signed-By: ' + signed[1])
            sys.exit()
sys.exit(f'no APT source for {codename} found to derive {codename}-backports from')
PYTHON
    "${as_root[@]}" apt-get -q update
}

export DEBIAN_FRONTEND=noninteractive
[ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 2>/dev/null | head -n 1)" ] ||
    "${as_root[@]}" apt-get -q update

from_backports=()
from_main=()
for name in "${missing[@]}"; do
    if [ "$VERSION_CODENAME" = bookworm ] && grep -qw -- "$name" <<<"$FROM_BACKPORTS"; then
        from_backports+=("$name")
    else
        from_main+=("$name")
    fi
done

if [ ${#from_main[@]} -gt 0 ]; then
    "${as_root[@]}" apt-get -q install -y --no-install-recommends "${from_main[@]}"
fi
if [ ${#from_backports[@]} -gt 0 ]; then
    add_backports bookworm
    "${as_root[@]}" apt-get -q install -y --no-install-recommends -t bookworm-backports "${from_backports[@]}"
fi

mapfile -t missing < <(missing_of "${wanted[@]}")
if [ ${#missing[@]} -gt 0 ]; then
    echo "install-packages.sh: still missing after installation: ${missing[*]}" >&2
    exit 1
fi
