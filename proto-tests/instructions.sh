#!/bin/sh
# Counts the instructions of each step of the update path for one route (benches/steps.rs). The counts
# are the same at every run, however busy the machine is: a regression shows without noise.
#
#   ./proto-tests/instructions.sh              every step
#   ./proto-tests/instructions.sh announce     one
#   PREFIXES=20000 ./proto-tests/instructions.sh
set -eu
cd "$(dirname "$0")/.."
command -v valgrind > /dev/null || { echo "valgrind is missing (apt-get install valgrind)" >&2; exit 1; }

prefixes=${PREFIXES:-100000}
program=${STEPS:-$(cargo bench -p redstart-proto-tests --bench steps --no-run 2>&1 |
    sed -n 's/.*Executable.*(\(.*\)).*/\1/p')}
[ $# -gt 0 ] || set -- decode announce again decide policy pull encode pull-nine withdraw lose
unset REDSTART_BENCH_TABLE
for step; do
    count=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
        --toggle-collect='*measured*' "$program" "$step" --prefixes "$prefixes" 2>&1 |
        sed -n 's/.*Collected : *\([0-9]*\).*/\1/p')
    echo "$step: $((count / prefixes)) instructions for a route"
done
