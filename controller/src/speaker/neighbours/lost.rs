//! Who is lost: a neighbour of which no route is left, whatever the reason.
//!
//! Traffic leaves it at once, by one operation for each nexthop group
//! ([`Kernel::avoid`](super::super::kernel::Kernel::avoid)), where another neighbour is as good. That
//! must come before the planner hears of its routes one by one, for to the planner each of them is a
//! change of its own. Where the loss can be seen coming, it comes even before the tables are touched,
//! which takes them a tenth of a second for a million routes: a session that is over, and a path that
//! has failed. Of a neighbour that sent too many routes, that is not configured any more, or that did
//! not come back in time, it is noted while that is dealt with.
//!
//! To leave a neighbour means to leave its addresses: that of the session, and those by which it means
//! itself as next hop ([`OwnNextHops`]). Routes that somebody else told with the same next hop, and that
//! stay, go back to it when the RIB has said all that follows from the loss.

use std::net::IpAddr;

use redstart_bgp::{
    net::FromPeer,
    session::Event,
    types::{Family, NextHop},
};

use super::{
    super::{bfd::PathFailure, neighbour::Neighbour, our_end::link_of},
    Neighbours,
};
use crate::compile::PeerName;

/// The address of a neighbour, and the link it is on, if the address means another one on every link.
pub(in super::super) type Place = (IpAddr, Option<u32>);

impl Neighbours {
    /// The neighbour that is about to be lost with this event: its session is over, and nothing of it
    /// is kept.
    pub(in super::super) fn lost_by(&self, event: &FromPeer) -> Vec<Place> {
        let FromPeer::Event {
            peer,
            event: Event::Down { retained, .. },
        } = event
        else {
            return Vec::new();
        };
        let neighbour = self.names.get(peer).and_then(|it| self.by_name.get(it));
        let lost = neighbour.filter(|it| retained.is_empty() && it.has_routes());
        lost.map(|it| it.places()).unwrap_or_default()
    }

    /// The neighbour of that name, if it is about to be lost with its path.
    pub(in super::super) fn lost_by_path(
        &self,
        name: &PeerName,
        failure: PathFailure,
    ) -> Vec<Place> {
        let neighbour = self.by_name.get(name);
        let lost = neighbour.filter(|it| it.is_lost_by(failure));
        lost.map(|it| it.places()).unwrap_or_default()
    }

    /// The others that were lost since the last time.
    pub(in super::super) fn take_lost(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.lost)
    }
}

/// Does something to a neighbour, and notes if it is lost by that.
pub(super) fn note_loss(
    neighbour: &mut Neighbour,
    lost: &mut Vec<Place>,
    act: impl FnOnce(&mut Neighbour),
) {
    let had = neighbour.has_routes();
    act(neighbour);
    if had && !neighbour.has_routes() {
        lost.extend(neighbour.places());
    }
}

impl Neighbour {
    /// Where its routes lead, if it told them for itself.
    pub(in super::super) fn places(&self) -> Vec<Place> {
        let link = link_of(self.remote);
        let mut places = vec![(self.remote.ip(), link)];
        places.extend(self.own_next_hops.places(link));
        places
    }

    /// Whether a failure of its path takes its routes along.
    pub(in super::super) fn is_lost_by(&self, failure: PathFailure) -> bool {
        self.has_session() || failure.control_plane_independent && self.has_routes()
    }
}

/// The next hops by which a neighbour means itself: for each family, if all its routes have the same
/// one. It need not be the address of the session, as where one session carries both families.
#[derive(Debug, Default)]
pub(in super::super) struct OwnNextHops {
    ipv4: Named,
    ipv6: Named,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Named {
    #[default]
    None,
    One(NextHop),
    /// Those of others are among them.
    Several,
}

impl OwnNextHops {
    /// It told a route of `family` with this one.
    pub(in super::super) fn note(&mut self, family: Family, next_hop: NextHop) {
        let named = match family {
            Family::Ipv4Unicast => &mut self.ipv4,
            Family::Ipv6Unicast => &mut self.ipv6,
        };
        *named = match *named {
            Named::None => Named::One(next_hop),
            Named::One(known) if known == next_hop => return,
            Named::One(_) | Named::Several => Named::Several,
        };
    }

    fn places(&self, link: Option<u32>) -> impl Iterator<Item = Place> {
        let one = |named| match named {
            Named::One(next_hop) => Some(next_hop),
            Named::None | Named::Several => None,
        };
        let both = [self.ipv4, self.ipv6].into_iter().filter_map(one);
        let addresses = both.flat_map(|next_hop| {
            let link_local = match next_hop {
                NextHop::V6LinkLocal { link_local, .. } => Some(link_local.into()),
                NextHop::V4(_) | NextHop::V6(_) => None,
            };
            // On an unnumbered link they are one.
            let global = Some(next_hop.addr()).filter(|it| Some(*it) != link_local);
            [global, link_local]
        });
        // A link-local address is another router's on every other link.
        addresses.flatten().filter_map(move |it| match it {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => link.map(|link| (it, Some(link))),
            _ => Some((it, None)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(told: &[(Family, NextHop)]) -> Vec<Place> {
        let mut own = OwnNextHops::default();
        for (family, next_hop) in told {
            own.note(*family, *next_hop);
        }
        own.places(Some(7)).collect()
    }

    #[test]
    fn one_next_hop_of_a_family_is_the_neighbours_own() {
        let v4 = (Family::Ipv4Unicast, NextHop::V4([192, 0, 2, 1].into()));
        let (global, link_local) = ("2001:db8::1".parse().unwrap(), "fe80::1".parse().unwrap());
        let v6 = (Family::Ipv6Unicast, NextHop::V6(global));
        assert_eq!(places(&[]), []);
        assert_eq!(
            places(&[v4, v6, v4]),
            [(v4.1.addr(), None), (v6.1.addr(), None)]
        );
        let both = (
            Family::Ipv6Unicast,
            NextHop::V6LinkLocal { global, link_local },
        );
        let there = [(global.into(), None), (link_local.into(), Some(7))];
        assert_eq!(places(&[both]), there);
    }

    #[test]
    fn a_link_local_next_hop_is_one_on_the_link_of_the_session_alone() {
        let addr: std::net::Ipv6Addr = "fe80::1".parse().unwrap();
        let next_hop = NextHop::V6LinkLocal {
            global: addr,
            link_local: addr,
        };
        let mut own = OwnNextHops::default();
        own.note(Family::Ipv6Unicast, next_hop);
        assert!(own.places(Some(7)).eq([(addr.into(), Some(7))]));
        assert_eq!(own.places(None).count(), 0);
    }

    #[test]
    fn of_several_nobody_knows_which_is() {
        let v4 = |last| (Family::Ipv4Unicast, NextHop::V4([192, 0, 2, last].into()));
        assert_eq!(places(&[v4(1), v4(2), v4(1)]), []);
        // An IPv4 route by an IPv6 next hop (RFC 8950) is an IPv4 route.
        let v6 = NextHop::V6("2001:db8::1".parse().unwrap());
        assert_eq!(
            places(&[(Family::Ipv4Unicast, v6), (Family::Ipv6Unicast, v6)]).len(),
            2
        );
    }
}
