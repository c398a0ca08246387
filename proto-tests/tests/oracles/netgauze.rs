//! netgauze-bgp-pkt: strict in structure, typed to the last bit.

use std::collections::HashMap;

use bytes::BytesMut;
use netgauze_bgp_pkt::{
    BgpMessage,
    capabilities::BgpCapability,
    codec::BgpCodec,
    nlri::{Ipv4UnicastAddress, Ipv6UnicastAddress, NlriAddressType as _},
    open::BgpOpenMessage,
    path_attribute::{
        Aggregator, Aigp, As4PathSegment, AsPath, MpReach, MpUnreach, PathAttribute,
        PathAttributeValue,
    },
    wire::deserializer::BgpParsingContext,
};
use tokio_util::codec::Decoder as _;

use super::{Context, Facts, hex, segment};

pub(crate) fn read(context: &Context, message: &[u8], facts: &mut Facts) -> Result<(), String> {
    let wide = context.codec.four_octet_as;
    let mut add_path = HashMap::new();
    if context.add_path() {
        add_path.insert(Ipv4UnicastAddress::address_type(), true);
        add_path.insert(Ipv6UnicastAddress::address_type(), true);
    }
    let parsing = BgpParsingContext::new(wide, HashMap::new(), add_path, true, true, true, true);
    let mut codec = BgpCodec::new_from_ctx(wide, parsing);
    let decoded = codec.decode(&mut BytesMut::from(message));
    let (parsed, _) = decoded
        .map_err(|error| error.to_string())?
        .ok_or("incomplete")?;
    match parsed {
        BgpMessage::Open(open) => read_open(&open, facts),
        BgpMessage::KeepAlive => facts.say("keepalive"),
        // Typed by error, without numbers: the other two have those.
        BgpMessage::Notification(_) => {}
        BgpMessage::RouteRefresh(refresh) => {
            let kind = refresh.operation_type() as u8;
            facts.say(format!("refresh {} {kind}", family(refresh.address_type())));
        }
        BgpMessage::Update(update) => {
            if update.end_of_rib().is_some() {
                facts.say("update");
            }
            v4("announced", update.nlri(), facts);
            v4("withdrawn", update.withdraw_routes(), facts);
            for attribute in update.path_attributes() {
                read_attribute(attribute, facts)?;
            }
        }
    }
    Ok(())
}

fn family(address_type: impl core::fmt::Debug) -> String {
    match format!("{address_type:?}").as_str() {
        "Ipv4Unicast" => "1/1".to_owned(),
        "Ipv6Unicast" => "2/1".to_owned(),
        other => other.to_owned(),
    }
}

fn v4(what: &str, list: &[Ipv4UnicastAddress], facts: &mut Facts) {
    for item in list {
        facts.say(format!(
            "{what} {} {}",
            item.network(),
            item.path_id().unwrap_or(0)
        ));
    }
}

fn v6(what: &str, list: &[Ipv6UnicastAddress], facts: &mut Facts) {
    for item in list {
        facts.say(format!(
            "{what} {} {}",
            item.network(),
            item.path_id().unwrap_or(0)
        ));
    }
}

fn four_octet(segments: &[As4PathSegment]) -> String {
    let segments = segments
        .iter()
        .map(|s| segment(s.segment_type() as u8, s.as_numbers()));
    segments.collect::<Vec<_>>().join(" ")
}

fn path(path: &AsPath) -> String {
    match path {
        AsPath::As4PathSegments(segments) => four_octet(segments),
        AsPath::As2PathSegments(segments) => {
            let segments = segments.iter().map(|s| {
                let asns: Vec<u32> = s.as_numbers().iter().map(|asn| u32::from(*asn)).collect();
                segment(s.segment_type() as u8, &asns)
            });
            segments.collect::<Vec<_>>().join(" ")
        }
    }
}

fn read_attribute(attribute: &PathAttribute, facts: &mut Facts) -> Result<(), String> {
    match attribute.value() {
        PathAttributeValue::Origin(origin) => facts.say(format!("origin {}", *origin as u8)),
        PathAttributeValue::AsPath(p) => facts.say(format!("as-path {}", path(p))),
        PathAttributeValue::As4Path(p) => {
            facts.say(format!("as4-path {}", four_octet(p.segments())));
        }
        PathAttributeValue::NextHop(hop) => facts.say(format!("next-hop {}", hop.next_hop())),
        PathAttributeValue::MultiExitDiscriminator(med) => {
            facts.say(format!("med {}", med.metric()));
        }
        PathAttributeValue::LocalPreference(value) => {
            facts.say(format!("local-pref {}", value.metric()));
        }
        PathAttributeValue::AtomicAggregate(_) => facts.say("atomic-aggregate"),
        PathAttributeValue::Aggregator(Aggregator::As2Aggregator(a)) => {
            facts.say(format!("aggregator {} {}", a.asn(), a.origin()));
        }
        PathAttributeValue::Aggregator(Aggregator::As4Aggregator(a)) => {
            facts.say(format!("aggregator {} {}", a.asn(), a.origin()));
        }
        PathAttributeValue::Communities(list) => {
            for c in list.communities() {
                facts.say(format!("community {:08x}", c.value()));
            }
        }
        // Typed by their meaning, without octets: the other two have those.
        PathAttributeValue::ExtendedCommunities(_) => {}
        PathAttributeValue::LargeCommunities(list) => {
            for c in list.communities() {
                let (a, b, c) = (c.global_admin(), c.local_data1(), c.local_data2());
                facts.say(format!("large-community {a}:{b}:{c}"));
            }
        }
        PathAttributeValue::Originator(id) => facts.say(format!("originator-id {}", id.id())),
        PathAttributeValue::ClusterList(list) => {
            let ids: Vec<u32> = list
                .cluster_list()
                .iter()
                .map(|c| c.id().to_bits())
                .collect();
            facts.say(format!("cluster-list {ids:?}"));
        }
        PathAttributeValue::Aigp(Aigp::AccumulatedIgpMetric(metric)) => {
            facts.say(format!("aigp {metric}"));
        }
        PathAttributeValue::OnlyToCustomer(otc) => facts.say(format!("otc {}", otc.asn())),
        PathAttributeValue::MpReach(reach) => read_reach(reach, facts)?,
        PathAttributeValue::MpUnreach(unreach) => read_unreach(unreach, facts)?,
        PathAttributeValue::UnknownAttribute(raw) => {
            read_unknown(attribute, raw.code(), raw.value(), facts);
        }
        other => return Err(format!("not expected: {other:?}")),
    }
    Ok(())
}

