#!/bin/sh
# Fuzzes the wire codec: run.sh TARGET SECONDS. Needs a nightly compiler and a C++ compiler, and makes
# the instrumentation that cargo-fuzz makes (which works here too: cargo +nightly fuzz run TARGET).
set -eu
cd "$(dirname "$0")"
target=$1 seconds=$2
triple=$(rustc +nightly -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
    cargo +nightly build --release --locked --target "$triple" --bin "$target"
mkdir -p "found/$target"
exec "${CARGO_TARGET_DIR:-target}/$triple/release/$target" \
    -max_total_time="$seconds" -max_len=8192 -print_final_stats=1 "found/$target" "corpus/$target"
