//! `kubectl redstart`: a command of `redc` on every node at once, and the answers as one.
//!
//! `kubectl` finds the pods and runs `redc` in them: whoever may do that may ask, and nobody else; no
//! port is opened for it. A node that is down costs its share of patience and a line on stderr; what the
//! others say is shown all the same.
//!
//! Tables become one table with the node as its first column; of other text each line begins with the
//! node. With `-o json` or `-o yaml` the answers stand under the names of their nodes.
//!
//! | file | job |
//! |---|---|
//! | this one | answers that are merged |
//! | `stream` | routes, which are printed as they come |
//! | `sheet` | how they are printed |

mod sheet;
mod stream;

use std::{collections::BTreeMap, ffi::OsString, io, process::Stdio, time::Duration};

use futures_util::{StreamExt as _, stream as futures};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::process::Command as Process;

pub use self::stream::Streamed;
use super::{
    command::{self, Command, ParseError, Routes},
    output::Format,
    render::{self, Style, Table},
};

/// The pods of the DaemonSet.
const PODS: &str = "app.kubernetes.io/name=redstart";

/// The container that has `redc`.
const CONTAINER: &str = "redstart";

/// Nodes that are asked at the same time.
const AT_ONCE: usize = 16;

/// How to reach the cluster.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The program `kubectl`.
    pub kubectl: OsString,
    /// What it is always given: `--context`, say.
    pub options: Vec<String>,
    /// Where the DaemonSet is.
    pub namespace: String,
    /// How long a node may take.
    pub patience: Duration,
}

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The words make no command.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The command is not for many nodes.
    #[error("{0} is not for all nodes at once: use redc in one pod, or on your own machine")]
    NotForAll(String),
    /// `kubectl` cannot be started.
    #[error("cannot run kubectl: {0}")]
    Kubectl(#[from] io::Error),
    /// `kubectl` refused.
    #[error("kubectl says: {0}")]
    Refused(String),
    /// There are no pods.
    #[error("there is no pod with {PODS} in namespace {0}")]
    Nobody(String),
    /// The answers cannot be printed.
    #[error("cannot print the answers: {0}")]
    Output(io::Error),
    /// Somebody answers in another language.
    #[error("{node} answers what is not understood (another version of redstart?): {error}")]
    Answer {
        /// The node.
        node: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

/// What the nodes said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The output of `redc`, by node.
    pub said: BTreeMap<String, String>,
    /// Why there is none, by node.
    pub silent: BTreeMap<String, String>,
}

/// A command for every node, in full words.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    command: Command,
    words: Vec<String>,
}

impl Asked {
    /// Reads a command. `show` may be left out: `protocols`, `routes`.
    ///
    /// # Errors
    /// [`FleetError::Parse`], or [`FleetError::NotForAll`].
    pub fn of(words: &[String]) -> Result<Self, FleetError> {
        let mut words = words.to_vec();
        let mut parsed = command::parse(&words);
        if matches!(parsed, Err(ParseError::Unknown { .. })) {
            let mut shown = vec!["show".to_owned()];
            shown.extend(words.iter().cloned());
            if shown[1] == "routes" {
                "route".clone_into(&mut shown[1]);
            }
            if let Ok(command) = command::parse(&shown) {
                (words, parsed) = (shown, Ok(command));
            }
        }
        let command = parsed?;
        let alone = matches!(
            command,
            Command::Watch
                | Command::Top
                | Command::Validate { .. }
                | Command::Diff { .. }
                | Command::Decode { .. }
                | Command::DumpMrt { .. }
                | Command::Capture { .. }
                | Command::Help
        );
        if alone {
            return Err(FleetError::NotForAll(words.join(" ")));
        }
        Ok(Self { command, words })
    }

    /// Whether the answers may be too long to be held.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        matches!(self.command, Command::Routes(Routes { count: false, .. }))
    }

    /// Whether the answers are tables, which become one.
    const fn is_table(&self) -> bool {
        matches!(
            self.command,
            Command::Protocols { all: false, .. }
                | Command::Services
                | Command::Bfd
                | Command::Bmp
                | Command::MrtLogs
        )
    }

    /// The format in which nodes are asked.
    #[must_use]
    pub const fn format(&self, shown: Format) -> Format {
        match shown {
            Format::Text if !self.is_table() => Format::Text,
            _ => Format::Json,
        }
    }

    /// The answers as one.
    ///
    /// # Errors
    /// [`FleetError::Answer`].
    pub fn text(&self, answers: &Answers, style: &Style) -> Result<String, FleetError> {
        let said = &answers.said;
        let table = match self.command {
            Command::Protocols { all: false, .. } => {
                merged(said, |list: Vec<_>| render::protocol_table(&list, style))?
            }
            Command::Services => merged(said, |list: Vec<_>| render::service_table(&list))?,
            Command::Bfd => merged(said, |list: Vec<_>| render::bfd_table(&list, style))?,
            Command::Bmp => merged(said, |list: Vec<_>| render::bmp_table(&list, style))?,
            Command::MrtLogs => merged(said, |list: Vec<_>| render::mrt_table(&list, style))?,
            _ => return Ok(style.fit(lines(said))),
        };
        Ok(style.fit(table.text()))
    }
}

