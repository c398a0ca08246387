use super::*;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn down(peer: &str) -> Notice {
    Notice {
        subject: Subject {
            object: format!("BGPPeer/{peer}"),
            reason: "SessionDown",
            detail: peer.to_owned(),
        },
        warning: true,
        note: "gone".to_owned(),
        times: 1,
    }
}

#[test]
fn other_words_are_another_event() {
    let mut ledger = Ledger::new(at(0), 0);
    let told = |ledger: &mut Ledger, second, note: &str| {
        let note = note.to_owned();
        ledger.note(
            at(second),
            Notice {
                note,
                ..down("tor")
            },
        );
        let due = ledger.due(at(second)).into_iter();
        due.map(|it| (it.number, it.new, it.count))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&mut ledger, 0, "hold timer"), [(0, true, 1)]);
    assert_eq!(told(&mut ledger, 100, "hold timer"), [(0, false, 2)]);
    // As seldom as any of this subject.
    assert_eq!(told(&mut ledger, 110, "cease"), []);
    assert_eq!(told(&mut ledger, 200, "cease"), [(1, true, 2)]);
    assert_eq!(told(&mut ledger, 300, "cease"), [(1, false, 3)]);
}

#[test]
fn a_session_that_flaps_each_second_is_one_event_and_a_write_a_minute() {
    let mut ledger = Ledger::new(at(0), 0);
    let mut writes = Vec::new();
    for second in 0..600 {
        ledger.note(at(second), down("tor"));
        writes.extend(ledger.due(at(second)));
    }
    assert_eq!(writes.len(), 10);
    assert_eq!(writes.iter().filter(|it| it.new).count(), 1);
    assert_eq!(writes.last().map(|it| it.count), Some(541));
}

#[test]
fn a_thousand_sessions_that_end_at_once_have_a_budget() {
    let mut ledger = Ledger::new(at(0), 0);
    (0..1000).for_each(|i| ledger.note(at(0), down(&format!("tor{i}"))));
    assert_eq!(ledger.due(at(0)).len(), BURST as usize);
    assert_eq!(ledger.due(at(1)).len(), 0);
    assert_eq!(ledger.due(at(30)).len(), 3);
    assert!(ledger.series.len() <= MAX_SERIES);
}

#[test]
fn a_series_ends_and_the_next_event_is_another() {
    let mut ledger = Ledger::new(at(0), 7);
    ledger.note(at(0), down("tor"));
    assert_eq!(ledger.due(at(0))[0].number, 7);
    ledger.note(at(601), down("tor"));
    let next = ledger.due(at(601));
    assert_eq!((next[0].new, next[0].number, next[0].count), (true, 8, 1));
}

/// However many neighbours flap all the time, what happens once is told within moments.
#[test]
fn what_was_never_told_does_not_wait_behind_what_repeats_itself() {
    let mut ledger = Ledger::new(at(0), 0);
    let mut told = None;
    for second in 0..900 {
        (0..10).for_each(|i| ledger.note(at(second), down(&format!("flaps-{i}"))));
        if second == 600 {
            ledger.note(at(second), down("zero"));
        }
        let due = ledger.due(at(second));
        if due.iter().any(|it| it.subject.detail == "zero") {
            told = Some(second);
        }
    }
    assert!(told.is_some_and(|at| at <= 610), "{told:?}");
}

#[test]
fn what_could_not_be_written_is_written_later() {
    let mut ledger = Ledger::new(at(0), 0);
    ledger.note(at(0), down("tor"));
    let first = ledger.due(at(0));
    ledger.failed(&first[0]);
    ledger.note(at(5), down("tor"));
    // It does not keep others from being told, nor asks all the time.
    ledger.note(at(6), down("other"));
    assert_eq!(ledger.due(at(6))[0].subject.detail, "other");
    let again = ledger.due(at(60));
    assert_eq!(
        (again[0].new, again[0].number, again[0].count),
        (true, 0, 2)
    );
    ledger.note(at(120), down("tor"));
    let series = ledger.due(at(120));
    assert!(!series[0].new);
    ledger.failed(&series[0]);
    assert_eq!(ledger.due(at(150)), []);
    assert_eq!(ledger.due(at(180))[0].count, 3);
    // Of an Event that there is no more, in other words meanwhile, nothing is due.
    ledger.note(at(240), down("tor"));
    let old = ledger.due(at(240));
    let other = Notice {
        note: "other".to_owned(),
        ..down("tor")
    };
    ledger.note(at(241), other);
    ledger.failed(&old[0]);
    let now = ledger.due(at(300));
    assert_eq!((now.len(), now[0].new, now[0].count), (1, true, 1));
    // What nobody ever takes is given up.
    ledger.failed(&now[0]);
    ledger.note(at(300 + 1200), down("other"));
    assert!(ledger.series.len() == 1);
}
