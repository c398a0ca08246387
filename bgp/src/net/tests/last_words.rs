//! What the neighbour said before the connection broke.

use core::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt as _,
    time::{sleep, timeout},
};

use super::{LIMIT, timing::by_hand};
use crate::{
    session::DownReason,
    types::Family,
    wire::{
        CeaseSubcode, Codec, ErrorCode, Message, Notification, RefreshKind, RouteRefresh, Update,
    },
};

/// The core has no room, so nothing is read, and the connection breaks under our next KEEPALIVE. The
/// NOTIFICATION is behind routes that nobody has taken.
#[tokio::test]
async fn a_notification_is_heard_where_the_connection_broke_while_nothing_was_read() {
    let (mut a, mut stream) = by_hand().await;
    stream.set_nodelay(true).unwrap();
    let family = Family::Ipv4Unicast;
    let update = Message::Update(Update {
        end_of_rib: Some(family),
        ..Update::default()
    });
    let request = Message::RouteRefresh(RouteRefresh {
        afi: family.afi(),
        safi: family.safi(),
        kind: RefreshKind::Request,
    });
    let shutdown = ErrorCode::Cease(CeaseSubcode::AdministrativeShutdown);
    let goodbye = Message::Notification(Notification::new(shutdown));
    let encoded = |messages: &[&Message]| {
        let mut bytes = BytesMut::new();
        for message in messages {
            Codec::default().encode(message, &mut bytes);
        }
        bytes
    };
    // One is in the channel, the other waits for room: reading has stopped.
    let first = encoded(&[&update, &request]);
    stream.write_all(&first).await.unwrap();
    let full = async {
        while a.core.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, full).await.unwrap();
    let last = encoded(&[&update, &goodbye]);
    stream.write_all(&last).await.unwrap();
    let abort = Some(Duration::ZERO);
    SockRef::from(&stream).set_linger(abort).unwrap();
    drop(stream);

    let mut status = a.peer.watch_status();
    let over = status.wait_for(|status| status.established_since.is_none());
    timeout(LIMIT, over).await.unwrap().unwrap();
    let DownReason::NotificationReceived(notification) = a.down().await else {
        panic!("the NOTIFICATION was not read");
    };
    assert_eq!(notification.code, shutdown);
}
