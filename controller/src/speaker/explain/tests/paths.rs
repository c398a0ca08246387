//! Why a path is not the best one.

use super::*;

fn unresolved_by(world: &mut World, n: u8) {
    world.learn(TOR, |a| {
        a.next_hop = Some(NextHop::V4([10, 0, 9, n].into()));
    });
}

pub(super) fn refused() -> Vec<Situation> {
    situations! {
        NET, TOR2, "refused-as-loop: our own AS",
            |w| w.learn(TOR, |a| a.as_path = AsPath::sequence([65001, 64512].map(Asn)));
        NET, TOR2, "refused-originator-loop: ",
            |w| w.learn(N2, |a| a.originator_id = Some(RouterId([192, 0, 2, 100].into())));
        NET, TOR2, "refused-cluster-loop: ",
            |w| w.learn(N2, |a| a.cluster_list = [u32::from_be_bytes([192, 0, 2, 100])].into());
        NET, TOR2, "refused-first-as-mismatch: ",
            |w| w.learn(TOR, |a| a.as_path = AsPath::sequence([Asn(65009)]));
        NET, TOR2, "refused-own-next-hop: ",
            |w| w.learn(TOR, |a| a.next_hop = Some(NextHop::V4([10, 0, 0, 100].into())));
        NET, TOR2, "refused-no-next-hop: ", |w| w.learn(TOR, |a| a.next_hop = None);
        "127.0.0.1", TOR2, "refused-martian-prefix: ", |w| w.learn_at("127.0.0.0/8", TOR, |_| {});
        NET, TOR2, "refused-not-allowed: the prefix does not belong to the node",
            |w| w.peer(N2, |i| i.import = ImportPolicy::Owner("n2".into())).learn(N2, |_| {});
        NET, TOR2, "refused-not-owners-next-hop: ", |w| owned_and_led_elsewhere(w);
        NET, TOR2, "refused-protected-prefix: ",
            |w| w.peer(TOR, |i| i.import = all_but(&["10.20.0.0/16"])).learn(TOR, |_| {});
        "0.0.0.0/0", TOR2, "refused-default-route: ",
            |w| w.peer(TOR, |i| i.import = all_but(&[])).learn_at("0.0.0.0/0", TOR, |_| {});
        "2001:db8::1", TOR2, "No route covers it",
            |w| w.peer(TOR, |i| i.families = only(Family::Ipv4Unicast)).learn_at("2001:db8::/32", TOR, |_| {});
        NET, TOR2, "refused-as-set: ", |w| w.learn(TOR, with_set);
        NET, TOR2, "refused-route-leak: ",
            |w| w.peer(TOR, |i| i.role = Some(Role::Provider)).learn(TOR, |a| a.otc = Some(Asn(7)));
        NET, TOR2, "refused-remote-next-hop: ",
            |w| w.peer(TOR, |i| i.subnet = Some(p("10.0.0.0/24")))
                .learn(TOR, |a| a.next_hop = Some(NextHop::V4([10, 0, 1, 1].into())));
        NET, TOR2, "refused-policy: a rule of an import policy rejects it (no-lab rule 2)",
            |w| w.peer(TOR, |i| i.policies.import = rejecting()).learn(TOR, |_| {});
    }
}

#[test]
fn what_was_refused_says_why() {
    check(&refused());
}

fn all_but(refuse: &[&str]) -> ImportPolicy {
    ImportPolicy::AllBut {
        refuse: Arc::new(refuse.iter().map(|prefix| p(prefix)).collect()),
        default_route: false,
    }
}

fn owned_and_led_elsewhere(world: &mut World) {
    world.desired.owners = owners().into();
    world.rib.set_owners(owners());
    world.peer(N2, |i| i.import = ImportPolicy::Owner("n2".into()));
    world.learn(N2, |a| {
        a.next_hop = Some(NextHop::V4([10, 0, 0, N3].into()));
    });
}

pub(super) fn unresolved() -> Vec<Situation> {
    situations! {
        NET, TOR2, "next-hop-no-route: the kernel has no route", |w| unresolved_by(w, 1);
        NET, TOR2, "next-hop-only-default-route: ", |w| unresolved_by(w, 2);
        NET, TOR2, "next-hop-unreachable: ", |w| unresolved_by(w, 3);
        NET, TOR2, "next-hop-link-down: ", |w| unresolved_by(w, 4);
        NET, TOR2, "next-hop-no-interface: ", |w| unresolved_by(w, 5);
        NET, TOR2, "next-hop-own-address: ", |w| unresolved_by(w, 6);
        NET, TOR2, "next-hop-recursive: ", |w| unresolved_by(w, 7);
        NET, TOR2, "next-hop-pending: ", |w| unresolved_by(w, 8);
        NET, TOR2, "not-wanted [no-usable-path]", |w| unresolved_by(w, 1);
        NET, TOR2, "withheld [no-route]", |w| unresolved_by(w, 1);
    }
}

