//! Routes into the kernel, and traffic off a lost neighbour: see `redstart_proto_tests::bench::kernel`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use redstart_proto_tests::{
    bench::kernel::{
        Row,
        act::{Act, Measured},
        ground::Ground,
        probe::Probe,
        raw::Raw,
        report::Report,
        subject::{Kind, Subject},
        traffic::Stream,
    },
    lab::{exclusive::Exclusive, netns::stdout_of, requirements::Binaries, wait},
    program,
};

/// Measures rows with every daemon that is on this machine, and prints a table of medians.
#[derive(Parser)]
#[command(name = "kernel", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rows to run; all of them if none is named.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Daemons to run; all that are there if none is named.
    #[arg(long, value_delimiter = ',', default_value = "redstart,raw,bird,frr")]
    daemons: Vec<Kind>,
    /// How often.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// IPv4 routes.
    #[arg(long, default_value_t = 1_000_000)]
    ipv4: u32,
    /// IPv6 routes.
    #[arg(long, default_value_t = 200_000)]
    ipv6: u32,
    /// Routes of the neighbour that is lost, side by side.
    #[arg(long, value_delimiter = ',', default_value = "1000,100000,1000000")]
    lost: Vec<u32>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Act the neighbours, in their namespace.
    #[command(hide = true)]
    Act(Act),
    /// Look at the kernel, in the daemon's namespace.
    #[command(hide = true)]
    Probe(Probe),
    /// Write routes and do nothing else, in the daemon's namespace.
    #[command(hide = true)]
    Raw(Raw),
    /// Send packets, in the hosts' namespace.
    #[command(hide = true)]
    Stream(Stream),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Act(act)) => act.run(),
        Some(Command::Probe(probe)) => probe.run(),
        Some(Command::Raw(raw)) => raw.run(),
        Some(Command::Stream(stream)) => stream.run(),
        // `cargo test --all-targets` starts benchmarks too.
        None if !cli.bench && cli.rows.is_empty() => {
            println!("cargo bench -p redstart-proto-tests --bench kernel [-- --rows ROW,…]");
            Ok(())
        }
        None => run(&cli),
    };
    program::exit_code(result)
}

impl Cli {
    fn sizes(&self, row: Row) -> Vec<u32> {
        match row {
            Row::Ipv4 => vec![self.ipv4],
            Row::Ipv6 => vec![self.ipv6],
            Row::Lost | Row::LostByBfd | Row::Removed => self.lost.clone(),
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    wait::catch_signals()?;
    let _exclusive = Exclusive::wait()?;
    let binaries = Binaries::of_benchmark()?;
    let subjects = Subject::all(&cli.daemons)?;
    let rows = if cli.rows.is_empty() {
        Row::ALL.to_vec()
    } else {
        cli.rows.clone()
    };
    let mut report = Report::default();
    for row in rows {
        for round in 1..=cli.rounds {
            for routes in cli.sizes(row) {
                for subject in subjects.iter().filter(|subject| subject.can(row)) {
                    wait::check_interrupt()?;
                    eprint!("{row} {routes}, round {round}, {}: ", subject.name);
                    match one(row, routes, subject, &binaries) {
                        Ok(phases) => {
                            for phase in &phases {
                                eprint!("{} {:.2?}; ", phase.phase, phase.wall);
                            }
                            eprintln!();
                            report.add(row, &subject.name, phases);
                        }
                        Err(error) => {
                            eprintln!("{error:#}");
                            report.fail(row, &subject.name, &format!("{error:#}"));
                        }
                    }
                }
            }
        }
    }
    println!("{}", report.markdown());
    Ok(())
}

fn one(row: Row, routes: u32, subject: &Subject, binaries: &Binaries) -> Result<Vec<Measured>> {
    let ground = Ground::new()?;
    let processes = subject.start(&ground, row, binaries)?;
    let program = std::env::current_exe()?;
    let program = program.to_str().context("not UTF-8")?;
    let what = [&row.to_string(), "--routes", &routes.to_string()];
    let mut command = if subject.kind == Kind::Raw {
        let mut command = ground.daemon.command(program);
        command.arg("raw").args(what);
        command
    } else {
        let mut command = ground.peers.command(program);
        command.arg("act").args(what).arg("--namespaces");
        command.args([ground.daemon.path(), ground.hosts.path()]);
        command.arg("--");
        let pids = processes.iter().map(|process| process.record.pid);
        command.args(pids.map(|pid| pid.to_string()));
        command
    };
    let text = stdout_of(&mut command)?;
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .context("the neighbours said something else")
}
