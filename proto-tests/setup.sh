# Sourced by lab.sh and test.sh: what a fresh Debian machine lacks, and the Rust toolchain.
# Does nothing, and needs no network, where everything is there already.

# The oldest Rust that builds the workspace: rust-version in Cargo.toml.
rust_minimum() {
    sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml
}

die() {
    echo "$0: $*" >&2
    exit 1
}

# Root does the installing and the labs; everything else runs as whoever calls.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root (or sudo) for: $*"
    fi
}

have() {
    # The tools of network administration are not in everybody's PATH.
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null
}

# Packages whose tools are missing, one per line.
missing_packages() {
    have ip || echo iproute2
    have ping || echo iputils-ping
    have nft || echo nftables
    have setpriv || echo util-linux
    have bird || echo bird2
    [ -x /usr/lib/frr/bgpd ] || echo frr
    [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || echo containernetworking-plugins
    have cc || echo build-essential
    # Cargo fetches crates over TLS; the smallest installations trust nobody.
    [ -s /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    [ "${1:-}" = tests ] || return 0
    have kubectl || echo kubernetes-client
    have gobgpd && have gobgp || echo gobgpd
    have exabgp || echo exabgp
    have bgpctl || echo openbgpd
    have prometheus-bird-exporter || echo prometheus-bird-exporter
    have promtool || echo prometheus
    have bgpdump || echo bgpdump
    have tcpdump || echo tcpdump
    have chromium || echo chromium
}

install_packages() {
    [ $# -gt 0 ] || return 0
    have apt-get || die "missing, and no apt-get here to install it: $*"
    echo "installing: $*" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    # Debian starts a routing daemon as soon as it is installed. The labs start their own.
    for service in bird frr gobgpd exabgp openbgpd prometheus-bird-exporter prometheus; do
        case " $* " in
        *" $service"*)
            if [ -d /run/systemd/system ]; then
                as_root systemctl disable --now "$service" 2>/dev/null || true
            fi
            ;;
        esac
    done
}

# True if cargo and rustc are there and not too old.
rust_is_enough() {
    have cargo && have rustc || return 1
    version=$(rustc --version 2>/dev/null | sed 's/^rustc \([0-9.]*\).*/\1/')
    [ -n "$version" ] || return 1
    oldest=$(printf '%s\n%s\n' "$version" "$(rust_minimum)" | sort -V | head -n 1)
    [ "$oldest" = "$(rust_minimum)" ]
}

# The version that apt would install of a package, if any.
apt_candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9][^ ]*\).*/\1/p'
}

at_least() {
    [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

install_rust() {
    # rustup puts its toolchains here; a fresh shell may not know yet.
    PATH="$PATH:$HOME/.cargo/bin"
    rust_is_enough && return 0
    if ! have rustup; then
        as_root apt-get update -qq
        if [ -n "$(apt_candidate rustup)" ] && ! have cargo; then
            install_packages rustup
        else
            for suffix in "" -web; do
                if at_least "$(apt_candidate "rustc$suffix")" "$(rust_minimum)"; then
                    install_packages "rustc$suffix" "cargo$suffix"
                    # Formatting and lints are the tests' business; not every release has both.
                    for tool in "rustfmt$suffix" "rust-clippy$suffix"; do
                        if at_least "$(apt_candidate "$tool")" "$(rust_minimum)"; then
                            install_packages "$tool"
                        fi
                    done
                    break
                fi
            done
        fi
    fi
    if have rustup; then
        channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
        rustup toolchain install "$channel" --profile minimal -c clippy -c rustfmt
    fi
    hash -r
    rust_is_enough ||
        die "no Rust $(rust_minimum) or newer here, and Debian has none for this release:" \
            "install it by rustup (https://rustup.rs), then start again"
}

set_up() {
    # One package per word is the point of leaving it unquoted.
    # shellcheck disable=SC2046
    install_packages $(missing_packages "${1:-}")
    install_rust
    PATH="$PATH:/usr/sbin:/sbin"
    export PATH
}
