//! The plugin of kubectl: `redc` on every node.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use redstart_controller::cli::{
    fleet::{self, Asked, Fleet, FleetError, Streamed},
    output::{self, Format},
    terminal,
};

/// Ask the Redstart speakers of all nodes at once.
///
/// The commands are those of redc, and `show` may be left out: `kubectl redstart protocols`, `kubectl
/// redstart routes for 10.0.0.1`, `kubectl redstart explain 192.0.2.10`.
#[derive(Parser)]
#[command(
    name = "kubectl redstart",
    version,
    after_help = "Exit codes:\n  0  every node answered\n  1  nobody did\n  2  the command is not understood\n  4  some nodes did not answer\n"
)]
struct Args {
    /// Where the DaemonSet is.
    #[arg(short = 'n', long, default_value = "redstart-system")]
    namespace: String,
    /// The context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
    /// The kubeconfig.
    #[arg(long)]
    kubeconfig: Option<String>,
    /// How long to wait for a node, in seconds.
    #[arg(long, default_value = "10")]
    patience: u64,
    /// The program that reaches the pods.
    #[arg(long, env = "KUBECTL", default_value = "kubectl", hide = true)]
    kubectl: OsString,
    /// How to print the answers.
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    output: Format,
    /// The command.
    #[arg(required = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(FleetError::from)
        .and_then(|runtime| runtime.block_on(run(&args)));
    match done {
        Ok(Streamed { answered, silent }) => ended(answered, &silent),
        Err(error @ (FleetError::Parse(_) | FleetError::NotForAll(_))) => failed(&error, 2),
        Err(error) => failed(&error, 1),
    }
}

async fn run(args: &Args) -> Result<Streamed, FleetError> {
    let asked = Asked::of(&args.command)?;
    let option = |name: &str, value: &Option<String>| {
        let value = value.clone().into_iter();
        value
            .flat_map(|value| [name.to_owned(), value])
            .collect::<Vec<_>>()
    };
    let fleet = Fleet {
        kubectl: args.kubectl.clone(),
        options: [
            option("--context", &args.context),
            option("--kubeconfig", &args.kubeconfig),
        ]
        .concat(),
        namespace: args.namespace.clone(),
        patience: Duration::from_secs(args.patience),
    };
    let told = if asked.is_long() {
        let mut out = io::BufWriter::new(io::stdout());
        let style = terminal::style();
        fleet.stream(&asked, args.output, &style, &mut out).await
    } else {
        ask(&fleet, &asked, args.output).await
    };
    match told {
        // A closed pipe is no failure.
        Err(FleetError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Streamed::default())
        }
        told => told,
    }
}

/// Waits for all answers, and prints them as one.
async fn ask(fleet: &Fleet, asked: &Asked, shown: Format) -> Result<Streamed, FleetError> {
    let answers = fleet.ask(asked, asked.format(shown)).await?;
    let mut out = io::stdout();
    let printed = match shown {
        Format::Text => {
            let style = terminal::style();
            out.write_all(asked.text(&answers, &style)?.as_bytes())
        }
        format => output::value(&mut out, format, &fleet::by_node(&answers)?, |_| {
            String::new()
        }),
    };
    printed.map_err(FleetError::Output)?;
    Ok(Streamed {
        answered: answers.said.len(),
        silent: answers.silent,
    })
}

/// Says who was silent, behind what the others said.
fn ended(answered: usize, silent: &BTreeMap<String, String>) -> ExitCode {
    for (node, why) in silent {
        eprintln!("{node}: {why}");
    }
    match (answered, silent.is_empty()) {
        (_, true) => ExitCode::SUCCESS,
        (0, false) => ExitCode::FAILURE,
        (_, false) => ExitCode::from(4),
    }
}

fn failed(error: &FleetError, code: u8) -> ExitCode {
    eprintln!("kubectl redstart: {error}");
    ExitCode::from(code)
}
