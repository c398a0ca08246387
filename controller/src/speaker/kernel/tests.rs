use std::net::{IpAddr, Ipv4Addr};

use redstart_bgp::types::Ipv4Prefix;
use redstart_rib::{RibConfig, fib::LinkAddress, nexthop::Gateway};

use super::*;

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
