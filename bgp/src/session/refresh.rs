//! Where a refresh of routes begins and ends (RFC 7313), for one session.
//!
//! RFC 2918 lets a speaker ask for all routes of a family again, but the answer does not say where
//! it ends, so routes that were not repeated cannot be told from routes still to come. RFC 7313 puts
//! markers around the answer: BoRR and EoRR. What the receiver held before BoRR and was not repeated
//! until EoRR is gone.
//!
//! The markers must not be confused with a restart: before the first End-of-RIB of a family none is
//! sent, and none is heeded (RFC 7313 section 4).
//!
//! A marker is 23 octets, and has the routing table look through all that it holds, twice. So a
//! neighbour begins no more often than once in [`INTERVAL`]: what it begins in between belongs to the
//! refresh that is open, or is no refresh. All that is lost by that is a removal: routes that it
//! withdraws, or replaces, go as always.

use core::time::Duration;

use crate::{
    time::Instant,
    types::{Family, FamilySet},
    wire::{Capability, RefreshKind, RouteRefresh},
};

use super::{event::Event, negotiate::Negotiated};

/// How far apart the beginnings of two refreshes of a family are that the neighbour sends.
const INTERVAL: Duration = Duration::from_secs(1);

/// The refreshes of one session, both ways.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    /// Families whose initial table we have sent.
    told_end_of_rib: FamilySet,
    /// Families whose initial table the neighbour has sent.
    heard_end_of_rib: FamilySet,
    /// Families for which we sent BoRR, and not EoRR yet.
    sending: FamilySet,
    /// Families for which the neighbour sent BoRR, and until when we wait for its EoRR.
    receiving: Vec<(Family, Instant)>,
    /// When a BoRR of a family was heeded last.
    begun: Vec<(Family, Instant)>,
}

impl Refresh {
    /// We send the End-of-RIB of a family.
    pub(super) fn end_of_rib_sent(&mut self, family: Family) {
        self.told_end_of_rib.insert(family);
    }

    /// The neighbour sent the End-of-RIB of a family.
    pub(super) fn end_of_rib_received(&mut self, family: Family) {
        self.heard_end_of_rib.insert(family);
    }

    /// The marker to send, if `kind` is to be told for a family.
    ///
    /// "For a BGP speaker that supports the BGP Graceful Restart, it MUST NOT send a BoRR for an
    /// <AFI, SAFI> to a neighbor before it sends the EoR for the <AFI, SAFI> to the neighbor" (RFC
    /// 7313 section 4). An end without a beginning is left out as well.
    pub(super) fn marker(
        &mut self,
        negotiated: &Negotiated,
        family: Family,
        kind: RefreshKind,
    ) -> Option<RouteRefresh> {
        match kind {
            RefreshKind::Begin if negotiated.enhanced_route_refresh => {
                if !self.told_end_of_rib.contains(family) {
                    return None;
                }
                self.sending.insert(family);
            }
            RefreshKind::End if self.sending.contains(family) => self.sending.remove(family),
            _ => return None,
        }
        Some(RouteRefresh {
            afi: family.afi(),
            safi: family.safi(),
            kind,
        })
    }

    /// A ROUTE-REFRESH arrived for a family of the session.
    pub(super) fn received(
        &mut self,
        now: Instant,
        patience: Duration,
        negotiated: &Negotiated,
        family: Family,
        kind: RefreshKind,
    ) -> Option<Event> {
        match kind {
            RefreshKind::Request => Some(Event::RefreshRequested(family)),
            RefreshKind::Begin if self.heeds(negotiated, family) => {
                self.begin(now, patience, family)
            }
            RefreshKind::End => self.end(|of, _| of == family),
            // "When the BGP speaker receives a ROUTE-REFRESH message with a 'Message Subtype' field
            // other than 0, 1, or 2, it MUST ignore the received ROUTE-REFRESH message" (RFC 7313
            // section 5).
            RefreshKind::Begin | RefreshKind::Unknown(_) => None,
        }
    }

    fn begin(&mut self, now: Instant, patience: Duration, family: Family) -> Option<Event> {
        let too_soon = |(of, at): &(Family, Instant)| *of == family && now < *at + INTERVAL;
        if self.begun.iter().any(too_soon) {
            return None;
        }
        self.begun.retain(|(of, _)| *of != family);
        self.begun.push((family, now));
        self.receiving.retain(|(of, _)| *of != family);
        self.receiving.push((family, now + patience));
        Some(Event::RefreshBegin(family))
    }

    /// "A BGP speaker that has received the Graceful Restart Capability from its neighbor MUST ignore
    /// any BoRRs for an <AFI, SAFI> from the neighbor before the speaker receives the EoR for the given
    /// <AFI, SAFI> from the neighbor" (RFC 7313 section 4).
    fn heeds(&self, negotiated: &Negotiated, family: Family) -> bool {
        let restarts = negotiated
            .remote_capabilities
            .iter()
            .any(|c| matches!(c, Capability::GracefulRestart(_)));
        negotiated.enhanced_route_refresh && (!restarts || self.heard_end_of_rib.contains(family))
    }

    /// "An implementation MAY impose a locally configurable upper bound on how long it would retain
    /// any stale routes" (RFC 7313 section 4): the next refresh that took too long is over.
    pub(super) fn timeout(&mut self, now: Instant) -> Option<Event> {
        self.end(|_, until| until <= now)
    }

    fn end(&mut self, which: impl Fn(Family, Instant) -> bool) -> Option<Event> {
        let at = self.receiving.iter().position(|(f, at)| which(*f, *at))?;
        Some(Event::RefreshEnd(self.receiving.remove(at).0))
    }

    /// What arrives has to wait, by no fault of the neighbour: it gets the whole time anew.
    pub(super) fn postpone(&mut self, until: Instant) {
        for (_, at) in &mut self.receiving {
            *at = until;
        }
    }

    /// When [`Refresh::timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.receiving.iter().map(|(_, until)| *until).min()
    }
}
