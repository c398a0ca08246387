//! One row with one daemon: acts the neighbours, and measures.
//!
//! Runs as a process of its own in the neighbours' namespace; what it measured goes to standard output
//! as lines of JSON.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{
    asking::{Answers, Asking, Whom},
    churn::Churn,
    keeper::Keeper,
    kernel::probe::ipv4_routes,
    peer::{Identity, Lull, Peer},
    policy::{self, Rules, State},
    row::{Row, Scene},
    table::{Key, PathHash, Sender, Table},
    usage::{self, Usage},
};

/// How long the slowest of the daemons may take for a phase.
const PATIENCE: Duration = Duration::from_secs(200);
const UP: Duration = Duration::from_secs(60);
/// After the sessions have come up, and between phases.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a mesh in which nothing happens is watched.
const IDLE: Duration = Duration::from_secs(20);
/// Room for what monitors get until it is looked at, in octets: more than a full table for each of ten.
const ROOM: usize = 10 << 26;

/// What to play.
#[derive(Clone, Debug, clap::Args)]
pub struct Play {
    /// The row.
    #[command(flatten)]
    pub scene: Scene,
    /// The daemon's processes.
    #[arg(required = true)]
    pub pids: Vec<u32>,
    /// Who is asked meanwhile.
    #[command(flatten)]
    pub whom: Whom,
    /// Where a daemon looks for the objects that change, if some do.
    #[arg(long)]
    pub objects: Option<PathBuf>,
    /// How many routes.
    #[command(flatten)]
    pub input: Input,
}

/// What is sent.
#[derive(Clone, Debug, clap::Args)]
pub struct Input {
    /// How many prefixes a full table has, unless there is a file.
    #[arg(long, default_value_t = 1_000_000)]
    pub prefixes: u32,
    /// A full table: a stream of UPDATE messages, .xz or not.
    #[arg(long, env = "REDSTART_BENCH_TABLE")]
    pub table: Option<PathBuf>,
    /// A day of changes: lines of `A PREFIX` and `W PREFIX`, .xz or not.
    #[arg(long, env = "REDSTART_BENCH_CHURN")]
    pub churn: Option<PathBuf>,
}

impl Input {
    fn table(&self) -> Result<Table> {
        match &self.table {
            Some(path) => Table::read(path),
            None => Ok(Table::generated(self.prefixes)),
        }
    }

    fn churn(&self, table: &Table) -> Result<Churn> {
        match &self.churn {
            Some(path) => Churn::read(path),
            None => Ok(Churn::generated(table, self.prefixes)),
        }
    }
}

/// One phase of a row, measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// What happened.
    pub phase: String,
    /// From the first octet sent to the last prefix right.
    pub wall: Duration,
    /// Processor time of the daemon until it had next to nothing more to do.
    pub cpu: Duration,
    /// Memory of the daemon at the end: resident, and the most that it was.
    pub resident: u64,
    /// The most so far.
    pub peak: u64,
    /// UPDATEs that the (first) monitor got.
    pub messages: u64,
    /// What an operator was answered meanwhile.
    pub answers: Answers,
}

/// The neighbours of a row, connected.
struct Players {
    scene: Scene,
    pids: Vec<u32>,
    senders: Vec<Peer>,
    monitors: Vec<Peer>,
    asking: Option<Asking>,
    began: (Usage, u64),
}

impl Players {
    fn connect(play: &Play) -> Result<Self> {
        let keeper = Keeper::start();
        let establish = |identities: Vec<Identity>| -> Result<Vec<Peer>> {
            let each = identities
                .into_iter()
                .map(|identity| Peer::establish(identity, UP, &keeper));
            each.collect()
        };
        let senders = establish(play.scene.senders())?;
        let mut monitors = establish(play.scene.monitors())?;
        let room = ROOM / monitors.len().max(10);
        monitors.iter_mut().for_each(|peer| peer.make_room(room));
        thread::sleep(SETTLE);
        Ok(Self {
            scene: play.scene,
            pids: play.pids.clone(),
            senders,
            monitors,
            asking: Asking::start(&play.whom),
            began: (Usage::default(), 0),
        })
    }

    fn sender(&self, index: usize) -> Result<Sender> {
        let identities = self.scene.senders();
        let identity = identities.get(index).context("no such sender")?;
        Ok(self.scene.row.sender(index, *identity))
    }

