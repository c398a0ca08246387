//! What `redstart run` is told on its command line: where objects come from, and where to answer.
//! Everything about BGP is in the objects.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, builder::NonEmptyStringValueParser};

use crate::{bird::Access, cache::DEFAULT_DIRECTORY, control::DEFAULT_SOCKET};

/// Options of `redstart run`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The Node that this speaker speaks for.
    #[arg(long, env = "NODE_NAME", value_parser = NonEmptyStringValueParser::new())]
    pub node: String,
    /// Read objects from the manifests in this directory, and watch it, instead of asking a
    /// Kubernetes API server, whatever `--kubeconfig` or the environment say of one.
    #[arg(long, value_name = "DIR")]
    pub objects: Option<PathBuf>,
    /// Credentials for the API server. Without this: $KUBECONFIG, ~/.kube/config, or the service
    /// account of the pod.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the last known objects are kept, for a start without the API server. They include the
    /// passwords of sessions; nobody but root can read them.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIRECTORY, conflicts_with = "no_cache")]
    pub cache: PathBuf,
    /// Keep nothing on disk: a start waits for the API server.
    #[arg(long)]
    pub no_cache: bool,
    /// The control socket, for redc.
    #[arg(long, value_name = "PATH", env = "REDSTART_SOCKET", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// The socket for BIRD's clients (birdc, prometheus-bird-exporter). Without this: bird.ctl beside the
    /// control socket.
    #[arg(
        long,
        value_name = "PATH",
        env = "REDSTART_BIRD_SOCKET",
        conflicts_with = "no_bird_socket"
    )]
    pub bird_socket: Option<PathBuf>,
    /// What BIRD's clients may do.
    #[arg(
        long,
        value_enum,
        env = "REDSTART_BIRD_ACCESS",
        default_value = "read-only"
    )]
    pub bird_access: Access,
    /// Serve no socket for BIRD's clients.
    #[arg(long)]
    pub no_bird_socket: bool,
    /// Where to serve /metrics, /healthz and /readyz.
    #[arg(long, value_name = "ADDR", default_value = "[::]:9179")]
    pub metrics_listen: SocketAddr,
    /// Serve the looking glass here: a web page that shows sessions, history and the reasons of routes to
    /// whoever can reach this address, and changes nothing. Not served without this.
    #[arg(long, value_name = "ADDR", env = "REDSTART_LOOKING_GLASS")]
    pub looking_glass: Option<SocketAddr>,
    /// What to log: a level, or a filter such as `info,redstart_bgp=debug`.
    #[arg(
        long,
        value_name = "FILTER",
        env = "REDSTART_LOG",
        default_value = "info"
    )]
    pub log: String,
    /// How to log.
    #[arg(long, value_enum, default_value = "auto")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}
