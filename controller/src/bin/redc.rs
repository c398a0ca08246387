//! The CLI.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use redstart_controller::{
    cli::{
        client::{self, Target},
        command::{self, Command},
        complete, help,
        output::Format,
        prompt,
        run::{Failure, Runner},
        schema,
        shell::{self, Shell},
        terminal,
    },
    control::{DEFAULT_SOCKET, views::Protocol},
};
use tokio::runtime::Runtime;

/// Talk to the Redstart speaker on this node.
///
/// Commands may be shortened while they are unambiguous: `redc s p a` is `redc show protocols all`.
/// Without a command there is a prompt.
#[derive(Parser)]
#[command(name = "redc", version, after_help = after_help())]
struct Args {
    /// The daemon's control socket.
    #[arg(short = 's', long, env = "REDSTART_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// How to print the answer.
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    output: Format,
    /// Print the script that completes words in a shell.
    #[arg(long, value_name = "SHELL")]
    completions: Option<Shell>,
    /// Print the manual page.
    #[arg(long)]
    man: bool,
    /// Print the JSON Schema of what -o json and -o yaml print.
    #[arg(long)]
    schema: bool,
    /// Print what the last word may become.
    #[arg(long, hide = true)]
    complete: bool,
    /// The file of a capture: a part of the command, wherever it stands.
    #[arg(short = 'w', value_name = "FILE", hide = true)]
    write: Option<String>,
    /// The command.
    command: Vec<String>,
}

fn after_help() -> String {
    let codes = shell::EXIT_CODES.map(|(code, meaning)| format!("  {code}  {meaning}\n"));
    format!("{}\nExit codes:\n{}", help::commands(), codes.concat())
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if let Some(file) = args.write.take() {
        args.command.extend(["-w".to_owned(), file]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    if let Some(shell) = args.completions {
        return print(shell::completions(shell));
    }
    if args.man {
        return print(&shell::man(env!("CARGO_PKG_VERSION")));
    }
    if args.schema {
        return print(&format!("{:#}\n", schema::document()));
    }
    if args.complete {
        return print(&completed(&runtime, &args));
    }
    let runner = Runner {
        socket: args.socket,
        format: args.output,
        style: terminal::style(),
    };
    if args.command.is_empty() {
        return match prompt::run(&runtime, &runner) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    if let [words @ .., last] = args.command.as_slice()
        && last == "?"
    {
        return help::after(words).map_or_else(|error| not_understood(&error), |text| print(&text));
    }
    match command::parse(&args.command) {
        Ok(command) => carry_out(&runtime, &runner, &command),
        Err(error) => not_understood(&error),
    }
}

fn carry_out(runtime: &Runtime, runner: &Runner, command: &Command) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout());
    let done = runtime.block_on(runner.run(command, &mut out));
    let flushed = out.flush();
    match done.and_then(|()| Ok(flushed?)) {
        Ok(()) => ExitCode::SUCCESS,
        // A closed pipe (`redc … | head`) is no failure.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::NotGood) => ExitCode::from(3),
        Err(error) => failed(&error),
    }
}

/// What the last word may become, with what it is for.
fn completed(runtime: &Runtime, args: &Args) -> String {
    let words: Vec<&str> = args.command.iter().map(String::as_str).collect();
    let peers = || {
        let target = Target::new("/v1/protocols");
        let asked = client::get_value::<Vec<Protocol>>(&args.socket, &target);
        let list = runtime.block_on(asked).unwrap_or_default();
        list.into_iter().map(|protocol| protocol.name).collect()
    };
    let found = complete::candidates(&words, peers).into_iter();
    found
        .map(|c| format!("{}\t{}\n", c.word, c.about))
        .collect()
}

fn print(text: &str) -> ExitCode {
    // A closed pipe is no failure.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("redc: {error}");
    ExitCode::FAILURE
}

fn not_understood(error: &command::ParseError) -> ExitCode {
    eprintln!("redc: {error}");
    ExitCode::from(2)
}
