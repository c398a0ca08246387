#!/bin/sh
# Sets up a fresh Debian machine and runs every test. CI calls this and nothing else.
set -eu
cd "$(dirname "$0")/.."
. proto-tests/setup.sh

step() {
    echo "== $*"
}

set_up tests

step "shell scripts"
for script in proto-tests/*.sh .ci/run; do
    sh -n "$script"
done

step "formatting"
cargo fmt --all --check

step "build"
cargo build --workspace --all-targets --all-features --locked

step "lints"
if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
else
    echo "this toolchain comes without clippy: compiler warnings only" >&2
    RUSTFLAGS="-D warnings" cargo check --workspace --all-targets --all-features --locked
fi

step "the cores do no I/O"
cargo check -p redstart-bgp -p redstart-rib --no-default-features --locked
graph=$(cargo tree -p redstart-rib -e normal --no-default-features --locked)
case $graph in
*tokio* | *netlink* | *socket2* | *kube*)
    echo "$graph" >&2
    die "redstart-rib without features must not depend on an I/O crate"
    ;;
esac

step "manifests"
# Before 1.21 kubectl took directories only under `bases`; the field is deprecated since.
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
cp -R manifests "$rendered"
if ! kubectl kustomize --help | grep -q load-restrictor; then
    (
        cd "$rendered/manifests/base"
        sed '/^  - \.\.\/crds$/d' kustomization.yaml >fresh
        printf 'bases:\n  - ../crds\n' >>fresh
        mv fresh kustomization.yaml
    )
fi
kubectl kustomize "$rendered/manifests/base" >"$rendered/all.yaml"
for kind in CustomResourceDefinition Namespace ServiceAccount ClusterRole DaemonSet; do
    grep -q "^kind: $kind\$" "$rendered/all.yaml" || die "manifests/base renders no $kind"
done

step "tests"
# Property tests take the same cases each time; explore.sh takes others.
export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-1}"
# The labs need root; as anybody else, cargo starts the test programs through sudo.
if [ "$(id -u)" -ne 0 ]; then
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${triple}_RUNNER=sudo -E"
fi
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --all-features --locked
else
    cargo test --workspace --all-features --locked --all-targets
fi
cargo test --workspace --all-features --locked --doc
