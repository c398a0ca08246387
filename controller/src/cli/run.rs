//! Carries out a command: asks, and prints the answer. The same for one command and for many.

use std::{
    fs,
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    client::{self, ClientError, Pieces, Target},
    command::{Command, Routes},
    decode::{self, DecodeError},
    dump::{self, DumpError},
    help,
    output::{self, Format, List},
    render::{self, Style},
    validate, watch,
};
use crate::control::views;

/// How often `watch` and `top` look.
const LOOK: Duration = Duration::from_secs(1);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon did not answer, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file cannot be read.
    #[error("{0}")]
    File(io::Error),
    /// There is no whole dump.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// The speaker ended a capture.
    #[error(
        "the capture has ended: {0} was removed, or this was read more slowly than it went over the \
         connections"
    )]
    CaptureEnded(String),
    /// Nothing to decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The answer is printed, and it is not the good one: exit code 3.
    #[error("not as it should be")]
    NotGood,
    /// The answer cannot be printed.
    #[error("cannot print the answer: {0}")]
    Output(#[from] io::Error),
}

/// Whom to ask, and how to print answers.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The daemon's control socket.
    pub socket: PathBuf,
    /// How to print answers.
    pub format: Format,
    /// How to print text.
    pub style: Style,
}

impl Runner {
    /// Carries out a command.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(&self, command: &Command, out: &mut dyn Write) -> Result<(), Failure> {
        let style = &self.style;
        match command {
            Command::Status => {
                self.show(out, &Target::new("/v1/status"), |s| {
                    render::status(s, style)
                })
                .await
            }
            Command::Protocols { all, name } => {
                let target = Target::new("/v1/protocols").with_some("name", name.as_deref());
                let text = |list: &Vec<views::Protocol>| render::protocols(list, *all, style);
                self.show(out, &target, text).await
            }
            Command::Routes(routes) => self.routes(routes, out).await,
            Command::Kernel => {
                self.show(out, &Target::new("/v1/kernel"), render::kernel)
                    .await
            }
            Command::Services => {
                let text = |list: &Vec<_>| render::services(list);
                self.show(out, &Target::new("/v1/services"), text).await
            }
            Command::Bfd => {
                let text = |list: &Vec<_>| render::bfd_sessions(list, style);
                self.show(out, &Target::new("/v1/bfd"), text).await
            }
            Command::Bmp | Command::MrtLogs => self.onlookers(command, out).await,
            Command::Explain { what, to } => {
                let target = Target::new("/v1/explain").with("what", what);
                let target = target.with_some("to", to.as_deref());
                self.show(out, &target, render::explanation).await
            }
            Command::WhyDown { peer } => {
                let target = Target::new("/v1/why-down").with("peer", peer);
                self.show(out, &target, |why| render::why_down(why, style))
                    .await
            }
            Command::History { peer } => {
                let target = Target::new("/v1/history").with_some("peer", peer.as_deref());
                let text = |list: &Vec<_>| render::history(list, peer.is_none(), style);
                self.show(out, &target, text).await
            }
            Command::Watch => self.watch(out).await,
            Command::Top => self.top(out).await,
            Command::Validate { path } => self.validate(path, out),
            Command::Diff { path } => self.diff(path, out).await,
            Command::Decode { input } => self.decode(input, out),
            Command::DumpMrt { file } => self.dump_mrt(file, out).await,
            Command::Capture { peer, file } => self.capture(peer, file, out).await,
            Command::Help => Ok(out.write_all(style.fit(help::commands()).as_bytes())?),
            Command::Log { .. } | Command::Operate { .. } | Command::Drain | Command::Undrain => {
                self.change(command, out).await
            }
        }
    }

    /// Those who are told what goes on.
    async fn onlookers(&self, command: &Command, out: &mut dyn Write) -> Result<(), Failure> {
        let style = &self.style;
        match command {
            Command::Bmp => {
                let text = |list: &Vec<_>| render::bmp_stations(list, style);
                self.show(out, &Target::new("/v1/bmp"), text).await
            }
            _ => {
                let text = |list: &Vec<_>| render::mrt_logs(list, style);
                self.show(out, &Target::new("/v1/mrt-logs"), text).await
            }
        }
    }

    /// What changes something.
    async fn change(&self, command: &Command, out: &mut dyn Write) -> Result<(), Failure> {
        match command {
            Command::Log { level } => {
                let target = Target::new("/v1/log").with("level", level);
                let text = |level: &String| render::log_level(level);
                self.post(out, &target, text).await
            }
            Command::Operate { what, peer } => {
                let target = Target::new("/v1/operate");
                let target = target.with("what", what.as_str()).with("peer", peer);
                self.post(out, &target, |done: &Vec<_>| render::operated(*what, done))
                    .await
            }
            Command::Drain => {
                self.post(out, &Target::new("/v1/drain"), render::annotated)
                    .await
            }
            Command::Undrain => {
                self.post(out, &Target::new("/v1/undrain"), render::annotated)
                    .await
            }
            // Everything else is answered, not done.
            _ => Ok(()),
        }
    }

    async fn show<T: serde::de::DeserializeOwned + serde::Serialize>(
        &self,
        out: &mut dyn Write,
        target: &Target,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let answer = client::get_value(&self.socket, target).await?;
        self.print(out, &answer, text)
    }

    async fn post<T: serde::de::DeserializeOwned + serde::Serialize>(
        &self,
        out: &mut dyn Write,
        target: &Target,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let answer = client::post_value(&self.socket, target, Bytes::new()).await?;
        self.print(out, &answer, text)
    }

    fn print<T: serde::Serialize>(
        &self,
        out: &mut dyn Write,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let text = |answer: &T| self.style.fit(text(answer));
        Ok(output::value(out, self.format, answer, text)?)
    }

    fn validate(&self, path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let files = validate::read(path).map_err(Failure::File)?;
        let problems = validate::problems(&files);
        self.print(out, &problems, |list| match list.as_slice() {
            [] => format!("Nothing is wrong in {} files\n", files.len()),
            list => render::problems(list),
        })?;
        good(problems.iter().all(|problem| problem.severity != "error"))
    }

    async fn diff(&self, path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let files = validate::read(path).map_err(Failure::File)?;
        let body = serde_json::to_vec(&files).map_err(ClientError::from)?;
        let target = Target::new("/v1/diff");
        let diff: views::Diff = client::post_value(&self.socket, &target, body.into()).await?;
        self.print(out, &diff, render::diff)?;
        good(!diff.ends_a_session())
    }

    fn decode(&self, input: &str, out: &mut dyn Write) -> Result<(), Failure> {
        let path = Path::new(input);
        let messages = if path.is_file() {
            decode::file(input, &fs::read(path).map_err(Failure::File)?)?
        } else {
            decode::typed(input)?
        };
        self.print(out, &messages, |list| {
            list.iter().map(decode::text).collect()
        })?;
        good(messages.iter().all(|message| message.verdict == "valid"))
    }

    async fn dump_mrt(&self, file: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let target = Target::new("/v1/mrt");
        let mut pieces = client::get_pieces(&self.socket, &target).await?;
        if file == Path::new("-") {
            return pass_on(&mut pieces, out).await;
        }
        Ok(dump::write(file, &mut pieces).await?)
    }

    async fn capture(&self, peer: &str, file: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let target = Target::new("/v1/capture").with("peer", peer);
        let mut pieces = client::get_pieces(&self.socket, &target).await?;
        if file == Path::new("-") {
            pass_on(&mut pieces, out).await?;
        } else {
            dump::follow(file, &mut pieces).await?;
        }
        Err(Failure::CaptureEnded(peer.to_owned()))
    }

    async fn protocols(&self) -> Result<Vec<views::Protocol>, ClientError> {
        client::get_value(&self.socket, &Target::new("/v1/protocols")).await
    }

    async fn watch(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut before = self.protocols().await?;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.protocols().await?;
            let time = self.style.time(Timestamp::now());
            for line in watch::changes(&before, &now) {
                writeln!(out, "{time}  {line}")?;
            }
            out.flush()?;
            before = now;
        }
    }

    async fn top(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let terminal = io::stdout().is_terminal();
        let mut before = self.protocols().await?;
        loop {
            tokio::time::sleep(LOOK).await;
            let status = client::get_value(&self.socket, &Target::new("/v1/status")).await?;
            let now = self.protocols().await?;
            let frame = watch::frame(&status, &before, &now, LOOK.as_secs_f64(), &self.style);
            let frame = self.style.fit(frame);
            if !terminal {
                return Ok(out.write_all(frame.as_bytes())?);
            }
            // Home, and what was there before is gone.
            write!(out, "\x1b[H\x1b[2J{frame}")?;
            out.flush()?;
            before = now;
        }
    }

    /// Printed as they come: neither side ever holds the table.
    async fn routes(&self, routes: &Routes, out: &mut dyn Write) -> Result<(), Failure> {
        let target = Target::of_routes(routes);
        if routes.count {
            let text = |counts: &Vec<views::Count>| render::counts(counts);
            return self.show(out, &target, text).await;
        }
        let mut lines = client::get_lines(&self.socket, &target).await?;
        let mut list = List::new(&mut *out, self.format);
        while let Some(line) = lines.next().await? {
            list.push(&line, |json| {
                let route: views::Route = serde_json::from_slice(json)?;
                Ok(self.style.fit(render::route(&route, routes.all)))
            })?;
            // Of a large table the next one that is asked for may be long in coming.
            if !lines.has_next() {
                list.flush()?;
            }
        }
        // As birdc says it; no failure, for it is an answer.
        if !list.end()? && routes.select.is_one() && self.format == Format::Text {
            out.write_all(b"Network not found\n")?;
        }
        Ok(())
    }
}

/// Prints what comes as it comes.
async fn pass_on(pieces: &mut Pieces, out: &mut dyn Write) -> Result<(), Failure> {
    while let Some(piece) = pieces.next().await? {
        out.write_all(&piece)?;
        out.flush()?;
    }
    Ok(())
}

const fn good(is_good: bool) -> Result<(), Failure> {
    if is_good {
        Ok(())
    } else {
        Err(Failure::NotGood)
    }
}
