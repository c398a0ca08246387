//! The facts that were asked for.

use redstart_bgp::{
    types::{Aigp, AsPath, Asn, Family, NextHop, NlriSet, PathAttributes},
    wire::{AddPathMode, Capability, Message, Open, RefreshKind},
};

use super::{Context, Facts, hex, segment};

pub(crate) fn reach(context: &Context, attrs: &PathAttributes, nlri: &NlriSet) -> Facts {
    let mut facts = Facts::default();
    for item in nlri.iter() {
        facts.say(format!("announced {} {}", item.prefix, item.path_id.0));
    }
    facts.say(match attrs.next_hop {
        Some(NextHop::V6LinkLocal { global, link_local }) if global != link_local => {
            format!("next-hop {global} {link_local}")
        }
        Some(next_hop) => format!("next-hop {}", next_hop.addr()),
        None => "next-hop none".to_owned(),
    });
    facts.say(format!("origin {}", attrs.origin as u8));
    paths(context, attrs, &mut facts);
    if let Some(med) = attrs.med {
        facts.say(format!("med {med}"));
    }
    if attrs.atomic_aggregate {
        facts.say("atomic-aggregate");
    }
    if !context.codec.ebgp {
        internal(attrs, &mut facts);
    }
    for community in &attrs.communities {
        facts.say(format!("community {:08x}", community.0));
    }
    for community in &attrs.extended_communities {
        facts.say(format!("extended-community {}", hex(&community.0)));
    }
    for community in &attrs.large_communities {
        facts.say(format!("large-community {community}"));
    }
    if let Some(metric) = attrs.aigp.as_ref().and_then(Aigp::metric) {
        facts.say(format!("aigp {metric}"));
    }
    if let Some(asn) = attrs.otc {
        facts.say(format!("otc {asn}"));
    }
    for unknown in &attrs.unknown {
        facts.say(format!(
            "attribute {:02x} {} {}",
            unknown.flags,
            unknown.code,
            hex(&unknown.value)
        ));
    }
    facts
}

/// What stays within the AS.
fn internal(attrs: &PathAttributes, facts: &mut Facts) {
    if let Some(local_pref) = attrs.local_pref {
        facts.say(format!("local-pref {local_pref}"));
    }
    if let Some(id) = attrs.originator_id {
        facts.say(format!("originator-id {}", id.0));
    }
    if !attrs.cluster_list.is_empty() {
        facts.say(format!("cluster-list {:?}", attrs.cluster_list));
    }
}

/// AS_PATH and AGGREGATOR, with AS_TRANS and the AS4 attributes on a two-octet session.
fn paths(context: &Context, attrs: &PathAttributes, facts: &mut Facts) {
    let wide = context.codec.four_octet_as;
    let narrow = |asn: Asn| {
        if wide {
            asn.0
        } else {
            asn.to_two_octet().into()
        }
    };
    facts.say(format!("as-path {}", path(&attrs.as_path, narrow)));
    if !wide && attrs.as_path.iter().any(|asn| asn.0 > 65535) {
        facts.say(format!("as4-path {}", path(&attrs.as_path, |asn| asn.0)));
    }
    if let Some(aggregator) = attrs.aggregator {
        let asn = narrow(aggregator.asn);
        facts.say(format!("aggregator {asn} {}", aggregator.addr));
        if asn != aggregator.asn.0 {
            facts.say(format!(
                "as4-aggregator {} {}",
                aggregator.asn, aggregator.addr
            ));
        }
    }
}

fn path(path: &AsPath, number: impl Fn(Asn) -> u32) -> String {
    let parts = path.segments.iter().flat_map(|s| {
        let asns: Vec<u32> = s.asns.iter().map(|asn| number(*asn)).collect();
        let kind = s.kind as u8;
        asns.chunks(255)
            .map(|part| segment(kind, part))
            .collect::<Vec<_>>()
    });
    parts.collect::<Vec<_>>().join(" ")
}

pub(crate) fn unreach(nlri: &NlriSet) -> Facts {
    let mut facts = Facts::default();
    for item in nlri.iter() {
        facts.say(format!("withdrawn {} {}", item.prefix, item.path_id.0));
    }
    if nlri.family() == Family::Ipv6Unicast {
        facts.say("mp-unreach 2/1");
    }
    facts
}

pub(crate) fn end_of_rib(family: Family) -> Facts {
    let mut facts = Facts::default();
    if family == Family::Ipv6Unicast {
        facts.say("mp-unreach 2/1");
    }
    facts.say("update");
    facts
}

pub(crate) fn open(open: &Open) -> Facts {
    let mut facts = Facts::default();
    facts.say(format!("version {}", open.version));
    facts.say(format!("my-as {}", open.asn.to_two_octet()));
    facts.say(format!("hold-time {}", open.hold_time));
    facts.say(format!("identifier {}", open.router_id.0));
    for capability in &open.capabilities {
        said(capability, &mut facts);
    }
    facts
}

fn said(capability: &Capability, facts: &mut Facts) {
    match capability {
        Capability::Multiprotocol { afi, safi } => facts.say(format!("multiprotocol {afi}/{safi}")),
        Capability::RouteRefresh => facts.say("route-refresh"),
        Capability::ExtendedNextHop(list) => {
            for (afi, safi, by) in list {
                facts.say(format!("extended-next-hop {afi}/{safi} by {by}"));
            }
        }
        Capability::ExtendedMessage => facts.say("extended-message"),
        Capability::Role(role) => facts.say(format!("role {role}")),
        Capability::GracefulRestart(gr) => {
            facts.say(format!("restart {} {}", gr.restarting, gr.restart_time));
            facts.say(format!("restart-notification {}", gr.notification));
            for f in &gr.families {
                let kept = f.forwarding_preserved;
                facts.say(format!("restart-family {}/{} {kept}", f.afi, f.safi));
            }
        }
        Capability::FourOctetAs(asn) => facts.say(format!("four-octet-as {asn}")),
        Capability::AddPath(list) => {
            for (afi, safi, mode) in list {
                let mode = match mode {
                    AddPathMode::Receive => 1,
                    AddPathMode::Send => 2,
                    AddPathMode::Both => 3,
                };
                facts.say(format!("add-path {afi}/{safi} {mode}"));
            }
        }
        Capability::EnhancedRouteRefresh => facts.say("enhanced-route-refresh"),
        Capability::LongLivedGracefulRestart(llgr) => {
            for f in &llgr.families {
                let kept = f.forwarding_preserved;
                let time = f.stale_time;
                facts.say(format!("long-lived {}/{} {kept} {time}", f.afi, f.safi));
            }
        }
        Capability::Fqdn { host, domain } => facts.say(format!("fqdn {host} {domain}")),
        Capability::Unknown { code, value } => {
            facts.say(format!("capability {code} {}", hex(value)));
        }
    }
}

pub(crate) fn control(message: &Message) -> Facts {
    let mut facts = Facts::default();
    match message {
        Message::Notification(n) => {
            let (code, subcode) = (n.code.code(), n.code.subcode());
            facts.say(format!("notification {code}/{subcode} {}", hex(&n.data)));
        }
        Message::RouteRefresh(refresh) => {
            let kind = match refresh.kind {
                RefreshKind::Request => 0,
                RefreshKind::Begin => 1,
                RefreshKind::End => 2,
                RefreshKind::Unknown(other) => other,
            };
            facts.say(format!("refresh {}/{} {kind}", refresh.afi, refresh.safi));
        }
        Message::Keepalive => facts.say("keepalive"),
        Message::Open(_) | Message::Update(_) => panic!("not a control message"),
    }
    facts
}
