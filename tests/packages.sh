#!/bin/sh
# Installs what a bare Debian lacks for building this package: the compiler and
# the library of the guest, and Python's venv; with --tests also what checks the
# units and the profile, what fuzzes the guest, and the other engines. Says what to do
# where it may not.
set -eu
python=${PYTHON:-python3}
missing=
command -v cc >/dev/null || missing="$missing gcc"
[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
[ -e /usr/include/seccomp.h ] || missing="$missing libseccomp-dev"
"$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ "${1-}" = --tests ]; then
    command -v systemd-analyze >/dev/null || missing="$missing systemd"
    [ -x /usr/sbin/apparmor_parser ] || missing="$missing apparmor"
    command -v runsc >/dev/null || missing="$missing runsc"
    command -v podman >/dev/null || missing="$missing podman"
    command -v curl >/dev/null || missing="$missing curl"
    for fuzzer in /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a; do
        [ -e "$fuzzer" ] || missing="$missing clang libclang-rt-dev"
        break
    done
fi
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "install the equivalents of these Debian packages first:$missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "some packages are missing; as root: apt-get install$missing" >&2
    exit 1
fi
echo "installing$missing"
apt-get update -q >/dev/null
# shellcheck disable=SC2086  # one word for each package
DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing >/dev/null
