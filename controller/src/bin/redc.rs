//! The status CLI.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use redstart_controller::{
    cli::{
        client::{self, ClientError},
        command::{self, Command, RouteSelect},
        render::{self, Style},
    },
    control::{DEFAULT_SOCKET, views},
};

/// Talk to the Redstart speaker on this node.
///
/// Commands may be shortened while they are unambiguous: `redc s p a` is `redc show protocols all`.
#[derive(Parser)]
#[command(name = "redc", version, after_help = COMMANDS)]
struct Args {
    /// The daemon's control socket.
    #[arg(short = 's', long, env = "REDSTART_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// How to print the answer.
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    output: Output,
    /// The command.
    #[arg(required = true)]
    command: Vec<String>,
}

const COMMANDS: &str = "Commands:
  show status                          the daemon at a glance
  show protocols [all] [NAME]          the neighbours
  show route [all] [filtered] [for ADDR|PREFIX]
                                       the routing table; filtered: what was refused, and why
  show kernel                          routes in the kernel, and why some are not
  show services                        addresses of Services, and why some are not advertised
  show bfd sessions                    the neighbours whose path is watched
  drain                                relieve this node of traffic, by the annotation of its Node
  undrain                              take that back";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Exit codes: 0 answered, 1 refused or not reachable, 2 not understood.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let command = match command::parse(&args.command) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("redc: {error}\n{COMMANDS}");
            return ExitCode::from(2);
        }
    };
    match answer(&args, &command).await {
        Ok(text) => {
            // A closed pipe (`redc … | head`) is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("redc: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(args: &Args, command: &Command) -> Result<String, ClientError> {
    let body = client::run(&args.socket, command).await?;
    if args.output == Output::Json {
        return Ok(json(command, &body)?);
    }
    let style = Style {
        zone: jiff::tz::TimeZone::system(),
    };
    Ok(match command {
        Command::Status => render::status(&serde_json::from_slice(&body)?, &style),
        Command::Protocols { all, .. } => render::protocols(
            &serde_json::from_slice::<Vec<views::Protocol>>(&body)?,
            *all,
            &style,
        ),
        Command::Routes {
            all,
            filtered,
            select,
        } => {
            let routes = client::lines(&body)?;
            if routes.is_empty() && *select != RouteSelect::All {
                // As birdc says it; no failure, for it is an answer.
                return Ok("Network not found\n".to_owned());
            }
            if *filtered {
                render::routes(&render::filtered(routes), *all)
            } else {
                render::routes(&routes, *all)
            }
        }
        Command::Kernel => render::kernel(&serde_json::from_slice(&body)?),
        Command::Drain | Command::Undrain => render::annotated(&serde_json::from_slice(&body)?),
        Command::Services => render::services(&serde_json::from_slice::<Vec<_>>(&body)?),
        Command::Bfd => render::bfd_sessions(&serde_json::from_slice::<Vec<_>>(&body)?, &style),
    })
}

/// The answer as one JSON document; the daemon streams routes as one per line.
fn json(command: &Command, body: &[u8]) -> Result<String, serde_json::Error> {
    let value: serde_json::Value = match command {
        Command::Routes { filtered: true, .. } => {
            let lines = body.split(|b| *b == b'\n').filter(|line| !line.is_empty());
            let routes = lines.map(serde_json::from_slice::<views::Route>);
            serde_json::to_value(render::filtered(routes.collect::<Result<_, _>>()?))?
        }
        Command::Routes { .. } => body
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(serde_json::from_slice)
            .collect::<Result<Vec<serde_json::Value>, _>>()?
            .into(),
        _ => serde_json::from_slice(body)?,
    };
    serde_json::to_string_pretty(&value).map(|text| text + "\n")
}
