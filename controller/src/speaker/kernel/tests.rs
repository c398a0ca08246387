use std::net::{IpAddr, Ipv4Addr};

use redstart_bgp::types::Ipv4Prefix;
use redstart_rib::{
    OriginSource, Origination, RibConfig,
    fib::{Change, FibCounters, KernelOp, LinkAddress, OpId, Request},
    nexthop::Gateway,
};

use super::*;
use crate::speaker::tests::{in_namespace, ip};

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn own_address() -> LinkAddress {
    LinkAddress {
        ifindex: 1,
        addr: OWN,
        subnet: Prefix::new(OWN, 32).unwrap(),
    }
}

#[test]
fn routes_prescribe_the_nodes_own_address_while_it_has_it() {
    let mut kernel = Kernel::new(0, Recorded::nowhere());
    let mut rib = Rib::new(RibConfig::default(), 0);
    kernel.sources = vec![OWN];
    let v4 = Prefix::V4(Ipv4Prefix::new(Ipv4Addr::new(10, 1, 0, 0), 16).unwrap());
    let v6: Prefix = "fd01::/64".parse().unwrap();
    let via = || Route::unicast(Gateway::via(Ipv4Addr::new(10, 0, 0, 9).into(), 2));
    let mut source_after = |event| {
        kernel.on_event(Instant::ZERO, Input::Event(event));
        kernel.follow_sources(&mut rib);
        let of = |prefix, route| kernel.sourced(prefix, route).prefsrc;
        // Those of the other family, and those that drop packets, have none.
        assert_eq!(of(v6, via()), None);
        assert_eq!(of(v4, Route::blackhole()), None);
        of(v4, via())
    };
    assert_eq!(source_after(KernelEvent::Overrun), None);
    assert_eq!(source_after(KernelEvent::Address(own_address())), Some(OWN));
    assert_eq!(source_after(KernelEvent::AddressGone(own_address())), None);
}

/// A kernel side in a network namespace of its own that was told to keep these two routes, and has.
async fn with_two_routes(rib: &mut Rib) -> Kernel {
    let mut kernel = Kernel::new(0, Recorded::nowhere());
    kernel.configure(Instant::ZERO, &compile::Kernel::default(), rib);
    kernel.recovered();
    wish_two(&mut kernel);
    until(&mut kernel, Instant::ZERO, rib, |k| counters(k).added == 2).await;
    kernel
}

fn wish_two(kernel: &mut Kernel) {
    for prefix in ["10.1.0.0/16", "10.2.0.0/16"] {
        let prefix = prefix.parse().unwrap();
        kernel.planner.desire(prefix, Some(Route::blackhole()));
    }
}

fn counters(kernel: &Kernel) -> FibCounters {
    kernel.planner.counters()
}

/// Does what the core does, at a time that stands still.
async fn until(kernel: &mut Kernel, now: Instant, rib: &mut Rib, holds: impl Fn(&Kernel) -> bool) {
    kernel.push(now, rib);
    while !holds(kernel) || !kernel.planner.is_quiescent() {
        let input = kernel.next_event().await;
        kernel.on_event(now, input);
        kernel.push(now, rib);
    }
}

fn just_before(due: Instant) -> Instant {
    Instant::from_nanos(due.as_nanos() - 1)
}

fn there() -> usize {
    ip("route show proto bgp").lines().count()
}

#[test]
fn what_went_unheard_is_found_by_the_audit_and_counted_as_drift() {
    in_namespace(async {
        let mut rib = Rib::new(RibConfig::default(), 0);
        let mut kernel = with_two_routes(&mut rib).await;
        // What goes through our own socket has no echo, so nobody tells the planner.
        let key = kernel.planner.config().key("10.1.0.0/16".parse().unwrap());
        let delete = KernelOp {
            id: OpId(u64::MAX),
            request: Request::Route {
                key,
                change: Change::Delete(None),
            },
        };
        let handle = kernel.netlink.as_ref().unwrap().handle.clone();
        let outcomes = handle.apply(vec![delete]).await;
        assert_eq!(outcomes, [(OpId(u64::MAX), Ok(()))]);
        assert_eq!(there(), 1);

        let due = kernel.poll_timeout().unwrap();
        assert_eq!(due, Instant::ZERO + AUDIT);
        kernel.push(just_before(due), &mut rib);
        assert_eq!(kernel.poll_timeout(), Some(due));
        until(&mut kernel, due, &mut rib, |k| counters(k).drifted == 1).await;
        assert_eq!(there(), 2);
        assert_eq!(counters(&kernel).added, 3);
        // And the next one is due as long after it.
        assert_eq!(kernel.poll_timeout(), Some(due + AUDIT));
    });
}

#[test]
fn netlink_that_went_is_opened_again_and_what_is_there_is_adopted() {
    in_namespace(async {
        let mut rib = Rib::new(RibConfig::default(), 0);
        let mut kernel = with_two_routes(&mut rib).await;
        kernel.on_event(Instant::ZERO, Input::Gone);
        assert!(kernel.error().is_some());
        let due = kernel.poll_timeout().unwrap();
        assert_eq!(due, Instant::ZERO + REOPEN);
        kernel.push(just_before(due), &mut rib);
        assert!(kernel.netlink.is_none());

        kernel.push(due, &mut rib);
        // As the RIB does, which is asked to say everything again.
        wish_two(&mut kernel);
        until(&mut kernel, due, &mut rib, |k| k.known).await;
        let after = counters(&kernel);
        // The planner before it has added them.
        assert_eq!(
            (after.adopted, after.added, after.replaced, after.deleted),
            (2, 2, 0, 0)
        );
        assert_eq!((after.swept, there()), (0, 2));
        assert_eq!(kernel.error(), None);
    });
}

fn blackhole() -> Origination {
    Origination {
        source: OriginSource {
            kind: "BGPAdvertisement".to_owned(),
            name: "aggregates".to_owned(),
        },
        advertise: Vec::new(),
        blackhole: true,
    }
}

#[test]
fn new_prefixes_wait_where_others_do_and_changed_ones_do_not() {
    // There is nobody to give them to, so the kernel is not idle without them.
    let mut kernel = Kernel::new(0, Recorded::nowhere());
    kernel.install = true;
    let mut rib = Rib::new(RibConfig::default(), 0);
    let prefix = |i: u8| Prefix::V4(Ipv4Prefix::new([10, i, 0, 0].into(), 16).unwrap());
    let originate = |rib: &mut Rib, some: core::ops::Range<u8>| {
        for i in some {
            rib.set_origination(prefix(i), Some(blackhole()));
        }
    };
    originate(&mut rib, 0..150);
    let clock = Clock::new();
    assert!(kernel.take_changes(clock, &mut rib, true));
    let few = u64::try_from(FEW).unwrap();
    assert_eq!(counters(&kernel).desired, few, "not for ever");
    assert!(!kernel.take_changes(clock, &mut rib, false));
    assert_eq!(counters(&kernel).desired, 150);

    originate(&mut rib, 150..250);
    rib.set_origination(prefix(0), None);
    assert!(kernel.take_changes(clock, &mut rib, true));
    let desired = |i| kernel.planner.desired(prefix(i)).is_some();
    assert_eq!([0, 1, 249].map(desired), [false, true, false]);
    assert_eq!(counters(&kernel).desired, 149 + few - 1);
    assert!(!kernel.take_changes(clock, &mut rib, false));
    assert!(kernel.planner.desired(prefix(249)).is_some());
    assert_eq!(counters(&kernel).desired, 249);
}