fn read_unknown(attribute: &PathAttribute, code: u8, value: &[u8], facts: &mut Facts) {
    // It reads no AS4_AGGREGATOR.
    if let (18, &[a, b, c, d, ref addr @ ..]) = (code, value)
        && let Ok(addr) = <[u8; 4]>::try_from(addr)
    {
        let (asn, addr) = (
            u32::from_be_bytes([a, b, c, d]),
            std::net::Ipv4Addr::from(addr),
        );
        return facts.say(format!("as4-aggregator {asn} {addr}"));
    }
    let bit = |set, bit: u8| if set { bit } else { 0 };
    let flags = bit(attribute.optional(), 0x80)
        | bit(attribute.transitive(), 0x40)
        | bit(attribute.partial(), 0x20);
    facts.say(format!("attribute {flags:02x} {code} {}", hex(value)));
}

fn read_reach(reach: &MpReach, facts: &mut Facts) -> Result<(), String> {
    let (next_hop, local) = match reach {
        MpReach::Ipv4Unicast {
            next_hop,
            next_hop_local,
            nlri,
        } => {
            v4("announced", nlri, facts);
            (next_hop.to_string(), next_hop_local)
        }
        MpReach::Ipv6Unicast {
            next_hop_global,
            next_hop_local,
            nlri,
        } => {
            v6("announced", nlri, facts);
            (next_hop_global.to_string(), next_hop_local)
        }
        other => return Err(format!("not expected: {other:?}")),
    };
    match local {
        Some(local) => facts.say(format!("next-hop {next_hop} {local}")),
        None => facts.say(format!("next-hop {next_hop}")),
    }
    Ok(())
}

fn read_unreach(unreach: &MpUnreach, facts: &mut Facts) -> Result<(), String> {
    match unreach {
        MpUnreach::Ipv6Unicast { nlri } => {
            v6("withdrawn", nlri, facts);
            facts.say("mp-unreach 2/1");
            Ok(())
        }
        other => Err(format!("not expected: {other:?}")),
    }
}

fn read_open(open: &BgpOpenMessage, facts: &mut Facts) {
    facts.say(format!("version {}", open.version()));
    facts.say(format!("my-as {}", open.my_as()));
    facts.say(format!("hold-time {}", open.hold_time()));
    facts.say(format!("identifier {}", open.bgp_id()));
    for capability in open.capabilities() {
        read_capability(capability, facts);
    }
}

fn read_capability(capability: &BgpCapability, facts: &mut Facts) {
    match capability {
        BgpCapability::MultiProtocolExtensions(mp) => {
            facts.say(format!("multiprotocol {}", family(mp.address_type())));
        }
        BgpCapability::RouteRefresh => facts.say("route-refresh"),
        BgpCapability::EnhancedRouteRefresh => facts.say("enhanced-route-refresh"),
        BgpCapability::ExtendedMessage => facts.say("extended-message"),
        BgpCapability::FourOctetAs(asn) => facts.say(format!("four-octet-as {}", asn.asn4())),
        BgpCapability::BgpRole(role) => facts.say(format!("role {}", role.role() as u8)),
        BgpCapability::Fqdn(name) => {
            facts.say(format!("fqdn {} {}", name.hostname(), name.domain_name()));
        }
        BgpCapability::GracefulRestartCapability(gr) => {
            facts.say(format!("restart {} {}", gr.restart(), gr.time()));
            facts.say(format!(
                "restart-notification {}",
                gr.graceful_notification()
            ));
            for f in gr.address_families() {
                let family = family(f.address_type());
                facts.say(format!("restart-family {family} {}", f.forwarding_state()));
            }
        }
        BgpCapability::LongLivedGracefulRestart(llgr) => {
            for f in llgr.address_families() {
                let (family, kept) = (family(f.address_type()), f.forwarding_state());
                facts.say(format!("long-lived {family} {kept} {}", f.stale_time()));
            }
        }
        BgpCapability::AddPath(list) => {
            for f in list.address_families() {
                let mode = u8::from(f.receive()) | u8::from(f.send()) << 1;
                facts.say(format!("add-path {} {mode}", family(f.address_type())));
            }
        }
        BgpCapability::ExtendedNextHopEncoding(list) => {
            for e in list.encodings() {
                let by = e.next_hop_afi() as u16;
                facts.say(format!(
                    "extended-next-hop {} by {by}",
                    family(e.address_type())
                ));
            }
        }
        BgpCapability::Unrecognized(raw) => {
            facts.say(format!("capability {} {}", raw.code(), hex(raw.value())));
        }
        other => facts.say(format!("not expected: {other:?}")),
    }
}
