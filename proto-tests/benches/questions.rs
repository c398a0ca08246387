//! What an operator asks of a speaker with a full table: see `redstart_proto_tests::bench::questions`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use redstart_proto_tests::{
    bench::{
        daemon::Daemon,
        ground::Ground,
        questions::{self, Ask},
        row::Row,
    },
    lab::{exclusive::Exclusive, netns::stdout_of, requirements::Binaries, wait},
    program,
};

/// Asks a fresh speaker with a full table, and prints how long it took to answer.
#[derive(Parser)]
#[command(name = "questions", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<What>,
    /// How many routes the speaker has.
    #[arg(long, default_value_t = 1_000_000)]
    prefixes: u32,
    /// How often each question is asked.
    #[arg(long, default_value_t = 200)]
    times: u32,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// Act the neighbour and ask, in its namespace.
    #[command(hide = true)]
    Ask(Ask),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(What::Ask(ask)) => questions::ask(ask),
        // `cargo test --all-targets` starts benchmarks too.
        None if !cli.bench => {
            println!("cargo bench -p redstart-proto-tests --bench questions");
            Ok(())
        }
        None => run(&cli),
    };
    program::exit_code(result)
}

fn run(cli: &Cli) -> Result<()> {
    wait::catch_signals()?;
    let _exclusive = Exclusive::wait()?;
    let program = std::env::current_exe()?;
    let binaries = Binaries::of_benchmark()?;
    let ground = Ground::new(Row::Table.as_usual())?;
    let speaker = Daemon::Redstart.start(&ground, Row::Table.as_usual(), &binaries)?;
    let pid = speaker.first().context("no speaker")?.record.pid;
    let mut ask = ground.peers.command(program.to_str().context("not UTF-8")?);
    ask.args(["ask", &pid.to_string()]);
    ask.arg("--socket").arg(ground.run_dir.socket("n1"));
    ask.arg("--redc").arg(binaries.path("redc"));
    ask.args(["--prefixes", &cli.prefixes.to_string()]);
    ask.args(["--times", &cli.times.to_string()]);
    print!("{}", stdout_of(&mut ask)?);
    Ok(())
}