    fn expect(&mut self, routes: &[(Key, PathHash)]) {
        for monitor in &mut self.monitors {
            monitor.exact.expect(routes.iter().copied());
        }
    }

    /// Notes what the daemon has cost so far.
    fn begin(&mut self) -> Result<()> {
        let messages = self.monitors.first().map_or(0, |monitor| monitor.messages);
        self.began = (usage::of(&self.pids)?, messages);
        if let Some(asking) = &mut self.asking {
            asking.forget();
        }
        Ok(())
    }

    fn end(&mut self, phase: &str, wall: Duration) -> Result<()> {
        let usage = usage::of(&self.pids)?;
        let messages = self.monitors.first().map_or(0, |monitor| monitor.messages);
        let measured = Measured {
            phase: phase.to_owned(),
            wall,
            cpu: usage.cpu.saturating_sub(self.began.0.cpu),
            resident: usage.resident,
            peak: usage.peak,
            messages: messages - self.began.1,
            answers: self
                .asking
                .as_mut()
                .map_or(Ok(Answers::default()), Asking::take)?,
        };
        println!("{}", serde_json::to_string(&measured)?);
        thread::sleep(SETTLE);
        Ok(())
    }

    /// Sends to each sender what is its own, at the same time, and waits until every monitor is exact.
    fn run(&mut self, phase: &str, messages: &[Vec<u8>]) -> Result<()> {
        self.begin()?;
        let began = Instant::now();
        let (senders, monitors) = (&mut self.senders, &mut self.monitors);
        let lull = Lull::default();
        let last = thread::scope(|scope| -> Result<Instant> {
            let sending: Vec<_> = senders
                .iter_mut()
                .zip(messages)
                .map(|(sender, messages)| scope.spawn(move || sender.send(messages)))
                .collect();
            let last = all_exact(scope, monitors, &lull)?;
            sending
                .into_iter()
                .try_for_each(|sending| joined(sending.join()))?;
            Ok(last)
        })?;
        self.rest()?;
        self.end(phase, last - began)
    }

    /// Ends the first session, and waits until every monitor is exact.
    fn lose_first(&mut self, phase: &str) -> Result<()> {
        let lost = self.senders.remove(0);
        self.change(phase, || {
            drop(lost);
            Ok(())
        })
    }

    /// Changes something, and waits until every monitor is exact.
    fn change(&mut self, phase: &str, change: impl FnOnce() -> Result<()>) -> Result<()> {
        self.begin()?;
        let began = Instant::now();
        change()?;
        let monitors = &mut self.monitors;
        let lull = Lull::default();
        let last = thread::scope(|scope| all_exact(scope, monitors, &lull))?;
        self.rest()?;
        self.end(phase, last - began)
    }

    /// Waits until the daemon has next to nothing to do: what it does when all has been told counts as well.
    fn rest(&mut self) -> Result<()> {
        const WHILE: Duration = Duration::from_millis(200);
        // Answering takes its part.
        let parts = if self.asking.is_some() { 4 } else { 20 };
        let (senders, monitors) = (&mut self.senders, &mut self.monitors);
        usage::until_at_rest(&self.pids, parts, PATIENCE, || {
            thread::sleep(WHILE);
            senders
                .iter()
                .chain(monitors.iter())
                .try_for_each(Peer::check)?;
            let told = match monitors.len() {
                0 => senders.iter_mut(),
                _ => monitors.iter_mut(),
            };
            for peer in told {
                peer.set_patience(Duration::from_millis(1))?;
                while peer.read_some()? {}
                ensure!(
                    peer.exact.wrong() == 0,
                    "was exact and is not any more: {}",
                    peer.exact.complaints().join(", ")
                );
            }
            Ok(())
        })
    }
}

fn joined<T>(result: thread::Result<Result<T>>) -> Result<T> {
    result.map_err(|_| anyhow!("a thread panicked"))?
}

fn all_exact<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    monitors: &'scope mut [Peer],
    lull: &'scope Lull,
) -> Result<Instant> {
    let watching: Vec<_> = monitors
        .iter_mut()
        .map(|monitor| scope.spawn(move || monitor.until_exact(PATIENCE, lull)))
        .collect();
    let ends: Result<Vec<Instant>> = watching
        .into_iter()
        .map(|watching| joined(watching.join()))
        .collect();
    ends?.into_iter().max().context("nobody watches")
}

