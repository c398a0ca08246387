//! What becomes of received routes: safe defaults and import policies.
//!
//! The checks of the protocol come first and look at attributes only (`import`). Then the safe
//! defaults, unless a rule may set the one in question aside; then the peer's chain of policies. What a
//! policy changes is kept as another attribute set beside the received one, so that the next policy
//! begins with what the peer said.

use std::borrow::Cow;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use redstart_bgp::types::{Family, NextHop, PathAttributes, Prefix};

use super::decide::Shared;
use crate::{
    ids::{AttrId, PeerIndex},
    import::{self, Refusal},
    peers::{Peer, PeerInfo},
    policy::{Hits, Passed, SafeDefaults, SetNextHop},
};

/// Judges routes of one peer and one family, one after the other, and remembers what policies said
/// of attributes that come again. The sets that were received must stay in use meanwhile; those that it
/// [checked](Self::check) do. End it with [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct Admission {
    from: PeerIndex,
    family: Family,
    /// Whether prefixes that can be routed are taken as they come, all but the default route.
    open: bool,
    rulings: HashMap<(AttrId, Hits), Ruling, FixedState>,
    checked: HashMap<AttrId, Checked, FixedState>,
}

/// What the protocol's checks make of attributes that were kept: as they are to be kept now, and why
/// routes with them are refused, if they are.
type Checked = (AttrId, Option<Refusal>);

/// What the chain says of attributes: what it makes of them, or nothing if it rejects the route.
type Ruling = Option<(AttrId, SafeDefaults)>;

impl Admission {
    pub(crate) fn new(shared: &Shared, from: PeerIndex, family: Family) -> Self {
        let open = |peer: &Peer| {
            peer.info.policies.import.is_empty() && peer.import.protects_nothing(family)
        };
        Self {
            from,
            family,
            open: shared.peers.get(from).is_some_and(open),
            rulings: HashMap::default(),
            checked: HashMap::default(),
        }
    }

    /// Checks again attributes that are kept in the Adj-RIB-In.
    pub(crate) fn check(&mut self, shared: &mut Shared, kept: AttrId) -> Checked {
        if let Some(checked) = self.checked.get(&kept) {
            return *checked;
        }
        let Some(peer) = shared.peers.get(self.from) else {
            return (kept, None);
        };
        let attrs = shared.attrs.get(kept);
        let attrs = import::normalize(&peer.info, &attrs);
        let refused = import::refuses_attributes(&peer.info, &attrs);
        let interface = peer.info.interface;
        let received = shared.attrs.intern_received(&attrs, interface);
        // As long as it is remembered, nothing else can have its number.
        shared.attrs.retain(kept);
        self.checked.insert(kept, (received, refused));
        (received, refused)
    }

    /// The attributes that count for a route with `received` ones to `prefix`, and why it is refused
    /// if it is. Lends the reference: whoever keeps the attributes takes one of their own.
    pub(crate) fn judge(
        &mut self,
        shared: &mut Shared,
        prefix: Prefix,
        received: AttrId,
    ) -> (AttrId, Option<Refusal>) {
        if self.open && prefix.len() > 0 {
            let martian = import::is_martian(prefix);
            return (received, martian.then_some(Refusal::Martian));
        }
        let Some(peer) = shared.peers.get(self.from) else {
            return (received, None);
        };
        let guarded = refuses_prefix(shared, peer, prefix, received);
        let program = &peer.info.policies.import;
        let settled = match guarded {
            None => program.is_empty(),
            Some(refusal) => !refusal
                .safe_default()
                .is_some_and(|default| program.may_override(default)),
        };
        if settled {
            return (received, guarded);
        }
        let Some((attr, overrides)) = self.ruling(shared, prefix, received) else {
            return (received, Some(Refusal::Policy));
        };
        let holds = |refusal: &Refusal| {
            let default = refusal.safe_default();
            !default.is_some_and(|default| overrides.contains(default))
        };
        match guarded.filter(holds) {
            Some(refusal) => (received, Some(refusal)),
            None => (attr, None),
        }
    }

    fn ruling(&mut self, shared: &mut Shared, prefix: Prefix, received: AttrId) -> Ruling {
        let info = &shared.peers.get(self.from)?.info;
        let program = &info.policies.import;
        let key = (received, program.hits(prefix));
        if let Some(known) = self.rulings.get(&key) {
            return *known;
        }
        let mut attrs = shared.attrs.get(received);
        if info.rules.remove_med {
            // The policy does not see it; one that the policy sets counts.
            attrs.med = None;
        }
        let passed = program.run(&key.1, info.subject(self.family), Cow::Borrowed(&attrs));
        let made = passed.ok().map(|passed| {
            let overrides = passed.overrides;
            (dressed(info, self.family, passed), overrides)
        });
        let interface = info.interface;
        let ruling = made.map(|(made, overrides)| {
            let attr = match made {
                Some(made) => {
                    let store = &mut shared.attrs;
                    store.intern_imported(&made, received, interface)
                }
                None => shared.attrs.retain(received),
            };
            (attr, overrides)
        });
        self.rulings.insert(key, ruling);
        ruling
    }

    /// Gives back the references that are held for what is remembered.
    pub(crate) fn finish(self, shared: &mut Shared) {
        for (attr, _) in self.rulings.into_values().flatten() {
            shared.attrs.release(attr);
        }
        for (kept, (received, _)) in self.checked {
            shared.attrs.release(kept);
            shared.attrs.release(received);
        }
    }
}

/// Why the safe defaults refuse a route with `received` attributes to `prefix`.
fn refuses_prefix(
    shared: &Shared,
    peer: &Peer,
    prefix: Prefix,
    received: AttrId,
) -> Option<Refusal> {
    if import::is_martian(prefix) {
        return Some(Refusal::Martian);
    }
    let attrs = || shared.attrs.get(received);
    peer.import.refuses(prefix, attrs, &shared.owners)
}

/// The attributes as the chain made them, or `None` if it left them alone.
fn dressed(info: &PeerInfo, family: Family, passed: Passed<'_>) -> Option<PathAttributes> {
    let mut attrs = passed.attrs;
    // Our own AS would look like a loop to every other node: the neighbour's is repeated.
    if passed.prepend > 0 && !info.is_internal() {
        let attrs = attrs.to_mut();
        attrs.as_path = attrs
            .as_path
            .prepend(info.remote_as, usize::from(passed.prepend));
    }
    let address = match passed.next_hop {
        Some(SetNextHop::Peer) => Some(info.remote_addr),
        Some(SetNextHop::Address(address)) => Some(address),
        Some(SetNextHop::Own | SetNextHop::Unchanged) | None => None,
    };
    // An IPv4 route can go by an IPv6 gateway, never the other way round.
    let usable = address.filter(|address| address.is_ipv6() || family == Family::Ipv4Unicast);
    if let Some(address) = usable {
        attrs.to_mut().next_hop = Some(NextHop::from(address));
    }
    match attrs {
        Cow::Borrowed(_) => None,
        Cow::Owned(attrs) => Some(attrs),
    }
}
