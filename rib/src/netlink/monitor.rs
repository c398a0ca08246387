//! The kernel's events, in order and bounded.
//!
//! The library reads the socket as fast as it can into a queue without a bound, so this task never
//! lets that queue wait: it moves events into a backlog of its own, and when the consumer does not
//! keep up it drops the backlog and says so with one [`KernelEvent::Overrun`]. The same happens when
//! the kernel itself had to drop events: it says so once and goes on dropping until everything before
//! that was read, so from then on a new socket listens.
//!
//! A dump is made at the start and on request; so whoever asks for one knows what was done before it.
//! A table may have a million routes, and the kernel may refuse to be read for a while: so events are
//! told while it is being made as at any other time, and once more with the dump, which may or may not
//! show what they did. Never is one lost in between. A dump during which events were lost is made again
//! once the consumer has taken the news of the loss.

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    pin::Pin,
    sync::Arc,
};

use futures_util::{Stream, StreamExt};
use netlink_packet_core::NetlinkMessage;
use netlink_sys::{AsyncSocket, SocketAddr, protocols::NETLINK_ROUTE};
use rtnetlink::MulticastGroup;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    NetlinkConfig, NetlinkError, decode, dump, message::Message, requests::OwnPorts, socket,
};
use crate::fib::{Dump, KernelEvent, LinkNeighbour};

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Neigh,
    MulticastGroup::Nexthop,
];

/// So many times the events that the consumer may be behind are told again with a dump.
const SINCE: usize = 8;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

pub(super) struct Monitor {
    config: Arc<NetlinkConfig>,
    ports: Arc<OwnPorts>,
    socket: Socket,
    events: mpsc::Sender<KernelEvent>,
    resync: Arc<Notify>,
    trouble: watch::Sender<Option<Arc<NetlinkError>>>,
    /// Who does not answer, as the consumer knows.
    silent: BTreeSet<LinkNeighbour>,
    /// What the consumer has not taken yet.
    backlog: VecDeque<KernelEvent>,
    /// Events were dropped, and the consumer does not know yet.
    losing: bool,
    wants_dump: bool,
    /// The consumer has had a dump.
    has_told: bool,
    /// Or there is one in the backlog.
    is_telling: bool,
    reading: Option<Reading>,
    /// The last dump failed: not before this another one.
    retry_at: Option<Instant>,
    /// After the next failure.
    pause: Duration,
}

/// A dump in the making.
struct Reading {
    dump: Pin<Box<dyn Future<Output = Result<Dump, NetlinkError>> + Send>>,
    /// What came since it was begun. `None`: some of that was lost, or it was too much.
    since: Option<Vec<KernelEvent>>,
    /// What was heard of neighbours since, of each the last.
    neighbours: BTreeMap<LinkNeighbour, bool>,
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
            silent: BTreeSet::new(),
            backlog: VecDeque::new(),
            losing: false,
            wants_dump: true,
            has_told: false,
            is_telling: false,
            reading: None,
            retry_at: None,
            pause: RETRY_FIRST,
        })
    }

    /// Until the consumer is gone.
    pub(super) async fn run(mut self) {
        loop {
            self.begin_dump();
            let events = self.events.clone();
            tokio::select! {
                permit = events.reserve(), if !self.backlog.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some(event) = self.backlog.pop_front() {
                        self.has_told |= matches!(event, KernelEvent::Synced(_));
                        permit.send(event);
                    }
                    self.losing &= !self.backlog.is_empty();
                }
                message = self.socket.messages.next() => {
                    if !self.take(message).await {
                        return;
                    }
                }
                dump = read(self.reading.as_mut()) => self.end_dump(dump),
                () = time(self.retry_at) => {
                    self.retry_at = None;
                    self.wants_dump = true;
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
            Some(KernelEvent::Neighbour { neighbour, silent }) => {
                self.note_neighbour(neighbour, silent);
            }
            Some(KernelEvent::Overrun) => {
                self.lose();
                return self.reopen().await;
            }
            _ if self.losing => {}
            Some(event) if self.concerns(&event) => self.note(event),
            _ => {}
        }
        true
    }

    /// A neighbour answers, or does not. Their entries change all the time, and many may come and go at once:
    /// what is no news is left out, and for what is there is no room nothing else is given up.
    fn note_neighbour(&mut self, neighbour: LinkNeighbour, silent: bool) {
        // The other half of the room is for what routes depend on.
        let most = self.config.event_capacity / 2;
        if let Some(reading) = &mut self.reading
            && (reading.neighbours.len() < most || reading.neighbours.contains_key(&neighbour))
        {
            reading.neighbours.insert(neighbour, silent);
        }
        let has_room = self.is_telling && !self.losing && self.backlog.len() < most;
        if has_room && neighbour.note(silent, &mut self.silent) {
            let event = KernelEvent::Neighbour { neighbour, silent };
            self.backlog.push_back(event);
        }
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

    fn note(&mut self, event: KernelEvent) {
        let most = self.config.event_capacity;
        if self.backlog.len() >= most {
            return self.lose();
        }
        if let Some(reading) = &mut self.reading {
            // Who hears of so much meanwhile needs another dump, and has lost nothing.
            let since = reading.since.take();
            reading.since = since.filter(|since| since.len() < most * SINCE);
            if let Some(since) = &mut reading.since {
                since.push(event.clone());
            }
        }
        // Before the first dump nobody has anything to compare it with.
        if self.is_telling {
            self.backlog.push_back(event);
        }
    }

    fn lose(&mut self) {
        let mut lost = self.backlog.drain(..);
        self.wants_dump |= lost.any(|event| matches!(event, KernelEvent::Synced(_)));
        drop(lost);
        if let Some(reading) = &mut self.reading {
            reading.since = None;
        }
        self.is_telling = self.has_told;
        self.backlog.push_back(KernelEvent::Overrun);
        self.losing = true;
    }

    /// Begins a dump, if one is wanted and it is time.
    fn begin_dump(&mut self) {
        let is_free = !self.losing && self.reading.is_none() && self.retry_at.is_none();
        if !self.wants_dump || !is_free {
            return;
        }
        self.wants_dump = false;
        let config = Arc::clone(&self.config);
        self.reading = Some(Reading {
            dump: Box::pin(async move { dump::dump(&config).await }),
            since: Some(Vec::new()),
            neighbours: BTreeMap::new(),
        });
    }

    /// Puts a dump behind the events that came before it was done.
    fn end_dump(&mut self, dump: Result<Dump, NetlinkError>) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        match (dump, reading.since) {
            (Ok(mut dump), Some(since)) => {
                self.trouble.send_replace(None);
                self.pause = RETRY_FIRST;
                self.is_telling = true;
                for (neighbour, silent) in reading.neighbours {
                    neighbour.note(silent, &mut dump.silent);
                }
                self.silent.clone_from(&dump.silent);
                dump.since = since;
                self.backlog.push_back(KernelEvent::Synced(Arc::new(dump)));
            }
            (Ok(_), None) => self.try_again(),
            (Err(error), _) => {
                self.trouble.send_replace(Some(Arc::new(error)));
                self.try_again();
            }
        }
    }

    fn try_again(&mut self) {
        self.retry_at = Some(Instant::now() + self.pause);
        self.pause = RETRY_MAX.min(self.pause * 2);
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

/// The end of a dump in the making.
async fn read(reading: Option<&mut Reading>) -> Result<Dump, NetlinkError> {
    match reading {
        Some(reading) => reading.dump.as_mut().await,
        None => pending().await,
    }
}

async fn time(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
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
