//! rustbgpd-wire: the codec of another speaker.

use bytes::Bytes;
use rustbgpd_wire::{
    Afi, AsPathSegment, Capability, Ipv4NlriEntry, Message, NlriEntry, OpenMessage, PathAttribute,
    RawAttribute, Safi, decode_message,
};

use super::{Context, Facts, fqdn, hex, segment};

const FAMILIES: [(Afi, Safi); 2] = [(Afi::Ipv4, Safi::Unicast), (Afi::Ipv6, Safi::Unicast)];

/// The families with path identifiers.
pub(crate) fn add_path_families(context: &Context) -> &'static [(Afi, Safi)] {
    if context.add_path() { &FAMILIES } else { &[] }
}

pub(crate) fn read(context: &Context, message: &[u8], facts: &mut Facts) -> Result<(), String> {
    let mut octets = Bytes::copy_from_slice(message);
    let parsed = decode_message(&mut octets, 4096).map_err(|error| error.to_string())?;
    match parsed {
        Message::Open(open) => read_open(&open, facts),
        Message::Keepalive => facts.say("keepalive"),
        Message::Notification(n) => {
            let code = n.code.as_u8();
            facts.say(format!(
                "notification {code}/{} {}",
                n.subcode,
                hex(&n.data)
            ));
        }
        Message::RouteRefresh(r) => {
            facts.say(format!(
                "refresh {}/{} {}",
                r.afi_raw, r.safi_raw, r.subtype_raw
            ));
        }
        Message::Update(update) => {
            let no_routes = update.nlri.is_empty() && update.withdrawn_routes.is_empty();
            // It has no word for End-of-RIB: nothing, or an MP_UNREACH_NLRI with a family alone.
            if no_routes && matches!(update.path_attributes.len(), 0 | 6) {
                facts.say("update");
            }
            let parsed = update
                .parse(
                    context.codec.four_octet_as,
                    context.add_path(),
                    add_path_families(context),
                )
                .map_err(|error| error.to_string())?;
            v4("announced", &parsed.announced, facts);
            v4("withdrawn", &parsed.withdrawn, facts);
            for attribute in &parsed.attributes {
                read_attribute(attribute, facts)?;
            }
        }
        other => return Err(format!("not expected: {other:?}")),
    }
    Ok(())
}

fn v4(what: &str, list: &[Ipv4NlriEntry], facts: &mut Facts) {
    for item in list {
        facts.say(format!(
            "{what} {}/{} {}",
            item.prefix.addr, item.prefix.len, item.path_id
        ));
    }
}

fn entries(what: &str, list: &[NlriEntry], facts: &mut Facts) {
    for item in list {
        facts.say(format!("{what} {} {}", item.prefix, item.path_id));
    }
}

