//! The steps of the update path one by one, without sockets: what each costs for one route.
//!
//! `cargo bench -p redstart-proto-tests --bench steps` prints time. Time is noise on a machine that
//! others use; `proto-tests/instructions.sh` runs the same steps in callgrind and prints instructions,
//! which are the same at every run. Only what [`measured`] calls counts.

use std::{hint::black_box, net::Ipv4Addr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use clap::Parser;
use redstart_bgp::{
    session::PeerId,
    types::{Asn, Family, FamilySet, NextHop, RouterId},
    wire::{Codec, Framer, Said, Updates},
};
use redstart_proto_tests::{
    bench::{
        table::{Sender, Table},
        usage,
    },
    program,
};
use redstart_rib::{
    ExportPolicy, ImportPolicy, NextHopSelf, PeerDown, PeerInfo, PeerPolicies, PeerRules, Rib,
    RibConfig, SessionKind,
    nexthop::{Answer, Gateway, Resolve, Resolved},
    policy::{Action, Change, Condition, Program, RouteSource, Rule, RuleSource, SafeDefaults},
};
use smallvec::smallvec;

/// Measures the steps of the update path.
#[derive(Parser)]
struct Cli {
    /// One step; all of them if none is named.
    step: Option<Step>,
    /// How many prefixes the table has, unless there is a file.
    #[arg(long, default_value_t = 100_000)]
    prefixes: u32,
    /// A table: a stream of UPDATE messages, .xz or not.
    #[arg(long, env = "REDSTART_BENCH_TABLE")]
    table: Option<PathBuf>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// Octets to UPDATEs.
    Decode,
    /// UPDATEs to the Adj-RIB-In and the Loc-RIB, every attribute set new.
    Announce,
    /// The same again: nothing changes.
    Again,
    /// The same prefixes from the ninth of ten neighbours: the decision among several.
    Decide,
    /// The same with a policy of 1,000 rules.
    Policy,
    /// What a neighbour is told, grouped by attributes.
    Pull,
    /// The same for nine more of the group, a batch each in turn.
    PullNine,
    /// Groups to octets.
    Encode,
    /// All withdrawn again.
    Withdraw,
    /// The neighbour is lost.
    Lose,
}

const READ: usize = 32 * 1024;
const BATCH: usize = 4096;
const LOCAL_AS: Asn = Asn(65000);

const CODEC: Codec = Codec {
    four_octet_as: true,
    ebgp: true,
    extended_messages: false,
    families: FamilySet::ALL,
    add_path_receive: FamilySet::EMPTY,
    add_path_send: FamilySet::EMPTY,
    extended_next_hop: FamilySet::EMPTY,
};

struct Connected;

impl Resolve for Connected {
    fn resolve(&self, next_hop: NextHop, _: Option<u32>) -> Answer {
        Ok(Resolved::new(
            smallvec![Gateway::via(next_hop.addr(), 2)],
            0,
        ))
        .into()
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // `cargo test --all-targets` starts benchmarks too.
    if !cli.bench && cli.step.is_none() {
        return ExitCode::SUCCESS;
    }
    program::exit_code(run(&cli))
}

fn run(cli: &Cli) -> Result<()> {
    let table = match &cli.table {
        Some(path) => Table::read(path)?,
        None => Table::generated(cli.prefixes),
    };
    let steps = match cli.step {
        Some(step) => vec![step],
        None => <Step as clap::ValueEnum>::value_variants().to_vec(),
    };
    for step in steps {
        let took = Bench::new(&table).step(step)?;
        let each = took.as_nanos() / u128::try_from(table.len().max(1))?;
        println!("{step:?}: {took:.1?}, {each} ns for a route");
    }
    let peak = usage::of(&[std::process::id()])?.peak;
    println!("{} KiB resident at most", peak / 1024);
    Ok(())
}

/// Runs what is to be counted, and says how much processor time it took. Callgrind knows it by this
/// name.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = usage::of_this_thread();
    let out = black_box(work());
    (usage::of_this_thread().saturating_sub(began), out)
}

struct Bench<'a> {
    table: &'a Table,
    rib: Rib,
}

fn sender(n: u8) -> Sender {
    Sender {
        asn: 65000 + u32::from(n),
        next_hop: Ipv4Addr::new(10, 99, 1, n),
        extra: n / 9,
    }
}

fn decode(octets: &[u8]) -> Result<Vec<Updates>> {
    let mut framer = Framer::new();
    let mut reads = Vec::new();
    for part in octets.chunks(READ) {
        framer.push(part);
        let mut updates = Updates::read(part.len());
        while let Some(message) = framer.next().map_err(|_| anyhow::anyhow!("no message"))? {
            let decoded = CODEC.decode_update(&message, &mut updates);
            decoded.map_err(|_| anyhow::anyhow!("no UPDATE"))?;
        }
        reads.push(updates);
    }
    Ok(reads)
}

fn take(rib: &mut Rib, peer: PeerId, reads: &[Updates]) {
    for said in reads.iter().flatten() {
        match said {
            Said::Withdrawn(routes) => _ = rib.withdraw(peer, routes),
            Said::Announced(attrs, routes) => _ = rib.announce(peer, attrs, routes),
            Said::EndOfRib(_) | Said::Malformed(_) => {}
        }
        rib.resolve_pending(&Connected);
    }
}

fn pull_all(rib: &mut Rib, peer: PeerId, out: &mut BytesMut, encode: bool) -> Result<()> {
    while rib.has_updates(peer) {
        let batch = rib.pull(peer, BATCH);
        if encode {
            for nlri in &batch.withdraw {
                CODEC.encode_unreach(nlri, out);
            }
            for (attrs, nlri) in &batch.reach {
                CODEC.encode_reach(attrs, nlri, out)?;
            }
            out.clear();
        }
    }
    Ok(())
}

