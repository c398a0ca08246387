//! From Kubernetes objects to what this node's speaker shall do.

mod desired;

pub use desired::{
    Advertise, DesiredState, Import, Kernel, NodeIdentity, ObjectRef, Origination, Password, Peer,
    PeerName, PeerRole, RemoteAs, Ttl,
};
