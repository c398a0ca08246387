//! Nexthop objects as messages: `RTM_NEWNEXTHOP`, `RTM_DELNEXTHOP` and what a dump tells of them. The
//! library knows none of these.

use redstart_bgp::types::Family;

use super::{
    encode::{self, AF_INET, AF_INET6, NLM_F_REQUEST, RTNH_F_ONLINK, SCOPE_UNIVERSE},
    wire::{self, Writer},
};
use crate::fib::{
    Group, KernelNexthop, Leg, Member, NexthopChange, NexthopId, NexthopSpec, Resilient,
};

pub(super) const RTM_NEWNEXTHOP: u16 = 104;
pub(super) const RTM_DELNEXTHOP: u16 = 105;
pub(super) const RTM_GETNEXTHOP: u16 = 106;

/// `struct nhmsg`.
const HEADER: usize = 8;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_GROUP_TYPE: u16 = 3;
const NHA_BLACKHOLE: u16 = 4;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_ENCAP: u16 = 8;
const NHA_FDB: u16 = 11;
const NHA_RES_GROUP: u16 = 12;

const NHA_RES_GROUP_BUCKETS: u16 = 1;
const NHA_RES_GROUP_IDLE_TIMER: u16 = 2;

const NEXTHOP_GRP_TYPE_MPATH: u16 = 0;
const NEXTHOP_GRP_TYPE_RES: u16 = 1;
const NLA_F_NESTED: u16 = 0x8000;

/// Timers are in hundredths of a second (`USER_HZ`).
const TICKS: u32 = 100;

/// The message for one change.
pub(super) fn encode(
    id: NexthopId,
    protocol: u8,
    change: &NexthopChange,
    number: u32,
    writer: &mut Writer,
) {
    match change {
        NexthopChange::Add(spec) => {
            writer.message(RTM_NEWNEXTHOP, encode::ADD, number, |w| {
                with_spec(id, protocol, spec, w);
            });
        }
        NexthopChange::Replace(spec) => {
            writer.message(RTM_NEWNEXTHOP, encode::OVERWRITE, number, |w| {
                with_spec(id, protocol, spec, w);
            });
        }
        NexthopChange::Delete => writer.message(RTM_DELNEXTHOP, NLM_F_REQUEST, number, |w| {
            header(0, 0, 0, w);
            w.attribute_u32(NHA_ID, id.0);
        }),
    }
}

fn header(family: u8, protocol: u8, flags: u8, w: &mut Writer) {
    for octet in [family, SCOPE_UNIVERSE, protocol, 0] {
        w.u8(octet);
    }
    w.u32(u32::from(flags));
}

fn with_spec(id: NexthopId, protocol: u8, spec: &NexthopSpec, w: &mut Writer) {
    match spec {
        NexthopSpec::Leg(leg) => {
            let flags = if leg.onlink { RTNH_F_ONLINK } else { 0 };
            header(encode::family(leg.family), protocol, flags, w);
            w.attribute_u32(NHA_ID, id.0);
            w.attribute_u32(NHA_OIF, leg.ifindex);
            if let Some(via) = leg.via {
                w.attribute_address(NHA_GATEWAY, via);
            }
        }
        NexthopSpec::Group(group) => {
            header(0, protocol, 0, w);
            w.attribute_u32(NHA_ID, id.0);
            w.attribute(NHA_GROUP, |w| {
                for member in &group.members {
                    w.u32(member.leg.0);
                    w.u8(member.weight.saturating_sub(1));
                    w.u8(0);
                    w.u16(0);
                }
            });
            if let Some(resilient) = group.resilient {
                w.attribute(NHA_GROUP_TYPE, |w| w.u16(NEXTHOP_GRP_TYPE_RES));
                w.attribute(NHA_RES_GROUP | NLA_F_NESTED, |w| {
                    w.attribute(NHA_RES_GROUP_BUCKETS, |w| w.u16(resilient.buckets));
                    let idle = resilient.idle_seconds.saturating_mul(TICKS);
                    w.attribute_u32(NHA_RES_GROUP_IDLE_TIMER, idle);
                });
            }
        }
    }
}

/// The object that the payload of a message tells of.
pub(super) fn decode(payload: &[u8]) -> Option<KernelNexthop> {
    let fixed = payload.get(..HEADER)?;
    let (family, protocol) = (fixed[0], fixed[2]);
    let onlink = wire::u32_at(payload, 4)? & u32::from(RTNH_F_ONLINK) != 0;
    let attributes = || wire::attributes(payload.get(HEADER..).unwrap_or_default());
    let find = |kind| attributes().find(|(k, _)| *k == kind).map(|(_, v)| v);
    let id = NexthopId(wire::u32_at(find(NHA_ID)?, 0)?);
    let special = |(kind, _): (u16, &[u8])| matches!(kind, NHA_BLACKHOLE | NHA_ENCAP | NHA_FDB);
    let spec = if attributes().any(special) {
        None
    } else if let Some(members) = find(NHA_GROUP) {
        group(members, find(NHA_GROUP_TYPE), find(NHA_RES_GROUP)).map(NexthopSpec::Group)
    } else {
        leg(family, onlink, find(NHA_OIF), find(NHA_GATEWAY)).map(NexthopSpec::Leg)
    };
    Some(KernelNexthop { id, protocol, spec })
}

fn leg(family: u8, onlink: bool, oif: Option<&[u8]>, via: Option<&[u8]>) -> Option<Leg> {
    let family = match family {
        AF_INET => Family::Ipv4Unicast,
        AF_INET6 => Family::Ipv6Unicast,
        _ => return None,
    };
    let via = match via {
        Some(octets) => Some(wire::address(octets)?),
        None => None,
    };
    Some(Leg {
        family,
        via,
        ifindex: wire::u32_at(oif?, 0)?,
        onlink,
    })
}

fn group(members: &[u8], kind: Option<&[u8]>, resilient: Option<&[u8]>) -> Option<Group> {
    let kind = kind.map_or(Some(NEXTHOP_GRP_TYPE_MPATH), |k| wire::u16_at(k, 0))?;
    let resilient = match kind {
        NEXTHOP_GRP_TYPE_MPATH => None,
        NEXTHOP_GRP_TYPE_RES => Some(buckets(resilient?)?),
        _ => return None,
    };
    let mut group = Group {
        members: members.chunks_exact(8).filter_map(member).collect(),
        resilient,
    };
    group.members.sort_unstable();
    Some(group)
}

fn member(octets: &[u8]) -> Option<Member> {
    Some(Member {
        leg: NexthopId(wire::u32_at(octets, 0)?),
        weight: octets.get(4)?.saturating_add(1),
    })
}

fn buckets(octets: &[u8]) -> Option<Resilient> {
    let find = |kind| wire::attributes(octets).find(|(k, _)| *k == kind);
    Some(Resilient {
        buckets: wire::u16_at(find(NHA_RES_GROUP_BUCKETS)?.1, 0)?,
        idle_seconds: wire::u32_at(find(NHA_RES_GROUP_IDLE_TIMER)?.1, 0)? / TICKS,
    })
}
