//! One speaker in a large cluster: see `redstart_proto_tests::scale`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use redstart_proto_tests::{
    lab::{exclusive::Exclusive, requirements::Binaries, wait},
    program,
    scale::{self, Size, cluster::Cluster, ground::Ground},
};

/// Puts one speaker into a cluster that the test API server acts.
#[derive(Parser)]
#[command(name = "cluster_scale", max_term_width = 100)]
struct Cli {
    /// What to do.
    #[arg(value_enum, default_value_t = What::Measure)]
    what: What,
    #[command(flatten)]
    size: Size,
    /// This process is in the namespace where everything but the speaker is.
    #[arg(long, hide = true)]
    inside: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Measure what happens in a day, and print a table.
    Measure,
    /// Change the address of every Service, take away all endpoints, delete all; fail if any session
    /// ends.
    Churn,
    /// Peer with every other node, and see one leave; fail if any other session ends.
    Mesh,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = if cli.inside { act(&cli) } else { run(&cli) };
    program::exit_code(result)
}

/// Wires the namespaces and starts over in one of them.
fn run(cli: &Cli) -> Result<()> {
    wait::catch_signals()?;
    let _exclusive = Exclusive::wait()?;
    let cluster = match cli.what {
        What::Mesh => Cluster::full_mesh(&cli.size),
        What::Measure | What::Churn => Cluster::new(&cli.size),
    };
    let ground = Ground::wire(cluster.neighbours())?;
    let program = std::env::current_exe()?;
    let program = program.to_str().context("the path is not UTF-8")?;
    let mut again = ground.world.command(program);
    let status = again
        .args(std::env::args().skip(1))
        .arg("--inside")
        .status()?;
    anyhow::ensure!(status.success(), "{status}");
    Ok(())
}

fn act(cli: &Cli) -> Result<()> {
    let (ground, binaries) = (Ground::existing(), Binaries::find()?);
    match cli.what {
        What::Measure => print!("{}", scale::measure(&ground, &cli.size, &binaries)?),
        What::Churn => scale::churn(&ground, &cli.size, &binaries)?,
        What::Mesh => scale::mesh(&ground, &cli.size, &binaries)?,
    }
    Ok(())
}