/// A thousand rules, each about an origin of its own that no route has.
fn thousand_rules() -> Program {
    let rule = |number: u16| Rule {
        source: RuleSource {
            policy: "many".into(),
            number,
            name: None,
        },
        conditions: vec![Condition::OriginAs(
            [Asn(4_200_000_000 + u32::from(number))].into(),
        )],
        changes: vec![Change::LocalPref(number.into())],
        action: Action::Accept,
        overrides: SafeDefaults::NONE,
    };
    Program::new((1..=1000).map(rule).collect())
}

impl<'a> Bench<'a> {
    fn new(table: &'a Table) -> Self {
        Self {
            table,
            rib: Rib::new(RibConfig::default(), 1),
        }
    }

    fn peer(&mut self, n: u8, transit: bool) -> Result<PeerId> {
        let id = PeerId(n.into());
        let address = Ipv4Addr::new(10, 99, 1, n);
        let info = PeerInfo {
            name: format!("p{n}").into(),
            source: RouteSource::Router,
            kind: SessionKind::Ebgp,
            local_as: LOCAL_AS,
            own_as: LOCAL_AS,
            remote_as: Asn(65000 + u32::from(n)),
            router_id: RouterId(address),
            remote_addr: address.into(),
            local_router_id: RouterId(Ipv4Addr::new(10, 99, 0, 1)),
            next_hop_self: NextHopSelf {
                v4: Some(NextHop::V4(Ipv4Addr::new(10, 99, 0, 1))),
                v6: None,
            },
            families: FamilySet::from_iter([Family::Ipv4Unicast]),
            add_path_send: FamilySet::EMPTY,
            long_lived: FamilySet::EMPTY,
            extended_next_hop: false,
            role: None,
            subnet: None,
            interface: None,
            enforce_first_as: true,
            import: ImportPolicy::accept_all(),
            export: ExportPolicy { transit },
            policies: PeerPolicies::default(),
            rules: PeerRules {
                as_sets: true,
                ..PeerRules::default()
            },
        };
        self.rib.peer_up(id, info)?;
        Ok(id)
    }

    fn updates(&self, n: u8) -> Result<Vec<Updates>> {
        decode(&self.table.announcements(sender(n)))
    }

    /// A neighbour has sent the table.
    fn full(&mut self) -> Result<(PeerId, Vec<Updates>)> {
        let peer = self.peer(1, false)?;
        let updates = self.updates(1)?;
        take(&mut self.rib, peer, &updates);
        Ok((peer, updates))
    }

    fn step(self, step: Step) -> Result<Duration> {
        match step {
            Step::Pull | Step::Encode | Step::PullNine | Step::Withdraw | Step::Lose => {
                self.telling(step)
            }
            _ => self.taking(step),
        }
    }

    /// Routes come in.
    fn taking(mut self, step: Step) -> Result<Duration> {
        Ok(match step {
            Step::Announce => {
                let monitor = self.peer(200, true)?;
                let peer = self.peer(1, false)?;
                let updates = self.updates(1)?;
                let took = measured(|| take(&mut self.rib, peer, &updates)).0;
                assert!(self.rib.has_updates(monitor));
                took
            }
            Step::Again => {
                let (peer, updates) = self.full()?;
                measured(|| take(&mut self.rib, peer, &updates)).0
            }
            Step::Decide => {
                for n in (1..=10).filter(|n| *n != 9) {
                    let peer = self.peer(n, false)?;
                    let updates = self.updates(n)?;
                    take(&mut self.rib, peer, &updates);
                }
                let peer = self.peer(9, false)?;
                let updates = self.updates(9)?;
                measured(|| take(&mut self.rib, peer, &updates)).0
            }
            Step::Policy => {
                let peer = self.peer(1, false)?;
                let policies = PeerPolicies {
                    import: thousand_rules().into(),
                    ..PeerPolicies::default()
                };
                self.rib.update_chains(peer, policies);
                let updates = self.updates(1)?;
                measured(|| take(&mut self.rib, peer, &updates)).0
            }
            _ => {
                let octets = self.table.announcements(sender(1));
                measured(|| decode(&octets)).0
            }
        })
    }

    /// Routes go out, or away.
    fn telling(mut self, step: Step) -> Result<Duration> {
        let mut out = BytesMut::new();
        Ok(match step {
            Step::Pull | Step::Encode => {
                let monitor = self.peer(200, true)?;
                self.full()?;
                let encode = step == Step::Encode;
                measured(|| pull_all(&mut self.rib, monitor, &mut out, encode)).0
            }
            Step::PullNine => {
                let monitors: Vec<PeerId> = (200..210)
                    .map(|n| self.peer(n, true))
                    .collect::<Result<_>>()?;
                self.full()?;
                let (first, others) = monitors.split_first().context("no monitor")?;
                pull_all(&mut self.rib, *first, &mut out, false)?;
                measured(|| {
                    while others.iter().any(|peer| self.rib.has_updates(*peer)) {
                        for peer in others {
                            black_box(self.rib.pull(*peer, BATCH));
                        }
                    }
                })
                .0
            }
            Step::Withdraw => {
                let monitor = self.peer(200, true)?;
                let (peer, _) = self.full()?;
                pull_all(&mut self.rib, monitor, &mut out, false)?;
                let updates = decode(&self.table.withdrawals())?;
                measured(|| {
                    take(&mut self.rib, peer, &updates);
                    pull_all(&mut self.rib, monitor, &mut out, true)
                })
                .0
            }
            _ => {
                let (peer, _) = self.full()?;
                measured(|| self.rib.peer_down(peer, PeerDown::Flush)).0
            }
        })
    }
}
