//! Redstart beside BIRD, FRR, OpenBGPD and GoBGP: see `redstart_proto_tests::bench`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use redstart_proto_tests::{
    bench::{
        daemon::Daemon,
        ground::Ground,
        play::{self, Input, Measured, Play},
        report::Report,
        row::{Row, Scene, Variation},
    },
    lab::{exclusive::Exclusive, netns::stdout_of, requirements::Binaries, wait},
    program,
};

/// Measures rows with every daemon that is on this machine, and prints a table of medians.
#[derive(Parser)]
#[command(name = "routes", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rows to run; all of them if none is named.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Daemons to run; all that are there if none is named.
    #[arg(long, value_delimiter = ',')]
    daemons: Vec<Daemon>,
    /// How often.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    variation: Variation,
    /// Ask Redstart, and nobody else, one thing after the other meanwhile, through redc: that costs it time.
    #[arg(long)]
    ask: bool,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Act the neighbours, in their namespace.
    #[command(hide = true)]
    Play(Play),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Play(what)) => play::play(what),
        // `cargo test --all-targets` starts benchmarks too.
        None if !cli.bench && cli.rows.is_empty() => {
            println!("cargo bench -p redstart-proto-tests --bench routes [-- --rows ROW,…]");
            Ok(())
        }
        None => run(&cli),
    };
    program::exit_code(result)
}

fn or_all<T: Copy>(some: &[T], all: &[T]) -> Vec<T> {
    if some.is_empty() {
        all.to_vec()
    } else {
        some.to_vec()
    }
}

fn run(cli: &Cli) -> Result<()> {
    wait::catch_signals()?;
    let _exclusive = Exclusive::wait()?;
    let program = std::env::current_exe()?;
    let binaries = Binaries::of_benchmark()?;
    let mut report = Report::default();
    for row in or_all(&cli.rows, &Row::ALL) {
        for round in 1..=cli.rounds {
            for daemon in or_all(&cli.daemons, &Daemon::ALL) {
                if !daemon.can(row) {
                    continue;
                }
                wait::check_interrupt()?;
                eprint!("{row}, round {round}, {daemon}: ");
                match one(cli, row, daemon, &binaries, &program) {
                    Ok(phases) => {
                        for phase in &phases {
                            eprint!("{} {:.3} s; ", phase.phase, phase.wall.as_secs_f64());
                        }
                        eprintln!();
                        report.add(row, daemon, phases);
                    }
                    Err(error) => {
                        eprintln!("{error:#}");
                        report.fail(row, daemon, &format!("{error:#}"));
                    }
                }
            }
        }
    }
    if cli.ask {
        println!("Redstart is asked one thing after the other meanwhile.");
    }
    if let Some(sessions) = cli.variation.sessions {
        println!("Receivers, clients of a reflector, nodes of a mesh: {sessions}.");
    }
    if let Some(seconds) = cli.variation.hold_time {
        println!("Hold time: {seconds} s.");
    }
    println!("{}", report.markdown());
    Ok(())
}

fn one(
    cli: &Cli,
    row: Row,
    daemon: Daemon,
    binaries: &Binaries,
    program: &std::path::Path,
) -> Result<Vec<Measured>> {
    let scene = Scene {
        row,
        variation: cli.variation,
    };
    let ground = Ground::new(scene)?;
    let processes = daemon.start(&ground, scene, binaries)?;
    let mut command = ground.peers.command(program.to_str().context("not UTF-8")?);
    // The monitors' tables in large pages: what they wait for is not the daemon's doing.
    command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    command.args(["play", &row.to_string()]);
    command.args(
        processes
            .iter()
            .map(|process| process.record.pid.to_string()),
    );
    command.args(["--prefixes", &cli.input.prefixes.to_string()]);
    if row.has_policy() {
        command.arg("--objects").arg(ground.run_dir.objects());
    }
    let Variation {
        sessions,
        hold_time,
    } = cli.variation;
    for (flag, number) in [("--sessions", sessions), ("--hold-time", hold_time)] {
        if let Some(number) = number {
            command.arg(flag).arg(number.to_string());
        }
    }
    if cli.ask && daemon == Daemon::Redstart {
        command.arg("--redc").arg(binaries.path("redc"));
        command.arg("--socket").arg(ground.run_dir.socket("n1"));
    }
    for (flag, path) in [("--table", &cli.input.table), ("--churn", &cli.input.churn)] {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    let text = stdout_of(&mut command)?;
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .context("the player said something else")
}
