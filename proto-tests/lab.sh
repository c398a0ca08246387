#!/bin/sh
# Sets up a fresh Debian machine, builds, and runs the lab: three nodes, a real BIRD or FRR at the
# top of the rack, pods, an external host. Exits non-zero when anything did not hold.
#
#   ./proto-tests/lab.sh               check everything, behind BIRD, FRR and two BIRDs
#   ./proto-tests/lab.sh run --tor frr only behind FRR
#   ./proto-tests/lab.sh run --kubeconfig FILE   with the objects in that (test!) cluster
#   ./proto-tests/lab.sh up            bring it up and leave it up; then lab.sh exec, status, down
set -eu
cd "$(dirname "$0")/.."
. proto-tests/setup.sh

set_up
cargo build --quiet --workspace --bins
bin="${CARGO_TARGET_DIR:-target}/debug"
[ $# -gt 0 ] || set -- run
if [ "$(id -u)" -eq 0 ]; then
    exec "$bin/lab" "$@"
fi
exec sudo "$bin/lab" "$@"
