//! The prompt: commands one after the other, with history, completion and a pager.
//!
//! As in `birdc`, a question mark lists what may follow where it is typed, and the words stay on the
//! line. Answers that are longer than the screen go through `$PAGER`. Where the input is no terminal,
//! each of its lines is a command.

use std::{
    env,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
    process::{Child, Command as Process, Stdio},
};

use rustyline::{
    Cmd, ConditionalEventHandler, Config, Context, Editor, Event, EventContext, EventHandler,
    Helper, KeyCode, KeyEvent, Modifiers, RepeatCount, completion::Completer,
    config::CompletionType, error::ReadlineError, highlight::Highlighter, hint::Hinter,
    history::FileHistory, validate::Validator,
};
use tokio::runtime::Runtime;

use super::{
    client::{self, Target},
    command::{self, Command},
    complete, help,
    run::{Failure, Runner},
};
use crate::control::views::Protocol;

/// Lines that are remembered.
const HISTORY: usize = 1000;

/// Reads and carries out commands until the input ends.
///
/// # Errors
/// The terminal's own.
pub fn run(runtime: &Runtime, runner: &Runner) -> io::Result<()> {
    if !io::stdin().is_terminal() {
        for line in io::stdin().lock().lines() {
            line_of(runtime, runner, &line?);
        }
        return Ok(());
    }
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY)
        .map_err(io::Error::other)?
        .build();
    let mut editor: Editor<Words<'_>, FileHistory> =
        Editor::with_config(config).map_err(io::Error::other)?;
    editor.set_helper(Some(Words { runtime, runner }));
    let question = KeyEvent(KeyCode::Char('?'), Modifiers::NONE);
    editor.bind_sequence(question, EventHandler::Conditional(Box::new(Question)));
    let remembered = env::var_os("HOME").map(|home| PathBuf::from(home).join(".redc_history"));
    if let Some(file) = &remembered {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    loop {
        match editor.readline("redc> ") {
            Ok(line) if matches!(line.trim(), "exit" | "quit") => break,
            Ok(line) => {
                let _ = editor.add_history_entry(line.trim());
                line_of(runtime, runner, &line);
            }
            // Ctrl-C gives up the line, and nothing else.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    if let Some(file) = &remembered {
        // A history that is lost is no reason to complain.
        let _ = editor.save_history(file);
    }
    Ok(())
}

/// Carries out a line, and says what is wrong with it.
fn line_of(runtime: &Runtime, runner: &Runner, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let [before @ .., "?"] = words.as_slice() {
        match help::after(before) {
            Ok(text) => print!("{text}"),
            Err(error) => eprintln!("{error}"),
        }
        return;
    }
    if words.is_empty() {
        return;
    }
    match command::parse(&words) {
        Ok(command) => carry_out(runtime, runner, &command),
        Err(error) => eprintln!("{error}"),
    }
}

/// Until it is done, or interrupted.
fn carry_out(runtime: &Runtime, runner: &Runner, command: &Command) {
    let mut pager = (!is_endless(command)).then(pager).flatten();
    let done = runtime.block_on(async {
        let mut stdout = io::stdout();
        let mut piped = pager.as_mut().and_then(|pager| pager.stdin.take());
        let out: &mut dyn io::Write = match &mut piped {
            Some(piped) => piped,
            None => &mut stdout,
        };
        let mut out = io::BufWriter::new(out);
        let done = tokio::select! {
            done = runner.run(command, &mut out) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        done.and_then(|()| Ok(out.flush()?))
    });
    if let Some(mut pager) = pager {
        let _ = pager.wait();
    }
    match done {
        // The pager was left early, or the answer itself says it all.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Ok(()) | Err(Failure::NotGood) => {}
        Err(error) => eprintln!("{error}"),
    }
}

const fn is_endless(command: &Command) -> bool {
    matches!(
        command,
        Command::Watch | Command::Top | Command::Capture { .. }
    )
}

/// `$PAGER`, or less, which leaves by itself where the answer fits on the screen.
fn pager() -> Option<Child> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let mut pager = match env::var("PAGER") {
        Ok(pager) if pager.is_empty() => return None,
        Ok(pager) => {
            let mut shell = Process::new("sh");
            shell.arg("-c").arg(pager);
            shell
        }
        Err(_) => {
            let mut less = Process::new("less");
            less.arg("-FRX");
            less
        }
    };
    // Without one, answers are printed as they are.
    pager.stdin(Stdio::piped()).spawn().ok()
}

/// Completes words.
struct Words<'r> {
    runtime: &'r Runtime,
    runner: &'r Runner,
}

impl Words<'_> {
    /// The names of the neighbours; none where the daemon does not answer.
    fn peers(&self) -> Vec<String> {
        let target = Target::new("/v1/protocols");
        let asked = client::get_value::<Vec<Protocol>>(&self.runner.socket, &target);
        let list = self.runtime.block_on(asked).unwrap_or_default();
        list.into_iter().map(|protocol| protocol.name).collect()
    }
}

impl Completer for Words<'_> {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let line = line.get(..at).unwrap_or(line);
        let start = line.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        let mut words: Vec<&str> = line[..start].split_whitespace().collect();
        words.push(&line[start..]);
        let candidates = complete::candidates(&words, || self.peers()).into_iter();
        Ok((
            start,
            candidates.map(|candidate| candidate.word + " ").collect(),
        ))
    }
}

impl Hinter for Words<'_> {
    type Hint = String;
}

impl Highlighter for Words<'_> {}

impl Validator for Words<'_> {}

impl Helper for Words<'_> {}

/// A question mark says what may follow. It is typed into conditions too, where it stands for an AS.
struct Question;

impl ConditionalEventHandler for Question {
    fn handle(
        &self,
        _: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        let line = context.line().get(..context.pos())?;
        if line.contains("where") {
            return None;
        }
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if !line.ends_with(char::is_whitespace) {
            // The word that is being typed is not one yet.
            words.pop();
        }
        let text = help::after(&words).unwrap_or_else(|error| format!("{error}\n"));
        // The terminal is in raw mode: lines end with both.
        print!("\r\n{}", text.replace('\n', "\r\n"));
        let _ = io::stdout().flush();
        Some(Cmd::Repaint)
    }
}
