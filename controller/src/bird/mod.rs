//! BIRD's control socket: the protocol that `birdc`, `prometheus-bird-exporter`, birdwatcher and
//! their like speak, served by this speaker, so that they work as they are.
//!
//! A client sends commands, one a line. Each line of an answer begins with a code of four digits:
//! the first digit is the kind (0 done, 1 data, 2 a heading, 8 refused, 9 not understood), and a `-`
//! after the code says that more follows ([`reply`]). The commands and their wording are those of
//! BIRD 2 ([`command`]); what has no like here is left out rather than made up:
//!
//! | BIRD | here |
//! |---|---|
//! | protocol of type `BGP` | a neighbour, under the name that `redc` knows it by |
//! | `local4`, `local6` of type `Static` | routes of our own, in `show route` from `local` as well |
//! | `kernel4`, `kernel6` | the kernel's table |
//! | `device1`, `bfd1` | the interfaces; BFD, where a neighbour is watched |
//! | tables `master4`, `master6` | the routing table of a family |
//! | `show protocols all`, "filtered" | routes that were refused; they are always kept |
//! | "Route change stats" | counted for neighbours, since the session began; what export policies withhold is not (`---`) |
//! | `configure` | says what is wrong with the objects: they are in force as soon as they change |
//!
//! A session may look at everything. To change something (`disable`, `enable`, `restart`, `reload`)
//! the speaker must have been started with `--bird-access operate`, and `restrict` gives that up.
//!
//! Nothing here is state: the answers are made of the same [`views`](crate::control::views) as those
//! of `redc`. Routes are asked for and written page by page, so a slow reader holds up itself alone.

mod command;
mod echo;
mod reply;
mod session;
mod show;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::ValueEnum;
pub use echo::Echo;
use tokio::{
    net::UnixListener,
    sync::{Semaphore, mpsc},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::control::{Query, SocketFile, unix_listener};

/// Clients at once; more wait to be greeted.
const SESSIONS: usize = 32;

/// What clients of the socket may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Access {
    /// Look.
    #[default]
    ReadOnly,
    /// Look, and disable, enable, restart and reload sessions.
    Operate,
}

/// The socket, open.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    file: SocketFile,
}

impl Door {
    /// Opens the socket at `path`, or beside the control socket. That somebody else has it keeps the
    /// speaker from nothing but serving it.
    #[must_use]
    pub fn open(path: Option<&Path>, control: &Path) -> Option<Self> {
        let beside = || control.with_file_name("bird.ctl");
        let path: PathBuf = path.map_or_else(beside, Path::to_owned);
        match unix_listener(&path) {
            Ok(listener) => Some(Self {
                listener,
                file: SocketFile::new(&path),
            }),
            Err(error) => {
                warn!(
                    reason = "no-bird-socket",
                    "clients of BIRD cannot connect: {error}"
                );
                None
            }
        }
    }

    /// Answers until `stop`.
    pub async fn serve(self, core: mpsc::Sender<Query>, access: Access, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(SESSIONS));
        let _file = self.file;
        loop {
            let connected = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await;
                let place = place.map_err(io::Error::other)?;
                Ok((self.listener.accept().await?.0, place))
            };
            let connected: io::Result<_> = tokio::select! {
                () = stop.cancelled() => return,
                connected = connected => connected,
            };
            let (stream, place) = match connected {
                Ok(connected) => connected,
                Err(error) => {
                    // Out of file descriptors, say: not worth a busy loop.
                    debug!("bird socket: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let session = session::Session::new(core.clone(), access);
            let stop = stop.clone();
            tokio::spawn(async move {
                let _place = place;
                tokio::select! {
                    () = stop.cancelled() => {}
                    // That the client is gone concerns nobody.
                    _ = session.run(stream) => {}
                }
            });
        }
    }
}
