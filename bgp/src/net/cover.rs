//! Which prefixes make up a range without some of its parts. Pure.
//!
//! Linux finds a TCP MD5 key by the longest prefix that has one, and knows no entry that says "no
//! key". So the key of a range would bind everybody in it, also a neighbour, or a narrower range, that
//! is configured without one. The key is set for what is left of the range instead.

use crate::types::Prefix;

/// The fewest prefixes that together have the addresses of `range` that no prefix of `except` has.
pub(super) fn cover(range: Prefix, except: &[Prefix]) -> Vec<Prefix> {
    if except.iter().any(|e| e.covers(range)) {
        return Vec::new();
    }
    if !except.iter().any(|e| range.covers(*e)) {
        return vec![range];
    }
    halves(range)
        .into_iter()
        .flat_map(|half| cover(half, except))
        .collect()
}

/// The two halves; none of an address alone.
fn halves(prefix: Prefix) -> Vec<Prefix> {
    let len = prefix.len() + 1;
    let upper = match prefix {
        Prefix::V4(p) => 32_u32
            .checked_sub(len.into())
            .map(|bit| std::net::Ipv4Addr::from_bits(p.addr().to_bits() | 1 << bit).into()),
        Prefix::V6(p) => 128_u32
            .checked_sub(len.into())
            .map(|bit| std::net::Ipv6Addr::from_bits(p.addr().to_bits() | 1 << bit).into()),
    };
    [Some(prefix.addr()), upper]
        .into_iter()
        .filter_map(|addr| Prefix::new(addr?, len))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn text(range: &str, except: &[&str]) -> Vec<String> {
        let except: Vec<Prefix> = except.iter().map(|e| e.parse().unwrap()).collect();
        let prefixes = cover(range.parse().unwrap(), &except);
        prefixes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_range_without_some_of_its_parts() {
        assert_eq!(text("10.0.0.0/24", &[]), ["10.0.0.0/24"]);
        assert_eq!(text("10.0.0.0/24", &["10.0.1.0/24"]), ["10.0.0.0/24"]);
        assert_eq!(
            text("10.0.0.0/29", &["10.0.0.5/32", "10.0.0.0/30"]),
            ["10.0.0.4/32", "10.0.0.6/31"]
        );
        assert_eq!(text("10.0.0.0/24", &["10.0.0.0/8"]), [""; 0]);
        assert_eq!(text("10.0.0.1/32", &["10.0.0.1/32"]), [""; 0]);
        assert_eq!(text("fd00::/64", &["fd00::1/128"]).len(), 64);
        assert_eq!(text("0.0.0.0/0", &["128.0.0.0/1"]), ["0.0.0.0/1"]);
    }

    proptest! {
        #[test]
        fn an_address_is_in_one_of_them_unless_it_is_excepted(
            address in any::<u32>(),
            except in proptest::collection::vec((any::<u32>(), 1..=32_u8), 0..6),
        ) {
            let host = IpAddr::from(address.to_be_bytes());
            let range = Prefix::new(IpAddr::from([0; 4]), 0).unwrap();
            let except: Vec<Prefix> = except
                .into_iter()
                .map(|(a, len)| Prefix::new(IpAddr::from(a.to_be_bytes()), len).unwrap())
                .collect();
            let holders = cover(range, &except).iter().filter(|p| p.contains(host)).count();
            let excepted = except.iter().any(|e| e.contains(host));
            prop_assert_eq!(holders, usize::from(!excepted));
        }
    }
}
