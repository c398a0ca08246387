//! `show route` of every node: node after node, each line as it comes.
//!
//! A table of a million routes is held nowhere: while one node is printed, those after it have begun to
//! answer and wait, with what a pipe holds, until it is their turn. A node that is down, or that stops in
//! the middle, is named at the end; the others are shown all the same.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::Stdio,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    task::JoinHandle,
    time::timeout,
};

use super::{
    AT_ONCE, Asked, Fleet, FleetError, Pod, last_line,
    sheet::{Sheet, SheetError},
};
use crate::cli::{output::Format, render::Style};

/// How much of what a program complains about is read.
const COMPLAINT: u64 = 16 * 1024;

/// Who answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// How many nodes did.
    pub answered: usize,
    /// Why there is no answer, or not all of it, by node.
    pub silent: BTreeMap<String, String>,
}

/// A node that has begun to answer.
struct Answering {
    kubectl: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The line that has been read already.
    first: Option<String>,
    complaint: JoinHandle<Vec<u8>>,
}

impl Fleet {
    /// Asks every node, and prints what it says while it says it.
    ///
    /// # Errors
    /// [`FleetError`] where there is nobody to ask, or nobody to tell. A node that does not answer is no
    /// error, but [silent](Streamed::silent).
    pub async fn stream(
        &self,
        asked: &Asked,
        format: Format,
        style: &Style,
        out: &mut dyn Write,
    ) -> Result<Streamed, FleetError> {
        let mut pods = self.pods_to_ask().await?;
        pods.sort_by(|a, b| a.node().cmp(b.node()));
        let width = pods.iter().map(|pod| pod.node().chars().count()).max();
        let mut sheet = Sheet::new(out, format, style, width.unwrap_or(0));
        let asking = pods.iter().map(|pod| async move {
            let begun = self.begin(pod, asked, asked.format(format)).await;
            (pod.node(), begun)
        });
        let mut asking = stream::iter(asking).buffered(AT_ONCE);
        let mut streamed = Streamed::default();
        while let Some((node, begun)) = asking.next().await {
            let told = match begun {
                Ok(answering) => self.tell(node, answering, &mut sheet).await?,
                Err(why) => Err(why),
            };
            match told {
                Ok(()) => streamed.answered += 1,
                Err(why) => _ = streamed.silent.insert(node.to_owned(), why),
            }
        }
        sheet.end().map_err(FleetError::Output)?;
        Ok(streamed)
    }

    /// Asks a node, and waits until it says something or is done.
    async fn begin(&self, pod: &Pod, asked: &Asked, format: Format) -> Result<Answering, String> {
        let mut kubectl = self.exec(pod, asked, format)?;
        let kubectl = kubectl
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut kubectl = kubectl.map_err(|error| format!("cannot run kubectl: {error}"))?;
        let (Some(stdout), Some(stderr)) = (kubectl.stdout.take(), kubectl.stderr.take()) else {
            return Err("kubectl has no output".to_owned());
        };
        let complaint = tokio::spawn(async move {
            let mut said = Vec::new();
            // What was read until an error counts.
            let _ = stderr.take(COMPLAINT).read_to_end(&mut said).await;
            said
        });
        let mut lines = BufReader::new(stdout).lines();
        let first = next(&mut lines, self.patience).await?;
        Ok(Answering {
            kubectl,
            lines,
            first,
            complaint,
        })
    }

    /// Prints what a node says. The inner error is why that is not all of it.
    async fn tell(
        &self,
        node: &str,
        mut answering: Answering,
        sheet: &mut Sheet<'_>,
    ) -> Result<Result<(), String>, FleetError> {
        let mut told = 0_u64;
        let ended = loop {
            let line = match answering.first.take() {
                Some(line) => Ok(Some(line)),
                None => next(&mut answering.lines, self.patience).await,
            };
            match line {
                Ok(Some(line)) => match sheet.line(node, &line) {
                    Ok(()) => told += 1,
                    Err(SheetError::Answer(error)) => {
                        // A line that breaks off is the last one: why, the node may have said otherwise.
                        let is_last = next(&mut answering.lines, self.patience).await == Ok(None);
                        let ended = match is_last {
                            true => answering.done(self.patience).await,
                            false => Ok(()),
                        };
                        let unknown = format!("it answers what is not understood: {error}");
                        break ended.and(Err(unknown));
                    }
                    Err(SheetError::Output(error)) => return Err(FleetError::Output(error)),
                },
                Ok(None) => break answering.done(self.patience).await,
                Err(why) => break Err(why),
            }
        };
        sheet
            .end_node(node, ended.is_ok())
            .map_err(FleetError::Output)?;
        Ok(ended.map_err(|why| match told {
            0 => why,
            _ => format!("it broke off: {why}"),
        }))
    }
}

impl Answering {
    /// Whether all was said.
    async fn done(mut self, patience: Duration) -> Result<(), String> {
        let ended = timeout(patience, self.kubectl.wait()).await;
        let ended = ended.map_err(|_| "kubectl does not end".to_owned())?;
        if ended.map_err(|error| error.to_string())?.success() {
            return Ok(());
        }
        let complaint = timeout(patience, self.complaint).await;
        let said = complaint.ok().and_then(Result::ok).unwrap_or_default();
        Err(last_line(&said))
    }
}

/// The next line of a node, for which it has so long.
async fn next(
    lines: &mut Lines<BufReader<ChildStdout>>,
    patience: Duration,
) -> Result<Option<String>, String> {
    let line: Result<io::Result<_>, _> = timeout(patience, lines.next_line()).await;
    let seconds = patience.as_secs();
    let line = line.map_err(|_| format!("no answer within {seconds} s"))?;
    line.map_err(|error| format!("it answers no text: {error}"))
}

#[cfg(test)]
mod tests;
