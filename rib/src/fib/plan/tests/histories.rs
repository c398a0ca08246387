//! Histories that once ended badly, as short as they can be told. Found by `properties`; what became
//! of each is checked as there.

use super::properties::{
    Step::{
        Address, Answer, Audit, Avoid, Batch, Carrier, CaughtUp, DeleteNexthop, Desire, Foreign,
        Link, Lose, Refuse, Send, SendUnread, Settle,
    },
    replay,
};
use crate::fib::{NexthopStyle, errno};

const OBJECTS: NexthopStyle = NexthopStyle::Objects { resilient: None };

/// The routes that can be wanted.
const OVER_2: Option<usize> = Some(0);
const OVER_3: Option<usize> = Some(1);
const OVER_BOTH: Option<usize> = Some(2);
const BLACKHOLE: Option<usize> = Some(3);

#[test]
fn a_group_that_a_link_took_a_leg_from_is_not_what_it_was_before_a_refused_change() {
    let history = [
        Desire(0, OVER_BOTH),
        SendUnread(1),
        Link(3, false),
        Link(3, true),
        Avoid(3),
        Refuse(errno::ENOMEM),
        Batch(1),
    ];
    replay(OBJECTS, &history);
}

#[test]
fn a_group_that_was_left_as_it_is_while_unused_is_put_right_for_its_next_user() {
    let history = [
        Lose,
        Desire(1, OVER_BOTH),
        Desire(0, BLACKHOLE),
        Send(1),
        Avoid(3),
        Answer(false),
        SendUnread(1),
        DeleteNexthop(0),
        Desire(1, OVER_2),
    ];
    replay(OBJECTS, &history);
}

#[test]
fn a_group_whose_new_leg_is_refused_does_not_count_as_led_there() {
    let history = [
        Address(3, false),
        Desire(5, OVER_2),
        Batch(1),
        Desire(5, OVER_3),
        Avoid(2),
        SendUnread(1),
        CaughtUp,
        SendUnread(1),
        Link(3, false),
    ];
    replay(OBJECTS, &history);
}

#[test]
fn a_group_that_is_gone_is_not_made_again_by_a_change_of_its_legs() {
    let history = [
        Desire(0, OVER_BOTH),
        Batch(1),
        DeleteNexthop(0),
        Avoid(3),
        Link(3, false),
        SendUnread(1),
        SendUnread(1),
    ];
    replay(OBJECTS, &history);
}

#[test]
fn what_goes_while_a_change_is_on_its_way_is_not_taken_to_be_there() {
    let history = [
        Audit,
        Desire(3, OVER_BOTH),
        Desire(0, OVER_2),
        SendUnread(1),
        DeleteNexthop(0),
        Desire(3, OVER_2),
        Send(1),
        Desire(0, OVER_2),
        Batch(1),
        Send(1),
        Link(3, false),
        Desire(0, None),
        DeleteNexthop(0),
    ];
    replay(OBJECTS, &history);
}

#[test]
fn a_group_that_is_gone_is_not_made_again_by_moving_its_routes() {
    let history = [
        Desire(0, OVER_2),
        Batch(1),
        Desire(0, OVER_3),
        Audit,
        Foreign(1, 0, 2),
        Carrier(2, false),
        SendUnread(1),
    ];
    replay(OBJECTS, &history);
}

#[test]
fn a_leg_that_is_refused_once_does_not_park_its_routes_for_ever() {
    let history = [
        Avoid(2),
        Desire(0, OVER_BOTH),
        Batch(1),
        Settle,
        Refuse(errno::ENETUNREACH),
        Avoid(2),
        DeleteNexthop(1),
        Batch(1),
    ];
    replay(OBJECTS, &history);
    let history = [
        Carrier(3, false),
        Desire(0, OVER_BOTH),
        Batch(1),
        Carrier(3, true),
        Settle,
        Avoid(2),
        Refuse(errno::ENETUNREACH),
        DeleteNexthop(1),
        Batch(1),
    ];
    replay(OBJECTS, &history);
}

/// While a dump is made each link fails and comes back: what went with it is not there, whatever the dump shows.
#[test]
fn a_link_that_flaps_while_the_kernel_is_read_takes_its_routes_along() {
    for want in [OVER_3, OVER_BOTH] {
        let flap = [Link(2, false), Link(3, false), Link(2, true), Link(3, true)];
        let mut history = vec![Desire(0, want), Batch(1), Audit];
        history.extend(flap);
        replay(NexthopStyle::Inline, &history);
        replay(OBJECTS, &history);
    }
}

#[test]
fn a_carrier_that_is_lost_while_the_kernel_is_read_takes_objects_along() {
    let history = [
        Desire(0, OVER_BOTH),
        Batch(1),
        Audit,
        Carrier(2, false),
        Carrier(2, true),
        Carrier(3, false),
    ];
    replay(OBJECTS, &history);
}

#[test]
fn a_foreign_route_that_went_with_a_link_while_the_kernel_is_read_is_in_nobodys_way() {
    let history = [
        Foreign(5, 0, 2),
        Audit,
        Link(2, false),
        Link(2, true),
        Desire(5, OVER_2),
    ];
    replay(NexthopStyle::Inline, &history);
    replay(OBJECTS, &history);
}

/// The one link came back only after the other one had failed.
#[test]
fn links_that_fail_in_turn_while_the_kernel_is_read_take_their_routes_along() {
    let history = [
        Desire(0, OVER_BOTH),
        SendUnread(1),
        Link(2, false),
        Audit,
        Link(3, false),
        Link(2, true),
    ];
    replay(NexthopStyle::Inline, &history);
    replay(OBJECTS, &history);
    let history = history.map(|step| match step {
        Link(link, up) => Carrier(link, up),
        other => other,
    });
    replay(OBJECTS, &history);
}

#[test]
fn a_group_that_a_dump_shows_as_a_refused_change_would_have_it_is_not_what_it_was_before() {
    let history = [
        Lose,
        Desire(0, OVER_BOTH),
        SendUnread(1),
        Refuse(errno::ENOMEM),
        Carrier(2, false),
        Avoid(2),
        Send(1),
        Carrier(2, true),
        Batch(1),
    ];
    replay(OBJECTS, &history);
}
