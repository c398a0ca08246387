//! The API server for tests as a program of its own, for labs that run it in a network namespace.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;
use redstart_proto_tests::apiserver::{ApiServer, Options, grants};

/// A Kubernetes API server for tests. Faults are injected over HTTP below /_test/.
#[derive(Parser)]
struct Args {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// Write a kubeconfig for it to this file once it answers.
    #[arg(long)]
    kubeconfig_out: Option<PathBuf>,
    /// Directory of manifests for the first content.
    #[arg(long)]
    objects: Option<PathBuf>,
    /// Follow changes of that directory.
    #[arg(long, requires = "objects")]
    follow: bool,
    /// The bearer token that clients must show.
    #[arg(long, default_value = "test-token")]
    token: String,
    /// A further name or address for the certificate; may be repeated.
    #[arg(long = "name")]
    names: Vec<String>,
    /// Serve no redstart.dev kinds until their CRDs are created.
    #[arg(long)]
    without_crds: bool,
    /// A file of Roles and ClusterRoles: all that the account may do.
    #[arg(long)]
    roles: Option<PathBuf>,
    /// Milliseconds between bookmarks on an idle watch.
    #[arg(long, default_value_t = 1000)]
    bookmark_millis: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let roles = args.roles.map(std::fs::read_to_string).transpose()?;
    let server = ApiServer::start(Options {
        listen: args.listen,
        names: args.names,
        token: args.token,
        bookmark_interval: Duration::from_millis(args.bookmark_millis),
        grants: roles.as_deref().map(grants).transpose()?,
        redstart_crds: !args.without_crds,
        objects: args.objects,
        follow_objects: args.follow,
    })?;
    if let Some(path) = args.kubeconfig_out {
        server
            .kubeconfig()
            .write(&path)
            .with_context(|| path.display().to_string())?;
    }
    println!("listening on https://{}", server.address());
    server.join();
    Ok(())
}
