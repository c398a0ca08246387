use super::*;
use crate::{
    api::ServiceAddress,
    compile::{Hold, Kernel, ServiceRoute, Verdict, Withheld},
    index::ServiceKey,
};

const MIN_READY: Duration = Duration::from_secs(10);
const DELAY: Duration = Duration::from_secs(30);

fn prefix() -> Prefix {
    "203.0.113.1/32".parse().unwrap()
}

fn key() -> ServiceKey {
    ServiceKey {
        namespace: "apps".to_owned(),
        name: "web".to_owned(),
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
}

impl World {
    /// From now on the verdict is this one; whether the address is told.
    fn change(&mut self, second: u64, verdict: &Verdict) -> bool {
        let (desired, services) = target(verdict);
        let now = Instant::ZERO + Duration::from_secs(second);
        self.hold_down
            .begin(now, self.last.as_ref(), &desired, &services);
        self.last = Some(desired);
        self.is_told()
    }

    /// Time goes on; whether the address is told.
    fn at(&mut self, second: u64) -> bool {
        self.hold_down
            .poll(Instant::ZERO + Duration::from_secs(second));
        self.is_told()
    }

    fn is_told(&self) -> bool {
        let mut desired = self.last.clone().unwrap();
        self.hold_down.apply(&mut desired);
        desired.originations.contains_key(&prefix())
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
    let mut world = World::default();
    assert!(world.change(0, &serves()), "a start waits for nothing");
    assert!(world.change(1, &lacks(Withheld::NoEndpoints)));
    assert!(world.at(30) && !world.at(31));
    assert!(!world.hold_down.is_under_way());
}

#[test]
fn endpoints_that_come_back_in_time_change_nothing() {
    let mut world = World::default();
    world.change(0, &serves());
    assert!(world.change(1, &lacks(Withheld::NoLocalEndpoints)));
    assert!(world.change(20, &serves()));
    assert!(!world.hold_down.is_under_way());
    assert!(world.at(60));
}

#[test]
fn what_is_no_matter_of_endpoints_is_not_held() {
    for why in [Withheld::NotSelected, Withheld::NodeExcluded] {
        let mut world = World::default();
        world.change(0, &serves());
        assert!(!world.change(1, &lacks(why)), "{why}");
        world.change(2, &serves());
        world.at(20);
        world.change(21, &lacks(Withheld::NoEndpoints));
        assert!(!world.change(22, &lacks(why)), "{why} while it lingers");
    }
}

#[test]
fn without_times_nothing_is_held() {
    let mut hold_down = HoldDown::default();
    let (mut with, table) = target(&serves());
    let (mut without, lacking) = target(&lacks(Withheld::NoEndpoints));
    with.hold = Hold::default();
    without.hold = Hold::default();
    hold_down.begin(Instant::ZERO, Some(&without), &with, &table);
    assert!(!hold_down.is_under_way());
    hold_down.begin(Instant::ZERO, Some(&with), &without, &lacking);
    assert!(!hold_down.is_under_way());
}
