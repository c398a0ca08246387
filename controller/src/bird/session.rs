//! One client: its commands, one after the other.

use std::io;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader},
    net::UnixStream,
    sync::{broadcast, mpsc},
};

use super::{
    Access, command,
    command::Command,
    echo,
    reply::{Code, Reply},
    show,
};
use crate::control::{Operated, Operation, PeerPattern, Query, ask, views};

/// The longest command, in octets.
const LONGEST: u64 = 4096;

/// What clients read the version from.
pub(super) const NAME: &str = concat!("BIRD 2.0 (Redstart ", env!("CARGO_PKG_VERSION"), ")");

/// A client.
pub(super) struct Session {
    core: mpsc::Sender<Query>,
    access: Access,
    log: Option<broadcast::Receiver<String>>,
}

/// Why a command has no answer.
pub(super) enum Failure {
    /// The core did not answer in time.
    Busy,
    /// The client is gone.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<crate::control::select::Busy> for Failure {
    fn from(_: crate::control::select::Busy) -> Self {
        Self::Busy
    }
}

impl Session {
    pub(super) const fn new(core: mpsc::Sender<Query>, access: Access) -> Self {
        Self {
            core,
            access,
            log: None,
        }
    }

    /// Until the client leaves.
    pub(super) async fn run(mut self, stream: UnixStream) -> io::Result<()> {
        let (read, write) = stream.into_split();
        let mut lines = Lines::new(read);
        let mut reply = Reply::new(write);
        reply.end(Code::Welcome, format_args!("{NAME} ready."));
        loop {
            reply.flush().await?;
            let line = tokio::select! {
                line = lines.next() => line?,
                news = next_of(&mut self.log) => {
                    reply.log(&news);
                    continue;
                }
            };
            match line {
                Line::End => return Ok(()),
                Line::TooLong => reply.end(Code::TooLong, "Command too long"),
                Line::Text(line) => self.answer(&line, &mut reply).await?,
            }
        }
    }

    async fn answer<W: AsyncWrite + Unpin>(
        &mut self,
        line: &str,
        reply: &mut Reply<W>,
    ) -> io::Result<()> {
        let outcome = match command::parse(line) {
            Ok(command) => self.run_command(command, reply).await,
            Err(error) => {
                reply.end(Code::NotUnderstood, format_args!("syntax error, {error}"));
                Ok(())
            }
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Failure::Io(error)) => Err(error),
            Err(Failure::Busy) => {
                reply.end(Code::Failed, "The speaker did not answer in time");
                Ok(())
            }
        }
    }

    async fn run_command<W: AsyncWrite + Unpin>(
        &mut self,
        command: Command,
        reply: &mut Reply<W>,
    ) -> Result<(), Failure> {
        let core = &self.core;
        match command {
            Command::Status => show::status(core, reply).await,
            Command::Protocols { all, which } => show::protocols(core, all, &which, reply).await,
            Command::Route(command) => show::routes(core, command, reply).await,
            Command::Interfaces { summary } => show::interfaces(summary, reply).await,
            Command::Symbols { which } => show::symbols(core, &which, reply).await,
            Command::Memory => show::memory(reply),
            Command::BfdSessions => show::bfd_sessions(core, reply).await,
            Command::Static => show::originated(core, reply).await,
            Command::Configure => configure(core, reply).await,
            Command::Operate(what, whom) => self.operate(what, whom, reply).await,
            Command::Echo(on) => {
                self.log = on.then(echo::lines);
                reply.done();
                Ok(())
            }
            Command::Restrict => {
                self.access = Access::ReadOnly;
                reply.end(Code::Restricted, "Access restricted");
                Ok(())
            }
            Command::Help => {
                show::help(reply);
                Ok(())
            }
        }
    }

    async fn operate<W: AsyncWrite + Unpin>(
        &self,
        what: Operation,
        whom: PeerPattern,
        reply: &mut Reply<W>,
    ) -> Result<(), Failure> {
        if self.access == Access::ReadOnly {
            reply.end(Code::Denied, "Access denied");
            return Ok(());
        }
        let asked = ask(&self.core, |reply| Query::Operate(what, whom, reply)).await;
        let done = asked.ok_or(Failure::Busy)?;
        if done.is_empty() {
            reply.end(Code::NoProtocolMatches, "No protocols match");
            return Ok(());
        }
        for (name, became) in done {
            let (code, text) = outcome(what, became);
            reply.line(code, format_args!("{name}: {text}"));
        }
        reply.done();
        Ok(())
    }
}

