use std::time::Duration;

use super::*;
use crate::{
    api::ServiceAddress,
    compile::{Hold, Kernel, ServiceRoute, Verdict, Withheld},
    index::{Kind, ObjectKey, ServiceKey},
};

const MIN_READY: Duration = Duration::from_secs(10);
const DELAY: Duration = Duration::from_secs(30);

fn prefix() -> Prefix {
    "203.0.113.1/32".parse().unwrap()
}

fn key() -> ServiceKey {
    ServiceKey {
        namespace: "apps".into(),
        name: "web".into(),
    }
}

/// What the objects ask for while the verdict on the one address is this one.
fn target(verdict: &Verdict) -> (DesiredState, ServiceTable) {
    let mut desired = DesiredState::idle(Kernel::default());
    desired.hold = Hold {
        min_ready: MIN_READY,
        withdraw_delay: DELAY,
    };
    if matches!(verdict, Verdict::Advertised { .. }) {
        let origination = Origination {
            object: key().object_ref(),
            advertise: Vec::new(),
            blackhole: false,
        };
        desired.originations.insert(prefix(), Arc::new(origination));
    }
    let route = ServiceRoute {
        address: prefix().addr(),
        kind: ServiceAddress::LoadBalancerIP,
        verdict: verdict.clone(),
    };
    let mut services = ServiceTable::default();
    services.services.insert(key(), vec![route].into());
    (desired, services)
}

fn serves() -> Verdict {
    Verdict::Advertised {
        host: vec![0],
        aggregates: Vec::new(),
    }
}

fn lacks(why: Withheld) -> Verdict {
    Verdict::Withheld(why)
}

/// A node in time: the verdict changes, and the address is told or not.
#[derive(Default)]
struct World {
    hold_down: HoldDown,
    last: Option<DesiredState>,
    recalled: bool,
}

impl World {
    /// A speaker starts.
    fn after(past: Past) -> Self {
        Self {
            hold_down: HoldDown::after(past),
            ..Self::default()
        }
    }

    /// From now on the verdict is this one; whether the address is told.
    fn change(&mut self, second: u64, verdict: &Verdict) -> bool {
        let (desired, services) = target(verdict);
        self.aim(second, desired, &services)
    }

    fn aim(&mut self, second: u64, target: DesiredState, services: &ServiceTable) -> bool {
        let change = Change {
            last: self.last.as_ref(),
            target: &target,
            services,
            recalled: self.recalled,
        };
        let now = Instant::ZERO + Duration::from_secs(second);
        self.hold_down.begin(now, change);
        self.last = Some(target);
        self.is_told(prefix())
    }

    /// Time goes on; whether the address is told.
    fn at(&mut self, second: u64) -> bool {
        self.hold_down
            .poll(Instant::ZERO + Duration::from_secs(second));
        self.is_told(prefix())
    }

    fn is_told(&self, prefix: Prefix) -> bool {
        let mut desired = self.last.clone().unwrap();
        self.hold_down.apply(&mut desired);
        desired.originations.contains_key(&prefix)
    }
}

#[test]
fn an_address_is_told_when_it_was_ready_for_long_enough() {
    let mut world = World::default();
    world.change(0, &lacks(Withheld::NoLocalEndpoints));
    assert!(!world.change(1, &serves()));
    // Other changes meanwhile do not begin the wait anew.
    assert!(!world.change(5, &serves()));
    assert!(!world.at(10) && world.at(11));
    assert!(!world.hold_down.is_under_way());
}

#[test]
fn endpoints_that_flap_before_they_were_ready_for_long_enough_are_never_seen() {
    let mut world = World::default();
    world.change(0, &lacks(Withheld::NoEndpoints));
    for second in (0..100).step_by(10) {
        assert!(!world.change(second, &serves()));
        assert!(!world.change(second + 9, &lacks(Withheld::NoEndpoints)));
        assert!(!world.at(second + 9));
    }
    assert!(!world.hold_down.is_under_way());
}

#[test]
fn an_address_whose_endpoints_are_gone_is_told_for_a_while() {
    let mut world = World::after(Past::Everything);
    assert!(world.change(0, &serves()));
    assert!(world.change(1, &lacks(Withheld::NoEndpoints)));
    assert!(world.at(30) && !world.at(31));
    assert!(!world.hold_down.is_under_way());
}

#[test]
fn endpoints_that_come_back_in_time_change_nothing() {
    let mut world = World::after(Past::Everything);
    world.change(0, &serves());
    assert!(world.change(1, &lacks(Withheld::NoLocalEndpoints)));
    assert!(world.change(20, &serves()));
    assert!(!world.hold_down.is_under_way());
    assert!(world.at(60));
}