/// One table of those of every node.
fn merged<T: DeserializeOwned>(
    said: &BTreeMap<String, String>,
    table: impl Fn(T) -> Table,
) -> Result<Table, FleetError> {
    let mut whole = Table::default();
    for (node, text) in said {
        let answer = serde_json::from_str(text).map_err(|error| FleetError::Answer {
            node: node.clone(),
            error,
        })?;
        whole.append(table(answer).with_first("Node", node));
    }
    Ok(whole)
}

/// Each line behind its node.
fn lines(said: &BTreeMap<String, String>) -> String {
    let width = said.keys().map(|node| node.chars().count()).max();
    let width = width.unwrap_or(0);
    let line =
        |node: &str, line: &str| format!("{node:<width$}  {line}").trim_end().to_owned() + "\n";
    said.iter()
        .flat_map(|(node, text)| text.lines().map(move |said| line(node, said)))
        .collect()
}

/// JSON answers under the names of their nodes.
///
/// # Errors
/// [`FleetError::Answer`].
pub fn by_node(answers: &Answers) -> Result<BTreeMap<&str, Value>, FleetError> {
    let value = |(node, text): (_, &String)| {
        let node: &String = node;
        let value = serde_json::from_str(text).map_err(|error| FleetError::Answer {
            node: node.clone(),
            error,
        })?;
        Ok((node.as_str(), value))
    };
    answers.said.iter().map(value).collect()
}

#[derive(Deserialize)]
struct PodList {
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct PodStatus {
    phase: Option<String>,
}

impl Pod {
    /// The name of its node, or its own while it has none.
    fn node(&self) -> &str {
        self.spec
            .node_name
            .as_deref()
            .unwrap_or(&self.metadata.name)
    }
}

impl Fleet {
    /// Asks every node.
    ///
    /// # Errors
    /// [`FleetError`] where there is nobody to ask. A node that does not answer is no error, but
    /// [silent](Answers::silent).
    pub async fn ask(&self, asked: &Asked, format: Format) -> Result<Answers, FleetError> {
        let pods = self.pods_to_ask().await?;
        let asking = pods.iter().map(|pod| async move {
            let said = self.ask_one(pod, asked, format).await;
            (pod.node().to_owned(), said)
        });
        let mut asking = futures::iter(asking).buffer_unordered(AT_ONCE);
        let mut answers = Answers::default();
        while let Some((node, said)) = asking.next().await {
            match said {
                Ok(text) => _ = answers.said.insert(node, text),
                Err(why) => _ = answers.silent.insert(node, why),
            }
        }
        Ok(answers)
    }

    /// All pods; an error if there is none.
    async fn pods_to_ask(&self) -> Result<Vec<Pod>, FleetError> {
        let mut kubectl = self.kubectl();
        kubectl.args(["get", "pods", "-l", PODS, "-o", "json"]);
        let listed = kubectl.output().await?;
        if !listed.status.success() {
            return Err(FleetError::Refused(last_line(&listed.stderr)));
        }
        let list: serde_json::Result<PodList> = serde_json::from_slice(&listed.stdout);
        let list = list.map_err(|error| FleetError::Refused(error.to_string()))?;
        if list.items.is_empty() {
            return Err(FleetError::Nobody(self.namespace.clone()));
        }
        Ok(list.items)
    }

    /// What `redc` prints on a node, or why it does not.
    async fn ask_one(&self, pod: &Pod, asked: &Asked, format: Format) -> Result<String, String> {
        let mut kubectl = self.exec(pod, asked, format)?;
        let answer = tokio::time::timeout(self.patience, kubectl.output()).await;
        let seconds = self.patience.as_secs();
        let answer = answer.map_err(|_| format!("no answer within {seconds} s"))?;
        let answer = answer.map_err(|error| format!("cannot run kubectl: {error}"))?;
        if !answer.status.success() {
            return Err(last_line(&answer.stderr));
        }
        String::from_utf8(answer.stdout).map_err(|_| "it answers no text".to_owned())
    }

    /// `redc` in a pod, or why it cannot run there.
    fn exec(&self, pod: &Pod, asked: &Asked, format: Format) -> Result<Process, String> {
        match pod.status.phase.as_deref() {
            Some("Running") => {}
            phase => return Err(format!("its pod is {}", phase.unwrap_or("not running"))),
        }
        let mut kubectl = self.kubectl();
        kubectl.args(["exec", &pod.metadata.name, "-c", CONTAINER, "--", "redc"]);
        if format == Format::Json {
            kubectl.args(["-o", "json"]);
        }
        kubectl.args(&asked.words);
        Ok(kubectl)
    }

    fn kubectl(&self) -> Process {
        let mut kubectl = Process::new(&self.kubectl);
        kubectl
            .args(&self.options)
            .args(["-n", &self.namespace])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        kubectl
    }
}

/// What a program said last: the lines before that are of little use.
fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    // kubectl ends with the exit code of the command; what the command itself said is before it.
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let said = lines.rfind(|line| !line.starts_with("command terminated with exit code"));
    said.unwrap_or("it says nothing").to_owned()
}

#[cfg(test)]
mod tests;
