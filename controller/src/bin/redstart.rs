//! The daemon.

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use redstart_controller::{
    allocator, api, bird, log_level, rbac,
    speaker::{self, Cleanup, LogFormat, Options},
};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::ParseError, fmt, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

/// BGP route distribution for on-prem Kubernetes.
#[derive(Parser)]
#[command(name = "redstart", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the speaker of this node.
    Run(Options),
    /// Remove what a speaker has left in the kernel: after an uninstall.
    Cleanup(Cleanup),
    /// Print the custom resource definitions.
    Crds,
    /// Print a Role that lets speakers read the Secrets that objects name, and no others, for the place
    /// of the Role in manifests/base.
    Role {
        /// Files with the objects, such as what `kubectl get bgpconfigurations,bgppeers -o yaml` prints.
        /// Standard input without any.
        files: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Run(options) => run(options),
        Command::Cleanup(options) => cleanup(&options),
        Command::Crds => crds(),
        Command::Role { files } => role(&files),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redstart: {}", in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes. Some errors repeat their cause in their own words; it is said once.
fn in_one_line(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.as_str() {
            "" => cause,
            said if said.contains(&cause) => said.to_owned(),
            said => format!("{said}: {cause}"),
        }
    })
}

fn crds() -> anyhow::Result<()> {
    // Not `print!`, which panics when the reader (`head`, say) has had enough.
    let mut out = io::stdout().lock();
    for (_, yaml) in api::crds_yaml()? {
        out.write_all(yaml.as_bytes())?;
    }
    Ok(())
}

fn cleanup(options: &Cleanup) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(speaker::cleanup(options, &mut io::stdout()))
}

fn role(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut manifests = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = fs::read_to_string(file).with_context(|| name.clone())?;
        manifests.push((name, text));
    }
    if files.is_empty() {
        let text = io::read_to_string(io::stdin()).context("standard input")?;
        manifests.push(("standard input".to_owned(), text));
    }
    let manifests = manifests
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let yaml = rbac::role_yaml(manifests)?;
    Ok(io::stdout().lock().write_all(yaml.as_bytes())?)
}

fn run(options: Options) -> anyhow::Result<()> {
    allocator::tune();
    start_logging(&options)?;
    // Two workers: neighbours parse on one while the core decides on the other.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(speaker::run(options))
}

/// The source reports each failure once, in context; kube would add a line per attempt.
fn filter_of(log: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("kube_client=off,kube_runtime=off,{log}"))
}

fn start_logging(options: &Options) -> anyhow::Result<()> {
    let filter = filter_of(&options.log);
    let filter = filter.with_context(|| format!("--log {:?} is not a filter", options.log))?;
    let (filter, handle) = reload::Layer::new(filter);
    let usual = options.log.clone();
    log_level::changed_by(move |level| {
        let level = if level == "default" { &usual } else { level };
        let filter = filter_of(level).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    });
    let terminal = io::stderr().is_terminal();
    let json = match options.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let lines = fmt::layer().with_ansi(terminal).with_writer(io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.boxed()
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(bird::Echo)
        .init();
    Ok(())
}
