//! Operations of the planner as rtnetlink messages.
//!
//! Written as octets, without a tree of attributes in between: this is the path that a million routes
//! take. Several gateways that no object stands for become `RTA_MULTIPATH`.

use std::net::IpAddr;

use redstart_bgp::types::Family;

use super::{nexthop, wire::Writer};
use crate::{
    fib::{Change, Form, KernelOp, Request, RouteKey, Target},
    nexthop::Gateway,
};

pub(super) const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_ACK: u16 = 4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

/// Create, and fail if there is something already.
pub(super) const ADD: u16 = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
/// Create, or overwrite.
pub(super) const REPLACE: u16 = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
/// Overwrite, and fail if there is nothing.
pub(super) const OVERWRITE: u16 = NLM_F_REQUEST | NLM_F_REPLACE;

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

const RTN_UNSPEC: u8 = 0;
const RTN_UNICAST: u8 = 1;
const RTN_BLACKHOLE: u8 = 6;

pub(super) const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_NOWHERE: u8 = 255;

pub(super) const RTNH_F_ONLINK: u8 = 4;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_NH_ID: u16 = 30;

/// The message for one operation, with this number.
pub(super) fn message(op: &KernelOp, number: u32, writer: &mut Writer) {
    match &op.request {
        Request::Route { key, change } => route(key, change, number, writer),
        Request::Nexthop {
            id,
            protocol,
            change,
        } => nexthop::encode(*id, *protocol, change, number, writer),
    }
}

fn route(key: &RouteKey, change: &Change, number: u32, writer: &mut Writer) {
    match change {
        Change::Add(form) => {
            writer.message(RTM_NEWROUTE, ADD, number, |w| with_form(key, form, w));
        }
        Change::Replace(form) => {
            writer.message(RTM_NEWROUTE, REPLACE, number, |w| with_form(key, form, w));
        }
        Change::Delete(form) => writer.message(RTM_DELROUTE, NLM_F_REQUEST, number, |w| {
            delete(key, form.as_deref(), w);
        }),
    }
}

pub(super) const fn family(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => AF_INET,
        Family::Ipv6Unicast => AF_INET6,
    }
}

/// `struct rtmsg`, and what names the route: prefix, table, protocol, metric.
fn keyed(key: &RouteKey, scope: u8, kind: u8, flags: u8, w: &mut Writer) {
    // The header has room for 255 tables only; the attribute overrides it.
    let table = u8::try_from(key.table);
    let [a, b, c, d] = u32::from(flags).to_ne_bytes();
    w.octets_of(&[
        family(key.prefix.family()),
        key.prefix.len(),
        0,
        0,
        table.unwrap_or(0),
        key.protocol,
        scope,
        kind,
        a,
        b,
        c,
        d,
    ]);
    if table.is_err() {
        w.attribute_u32(RTA_TABLE, key.table);
    }
    w.attribute_address(RTA_DST, key.prefix.addr());
    w.attribute_u32(RTA_PRIORITY, key.metric.get());
}

/// A delete matches any type, scope and gateway under our key; the protocol is always compared. For
/// IPv6 it names the gateways, if the route does: otherwise those that others added to ours would go
/// as well.
fn delete(key: &RouteKey, form: Option<&Form>, w: &mut Writer) {
    keyed(key, SCOPE_NOWHERE, RTN_UNSPEC, 0, w);
    if key.prefix.family() == Family::Ipv6Unicast
        && let Some(Target::Gateways(set)) = form.map(|f| &f.target)
    {
        gateways(false, set.as_slice(), w);
    }
}

fn with_form(key: &RouteKey, form: &Form, w: &mut Writer) {
    let v4 = key.prefix.family() == Family::Ipv4Unicast;
    let (scope, kind, flags) = match &form.target {
        Target::Blackhole => (SCOPE_UNIVERSE, RTN_BLACKHOLE, 0),
        Target::Object(_) => (SCOPE_UNIVERSE, RTN_UNICAST, 0),
        Target::Gateways(set) => {
            let set = set.as_slice();
            let direct = v4 && set.iter().all(|g| g.via.is_none());
            let scope = if direct { SCOPE_LINK } else { SCOPE_UNIVERSE };
            let onlink = matches!(set, [only] if only.onlink);
            (scope, RTN_UNICAST, if onlink { RTNH_F_ONLINK } else { 0 })
        }
    };
    keyed(key, scope, kind, flags, w);
    if let Some(prefsrc) = form.prefsrc {
        w.attribute_address(RTA_PREFSRC, prefsrc);
    }
    match &form.target {
        Target::Blackhole => {}
        Target::Object(id) => w.attribute_u32(RTA_NH_ID, id.0),
        Target::Gateways(set) => gateways(v4, set.as_slice(), w),
    }
}

fn gateways(v4: bool, set: &[Gateway], w: &mut Writer) {
    if let [only] = set {
        gateway(v4, only, w);
        w.attribute_u32(RTA_OIF, only.ifindex);
        return;
    }
    w.attribute(RTA_MULTIPATH, |w| {
        for leg in set {
            let flags = if leg.onlink { RTNH_F_ONLINK } else { 0 };
            let hops = leg.weight.saturating_sub(1);
            w.rtnexthop(flags, hops, leg.ifindex, |w| gateway(v4, leg, w));
        }
    });
}

/// `RTA_GATEWAY`, or `RTA_VIA` for an IPv4 route through an IPv6 neighbour (RFC 8950).
fn gateway(v4: bool, gateway: &Gateway, w: &mut Writer) {
    match gateway.via {
        None => {}
        Some(via @ IpAddr::V6(_)) if v4 => w.attribute(RTA_VIA, |w| {
            w.u16(u16::from(AF_INET6));
            w.address(via);
        }),
        Some(via) => w.attribute_address(RTA_GATEWAY, via),
    }
}