#[test]
fn a_next_hop_that_cannot_be_used_says_why() {
    check(&unresolved());
}

pub(super) fn lost() -> Vec<Situation> {
    situations! {
        NET, TOR2, "from tor (BGPPeer/tor, ebgp): lost-local to local: ",
            |w| w.learn(TOR, |_| {}).own(&[TOR]);
        NET, TOR2, "from mesh-n2 (Node/n2, ibgp): lost-local-pref to mesh-n3: ",
            |w| w.learn(N2, |_| {}).learn(N3, |a| a.local_pref = Some(200));
        NET, TOR2, "lost-aigp to mesh-n2: ",
            |w| w.learn(N2, |a| a.aigp = Some(Aigp::of(5))).learn(N3, |_| {});
        NET, TOR2, "lost-as-path to tor2: ",
            |w| w.learn(TOR, |a| a.as_path = AsPath::sequence([65001, 7].map(Asn)))
                .learn(TOR2, |_| {});
        NET, TOR2, "lost-origin to tor2: ",
            |w| w.learn(TOR, |a| a.origin = Origin::Incomplete).learn(TOR2, |_| {});
        NET, TOR2, "lost-med to mesh-n3: ", |w| w.learn(N2, |a| a.med = Some(5)).learn(N3, |_| {});
        NET, TOR2, "lost-ebgp to tor: ",
            |w| w.learn(N2, |a| a.as_path = AsPath::sequence([Asn(7)])).learn(TOR, |_| {});
        NET, TOR2, "lost-igp-metric to mesh-n3: ",
            |w| w.learn(N2, |a| a.next_hop = Some(NextHop::V4([10, 0, 1, 1].into())))
                .learn(N3, |_| {});
        NET, TOR2, "from mesh-n3 (Node/n3, ibgp): lost-router-id to mesh-n2: ",
            |w| w.learn(N2, |_| {}).learn(N3, |_| {});
        NET, TOR2, "lost-cluster-list to mesh-n3: ",
            |w| w.peer(N3, |i| i.router_id = info(N2).router_id).learn(N2, |a| a.cluster_list = [1].into())
                .learn(N3, |_| {});
        NET, TOR2, "lost-peer-address to mesh-n2: ",
            |w| w.peer(N3, |i| i.router_id = info(N2).router_id).learn(N2, |_| {})
                .learn(N3, |_| {});
        NET, TOR2, "lost-long-lived-stale to mesh-n3: ",
            |w| w.learn(N2, |a| a.communities = [Community::LLGR_STALE].into()).learn(N3, |_| {});
        NET, TOR2, "lost-path-id to tor: ", |w| { w.learn(TOR, |_| {}); two_paths(w); };
        NET, TOR2, "from tor (BGPPeer/tor, ebgp): best\n", |w| w.learn(TOR, |_| {});
        NET, TOR2, "is higher; it shares the traffic all the same",
            |w| { *w = World::sharing(2); w.learn(TOR, |_| {}).learn(TOR2, |_| {}); };
        // What decided can be seen.
        NET, TOR2, ", aigp 5, ", |w| w.learn(N2, |a| a.aigp = Some(Aigp::of(5)));
        NET, TOR2, "cluster_list 0.0.0.1 0.0.0.2, ",
            |w| w.learn(N2, |a| a.cluster_list = [1, 2].into());
        "10.20.0.0/25", TOR2, "There is no route to just this prefix\n", |w| w.learn(TOR, |_| {});
    }
}

#[test]
fn the_step_that_a_path_lost_in_is_named_and_to_whom() {
    check(&lost());
}

fn two_paths(world: &mut World) {
    let Prefix::V4(prefix) = p(NET) else { return };
    let nlri = Nlri {
        prefix,
        path_id: PathId(7),
    };
    let nlri = NlriSet::V4([nlri].into_iter().collect());
    world
        .rib
        .announce(PeerId(TOR.into()), &Arc::new(attrs(TOR)), &nlri);
    world.rib.resolve_pending(&Net);
}
