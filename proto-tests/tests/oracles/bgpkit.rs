//! bgpkit-parser: made for MRT archives, lenient, and the widest in what it knows.

use bgpkit_parser::{
    models::{
        AsPath, AsPathSegment, Asn, AsnLength, Attribute, AttributeValue, BgpMessage,
        BgpOpenMessage, Capability, CapabilityValue, Community, NetworkPrefix, NextHopAddress,
        Nlri, ParamValue,
    },
    parser::bgp::parse_bgp_message,
};
use bytes::Bytes;

use super::{Context, Facts, fqdn, hex, segment};

pub(crate) fn read(context: &Context, message: &[u8], facts: &mut Facts) -> Result<(), String> {
    let width = if context.codec.four_octet_as {
        AsnLength::Bits32
    } else {
        AsnLength::Bits16
    };
    let mut octets = Bytes::copy_from_slice(message);
    let parsed = parse_bgp_message(&mut octets, context.add_path(), &width)
        .map_err(|error| error.to_string())?;
    match parsed {
        BgpMessage::Open(open) => read_open(&open, facts),
        BgpMessage::KeepAlive => facts.say("keepalive"),
        BgpMessage::Notification(n) => {
            let (code, subcode) = n.error.get_codes();
            facts.say(format!("notification {code}/{subcode} {}", hex(&n.data)));
        }
        BgpMessage::RouteRefresh(r) => {
            facts.say(format!("refresh {}/{} {}", r.afi, r.safi, r.subtype));
        }
        BgpMessage::Update(update) => {
            if update.is_end_of_rib() {
                facts.say("update");
            }
            prefixes("announced", &update.announced_prefixes, facts);
            prefixes("withdrawn", &update.withdrawn_prefixes, facts);
            for attribute in update.attributes.into_attributes_iter() {
                read_attribute(&attribute, facts)?;
            }
        }
    }
    Ok(())
}

fn prefixes(what: &str, list: &[NetworkPrefix], facts: &mut Facts) {
    for item in list {
        let prefix = item.prefix.trunc();
        facts.say(format!("{what} {prefix} {}", item.path_id.unwrap_or(0)));
    }
}

fn path(path: &AsPath) -> String {
    let segments = path.segments.iter().map(|s| {
        let (kind, asns) = match s {
            AsPathSegment::AsSet(asns) => (1, asns),
            AsPathSegment::AsSequence(asns) => (2, asns),
            AsPathSegment::ConfedSequence(asns) => (3, asns),
            AsPathSegment::ConfedSet(asns) => (4, asns),
        };
        segment(kind, &asns.iter().map(Asn::to_u32).collect::<Vec<_>>())
    });
    segments.collect::<Vec<_>>().join(" ")
}

fn read_attribute(attribute: &Attribute, facts: &mut Facts) -> Result<(), String> {
    match &attribute.value {
        AttributeValue::Origin(origin) => facts.say(format!("origin {}", *origin as u8)),
        AttributeValue::AsPath(p) => facts.say(format!("as-path {}", path(p))),
        AttributeValue::As4Path(p) => facts.say(format!("as4-path {}", path(p))),
        AttributeValue::NextHop(addr) => facts.say(format!("next-hop {addr}")),
        AttributeValue::MultiExitDiscriminator(med) => facts.say(format!("med {med}")),
        AttributeValue::LocalPreference(value) => facts.say(format!("local-pref {value}")),
        AttributeValue::OnlyToCustomer(asn) => facts.say(format!("otc {}", asn.to_u32())),
        AttributeValue::Aigp(aigp) => {
            facts.say(format!("aigp {}", aigp.accumulated_metric().unwrap_or(0)));
        }
        AttributeValue::AtomicAggregate => facts.say("atomic-aggregate"),
        AttributeValue::Aggregator { asn, id } => {
            facts.say(format!("aggregator {} {id}", asn.to_u32()));
        }
        AttributeValue::As4Aggregator { asn, id } => {
            facts.say(format!("as4-aggregator {} {id}", asn.to_u32()));
        }
        AttributeValue::Communities(list) => {
            list.iter()
                .for_each(|c| facts.say(format!("community {:08x}", community(*c))));
        }
        // Typed by their meaning: written again to see the octets. One octet of length for up to 31.
        AttributeValue::ExtendedCommunities(_) => {
            let written = attribute
                .encode(AsnLength::Bits32)
                .map_err(|e| e.to_string())?;
            for octets in written.get(3..).unwrap_or_default().chunks(8) {
                facts.say(format!("extended-community {}", hex(octets)));
            }
        }
        AttributeValue::LargeCommunities(list) => {
            for c in list {
                let [a, b] = c.local_data;
                facts.say(format!("large-community {}:{a}:{b}", c.global_admin));
            }
        }
        AttributeValue::OriginatorId(id) => facts.say(format!("originator-id {id}")),
        AttributeValue::Clusters(list) => facts.say(format!("cluster-list {list:?}")),
        AttributeValue::MpReachNlri(nlri) => read_reach(nlri, facts),
        AttributeValue::MpUnreachNlri(nlri) => {
            prefixes("withdrawn", &nlri.prefixes, facts);
            facts.say(format!(
                "mp-unreach {}/{}",
                nlri.afi as u16, nlri.safi as u8
            ));
        }
        AttributeValue::Raw(raw) | AttributeValue::Unknown(raw) => {
            let flags = attribute.flag.bits() & !0x10;
            facts.say(format!(
                "attribute {flags:02x} {} {}",
                raw.code,
                hex(&raw.bytes)
            ));
        }
        other => return Err(format!("not expected: {other:?}")),
    }
    Ok(())
}

