//! Neighbours, as `redc show protocols` and `show bfd sessions` show them.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use redstart_bgp::{
    bfd::{self, Hops, SessionKey},
    session::{PeerStatus, State},
    time::Instant,
    types::{FamilySet, NextHop},
    wire::{Capability, Notification},
};

use redstart_rib::{
    import::{Refusal, RefusalCounts},
    peers::Counts,
};

use super::{Links, link_name, texts};
use crate::{
    compile::{self, PeerName},
    control::views,
    speaker::{
        core::Core,
        neighbour::Neighbour,
        searches::Unfound,
        translate::{families, role},
    },
};

impl Core {
    pub(super) fn protocols(&self) -> Vec<views::Protocol> {
        let links = self.kernel.links();
        let neighbours = self.neighbours.iter();
        let found = neighbours.map(|(name, n)| self.protocol(name, n, &links));
        let unfound = self.unnumbered.unfound().chain(self.gateways.unfound());
        let unfound = unfound.map(|(name, unfound)| self.unfound(name, &unfound));
        let mut list: Vec<_> = found.chain(unfound).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// A neighbour whose address is not known.
    fn unfound(&self, name: &PeerName, unfound: &Unfound<'_>) -> views::Protocol {
        let spec = unfound.spec;
        views::Protocol {
            name: name.to_string(),
            role: role(&spec.role).to_owned(),
            object: spec.source.to_string(),
            client: spec.rules.client,
            state: State::Idle.to_string(),
            since: self.wall(unfound.since),
            remote: None,
            interface: match &spec.remote {
                compile::Remote::Interface { name, .. } => Some(name.clone()),
                _ => None,
            },
            range: None,
            local: None,
            remote_as: remote_as(spec),
            local_as: spec.local_as.0,
            remote_router_id: None,
            last_error: unfound.why.clone(),
            last_received: None,
            last_sent: None,
            families: families(spec.families),
            local_capabilities: Vec::new(),
            remote_capabilities: Vec::new(),
            hold_time: None,
            hold_remaining: None,
            keepalive: None,
            connect_remaining: None,
            messages: views::MessageCounts::default(),
            established_count: 0,
            routes: views::RouteCounts::default(),
            refused: BTreeMap::new(),
            channels: Vec::new(),
            keepalive_remaining: None,
            disabled: false,
        }
    }

    fn protocol(&self, name: &PeerName, n: &Neighbour, links: &Links) -> views::Protocol {
        let status = n.handle.status();
        let errors = &status.errors;
        // Of the same moment as the state; the core hears of a session a little later.
        let negotiated = status.negotiated.as_deref();
        let carried = negotiated.map_or(n.spec.families, |s| s.families);
        let counts = self.rib.peer_counts(n.id).unwrap_or_default();
        let age = self.clock.now() - status.at;
        let left =
            |timer: Option<Duration>| timer.map(|left| left.saturating_sub(age).as_secs_f64());
        views::Protocol {
            name: name.to_string(),
            role: role(&n.spec.role).to_owned(),
            client: n.spec.rules.client,
            object: n.spec.source.to_string(),
            state: status.state.to_string(),
            since: self.wall(status.state_since),
            remote: Some(n.remote),
            interface: interface(n, links),
            range: n
                .membership
                .as_ref()
                .and_then(|_| self.range(&n.configured)),
            local: negotiated.map(|s| s.local_addr),
            remote_as: negotiated.map(|s| s.remote_as.0).or(remote_as(&n.spec)),
            local_as: n.spec.local_as.0,
            remote_router_id: negotiated.map(|s| s.remote_router_id.to_string()),
            last_error: errors.down.as_ref().map(|(_, why)| why.to_string()),
            last_received: self.notice(errors.received.as_ref()),
            last_sent: self.notice(errors.sent.as_ref()),
            families: families(carried),
            local_capabilities: capabilities(negotiated.map(|s| s.local_capabilities.as_slice())),
            remote_capabilities: capabilities(negotiated.map(|s| s.remote_capabilities.as_slice())),
            hold_time: negotiated.map(|s| s.hold_time.as_secs()),
            hold_remaining: left(status.timers.hold),
            keepalive: negotiated.map(|s| s.keepalive.as_secs()),
            connect_remaining: left(status.timers.connect_retry.or(status.timers.idle_hold)),
            messages: message_counts(&status),
            established_count: status.established_count,
            routes: route_counts(&counts),
            refused: refused(&counts.refused, n)
                .map(|(why, n)| (why.to_string(), n))
                .collect(),
            channels: self.channels(n, carried),
            keepalive_remaining: left(status.timers.keepalive),
            disabled: n.disabled,
        }
    }

    /// What there is of each family of a session, or of those that are configured while there is none.
    fn channels(&self, n: &Neighbour, carried: FamilySet) -> Vec<views::Channel> {
        let own = self.rib.peer_info(n.id).map(|info| info.next_hop_self);
        let channel = |family| {
            let counts = self.rib.family_counts(n.id, family).unwrap_or_default();
            let next_hop = own.and_then(|own| own.for_family(family));
            let limit = n.spec.rules.limit(family);
            views::Channel {
                family: family.to_string(),
                routes: route_counts(&counts),
                refused: counts.refused.total() as u64,
                limit: limit.map(|limit| u64::from(limit.max)),
                next_hop: next_hop.map(NextHop::addr),
                changes: n.changes(family),
            }
        };
        carried.iter().map(channel).collect()
    }

    pub(super) fn range(&self, name: &PeerName) -> Option<views::ListenRange> {
        let range = self.neighbours.ranges.get(name)?;
        Some(views::ListenRange {
            name: name.to_string(),
            prefix: range.prefix.to_string(),
            neighbours: self.neighbours.members(name) as u64,
            limit: range.limit as u64,
        })
    }

    pub(super) fn notice(&self, last: Option<&(Instant, Notification)>) -> Option<views::Notice> {
        last.map(|(at, notification)| views::Notice {
            at: self.wall(*at),
            text: notification.to_string(),
        })
    }

    pub(super) fn bfd_sessions(&self) -> Vec<views::BfdSession> {
        let (view, links) = (self.bfd.view(), self.kernel.links());
        let watched = self.bfd.watched();
        let sessions =
            watched.filter_map(|(name, key)| Some((name, key, view.sessions.get(&key)?)));
        let one = |(name, key, status): (&PeerName, SessionKey, &bfd::Status)| views::BfdSession {
            peer: name.to_string(),
            remote: key.remote,
            interface: key.interface.map(|index| link_name(&links, index)),
            hops: match key.hops {
                Hops::Single => "single".to_owned(),
                Hops::Multi => "multi".to_owned(),
            },
            state: status.state.to_string(),
            remote_state: status.remote_state.to_string(),
            since: self.wall(status.since),
            last_down: status.last_down.map(|(reason, _)| reason.id().to_owned()),
            diagnostic: status.diagnostic.to_string(),
            remote_diagnostic: status.remote_diagnostic.to_string(),
            transmit_interval_ms: milliseconds(status.transmit_interval),
            detection_time_ms: status.detection_time.map(milliseconds),
            failures: status.failures,
            sent: status.sent,
            received: status.received,
            local_discriminator: status.local_discriminator,
            remote_discriminator: status.remote_discriminator,
            control_plane_independent: status.remote_control_plane_independent,
        };
        sessions.map(one).collect()
    }
}

/// The link of a neighbour that is reached by its link-local address.
fn interface(n: &Neighbour, links: &Links) -> Option<String> {
    match n.remote {
        SocketAddr::V6(remote) if remote.scope_id() != 0 => links.get(&remote.scope_id()).cloned(),
        _ => None,
    }
}

/// The AS that a neighbour must have, if it is said.
fn remote_as(spec: &compile::Peer) -> Option<u32> {
    match spec.remote_as {
        compile::RemoteAs::Number(asn) => Some(asn.0),
        compile::RemoteAs::Internal => Some(spec.local_as.0),
        compile::RemoteAs::External => None,
    }
}

fn route_counts(counts: &Counts) -> views::RouteCounts {
    views::RouteCounts {
        imported: counts.accepted() as u64,
        exported: counts.exported as u64,
        preferred: counts.best as u64,
        stale: counts.stale as u64,
    }
}

fn capabilities(list: Option<&[Capability]>) -> Vec<String> {
    texts(list.unwrap_or_default())
}

fn message_counts(status: &PeerStatus) -> views::MessageCounts {
    views::MessageCounts {
        updates_in: status.received.update,
        updates_out: status.sent.update,
        total_in: status.received.total(),
        total_out: status.sent.total(),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What was refused and why: routes that are held with the reason, and paths that are not held at all.
pub(super) fn refused(held: &RefusalCounts, n: &Neighbour) -> impl Iterator<Item = (Refusal, u64)> {
    let held = held.iter().map(|(why, count)| (why, count as u64));
    let beyond = (n.paths_beyond > 0).then_some((Refusal::TooManyPaths, n.paths_beyond));
    held.chain(beyond)
}