/// What BIRD says of it.
fn outcome(what: Operation, became: Operated) -> (Code, &'static str) {
    match (what, became) {
        (Operation::Disable, Operated::Already) => (Code::AlreadyDisabled, "already disabled"),
        (Operation::Disable, _) => (Code::Disabled, "disabled"),
        (Operation::Enable, Operated::Already) => (Code::AlreadyEnabled, "already enabled"),
        (Operation::Enable, _) => (Code::Enabled, "enabled"),
        (Operation::Restart, Operated::NotPossible) => (Code::AlreadyDisabled, "already disabled"),
        (Operation::Restart, _) => (Code::Restarted, "restarted"),
        (_, Operated::NotPossible) => (Code::NotPossible, "reload failed"),
        _ => (Code::Reloading, "reloading"),
    }
}

/// There is nothing to read again; what is wrong with the objects is said.
async fn configure<W: AsyncWrite + Unpin>(
    core: &mpsc::Sender<Query>,
    reply: &mut Reply<W>,
) -> Result<(), Failure> {
    let status = ask(core, Query::Status).await.ok_or(Failure::Busy)?;
    reply.line(
        Code::ReadingConfiguration,
        format_args!("Reading configuration from {}", status.source.description),
    );
    let is_error = |p: &&views::Problem| p.severity == "error";
    let mut errors = status.problems.iter().filter(is_error).peekable();
    if errors.peek().is_none() {
        reply.end(Code::ConfigurationOk, "Configuration OK");
        return Ok(());
    }
    while let Some(p) = errors.next() {
        let text = format!("{} {}: {}", p.object, p.field, p.message);
        match errors.peek() {
            Some(_) => reply.line(Code::ConfigurationError, text),
            None => reply.end(Code::ConfigurationError, text),
        }
    }
    Ok(())
}

/// The next line of the log, if it is wanted at all.
async fn next_of(log: &mut Option<broadcast::Receiver<String>>) -> String {
    match log {
        None => std::future::pending().await,
        Some(lines) => match lines.recv().await {
            Ok(line) => line,
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                format!("<WARN> {lost} lines of the log were lost")
            }
            // The log lives as long as the process.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        },
    }
}

enum Line {
    Text(String),
    TooLong,
    End,
}

/// Lines, bounded. Reading one can be given up at any time and loses nothing.
struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    /// The line is too long and its rest is thrown away.
    skips: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(from: R) -> Self {
        Self {
            from: BufReader::new(from),
            line: Vec::new(),
            skips: false,
        }
    }

    async fn next(&mut self) -> io::Result<Line> {
        loop {
            let room = LONGEST + 1 - self.line.len() as u64;
            let mut part = (&mut self.from).take(room);
            let read = part.read_until(b'\n', &mut self.line).await?;
            let ended = self.line.last() == Some(&b'\n');
            if !ended && read > 0 && self.line.len() as u64 > LONGEST {
                self.skips = true;
                self.line.clear();
            } else if !ended && read > 0 {
                // The client has left in the middle of a line, or there is more.
            } else if !ended {
                return Ok(Line::End);
            } else {
                let line = core::mem::take(&mut self.line);
                if core::mem::take(&mut self.skips) {
                    return Ok(Line::TooLong);
                }
                return Ok(Line::Text(String::from_utf8_lossy(&line).into_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded() {
        let long = "x".repeat(10_000);
        let text = format!("show status\n{long}\nshow memory\nrest");
        let mut lines = Lines::new(text.as_bytes());
        for expected in ["show status\n", "", "show memory\n"] {
            match lines.next().await.unwrap() {
                Line::Text(line) => assert_eq!(line, expected),
                Line::TooLong => assert_eq!(expected, ""),
                Line::End => panic!("too early"),
            }
        }
        assert!(matches!(lines.next().await.unwrap(), Line::End));
    }
}
