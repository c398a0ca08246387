//! The plugin of kubectl: `redc` on every node.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use redstart_controller::cli::{
    fleet::{self, Answers, Asked, Fleet, FleetError},
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
        Ok(answers) => ended(&answers),
        Err(error @ (FleetError::Parse(_) | FleetError::NotForAll(_))) => failed(&error, 2),
        Err(error) => failed(&error, 1),
    }
}

async fn run(args: &Args) -> Result<Answers, FleetError> {
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
    let answers = fleet.ask(&asked, asked.format(args.output)).await?;
    let mut out = io::stdout();
    let printed = match args.output {
        Format::Text => {
            let style = terminal::style();
            out.write_all(asked.text(&answers, &style)?.as_bytes())
        }
        format => output::value(&mut out, format, &fleet::by_node(&answers)?, |_| {
            String::new()
        }),
    };
    match printed {
        // A closed pipe is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(answers),
    }
}

/// Says who was silent, behind what the others said.
fn ended(answers: &Answers) -> ExitCode {
    for (node, why) in &answers.silent {
        eprintln!("{node}: {why}");
    }
    match (answers.said.is_empty(), answers.silent.is_empty()) {
        (_, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
        (false, false) => ExitCode::from(4),
    }
}

fn failed(error: &FleetError, code: u8) -> ExitCode {
    eprintln!("kubectl redstart: {error}");
    ExitCode::from(code)
}
