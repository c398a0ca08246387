//! Sessions of the mesh that need not be, kept small.
//!
//! With reflectors, that is one with nearly every node of the cluster, each of them there in case the
//! session is up from before. They are alike but for the node at the other end; so what they have in
//! common is kept once, and an entry is put together when somebody asks for it.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

use redstart_bgp::types::Prefix;

use super::{Import, Peer, PeerName, PeerRole, Remote, RemoteAs, node_ref};
use crate::object::ObjectRef;

/// A session of the mesh that need not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spare {
    /// What it is like while it lasts: the session with a node of the mesh.
    pub peer: Peer,
    /// When it ends.
    pub until: Until,
    /// The prefixes of the node behind it.
    pub prefixes: BTreeSet<Prefix>,
}

/// When a session that need not be ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When it is down.
    Down,
    /// When all prefixes of its node have come another way.
    Replaced,
}

/// The sessions that need not be, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Spares {
    entries: Vec<Entry>,
    /// What is the same for many, without a node.
    common: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: PeerName,
    node: Box<str>,
    remote: SocketAddr,
    remote_as: RemoteAs,
    /// Which of the common ones it is like.
    like: usize,
    until: Until,
    prefixes: Box<[Prefix]>,
}

impl Spares {
    /// The session of this name.
    #[must_use]
    pub fn get(&self, name: &PeerName) -> Option<Spare> {
        let at = self.entries.binary_search_by(|e| e.name.cmp(name)).ok()?;
        self.whole(self.entries.get(at)?)
    }

    /// Whether there is a session of this name.
    #[must_use]
    pub fn contains_key(&self, name: &PeerName) -> bool {
        let search = self.entries.binary_search_by(|e| e.name.cmp(name));
        search.is_ok()
    }

    /// The names.
    pub fn keys(&self) -> impl Iterator<Item = &PeerName> {
        self.entries.iter().map(|e| &e.name)
    }

    /// The sessions, by name.
    pub fn values(&self) -> impl Iterator<Item = Spare> {
        self.entries.iter().filter_map(|e| self.whole(e))
    }

    fn whole(&self, entry: &Entry) -> Option<Spare> {
        let node = entry.node.to_string();
        let common = self.common.get(entry.like)?;
        Some(Spare {
            peer: Peer {
                source: node_ref(&node),
                role: PeerRole::Mesh { node: node.clone() },
                remote: Remote::Address(entry.remote),
                remote_as: entry.remote_as,
                import: Import::Owner(node),
                ..common.clone()
            },
            until: entry.until,
            prefixes: entry.prefixes.iter().copied().collect(),
        })
    }

    /// Where among the common ones what is left of `peer` without its node is.
    fn like(&mut self, peer: Peer) -> usize {
        let nobody = String::new();
        let common = Peer {
            source: ObjectRef {
                kind: nobody.clone(),
                name: nobody.clone(),
            },
            role: PeerRole::Router,
            remote: Remote::Interface {
                name: nobody.clone(),
                port: 0,
            },
            remote_as: RemoteAs::Internal,
            import: Import::Owner(nobody),
            ..peer
        };
        let known = self.common.iter().position(|p| *p == common);
        known.unwrap_or_else(|| {
            self.common.push(common);
            self.common.len() - 1
        })
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.keys().zip(self.values()))
            .finish()
    }
}

/// Only nodes have sessions that need not be; of anything else nothing is kept.
impl FromIterator<(PeerName, Spare)> for Spares {
    fn from_iter<I: IntoIterator<Item = (PeerName, Spare)>>(sessions: I) -> Self {
        let mut spares = Self::default();
        for (name, spare) in sessions {
            let (PeerRole::Mesh { node }, Some(remote)) =
                (&spare.peer.role, spare.peer.remote.address())
            else {
                continue;
            };
            let entry = Entry {
                name,
                node: node.as_str().into(),
                remote,
                remote_as: spare.peer.remote_as,
                until: spare.until,
                prefixes: spare.prefixes.into_iter().collect(),
                like: spares.like(spare.peer),
            };
            spares.entries.push(entry);
        }
        spares.entries.sort_by(|a, b| a.name.cmp(&b.name));
        spares.entries.shrink_to_fit();
        spares
    }
}
