#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-gadget-symbols.sh GADGETS LIBUSB: every function of libusb is in the gadgets, and nothing else is. A function that
# is missing would be the real library's, called with objects that are not its own.

set -euo pipefail

exported() { nm -D --defined-only "$1" | awk '$2 == "T" { print $3 }' | sort; }

missing=$(comm -13 <(exported "$1") <(exported "$2"))
foreign=$(exported "$1" | grep -v '^libusb_' || true)

echo 1..2
[ -z "$missing" ] && echo "ok 1 every function of libusb" || echo "not ok 1 missing:" $missing
[ -z "$foreign" ] && echo "ok 2 nothing else" || echo "not ok 2 exported too:" $foreign
