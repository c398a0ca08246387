//! How many messages a table takes.

use super::*;

/// Routes with the same attributes fill one message after the other, however few come at once.
#[tokio::test]
async fn messages_are_filled_across_batches() {
    const BATCHES: u32 = 16;
    const SIZE: u32 = 4096;
    for (extended, longest) in [(false, 4096), (true, 65_535)] {
        let (mut a, mut b) = pair((A, B), |_, _, config| config.extended_messages = extended);
        both_established(&mut a, &mut b).await;
        a.peer.routes_ready();
        let send = async {
            let mut sent = 0;
            while let Some(from) = a.core.recv().await {
                let FromPeer::Pull { reply, .. } = from else {
                    continue;
                };
                let mut answer = OutBatch::default();
                if sent < BATCHES {
                    answer = batch(sent * SIZE, SIZE);
                    // Also where there is nothing more after all.
                    answer.more = true;
                    sent += 1;
                }
                let _ = reply.send(answer);
            }
        };
        let receive = async {
            let (mut messages, mut routes) = (0, 0);
            while routes < BATCHES * SIZE {
                if let FromPeer::Updates { updates, .. } = b.core.recv().await.unwrap() {
                    for update in updates.messages() {
                        messages += 1;
                        let sizes = update.reach.iter().map(|reach| reach.nlri.len());
                        routes += u32::try_from(sizes.sum::<usize>()).unwrap();
                    }
                }
            }
            messages
        };
        let messages = tokio::select! {
            () = send => panic!("the task ended"),
            messages = timeout(LIMIT, receive) => messages.unwrap(),
        };
        // Five octets a prefix; the header, two lengths and three attributes in each message.
        let routes = usize::try_from(BATCHES * SIZE).unwrap();
        let each = (longest - 19 - 4 - 20) / 5;
        assert_eq!(messages, routes.div_ceil(each), "{longest}");
    }
}

/// A piece of a table may have nothing to say. The task asks for the next one all the same, though nobody wakes it.
#[tokio::test]
async fn nothing_to_say_is_not_the_end_if_there_is_more() {
    let (mut a, mut b) = pair((A, B), |_, _, _| {});
    both_established(&mut a, &mut b).await;
    a.peer.routes_ready();
    let answer = async {
        let mut asked = 0;
        while let Some(from) = a.core.recv().await {
            let FromPeer::Pull { reply, .. } = from else {
                continue;
            };
            asked += 1;
            let mut answer = match asked {
                4 => batch(0, 1),
                _ => OutBatch::default(),
            };
            answer.more = asked < 4;
            let _ = reply.send(answer);
        }
    };
    let receive = async {
        loop {
            if let FromPeer::Updates { .. } = b.core.recv().await.unwrap() {
                break;
            }
        }
    };
    tokio::select! {
        () = answer => panic!("the task ended"),
        received = timeout(LIMIT, receive) => received.expect("the fourth batch"),
    }
}
