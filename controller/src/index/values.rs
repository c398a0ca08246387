//! Values that several kinds have in common, checked once.

use std::net::IpAddr;

use redstart_bgp::types::{Asn, Family, FamilySet};

use super::observed::Findings;
use crate::{
    api::{AddressFamily, GracefulRestartSpec, LabelSelector, SecretKeyRef, TimersSpec},
    diagnostic::Reason,
};

/// An AS number that a speaker may have. Besides zero (RFC 7607) and `AS_TRANS` (RFC 6793), the last
/// ones of both ranges are reserved (RFC 7300).
pub(super) fn usable_asn(asn: Asn) -> Result<Asn, String> {
    if asn.is_reserved() {
        Err(format!("AS number {asn} is reserved"))
    } else {
        Ok(asn)
    }
}

/// An address that a session can run over and a route can point at.
pub(crate) fn usable_unicast(address: IpAddr) -> Result<IpAddr, String> {
    let link_local = match address {
        IpAddr::V4(a) => a.is_broadcast(),
        IpAddr::V6(a) => a.is_unicast_link_local() || a.to_ipv4_mapped().is_some(),
    };
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || link_local {
        Err(format!("{address} cannot be the address of a BGP speaker"))
    } else {
        Ok(address)
    }
}

/// The selector, if it can be evaluated.
pub(super) fn selector(field: &str, selector: &LabelSelector, findings: &mut Findings) {
    if let Some((path, why)) = selector.problem() {
        findings.error(format!("{field}.{path}"), Reason::InvalidSelector, why);
    }
}

/// Timers that are set, within what RFC 4271 allows.
pub(super) fn timers(field: &str, timers: &TimersSpec, findings: &mut Findings) {
    if let Some(seconds @ 1..=2) = timers.hold_time_seconds {
        // RFC 4271 section 4.2: "The Hold Time MUST be either zero or at least three seconds."
        findings.error(
            format!("{field}.holdTimeSeconds"),
            Reason::InvalidHoldTime,
            format!("{seconds} is not allowed: 0 or at least 3 (RFC 4271)"),
        );
    }
    if let Some(seconds) = timers.send_hold_seconds {
        let field = format!("{field}.sendHoldSeconds");
        range(&field, &seconds, 3..=u16::MAX, findings);
    }
    if timers.connect_retry_seconds == Some(0) {
        findings.error(
            format!("{field}.connectRetrySeconds"),
            Reason::InvalidValue,
            "must be at least 1",
        );
    }
}

/// The longest time that the Long-Lived Graceful Restart capability can say: 24 bits (RFC 9494 section
/// 3.1).
const LONGEST_STALE_TIME: u32 = (1 << 24) - 1;

/// Times that the capabilities can say.
pub(super) fn graceful_restart(restart: &GracefulRestartSpec, findings: &mut Findings) {
    if let Some(seconds) = restart.restart_time_seconds {
        let field = "spec.gracefulRestart.restartTimeSeconds";
        range(field, &seconds, 1..=4095, findings);
    }
    if let Some(seconds) = restart.long_lived_stale_seconds {
        let field = "spec.gracefulRestart.longLivedStaleSeconds";
        range(field, &seconds, 0..=LONGEST_STALE_TIME, findings);
    }
}

/// The families, if any are named.
pub(super) fn families(families: &[AddressFamily]) -> Option<FamilySet> {
    let set: FamilySet = families.iter().copied().map(family).collect();
    (!set.is_empty()).then_some(set)
}

/// The family that is named.
pub(super) const fn family(family: AddressFamily) -> Family {
    match family {
        AddressFamily::IPv4 => Family::Ipv4Unicast,
        AddressFamily::IPv6 => Family::Ipv6Unicast,
    }
}

/// A number within its bounds.
pub(super) fn range<T: PartialOrd + std::fmt::Display>(
    field: &str,
    value: &T,
    allowed: std::ops::RangeInclusive<T>,
    findings: &mut Findings,
) {
    if !allowed.contains(value) {
        let (min, max) = allowed.into_inner();
        let message = format!("{value} is not within {min}..{max}");
        findings.error(field, Reason::InvalidValue, message);
    }
}

/// A reference that can be followed.
pub(super) fn secret_ref(field: &str, secret: Option<&SecretKeyRef>, findings: &mut Findings) {
    if let Some(secret) = secret
        && (secret.name.is_empty() || secret.key.is_empty())
    {
        let message = "name and key must not be empty";
        findings.error(field, Reason::InvalidValue, message);
    }
}