fn community(community: Community) -> u32 {
    match community {
        Community::NoExport => 0xffff_ff01,
        Community::NoAdvertise => 0xffff_ff02,
        Community::NoExportSubConfed => 0xffff_ff03,
        Community::Custom(asn, value) => asn.to_u32() << 16 | u32::from(value),
    }
}

fn read_reach(nlri: &Nlri, facts: &mut Facts) {
    prefixes("announced", &nlri.prefixes, facts);
    match nlri.next_hop {
        Some(NextHopAddress::Ipv4(addr)) => facts.say(format!("next-hop {addr}")),
        Some(NextHopAddress::Ipv6(addr)) => facts.say(format!("next-hop {addr}")),
        Some(NextHopAddress::Ipv6LinkLocal(global, local)) => {
            facts.say(format!("next-hop {global} {local}"));
        }
        other => facts.say(format!("next-hop {other:?}")),
    }
}

fn read_open(open: &BgpOpenMessage, facts: &mut Facts) {
    facts.say(format!("version {}", open.version));
    facts.say(format!("my-as {}", open.asn.to_u32()));
    facts.say(format!("hold-time {}", open.hold_time));
    facts.say(format!("identifier {}", open.bgp_identifier));
    for parameter in &open.opt_params {
        match &parameter.param_value {
            ParamValue::Capacities(list) => list.iter().for_each(|c| read_capability(c, facts)),
            ParamValue::Raw(raw) => facts.say(format!("parameter {}", hex(raw))),
        }
    }
}

fn read_capability(capability: &Capability, facts: &mut Facts) {
    match &capability.value {
        CapabilityValue::MultiprotocolExtensions(mp) => {
            facts.say(format!("multiprotocol {}/{}", mp.afi as u16, mp.safi as u8));
        }
        CapabilityValue::RouteRefresh(_) => facts.say("route-refresh"),
        CapabilityValue::BgpExtendedMessage(_) => facts.say("extended-message"),
        CapabilityValue::BgpRole(role) => facts.say(format!("role {}", role.role as u8)),
        CapabilityValue::FourOctetAs(asn) => facts.say(format!("four-octet-as {}", asn.asn)),
        CapabilityValue::ExtendedNextHop(list) => {
            for e in &list.entries {
                facts.say(format!(
                    "extended-next-hop {}/{} by {}",
                    e.nlri_afi as u16, e.nlri_safi as u8, e.nexthop_afi as u16
                ));
            }
        }
        CapabilityValue::GracefulRestart(gr) => {
            facts.say(format!("restart {} {}", gr.restart_state, gr.restart_time));
            for f in &gr.address_families {
                let kept = f.forwarding_state;
                facts.say(format!(
                    "restart-family {}/{} {kept}",
                    f.afi as u16, f.safi as u8
                ));
            }
        }
        CapabilityValue::AddPath(list) => {
            for f in &list.address_families {
                let mode = f.send_receive as u8;
                facts.say(format!("add-path {}/{} {mode}", f.afi as u16, f.safi as u8));
            }
        }
        CapabilityValue::Raw(raw) => {
            let code = u8::from(capability.ty);
            facts.say(match (code, fqdn(raw)) {
                (73, Some(fact)) => fact,
                (70, _) if raw.is_empty() => "enhanced-route-refresh".to_owned(),
                _ => format!("capability {code} {}", hex(raw)),
            });
        }
    }
}
