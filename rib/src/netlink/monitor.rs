//! The kernel's events, in order and bounded.
//!
//! The library reads the socket as fast as it can into a queue without a bound, so this task never
//! lets that queue wait: it moves events into a backlog of its own, and when the consumer does not
//! keep up it drops the backlog and says so with one [`KernelEvent::Overrun`]. The same happens when
//! the kernel itself had to drop events: it says so once and goes on dropping until everything before
//! that was read, so from then on a new socket listens.
//!
//! A dump is made at the start and on request; so whoever asks for one knows what was done before it.
//! It is made while events are being collected, and is put before those that came meanwhile. So an
//! event that follows it may tell what the dump already shows, but never is one lost in between. A
//! dump that is lost with the backlog is made again once the consumer has taken the news of the loss.

use core::time::Duration;
use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, StreamExt};
use netlink_packet_core::NetlinkMessage;
use netlink_sys::{AsyncSocket, SocketAddr, protocols::NETLINK_ROUTE};
use rtnetlink::MulticastGroup;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::sleep,
};

use super::{
    NetlinkConfig, NetlinkError, decode, dump, message::Message, requests::OwnPorts, socket,
};
use crate::fib::{Dump, KernelEvent};

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Nexthop,
];

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

pub(super) struct Monitor {
    config: Arc<NetlinkConfig>,
    ports: Arc<OwnPorts>,
    socket: Socket,
    events: mpsc::Sender<KernelEvent>,
    resync: Arc<Notify>,
    trouble: watch::Sender<Option<Arc<NetlinkError>>>,
    /// What the consumer has not taken yet.
    backlog: VecDeque<KernelEvent>,
    /// Events were dropped, and the consumer does not know yet.
    losing: bool,
    wants_dump: bool,
}

impl Monitor {
    pub(super) fn open(
        config: Arc<NetlinkConfig>,
        ports: Arc<OwnPorts>,
        events: mpsc::Sender<KernelEvent>,
        resync: Arc<Notify>,
        trouble: watch::Sender<Option<Arc<NetlinkError>>>,
    ) -> Result<Self, NetlinkError> {
        let socket = Socket::open(&config, &ports)?;
        Ok(Self {
            config,
            ports,
            socket,
            events,
            resync,
            trouble,
            backlog: VecDeque::new(),
            losing: false,
            wants_dump: true,
        })
    }

