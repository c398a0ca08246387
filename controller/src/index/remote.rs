//! Where the router of a `BGPPeer` is, parsed: exactly one of an address, a range of addresses, an
//! interface and the default gateway.

use std::net::{IpAddr, SocketAddr};

use redstart_bgp::types::Prefix;

use super::{
    observed::Findings,
    values::{self, range, usable_unicast},
};
use crate::{
    api::{BGPPeerSpec, ListenRangeSpec},
    compile::Remote,
    diagnostic::Reason,
};

/// The longest name that Linux gives an interface (`IFNAMSIZ` with its NUL).
const INTERFACE_NAME: usize = 15;

pub(super) fn parse(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<Remote> {
    let gateway = spec.default_gateway;
    match (&spec.address, &spec.listen_range, &spec.interface, gateway) {
        (Some(text), None, None, None) => {
            let address = address("spec.address", text, findings)?;
            Some(Remote::Address(SocketAddr::new(address, spec.port)))
        }
        (None, Some(wanted), None, None) => listen_range(wanted, findings),
        (None, None, Some(name), None) => Some(Remote::Interface {
            name: interface("spec.interface", name, findings)?,
            port: spec.port,
        }),
        (None, None, None, Some(family)) => Some(Remote::DefaultGateway {
            family: values::family(family),
            port: spec.port,
        }),
        (None, None, None, None) => {
            let message = "one of address, listenRange, interface and defaultGateway must be there";
            findings.error("spec.address", Reason::MissingField, message);
            None
        }
        _ => {
            let message = "address, listenRange, interface and defaultGateway exclude each other";
            findings.error("spec", Reason::Conflict, message);
            None
        }
    }
}

fn listen_range(wanted: &ListenRangeSpec, findings: &mut Findings) -> Option<Remote> {
    range(
        "spec.listenRange.limit",
        &wanted.limit,
        1..=10_000,
        findings,
    );
    let text = &wanted.cidr;
    let prefix = text
        .parse::<Prefix>()
        .map_err(|_| format!("{text:?} is not a CIDR"));
    Some(Remote::Range {
        prefix: findings.take("spec.listenRange.cidr", Reason::InvalidCidr, prefix)?,
        limit: wanted.limit,
    })
}

/// An address that a session can run over.
pub(super) fn address(field: &str, text: &str, findings: &mut Findings) -> Option<IpAddr> {
    let address = text
        .parse()
        .map_err(|_| format!("{text:?} is not an IP address"))
        .and_then(usable_unicast);
    findings.take(field, Reason::InvalidAddress, address)
}

/// Our address must be one that a session with the router can run over.
pub(super) fn check_source(remote: &Remote, source: IpAddr, findings: &mut Findings) {
    let field = "spec.sourceAddress";
    match remote {
        Remote::Address(remote) if remote.is_ipv4() != source.is_ipv4() => {
            let message = format!("{source} and {} are not of the same family", remote.ip());
            findings.error(field, Reason::NoCommonFamily, message);
        }
        Remote::Address(_) => {}
        Remote::Range { .. } | Remote::Interface { .. } | Remote::DefaultGateway { .. } => {
            let message = "sourceAddress needs an address";
            findings.error(field, Reason::Conflict, message);
        }
    }
}

/// The link that sessions are bound to.
pub(super) fn bind_interface(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<String> {
    let name = spec.bind_interface.as_ref()?;
    if spec.interface.is_some() {
        let message = "a session over an interface is bound to that one";
        findings.error("spec.bindInterface", Reason::Conflict, message);
    }
    interface("spec.bindInterface", name, findings)
}

fn interface(field: &str, name: &str, findings: &mut Findings) -> Option<String> {
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace();
    let usable = (1..=INTERFACE_NAME).contains(&name.len())
        && !name.contains(odd)
        && !matches!(name, "." | "..");
    let checked = usable
        .then(|| name.to_owned())
        .ok_or_else(|| format!("{name:?} is not the name of a network interface"));
    findings.take(field, Reason::InvalidValue, checked)
}
