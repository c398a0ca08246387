//! What a neighbour is told, and why not.

use super::*;

const fn ipv4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn cannot_be_sent(world: &mut World, n: u8) {
    let Prefix::V4(prefix) = p(NET) else { return };
    let routes = NlriSet::V4([Nlri::plain(prefix)].into_iter().collect());
    let why = export::Withheld::TooLong;
    world.rib.unsendable(PeerId(n.into()), &routes, why);
}

pub(super) fn told() -> Vec<Situation> {
    situations! {
        NET, TOR2, "tor2: told\n", |w| w.learn(TOR, |_| {}).pull();
        NET, TOR2, "tor2: waiting\n", |w| w.learn(TOR, |_| {});
        NET, TOR2, "tor2: waiting [no-advertise]: it has the community",
            |w| w.learn(TOR, |_| {}).pull()
                .learn(TOR, |a| a.communities = [Community::NO_ADVERTISE].into());
        NET, TOR, "tor: told, because of BGPAdvertisement/public\n", |w| w.own(&[TOR]).pull();
        NET, TOR, "as_path 64512", |w| w.own(&[TOR]).pull();
        NET, TOR2, "withheld [peer-down]",
            |w| w.learn(TOR, |_| {}).rib.peer_down(PeerId(TOR2.into()), PeerDown::Flush);
        NET, TOR2, "withheld [family-not-negotiated]",
            |w| w.learn(TOR, |_| {}).peer(TOR2, |i| i.families = only(Family::Ipv6Unicast));
        NET, TOR2, "withheld [not-advertised]", |w| w.own(&[TOR]);
        NET, TOR2, "withheld [no-transit]",
            |w| w.peer(TOR2, |i| i.export.transit = false).learn(TOR, |_| {});
        NET, TOR, "withheld [learned-from-peer]", |w| w.learn(TOR, |_| {});
        NET, N3, "withheld [ibgp-to-ibgp]",
            |w| w.peer(N3, |i| i.export.transit = true).learn(N2, |_| {});
        NET, N3, "withheld [peer-is-originator]",
            |w| w.peer(N3, |i| i.rules.client = true)
                .learn(N2, |a| a.originator_id = Some(info(N3).router_id));
        NET, TOR2, "withheld [no-advertise]",
            |w| w.learn(TOR, |a| a.communities = [Community::NO_ADVERTISE].into());
        NET, TOR2, "withheld [no-export]",
            |w| w.learn(TOR, |a| a.communities = [Community::NO_EXPORT].into());
        NET, N3, "withheld [peer-is-next-hop]",
            |w| w.peer(N3, |i| i.rules.client = true)
                .learn(N2, |a| a.next_hop = Some(NextHop::V4(ipv4(N3))));
        NET, N3, "withheld [unusable-next-hop]",
            |w| w.peer(N3, |i| i.rules.client = true)
                .learn(N2, |a| a.next_hop = Some(NextHop::V6("2001:db8::9".parse().unwrap())));
        NET, TOR2, "withheld [attributes-too-long]",
            |w| { w.learn(TOR, |_| {}).pull(); cannot_be_sent(w, TOR2); };
        NET, TOR2, "withheld [as-loop]",
            |w| w.learn(TOR, |a| a.as_path = AsPath::sequence([65001, 65002].map(Asn)));
        NET, TOR2, "withheld [as-set]",
            |w| w.peer(TOR, |i| i.rules.as_sets = true).learn(TOR, with_set);
        NET, TOR2, "withheld [only-to-customer]",
            |w| w.peer(TOR2, |i| i.role = Some(Role::Customer))
                .learn(TOR, |a| a.otc = Some(Asn(65001)));
        NET, TOR2, "withheld [long-lived-stale]",
            |w| w.learn(TOR, |a| a.communities = [Community::LLGR_STALE].into());
        NET, TOR2, "withheld [no-next-hop-self]",
            |w| w.peer(TOR2, |i| i.next_hop_self.v4 = None).own(&[TOR2]);
        NET, TOR2, "withheld [policy]: a rule of an export policy rejects it (no-lab rule 2)",
            |w| w.peer(TOR2, |i| i.policies.export = rejecting()).learn(TOR, |_| {});
    }
}

#[test]
fn what_a_neighbour_is_told_and_why_not() {
    check(&told());
}
