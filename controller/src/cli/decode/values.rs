//! Parts of messages as text.

use std::net::Ipv4Addr;

use redstart_bgp::{
    types::{NextHop, PathAttributes},
    wire::Update,
};

/// Octets in hex.
pub(super) fn hex(octets: &[u8]) -> String {
    const SHOWN: usize = 32;
    let shown = &octets[..octets.len().min(SHOWN)];
    let text: String = shown.iter().map(|octet| format!("{octet:02x}")).collect();
    if shown.len() < octets.len() {
        return format!("{text}… ({} octets)", octets.len());
    }
    text
}

/// A number of at most four octets.
pub(super) fn number(octets: &[u8]) -> String {
    let number = octets
        .iter()
        .fold(0_u64, |n, octet| n << 8 | u64::from(*octet));
    number.to_string()
}

pub(super) fn address(octets: &[u8]) -> String {
    match octets.first_chunk::<4>() {
        Some(address) => Ipv4Addr::from(*address).to_string(),
        None => hex(octets),
    }
}

/// IPv4 routes without path identifiers.
pub(super) fn routes(octets: &[u8]) -> String {
    let mut rest = octets;
    let mut routes = Vec::new();
    while let Some((length, after)) = rest.split_first() {
        let needed = usize::from(length.div_ceil(8));
        let (true, Some(prefix)) = (*length <= 32, after.get(..needed)) else {
            return hex(octets);
        };
        let mut address = [0; 4];
        address[..needed].copy_from_slice(prefix);
        routes.push(format!("{}/{length}", Ipv4Addr::from(address)));
        rest = &after[needed..];
    }
    routes.join(", ")
}

pub(super) fn message_type(octets: &[u8]) -> &'static str {
    match octets.first() {
        Some(1) => "OPEN",
        Some(2) => "UPDATE",
        Some(3) => "NOTIFICATION",
        Some(4) => "KEEPALIVE",
        Some(5) => "ROUTE-REFRESH",
        _ => "unknown",
    }
}

/// The IANA registry's names of the capabilities that are met in practice.
pub(super) fn capability(code: usize, value: &str) -> String {
    let name = match code {
        1 => "multiprotocol",
        2 => "route-refresh",
        5 => "extended-next-hop",
        6 => "extended-message",
        9 => "role",
        64 => "graceful-restart",
        65 => "4-octet-as",
        69 => "add-path",
        70 => "enhanced-route-refresh",
        71 => "long-lived-graceful-restart",
        73 => "fqdn",
        _ => return value.to_owned(),
    };
    format!("{name} {value}").trim_end().to_owned()
}

pub(super) fn attribute_name(code: usize) -> String {
    let name = match code {
        1 => "ORIGIN",
        2 => "AS_PATH",
        3 => "NEXT_HOP",
        4 => "MULTI_EXIT_DISC",
        5 => "LOCAL_PREF",
        6 => "ATOMIC_AGGREGATE",
        7 => "AGGREGATOR",
        8 => "COMMUNITIES",
        9 => "ORIGINATOR_ID",
        10 => "CLUSTER_LIST",
        14 => "MP_REACH_NLRI",
        15 => "MP_UNREACH_NLRI",
        16 => "EXTENDED COMMUNITIES",
        17 => "AS4_PATH",
        18 => "AS4_AGGREGATOR",
        26 => "AIGP",
        32 => "LARGE_COMMUNITY",
        35 => "OTC",
        _ => return format!("attribute {code}"),
    };
    name.to_owned()
}

/// What the codec made of an attribute; octets where it made nothing of it.
pub(super) fn attribute(code: usize, value: &[u8], update: Option<&Update>) -> String {
    let reach = update.and_then(|update| update.reach.first());
    let attrs = reach.map(|reach| &*reach.attrs);
    let list = |texts: Vec<String>| (!texts.is_empty()).then(|| texts.join(" "));
    let said = match code {
        14 => update.and_then(multiprotocol_reach),
        15 => update.and_then(multiprotocol_unreach),
        _ => attrs.and_then(|attrs: &PathAttributes| match code {
            1 => Some(attrs.origin.to_string()),
            2 => Some(attrs.as_path.to_string()),
            3 => Some(address(value)),
            4 => attrs.med.map(|med| med.to_string()),
            5 => attrs.local_pref.map(|local_pref| local_pref.to_string()),
            8 => list(texts(&attrs.communities)),
            9 => attrs.originator_id.map(|id| id.to_string()),
            16 => list(texts(&attrs.extended_communities)),
            32 => list(texts(&attrs.large_communities)),
            35 => attrs.otc.map(|asn| asn.0.to_string()),
            _ => None,
        }),
    };
    said.unwrap_or_else(|| hex(value))
}

fn texts<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// The routes of MP_REACH_NLRI, which come after the classic ones.
fn multiprotocol_reach(update: &Update) -> Option<String> {
    let reach = update.reach.last()?;
    let via = reach
        .attrs
        .next_hop
        .map(|hop| NextHop::addr(hop).to_string())?;
    let routes: Vec<_> = reach
        .nlri
        .iter()
        .map(|nlri| nlri.prefix.to_string())
        .collect();
    Some(format!("{} via {via}", routes.join(", ")))
}

fn multiprotocol_unreach(update: &Update) -> Option<String> {
    if let Some(family) = update.end_of_rib {
        return Some(format!("End-of-RIB {family}"));
    }
    let routes = update.unreach.last()?;
    let routes: Vec<_> = routes.iter().map(|nlri| nlri.prefix.to_string()).collect();
    Some(routes.join(", "))
}
