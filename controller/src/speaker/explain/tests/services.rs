//! What the objects say of an address.

use super::*;

fn advertised() -> Verdict {
    Verdict::Advertised {
        host: vec![0],
        aggregates: Vec::new(),
    }
}

const ADDRESS: &str = "10.20.0.5";

fn withhold(world: &mut World, why: Withheld) {
    world.service(Verdict::Withheld(why));
}

pub(super) fn withheld() -> Vec<Situation> {
    situations! {
        ADDRESS, TOR, "IP: withheld [not-selected]: no BGPAdvertisement for this node selects",
            |w| withhold(w, Withheld::NotSelected);
        ADDRESS, TOR, "IP: withheld [unusable-address]: no address that could be reached",
            |w| withhold(w, Withheld::UnusableAddress);
        ADDRESS, TOR, "IP: withheld [pod-address]: it lies in the pod CIDR",
            |w| withhold(w, Withheld::PodAddress);
        ADDRESS, TOR, "IP: withheld [speaker-address]: it is the address of a node or of a router",
            |w| withhold(w, Withheld::SpeakerAddress);
        ADDRESS, TOR, "IP: withheld [not-allowed]: it is outside of the ranges",
            |w| withhold(w, Withheld::NotAllowed);
        ADDRESS, TOR, "IP: withheld [node-excluded]: the Node has the label",
            |w| withhold(w, Withheld::NodeExcluded);
        ADDRESS, TOR, "IP: withheld [network-unavailable]: the Node has the condition",
            |w| withhold(w, Withheld::NetworkUnavailable);
        ADDRESS, TOR, "IP: withheld [no-peer]: what asks for it names no neighbour",
            |w| withhold(w, Withheld::NoPeer);
        ADDRESS, TOR, "IP: withheld [no-node-address]: the node has no address of this family",
            |w| withhold(w, Withheld::NoNodeAddress);
        ADDRESS, TOR, "IP: withheld [no-endpoints]: the Service has no endpoint anywhere",
            |w| withhold(w, Withheld::NoEndpoints);
        ADDRESS, TOR, "IP: withheld [no-local-endpoints]: its traffic policy is Local",
            |w| withhold(w, Withheld::NoLocalEndpoints);
        ADDRESS, TOR, "No route covers it\n", |w| withhold(w, Withheld::NoEndpoints);
    }
}

pub(super) fn services() -> Vec<Situation> {
    situations! {
        ADDRESS, TOR, "Service apps/web, LoadBalancerIP: advertised, because of BGPAdvertisement/public",
            |w| w.service(advertised());
        ADDRESS, TOR, "LoadBalancerIP: aggregated",
            |w| w.service(Verdict::Advertised { host: vec![], aggregates: vec![(0, p(NET))] });
        ADDRESS, TOR, "waiting [min-ready]: ",
            |w| w.service(advertised()).services.held.insert(p("10.20.0.5/32"), Held::MinReady);
        ADDRESS, TOR, "advertised [withdraw-delay]: ",
            |w| w.service(Verdict::Withheld(Withheld::NoEndpoints))
                .services.held.insert(p("10.20.0.5/32"), Held::WithdrawDelay);
        ADDRESS, TOR, "waiting [min-ready]: it could not be served",
            |w| w.service(Verdict::Advertised { host: vec![], aggregates: vec![(0, p(NET))] })
                .services.held.insert(p(NET), Held::MinReady);
        ADDRESS, TOR, "advertised [draining]: ",
            |w| w.service(advertised()).services.drain = Some(DrainStep::Marked);
        ADDRESS, TOR, "withheld [drained]: ",
            |w| w.service(advertised()).services.drain = Some(DrainStep::Withdrawn);
        ADDRESS, TOR, "from local (Service/apps/web): best, advertised by BGPAdvertisement/public",
            |w| w.own(&[TOR]);
        ADDRESS, TOR, "Node n2 has 10.20.0.0/24", |w| w.desired.owners = owners().into();
        ADDRESS, TOR, "Not used: 10.20.0.0/24",
            |w| w.learn_at("10.0.0.0/8", TOR, |_| {}).learn(TOR, |a| a.next_hop = None);
    }
}

#[test]
fn what_the_objects_say_of_a_service_comes_first() {
    check(&withheld());
    check(&services());
}
