#!/bin/sh
# Property tests with other cases than those of test.sh, which always takes the same: a change is not to fail for
# what was there before. Runs them once for each of COUNT seeds from FIRST on, and names those that fail.
#
#   proto-tests/explore.sh [COUNT [FIRST]]
#
# To see one again: PROPTEST_RNG_SEED=SEED cargo nextest run --workspace --all-features TEST
set -eu
cd "$(dirname "$0")/.."
count=${1:-20}
first=${2:-$(date +%s)}
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1

# Every module that has such a test.
modules=$(grep -rl 'proptest! {' bgp/src rib/src controller/src |
    sed 's|^[a-z]*/src/||; s|\.rs$||; s|/|::|g' | paste -sd '|' -)
cargo nextest run --workspace --all-features --lib --no-run

failed=0
seed=$first
while [ "$seed" -lt $((first + count)) ]; do
    if PROPTEST_RNG_SEED=$seed cargo nextest run --workspace --all-features --lib \
        --status-level fail -E "test(/^($modules)::/)"; then
        echo "seed $seed: good"
    else
        echo "seed $seed: FAILED" >&2
        failed=$((failed + 1))
    fi
    seed=$((seed + 1))
done
echo "$count seeds from $first, $failed failed"
[ "$failed" -eq 0 ]
