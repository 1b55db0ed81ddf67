#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   contrib/run-tests.sh [--all]
#
# Installs what is missing and runs every test there is, in about 50 minutes on two cores:
# all tests with gcc, all of them again with AddressSanitizer and UndefinedBehaviorSanitizer, a build with clang, the fuzz
# targets for a bounded time, the unit tests under valgrind, and the formatting of the tree. Of the device table it runs
# the fast half with one client; --all adds the whole of it with every client, which takes half an hour more.
# The last line is `N passed, N failed`; the exit status says the same.

set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1

whole_table=false
case "$*" in
    '') ;;
    --all) whole_table=true ;;
    *) echo "run-tests.sh: unknown arguments '$*' (use --all, or none)" >&2; exit 2 ;;
esac

passed=0
failed=0
failures=()

# count PASSED FAILED NAME
count() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    [ "$2" -eq 0 ] || failures+=("$3")
}

# step NAME COMMAND...: a command that passes or fails as a whole; tells its output only if it fails
step() {
    local name=$1 log
    shift
    echo "== $name"
    log=$("$@" 2>&1) && count 1 0 "$name" && return
    echo "$log" | tail -n 100
    count 0 1 "$name"
    return 1
}

# build FOLDER NAME=VALUE... OPTION...: configures and compiles
build() {
    local folder=$1
    shift
    if [ -f "$folder/build.ninja" ]; then
        meson configure "$folder" "$@" -Dwerror=true
    else
        meson setup "$folder" "$@" -Dwerror=true
    fi && meson compile -C "$folder"
}

# run_tests NAME FOLDER OPTION...: counts each test within each program
run_tests() {
    local name=$1 folder=$2
    shift 2
    echo "== $name"
    rm -f "$folder"/meson-logs/testlog*.junit.xml
    meson test -C "$folder" --print-errorlogs --no-rebuild "$@"
    local status=$?
    read -r good bad < <(python3 - "$folder" <<'PYTHON'
import glob, sys, xml.etree.ElementTree as tree
good = bad = 0
for path in glob.glob(sys.argv[1] + '/meson-logs/testlog*.junit.xml'):
    for case in tree.parse(path).iter('testcase'):
        if case.find('failure') is None and case.find('error') is None and case.find('skipped') is None:
            good += 1
        else:
            bad += 1
print(good, bad)
PYTHON
    )
    # A program that dies fails without failing a test of its own; a run without tests is no success.
    [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ $((good + bad)) -gt 0 ] || bad=1
    count "$good" "$bad" "$name"
}

check_format() {
    git ls-files -z '*.c' '*.h' | xargs -0 clang-format --dry-run -Werror
}

# What is installed finds its libraries and its manual.
check_installed() {
    local installed=$PWD/build-gcc/installed
    meson install -C build-gcc --no-rebuild &&
        env -i "$installed/sbin/rdpusbd" --version &&
        env -i "$installed/libexec/rdpusb/rdpusb-session" --version &&
        man -l "$installed/share/man/man8/rdpusbd.8" >/dev/null
}

echo "== packages"
contrib/install-packages.sh build demo test || exit 1
echo "== the guest for the tests"
tests/vm/build-guest.sh || exit 1

step "formatting of the tree" check_format
step "build with gcc" build build-gcc --buildtype=debugoptimized --prefix="$PWD/build-gcc/installed" &&
    run_tests "tests" build-gcc
step "installed programs" check_installed
! $whole_table || step "the whole device table" env RDPUSB_BUILD=build-gcc tests/vm/devices.py --all
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 # or it only prints
# Our programs again, with one client, for time's sake: the other one is the same to them.
export RDPUSB_CLIENTS=xfreerdp3
step "build with sanitizers" build build-sanitize -Db_sanitize=address,undefined &&
    run_tests "tests with sanitizers" build-sanitize --no-suite harness --no-suite devices --no-suite waiting \
        --timeout-multiplier 2
export CC=clang # meson looks at it when a folder is new
step "build with clang" build build-clang -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
    -Dc_args=-fsanitize=fuzzer-no-link &&
    run_tests "fuzz targets" build-clang --suite fuzz
[ ! -f build-gcc/build.ninja ] ||
    run_tests "unit tests under valgrind" build-gcc --suite unit --timeout-multiplier 10 \
        --logbase testlog-valgrind \
        --wrapper "valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite"

for name in "${failures[@]}"; do
    echo "failed: $name"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