    /// Until the consumer is gone.
    pub(super) async fn run(mut self) {
        loop {
            if self.wants_dump && !self.losing {
                if !self.synchronise().await {
                    return;
                }
                continue;
            }
            let events = self.events.clone();
            tokio::select! {
                permit = events.reserve(), if !self.backlog.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some(event) = self.backlog.pop_front() {
                        permit.send(event);
                    }
                    self.losing &= !self.backlog.is_empty();
                }
                message = self.socket.messages.next() => {
                    if !self.take(message).await {
                        return;
                    }
                }
                () = self.resync.notified() => self.wants_dump = true,
                () = events.closed() => return,
            }
        }
    }

    /// Puts a message into the backlog. Whether to go on.
    async fn take(&mut self, message: Option<Received>) -> bool {
        let Some((message, _)) = message else {
            self.lose();
            return self.reopen().await;
        };
        if self.ports.contains(message.header.port_number) {
            return true;
        }
        match decode::event(message) {
            Some(KernelEvent::Overrun) => {
                self.lose();
                return self.reopen().await;
            }
            _ if self.losing => {}
            Some(event) if self.concerns(&event) => {
                if self.backlog.len() < self.config.event_capacity {
                    self.backlog.push_back(event);
                } else {
                    self.lose();
                }
            }
            _ => {}
        }
        true
    }

    /// The table `local` and others are no business of ours.
    fn concerns(&self, event: &KernelEvent) -> bool {
        match event {
            KernelEvent::Route(route) | KernelEvent::RouteGone(route) => {
                self.config.tables().any(|table| table == route.table)
            }
            _ => true,
        }
    }

    fn lose(&mut self) {
        let mut lost = self.backlog.drain(..);
        self.wants_dump |= lost.any(|event| matches!(event, KernelEvent::Synced(_)));
        drop(lost);
        self.backlog.push_back(KernelEvent::Overrun);
        self.losing = true;
    }

    /// Makes a dump and puts it behind the backlog, and what came meanwhile behind it. Whether to go
    /// on.
    async fn synchronise(&mut self) -> bool {
        let mut pause = RETRY_FIRST;
        loop {
            match self.dump().await {
                Ok(None) => return true,
                Ok(Some((dump, meanwhile))) => {
                    self.trouble.send_replace(None);
                    self.wants_dump = false;
                    self.backlog.push_back(KernelEvent::Synced(Arc::new(dump)));
                    self.backlog.extend(meanwhile);
                    return true;
                }
                Err(error) => drop(self.trouble.send_replace(Some(Arc::new(error)))),
            }
            tokio::select! {
                () = sleep(pause) => pause = RETRY_MAX.min(pause * 2),
                () = self.events.closed() => return false,
            }
        }
    }

    /// A dump and the events that came while it was made; `None` if some of those were lost.
    async fn dump(&mut self) -> Result<Option<(Dump, VecDeque<KernelEvent>)>, NetlinkError> {
        let config = Arc::clone(&self.config);
        let dump = dump::dump(&config);
        tokio::pin!(dump);
        let before = core::mem::take(&mut self.backlog);
        let result = loop {
            tokio::select! {
                result = &mut dump => break result,
                message = self.socket.messages.next() => {
                    if !self.take(message).await {
                        break Err(NetlinkError::Closed);
                    }
                }
            }
        };
        if self.losing {
            // Whatever was before is lost too; this dump is still wanted.
            return Ok(None);
        }
        let meanwhile = core::mem::replace(&mut self.backlog, before);
        match result {
            Ok(dump) => Ok(Some((dump, meanwhile))),
            Err(error) => {
                self.backlog.extend(meanwhile);
                Err(error)
            }
        }
    }

    /// Opens the socket again. Whether to go on.
    async fn reopen(&mut self) -> bool {
        let mut pause = RETRY_FIRST;
        loop {
            match Socket::open(&self.config, &self.ports) {
                Ok(socket) => {
                    self.socket = socket;
                    return true;
                }
                Err(error) => drop(self.trouble.send_replace(Some(Arc::new(error)))),
            }
            tokio::select! {
                () = sleep(pause) => pause = RETRY_MAX.min(pause * 2),
                () = self.events.closed() => return false,
            }
        }
    }
}

type Received = (NetlinkMessage<Message>, SocketAddr);

/// The multicast socket. Dropping it closes it.
struct Socket {
    messages: core::pin::Pin<Box<dyn Stream<Item = Received> + Send>>,
    task: AbortHandle,
}

impl Socket {
    fn open(config: &NetlinkConfig, ports: &OwnPorts) -> Result<Self, NetlinkError> {
        let (mut connection, _handle, messages) =
            netlink_proto::new_connection::<Message>(NETLINK_ROUTE)
                .map_err(NetlinkError::Socket)?;
        let socket = connection.socket_mut().socket_mut();
        // Room first: events come from the moment of the subscription.
        socket::enlarge_receive_buffer(socket, config.receive_buffer);
        socket::hide_port(socket, ports.current());
        socket.bind_auto().map_err(NetlinkError::Socket)?;
        for group in GROUPS {
            let joined = socket.add_membership(group as u32);
            // A kernel before 5.3 has no objects to tell of.
            if group != MulticastGroup::Nexthop {
                joined.map_err(NetlinkError::Socket)?;
            }
        }
        Ok(Self {
            messages: Box::pin(messages),
            task: tokio::spawn(connection).abort_handle(),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}
