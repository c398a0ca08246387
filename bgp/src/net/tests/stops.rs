//! Stops and starts that the task hears of together.

use tokio::sync::watch;

use super::{
    super::{
        handle::{Desired, guard},
        inbox::Inbox,
        task::{Ends, Task},
    },
    *,
};
use crate::{
    session::{Peer, State, StopReason},
    types::Family,
};

/// Whoever stops a neighbour counts on the end of its session, also where it starts it again at once: what
/// comes by a session that is thought to be over is not heeded any more.
#[tokio::test]
async fn a_stop_that_is_taken_back_at_once_ends_the_session_all_the_same() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    let why = StopReason::Shutdown("too many".into());
    a.peer.stop(why.clone());
    a.peer.start();
    assert_eq!(a.down().await, DownReason::Stopped(why));
    assert!(matches!(
        b.down().await,
        DownReason::NotificationReceived(_)
    ));
    both_established(&mut a, &mut b).await;
}

/// The other way round it stays down, and is stopped once.
#[tokio::test]
async fn a_start_that_is_taken_back_at_once_starts_nothing() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    let why = |text: &str| StopReason::Shutdown(text.into());
    a.peer.stop(why("first"));
    assert_eq!(a.down().await, DownReason::Stopped(why("first")));
    a.peer.start();
    a.peer.stop(why("second"));
    let mut status = a.peer.watch_status();
    let idle = status.wait_for(|status| status.state == State::Idle);
    timeout(LIMIT, idle).await.unwrap().unwrap();
    let failure = timeout(Duration::from_secs(1), a.established()).await;
    assert!(failure.is_err(), "it is stopped");
}

/// A panic ends the session, and not the neighbour: it comes back after a rest, or once something is asked
/// of it.
#[tokio::test]
async fn a_neighbour_whose_task_panicked_comes_back() {
    let clock = Clock::new();
    let reset = StopReason::Reset(String::new());
    let (inbox, news) = Inbox::new(Desired {
        session: config(1),
        transport: Transport::new((B, 1).into()),
        stopped: false,
        stops: (0, reset.clone()),
        restarts: (0, reset),
        refreshes: [0; Family::ALL.len()],
        tap: None,
        log: None,
    });
    let idle = Peer::new(config(1), 1).status(clock.now());
    let (status, _published) = watch::channel(Arc::new(idle));
    let (to_core, mut core) = mpsc::channel(1);
    let ends = Ends {
        id: PeerId(1),
        inbox: inbox.clone(),
        news,
        ready: Arc::default(),
        seed: 1,
        clock,
        core: to_core,
        status,
    };
    let mut begun = 0;
    let guarded = tokio::spawn(guard(ends, async move |ends| {
        begun += 1;
        assert!(begun > 1, "as a defect would");
        Task::new(ends).run().await;
    }));
    let mut heard = async || timeout(LIMIT, core.recv()).await.unwrap().unwrap();
    let FromPeer::Event { event, .. } = heard().await else {
        panic!();
    };
    assert!(matches!(
        event,
        Event::Down {
            reason: DownReason::InternalError,
            ..
        }
    ));
    // What an operator asks for is done at once: the new task dials, in vain.
    inbox.modify(|desired| desired.restarts.0 += 1);
    loop {
        if let FromPeer::Event {
            event: Event::AttemptFailed { .. },
            ..
        } = heard().await
        {
            break;
        }
    }
    inbox.close();
    drop(core);
    timeout(LIMIT, guarded).await.unwrap().unwrap();
}