fn read_attribute(attribute: &PathAttribute, facts: &mut Facts) -> Result<(), String> {
    match attribute {
        PathAttribute::Origin(origin) => facts.say(format!("origin {}", *origin as u8)),
        PathAttribute::AsPath(path) => {
            let segments = path.segments.iter().map(|s| match s {
                AsPathSegment::AsSet(asns) => segment(1, asns),
                AsPathSegment::AsSequence(asns) => segment(2, asns),
            });
            facts.say(format!(
                "as-path {}",
                segments.collect::<Vec<_>>().join(" ")
            ));
        }
        PathAttribute::Aggregator(a) => {
            facts.say(format!("aggregator {} {}", a.asn, a.router_id));
        }
        PathAttribute::AtomicAggregate => facts.say("atomic-aggregate"),
        PathAttribute::NextHop(addr) => facts.say(format!("next-hop {addr}")),
        PathAttribute::LocalPref(value) => facts.say(format!("local-pref {value}")),
        PathAttribute::Med(med) => facts.say(format!("med {med}")),
        PathAttribute::Communities(list) => {
            list.iter()
                .for_each(|c| facts.say(format!("community {c:08x}")));
        }
        PathAttribute::ExtendedCommunities(list) => {
            for c in list {
                facts.say(format!("extended-community {:016x}", c.as_u64()));
            }
        }
        PathAttribute::LargeCommunities(list) => {
            list.iter()
                .for_each(|c| facts.say(format!("large-community {c}")));
        }
        PathAttribute::OriginatorId(id) => facts.say(format!("originator-id {id}")),
        PathAttribute::ClusterList(list) => {
            let ids: Vec<u32> = list.iter().map(|id| id.to_bits()).collect();
            facts.say(format!("cluster-list {ids:?}"));
        }
        PathAttribute::MpReachNlri(mp) => {
            entries("announced", &mp.announced, facts);
            match mp.link_local_next_hop {
                Some(local) => facts.say(format!("next-hop {} {local}", mp.next_hop)),
                None => facts.say(format!("next-hop {}", mp.next_hop)),
            }
        }
        PathAttribute::MpUnreachNlri(mp) => {
            entries("withdrawn", &mp.withdrawn, facts);
            facts.say(format!("mp-unreach {}/{}", mp.afi as u16, mp.safi as u8));
        }
        PathAttribute::OnlyToCustomer(asn) => facts.say(format!("otc {asn}")),
        PathAttribute::Unknown(raw) => match raw.data.split_first_chunk() {
            // It keeps AIGP as it came: the one TLV, with a length of 11 and a metric.
            Some(([1, 0, 11], metric)) if (raw.flags, raw.type_code) == (0x80, 26) => {
                let metric = metric.try_into().map_err(|_| hex(&raw.data))?;
                facts.say(format!("aigp {}", u64::from_be_bytes(metric)));
            }
            _ => read_unknown(raw, facts),
        },
        other => return Err(format!("not expected: {other:?}")),
    }
    Ok(())
}

fn read_unknown(raw: &RawAttribute, facts: &mut Facts) {
    let (flags, code) = (raw.flags & !0x10, raw.type_code);
    facts.say(format!("attribute {flags:02x} {code} {}", hex(&raw.data)));
}

fn read_open(open: &OpenMessage, facts: &mut Facts) {
    facts.say(format!("version {}", open.version));
    facts.say(format!("my-as {}", open.my_as));
    facts.say(format!("hold-time {}", open.hold_time));
    facts.say(format!("identifier {}", open.bgp_identifier));
    for capability in &open.capabilities {
        read_capability(capability, facts);
    }
}

fn read_capability(capability: &Capability, facts: &mut Facts) {
    match capability {
        Capability::MultiProtocol { afi, safi } => {
            facts.say(format!("multiprotocol {}/{}", *afi as u16, *safi as u8));
        }
        Capability::RouteRefresh => facts.say("route-refresh"),
        Capability::EnhancedRouteRefresh => facts.say("enhanced-route-refresh"),
        Capability::ExtendedMessage => facts.say("extended-message"),
        Capability::FourOctetAs { asn } => facts.say(format!("four-octet-as {asn}")),
        Capability::Role { role } => facts.say(format!("role {}", role.to_u8())),
        Capability::ExtendedNextHop(list) => {
            for e in list {
                facts.say(format!(
                    "extended-next-hop {}/{} by {}",
                    e.nlri_afi as u16, e.nlri_safi as u8, e.next_hop_afi as u16
                ));
            }
        }
        Capability::GracefulRestart {
            restart_state,
            notification,
            restart_time,
            families,
        } => {
            facts.say(format!("restart {restart_state} {restart_time}"));
            facts.say(format!("restart-notification {notification}"));
            for f in families {
                let kept = f.forwarding_preserved;
                facts.say(format!(
                    "restart-family {}/{} {kept}",
                    f.afi as u16, f.safi as u8
                ));
            }
        }
        Capability::LongLivedGracefulRestart(list) => {
            for f in list {
                let (kept, time) = (f.forwarding_preserved, f.stale_time);
                facts.say(format!(
                    "long-lived {}/{} {kept} {time}",
                    f.afi as u16, f.safi as u8
                ));
            }
        }
        Capability::AddPath(list) => {
            for f in list {
                let mode = f.send_receive as u8;
                facts.say(format!("add-path {}/{} {mode}", f.afi as u16, f.safi as u8));
            }
        }
        Capability::Unknown { code, data } => facts.say(match (code, fqdn(data)) {
            (73, Some(fact)) => fact,
            _ => format!("capability {code} {}", hex(data)),
        }),
        other => facts.say(format!("not expected: {other:?}")),
    }
}
