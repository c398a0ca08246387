//! How an object is named wherever it is the cause of something.

use std::fmt;

/// The Kubernetes object that asked for something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// `Node`, `BGPPeer`, …
    pub kind: String,
    /// Its name, with the namespace before it where it has one.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