/// Plays a row.
pub fn play(play: &Play) -> Result<()> {
    match play.scene.row {
        Row::Table => table(play, true),
        Row::Installing => installing(play),
        Row::Receivers => table(play, false),
        Row::Churn => churn(play),
        Row::Policy => with_policy(play),
        Row::Disjoint => disjoint(play),
        Row::Same => same(play),
        Row::Reflector => reflector(play),
        Row::Mesh => mesh(play),
    }
}

fn table(play: &Play, whole: bool) -> Result<()> {
    let table = play.input.table()?;
    let mut players = Players::connect(play)?;
    let sender = players.sender(0)?;
    let announcements = [table.announcements(sender)];
    let routes: Vec<(Key, PathHash)> = table.paths(sender).collect();
    players.expect(&routes);
    players.run("announce", &announcements)?;
    if !whole {
        return Ok(());
    }
    players.expect(&[]);
    players.run("withdraw", &[table.withdrawals()])?;
    players.expect(&routes);
    players.run("again", &announcements)?;
    players.expect(&[]);
    players.lose_first("lost")
}

/// The walls are until the monitor was told; the processor time is until the kernel has followed.
fn installing(play: &Play) -> Result<()> {
    let table = play.input.table()?;
    let identity = *play.scene.senders().first().context("no sender")?;
    let sender = play.scene.row.sender(0, identity);
    let routes: Vec<(Key, PathHash)> = table.paths(sender).collect();
    let (announcements, withdrawals) = (table.announcements(sender), table.withdrawals());
    let before = kernel_routes(play)?;
    let mut players = Players::connect(play)?;
    for (phase, messages, routes) in [
        ("announce", announcements, routes.as_slice()),
        ("withdraw", withdrawals, &[]),
    ] {
        players.expect(routes);
        players.run(phase, &[messages])?;
        let (there, wanted) = (kernel_routes(play)?.saturating_sub(before), routes.len());
        ensure!(
            there == wanted,
            "{there} of {wanted} routes are in the kernel"
        );
    }
    Ok(())
}

fn churn(play: &Play) -> Result<()> {
    let table = play.input.table()?;
    let mut players = Players::connect(play)?;
    let sender = players.sender(0)?;
    let churn = play.input.churn(&table)?;
    let outcome = churn.outcome(&table, sender);
    let messages = [churn.messages(sender)];
    let routes: Vec<(Key, PathHash)> = table.paths(sender).collect();
    players.expect(&routes);
    players.run("announce", &[table.announcements(sender)])?;
    let outcome: Vec<(Key, PathHash)> = outcome.into_iter().collect();
    players.expect(&outcome);
    players.run("churn", &messages)
}

/// The walls are from the manifest's replacement: the directory is looked at five times a second, and a change
/// waits 40 ms for the file to be whole and 50 ms for more changes.
fn with_policy(play: &Play) -> Result<()> {
    let objects = play.objects.as_ref().context("no objects")?;
    let table = play.input.table()?;
    let rules = Rules::about(&table);
    let mut players = Players::connect(play)?;
    policy::write(objects, &rules.manifest(State::default()))?;
    thread::sleep(SETTLE);
    let sender = players.sender(0)?;
    let routes: Vec<(Key, PathHash)> = table.paths(sender).collect();
    players.expect(&routes);
    players.run("announce", &[table.announcements(sender)])?;
    let one = table.keys().last();
    for (phase, all) in [
        ("one rejected", false),
        ("all rejected", true),
        ("all but one back", false),
    ] {
        let passes = |(key, _): &&(Key, PathHash)| !all && Some(*key) != one;
        players.expect(&routes.iter().filter(passes).copied().collect::<Vec<_>>());
        let manifest = rules.manifest(State { one, all });
        players.change(phase, || policy::write(objects, &manifest))?;
    }
    Ok(())
}

fn disjoint(play: &Play) -> Result<()> {
    let table = play.input.table()?;
    let mut players = Players::connect(play)?;
    let part = table.len() / players.senders.len();
    let mut messages = Vec::new();
    let mut routes = Vec::new();
    for index in 0..players.senders.len() {
        let sender = players.sender(index)?;
        let own = table.slice(index * part, part);
        messages.push(own.announcements(sender));
        routes.extend(own.paths(sender));
    }
    players.expect(&routes);
    players.run("announce", &messages)
}

