#!/bin/sh
# Runs the scenes of interoperability once more, against the BGP implementations of a newer Debian
# release, and writes what comes out beside the others in docs/INTEROP.md.
#
#   ./proto-tests/interop-newer.sh           Debian 13 (trixie)
#   ./proto-tests/interop-newer.sh SUITE     another one
#
# Not a part of test.sh: it downloads a small Debian, of about 300 MB when unpacked, into a directory
# under target/, once. Nothing of it runs outside the scenes' namespaces.
set -eu
cd "$(dirname "$0")/.."
. proto-tests/setup.sh

suite=${1:-trixie}
set_up tests
have mmdebstrap || install_packages mmdebstrap
[ "$(id -u)" -eq 0 ] || die "needs root: the scenes make network namespaces"

root="${CARGO_TARGET_DIR:-$PWD/target}/interop-$suite"
if [ ! -x "$root/usr/sbin/birdc" ]; then
    rm -rf "$root"
    mmdebstrap --variant=apt --aptopt='APT::Install-Recommends "false"' \
        --include=bird3,frr,gobgpd,exabgp,openbgpd "$suite" "$root"
fi
cargo build --workspace --all-features --locked

# The mounts are this run's own, and gone with it: what is bound there cannot be deleted by mistake.
REDSTART_INTEROP_ROOT=$root REDSTART_UPDATE=1 unshare --mount sh -eu -c '
    for dir in dev proc run; do
        mount --rbind "/$dir" "$1/$dir"
    done
    shift
    exec "$@"
' sh "$root" cargo test --workspace --all-features --test interop --locked -- --nocapture
