//! `lab`: brings up, explores, checks and removes a rack in network namespaces.

use std::{
    fs, iter,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use redstart_proto_tests::{
    lab::{
        Lab, LabOptions, checks,
        cluster::LabCluster,
        netns::{self, Netns},
        relay,
        report::Report,
        requirements::Binaries,
        run_dir::{self, RunDir},
        speaker::{Source, SpeakerKind},
        topology::{Daemon, Topology, TorKind},
        traffic, wait,
    },
    scale::peer::Reflector,
};

/// Three Kubernetes nodes, a top-of-rack router, an external host and pods, on this machine.
#[derive(Parser)]
#[command(name = "lab", max_term_width = 100)]
struct Cli {
    /// The lab's name: prefix of its namespaces; several labs can be up at once.
    #[arg(long, default_value = "rs-lab", global = true)]
    name: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the lab up and leave it up.
    Up(What),
    /// Run a command in a box: n1..n3, n1-p1.., tor, tor2, ext, switch.
    Exec {
        /// The box.
        node: String,
        /// The command; without one, a shell.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Remove everything.
    Down,
    /// Show sessions and routes.
    Status,
    /// Bring labs up, check everything that must hold, remove them.
    Run(Which),
    /// Print the address of each TCP peer.
    #[command(hide = true)]
    TcpServe { listen: SocketAddr },
    /// Connect and print what both ends see.
    #[command(hide = true)]
    TcpConnect { server: SocketAddr },
    /// Copy byte streams from one socket to another.
    #[command(hide = true)]
    Relay { from: relay::End, to: relay::End },
    /// Act other nodes of a mesh, each at its address with its pod CIDR: a /24.
    #[command(hide = true)]
    Nodes {
        /// A file with a line for each: ADDRESS NETWORK.
        list: PathBuf,
    },
}

#[derive(clap::Args)]
struct What {
    /// What stands at the top of the rack: bird, frr, ecmp (two BIRDs).
    #[arg(long, default_value = "bird")]
    tor: TorKind,
    /// Where the speakers get their objects: objects (a directory), kube (an API server).
    #[arg(long, default_value = "objects", value_parser = source)]
    source: Source,
    #[command(flatten)]
    cluster: RealCluster,
    /// What speaks on the nodes: redstart, or bird, the stand-in that proves the lab itself.
    #[arg(long, default_value = "redstart", value_parser = speaker)]
    speaker: SpeakerKind,
    /// Do not wait for sessions and routes: leave it up as it is, also when they never come.
    #[arg(long)]
    no_wait: bool,
}

#[derive(clap::Args)]
struct RealCluster {
    /// Put the objects in the cluster of this kubeconfig's current context. It must be one for
    /// tests, where no Redstart runs: the lab creates Nodes, BGPPeers, a BGPConfiguration and
    /// missing CRDs there, labelled redstart.dev/test-run, and deletes them at the end.
    #[arg(long, value_name = "FILE", conflicts_with = "source")]
    kubeconfig: Option<PathBuf>,
}

impl RealCluster {
    fn source(&self) -> Result<Option<Source>> {
        let cluster = self.kubeconfig.as_deref().map(LabCluster::new);
        Ok(cluster.transpose()?.map(Source::Cluster))
    }
}

#[derive(clap::Args)]
struct Which {
    /// Only labs with this at the top of the rack.
    #[arg(long)]
    tor: Option<TorKind>,
    /// Only labs whose objects come from there.
    #[arg(long, value_parser = source)]
    source: Option<Source>,
    #[command(flatten)]
    cluster: RealCluster,
    /// What speaks on the nodes: redstart, or bird, the stand-in that proves the lab itself.
    #[arg(long, default_value = "redstart", value_parser = speaker)]
    speaker: SpeakerKind,
}

/// The labs of `lab run`: every kind of router, and the API server behind one of them.
const RUN: [(TorKind, Source); 4] = [
    (TorKind::Bird, Source::Objects),
    (TorKind::Frr, Source::Objects),
    (TorKind::Ecmp, Source::Objects),
    (TorKind::Bird, Source::Kube),
];

fn source(text: &str) -> Result<Source, String> {
    match text {
        "objects" => Ok(Source::Objects),
        "kube" => Ok(Source::Kube),
        _ => Err("neither objects nor kube".to_owned()),
    }
}

fn speaker(text: &str) -> Result<SpeakerKind, String> {
    match text {
        "redstart" => Ok(SpeakerKind::Redstart),
        "bird" => Ok(SpeakerKind::Bird),
        _ => Err("neither redstart nor bird".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    run_dir::check_name(&cli.name)?;
    match cli.command {
        Command::Up(what) => {
            wait::catch_signals()?;
            up(&cli.name, &what)?;
        }
        Command::Exec { node, command } => exec(&cli.name, &node, &command)?,
        Command::Down => run_dir::tear_down(&cli.name)?,
        Command::Status => status(&cli.name)?,
        Command::Run(options) => {
            wait::catch_signals()?;
            return run(&cli.name, &options);
        }
        Command::TcpServe { listen } => traffic::serve(listen)?,
        Command::TcpConnect { server } => {
            println!("{}", serde_json::to_string(&traffic::connect(server)?)?);
        }
        Command::Relay { from, to } => relay::run(&from, &to)?,
        Command::Nodes { list } => nodes(&list)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Acts nodes until it is ended.
fn nodes(list: &Path) -> Result<()> {
    for line in fs::read_to_string(list)?.lines() {
        let (at, network) = line.split_once(' ').context("expected ADDRESS NETWORK")?;
        let (at, network): (Ipv4Addr, Ipv4Addr) = (at.parse()?, network.parse()?);
        Reflector::listen(at, iter::once((at, network)))?;
    }
    loop {
        thread::park();
    }
}

fn up(name: &str, what: &What) -> Result<()> {
    let mut lab = Lab::up(LabOptions {
        name: name.to_owned(),
        tor: what.tor,
        source: what.cluster.source()?.unwrap_or(what.source.clone()),
        speaker: what.speaker,
        binaries: Binaries::find()?,
    })?;
    if what.no_wait {
        lab.keep();
        print_hints(&lab, what.speaker);
        return Ok(());
    }
    let took = checks::converged(&lab)?;
    lab.keep();
    println!(
        "All routes are in all kernels, {:.2} s after the start.\n",
        took.as_secs_f64()
    );
    print_hints(&lab, what.speaker);
    Ok(())
}

fn print_hints(lab: &Lab, speaker: SpeakerKind) {
    let topology = &lab.topology;
    println!(
        "Look around (add --name {} where it is not the default):",
        topology.lab
    );
    if speaker == SpeakerKind::Redstart {
        println!("  lab exec n1 redc show protocols");
        println!("  lab exec n1 redc show route all");
        println!("  lab exec n1 redc show kernel");
    }
    println!("  lab exec n1 ip route");
    println!(
        "  lab exec tor {}",
        match topology.routers.first().map(|router| router.daemon) {
            Some(Daemon::Frr) => "vtysh -c 'show bgp summary'",
            _ => "birdc show protocols",
        }
    );
    if let Some(pod) = lab.pods.get("n1-p1") {
        println!("  lab exec ext ping -c 3 {}", pod.v4);
    }
    println!("  lab exec n3-p1 ping -c 3 {}", topology.ext.v6);
    println!("  lab status; lab down");
}

/// Replaces this process by the command, in the namespace, with the tools of the box in reach.
fn exec(name: &str, node: &str, command: &[String]) -> Result<()> {
    let run_dir = RunDir::of(name);
    let started = run_dir
        .started()?
        .with_context(|| format!("no lab {name} is up"))?;
    let topology = Topology::new(name, started.tor);
    if !topology.boxes().iter().any(|known| known == node) {
        bail!(
            "no box {node} in lab {name}; there are {}",
            topology.boxes().join(" ")
        );
    }
    let shell = [std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned())];
    let words = if command.is_empty() { &shell } else { command };
    let mut paths: Vec<PathBuf> = vec![run_dir.tools(node), started.binaries];
    paths.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let mut process = std::process::Command::new("ip");
    process
        .args(["netns", "exec", Netns::of(name, node).name()])
        .args(words);
    process.env("PATH", std::env::join_paths(paths)?);
    process.env("REDSTART_SOCKET", run_dir.socket(node));
    Err(process.exec()).context("cannot run ip netns exec")
}

fn status(name: &str) -> Result<()> {
    if RunDir::of(name).started()?.is_none() {
        println!("no lab {name} is up; labs: {}", run_dir::labs()?.join(" "));
        return Ok(());
    }
    let lab = Lab::attach(name)?;
    let topology = &lab.topology;
    for record in lab.processes().records()? {
        let state = if record.is_alive() { "runs" } else { "ended" };
        println!("{:<20} pid {:<8} {state}", record.role, record.pid);
    }
    for router in lab.routers() {
        println!("\n{} (AS {}):", router.router.name, router.router.asn);
        for session in router.sessions()? {
            println!(
                "  {:<14} {:<12} {}",
                session.neighbor, session.state, session.incarnation
            );
        }
    }
    let boxes = topology.nodes.iter().map(|node| &node.name);
    for name in boxes.chain(topology.routers.iter().map(|router| &router.name)) {
        println!("\n{name}:");
        for family in ["-4", "-6"] {
            let mut command = lab.netns(name).command("ip");
            print!(
                "{}",
                netns::stdout_of(command.args([family, "route", "show"]))?
            );
        }
    }
    Ok(())
}

fn run(name: &str, which: &Which) -> Result<ExitCode> {
    let mut labs = match which.cluster.source()? {
        Some(cluster) => vec![(which.tor.unwrap_or(TorKind::Bird), cluster)],
        None => RUN.to_vec(),
    };
    labs.retain(|(tor, source)| {
        which.tor.is_none_or(|wanted| wanted == *tor)
            && (which.source.as_ref()).is_none_or(|wanted| wanted == source)
            && (which.speaker == SpeakerKind::Redstart || *source == Source::Objects)
    });
    if labs.is_empty() {
        bail!("nothing to run: `lab up` takes every combination, `lab run` these: {RUN:?}");
    }
    let mut held = true;
    for (tor, source) in labs {
        let objects = match source {
            Source::Objects => "a directory",
            Source::Kube => "an API server",
            Source::Cluster(_) => "the cluster of the kubeconfig",
        };
        println!("{tor} at the top of the rack, objects from {objects}:");
        held &= run_one(name, tor, source, which.speaker)?;
    }
    println!("To look around in one: lab up --tor bird; lab exec n1 bash; lab down");
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_one(name: &str, tor: TorKind, source: Source, speaker: SpeakerKind) -> Result<bool> {
    let mut lab = Lab::up(LabOptions {
        name: name.to_owned(),
        tor,
        source,
        speaker,
        binaries: Binaries::find()?,
    })?;
    let mut report = Report::default();
    if checks::steady(&lab, &mut report) && speaker == SpeakerKind::Redstart {
        checks::changes(&mut lab, &mut report);
    }
    wait::check_interrupt()?;
    if !report.all_held() {
        println!("{}", lab.log_tails());
    }
    lab.down()?;
    println!("   {report}\n");
    Ok(report.all_held())
}