fn same(play: &Play) -> Result<()> {
    let table = play.input.table()?;
    let mut players = Players::connect(play)?;
    let part = table.slice(0, table.len() / players.senders.len());
    let mut messages = Vec::new();
    for index in 0..players.senders.len() {
        messages.push(part.announcements(players.sender(index)?));
    }
    let (best, second) = (players.sender(0)?, players.sender(1)?);
    let routes: Vec<(Key, PathHash)> = part.paths(best).collect();
    players.expect(&routes);
    players.run("announce", &messages)?;
    let routes: Vec<(Key, PathHash)> = part.paths(second).collect();
    players.expect(&routes);
    players.lose_first("best lost")
}

/// The routes of an internal neighbour: those from number `index * each` on.
fn own_routes(table: &Table, index: usize, each: usize, sender: Sender) -> Vec<u8> {
    let own = table.slice(index * each, each);
    let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4];
    attributes.extend(sender.next_hop.octets());
    attributes.extend([0x40, 5, 4, 0, 0, 0, 100]);
    let keys: Vec<Key> = own.keys().collect();
    let mut out = Vec::new();
    // So few that they fit into a message.
    for some in keys.chunks(500) {
        let nlri: Vec<u8> = some.iter().flat_map(|key| key.nlri()).collect();
        super::table::put_update(&mut out, &[], &attributes, &nlri);
    }
    out
}

fn reflector(play: &Play) -> Result<()> {
    const ROUTES: usize = 10_000;
    let table = Table::generated(10_000);
    let mut players = Players::connect(play)?;
    let each = ROUTES / players.senders.len();
    let mut messages = Vec::new();
    let mut routes = Vec::new();
    for index in 0..players.senders.len() {
        let sender = players.sender(index)?;
        messages.push(own_routes(&table, index, each, sender));
        let hash = super::table::path_hash(&sender.next_hop.octets());
        routes.push(
            table
                .slice(index * each, each)
                .keys()
                .map(|key| (key, hash))
                .collect::<Vec<_>>(),
        );
    }
    for (index, client) in players.senders.iter_mut().enumerate() {
        let others = routes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        client
            .exact
            .expect(others.flat_map(|(_, routes)| routes.iter().copied()));
    }
    players.begin()?;
    let began = Instant::now();
    let (clients, lull) = (&mut players.senders, &Lull::default());
    let last = thread::scope(|scope| -> Result<Instant> {
        let running: Vec<_> = clients
            .iter_mut()
            .zip(&messages)
            .map(|(client, messages)| {
                scope.spawn(move || {
                    client.send(messages)?;
                    client.until_exact(PATIENCE, lull)
                })
            })
            .collect();
        let ends: Result<Vec<Instant>> = running
            .into_iter()
            .map(|running| joined(running.join()))
            .collect();
        ends?.into_iter().max().context("no clients")
    })?;
    players.rest()?;
    players.end("all to all", last - began)
}

fn mesh(play: &Play) -> Result<()> {
    const EACH: usize = 4;
    let mut players = Players::connect(play)?;
    let table = Table::generated(u32::try_from(EACH * players.senders.len())?);
    let mut messages = Vec::new();
    for index in 0..players.senders.len() {
        messages.push(own_routes(&table, index, EACH, players.sender(index)?));
    }
    let before = kernel_routes(play)?;
    players.begin()?;
    let began = Instant::now();
    for (peer, messages) in players.senders.iter().zip(&messages) {
        peer.send(messages)?;
    }
    let wanted = table.len();
    loop {
        let there = kernel_routes(play)?.saturating_sub(before);
        if there >= wanted {
            break;
        }
        if began.elapsed() > PATIENCE {
            bail!("{there} of {wanted} routes are in the kernel");
        }
        thread::sleep(Duration::from_millis(10));
    }
    players.end("into the kernel", began.elapsed())?;
    for peer in &players.senders {
        peer.set_nonblocking()?;
    }
    let keep = |peers: &mut [Peer], long: Duration| -> Result<()> {
        let end = Instant::now() + long;
        while Instant::now() < end {
            for peer in peers.iter_mut() {
                peer.read_some()?;
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    };
    keep(&mut players.senders, Duration::from_secs(5))?;
    players.begin()?;
    keep(&mut players.senders, IDLE)?;
    players.end("idle for 20 s", IDLE)
}

/// How many routes the main table of the daemon's namespace has.
fn kernel_routes(play: &Play) -> Result<usize> {
    let pid = play.pids.first().context("no daemon")?;
    Ok(usize::try_from(ipv4_routes(&pid.to_string())?)?)
}
