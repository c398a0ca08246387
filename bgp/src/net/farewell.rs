//! Closing a connection so that the last message arrives.
//!
//! A socket that is closed with unread input makes Linux send a reset, and a reset makes the other
//! end throw away what it has not read yet, such as our NOTIFICATION. So: write, say that there is no
//! more, read until the other end closes too, and do not wait long for any of it.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    session::Refusal,
    wire::{Codec, Message},
};

/// How long the other end may take to read its last message.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections may be closing at once. Beyond, they close without ceremony.
const MOST: usize = 8;

/// Connections that are being closed.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    /// From the first on.
    tasks: Option<JoinSet<()>>,
}

impl Farewells {
    /// Writes `last` and closes. Without `last` there is nothing to wait for.
    pub(super) fn close(&mut self, stream: TcpStream, last: Bytes) {
        if last.is_empty() {
            return;
        }
        let tasks = self.tasks.get_or_insert_default();
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= MOST {
            return;
        }
        tasks.spawn(async move {
            // Whatever goes wrong, the connection is gone in the end.
            let _ = tokio::time::timeout(PATIENCE, part(stream, last)).await;
        });
    }

    /// Tells why, if that is anybody's business, and closes.
    pub(super) fn refuse(&mut self, stream: TcpStream, why: Refusal) {
        let mut bytes = BytesMut::new();
        if let Some(notification) = why.notification() {
            Codec::default().encode(&Message::Notification(notification), &mut bytes);
        }
        self.close(stream, bytes.freeze());
    }

    /// Waits until all are closed.
    pub(super) async fn done(&mut self) {
        let mut tasks = self.tasks.take().unwrap_or_default();
        while tasks.join_next().await.is_some() {}
    }
}

async fn part(mut stream: TcpStream, last: Bytes) -> std::io::Result<()> {
    stream.write_all(&last).await?;
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
