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