#[test]
fn what_is_no_matter_of_endpoints_is_not_held() {
    for why in [Withheld::NotSelected, Withheld::NodeExcluded] {
        let mut world = World::after(Past::Everything);
        assert!(world.change(0, &serves()));
        assert!(!world.change(1, &lacks(why)), "{why}");
        world.change(2, &serves());
        world.at(20);
        world.change(21, &lacks(Withheld::NoEndpoints));
        assert!(!world.change(22, &lacks(why)), "{why} while it lingers");
    }
}

#[test]
fn without_times_nothing_is_held() {
    let mut world = World::default();
    for (verdict, told) in [
        (serves(), true),
        (lacks(Withheld::NoEndpoints), false),
        (serves(), true),
    ] {
        let (mut desired, services) = target(&verdict);
        desired.hold = Hold::default();
        assert_eq!(world.aim(0, desired, &services), told);
        assert!(!world.hold_down.is_under_way());
    }
}

#[test]
fn after_a_boot_every_address_waits() {
    let mut world = World::after(Past::Nothing);
    assert!(!world.change(5, &serves()));
    assert!(!world.change(9, &serves()));
    assert!(!world.at(14) && world.at(15));
}

#[test]
fn after_a_restart_what_was_told_is_told_and_what_was_not_waits() {
    let told = |past| World::after(past).change(5, &serves());
    assert!(told(Past::These([prefix()].into())));
    assert!(told(Past::Everything));
    assert!(!told(Past::These(BTreeSet::new())));
}

/// The objects that an earlier process wrote down may lack the last one that it had told.
#[test]
fn what_was_told_counts_until_the_api_server_says_what_is_there() {
    let mut world = World::after(Past::These([prefix()].into()));
    world.recalled = true;
    world.change(0, &lacks(Withheld::NoEndpoints));
    world.change(60, &lacks(Withheld::NoEndpoints));
    world.recalled = false;
    assert!(world.change(61, &serves()));

    // Address and endpoints had gone meanwhile, be it that the objects on disk said so or not.
    let mut world = World::after(Past::These([prefix()].into()));
    world.change(0, &lacks(Withheld::NotSelected));
    assert!(!world.change(1, &serves()));
    let mut world = World::after(Past::These([prefix()].into()));
    world.recalled = true;
    world.change(0, &lacks(Withheld::NotSelected));
    world.recalled = false;
    world.hold_down.forget_past();
    assert!(!world.change(1, &serves()));
}

/// What waits is an address, or an aggregate for the first address in it; pod CIDRs do not.
#[test]
fn aggregates_wait_and_what_is_none_of_services_does_not() {
    let aggregate: Prefix = "203.0.113.0/24".parse().unwrap();
    let pods: Prefix = "10.244.1.0/24".parse().unwrap();
    let verdict = Verdict::Advertised {
        host: vec![0],
        aggregates: vec![(0, aggregate)],
    };
    let (mut desired, services) = target(&verdict);
    for prefix in [aggregate, pods] {
        let origination = Origination {
            object: ObjectKey::cluster(Kind::BgpAdvertisement, "adv").object_ref(),
            advertise: Vec::new(),
            blackhole: false,
        };
        desired.originations.insert(prefix, Arc::new(origination));
    }
    let mut world = World::after(Past::Nothing);
    assert!(!world.aim(0, desired, &services));
    assert!(!world.is_told(aggregate) && world.is_told(pods));
    assert!(world.at(10) && world.is_told(aggregate));
}

/// An operator sums up addresses, in one range and then in another, and then no more.
#[test]
fn addresses_and_their_aggregates_take_over_from_each_other_at_once() {
    let (mut world, mut told) = (World::after(Past::Everything), Vec::new());
    told.push(world.change(0, &serves()));
    for range in ["203.0.113.0/24", "203.0.112.0/23"] {
        let aggregate: Prefix = range.parse().unwrap();
        let verdict = Verdict::Advertised {
            host: Vec::new(),
            aggregates: vec![(0, aggregate)],
        };
        let (mut desired, services) = target(&verdict);
        let route = desired.originations.get(&prefix()).cloned();
        desired.originations.remove(&prefix());
        desired.originations.insert(aggregate, route.unwrap());
        world.aim(1, desired, &services);
        told.push(world.is_told(aggregate));
    }
    told.push(world.change(2, &serves()));
    assert_eq!(told, [true; 4]);
    assert!(!world.hold_down.is_under_way());
}

#[test]
fn who_waits_waits_no_longer_than_a_new_configuration_says() {
    let mut world = World::after(Past::Nothing);
    world.change(0, &serves());
    let (mut shorter, services) = target(&serves());
    shorter.hold.min_ready = Duration::from_secs(2);
    assert!(!world.aim(1, shorter, &services));
    assert!(!world.at(2) && world.at(3));
}
