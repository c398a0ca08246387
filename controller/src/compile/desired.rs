//! What this node's speaker shall do, as one value.
//!
//! `compile` makes it from Kubernetes objects; the speaker makes the engine match it, by difference.
//! It holds no Kubernetes type and no secret's name: everything is resolved. It is `Eq`, so "did
//! anything change" is one comparison.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use redstart_bgp::types::{
    Asn, Community, ExtendedCommunity, Family, FamilySet, LargeCommunity, Prefix, Role, RouterId,
};
use redstart_rib::{Owners, PeerPolicies, PeerRules, fib::NexthopStyle};

use super::{Spares, drain::Drain};
use crate::{
    api::KernelSpec,
    index::{BmpStation, Kind, MrtLog},
    object::ObjectRef,
    shared_map::SharedMap,
};

/// What this node's speaker shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredState {
    /// This node, or `None` while the objects hold no such Node (or it may not speak): no peers,
    /// no routes.
    pub node: Option<NodeIdentity>,
    /// Where to listen, one address per family at most.
    pub listen: Vec<SocketAddr>,
    /// Every neighbour, by its stable name.
    pub peers: Arc<BTreeMap<PeerName, Arc<Peer>>>,
    /// The routes of our own.
    pub originations: Originations,
    /// How the addresses of this node's network interfaces are advertised, each as a host route.
    pub interfaces: BTreeMap<String, Vec<Advertise>>,
    /// How what these kernel tables have routes to is advertised.
    pub kernel_tables: BTreeMap<u32, Vec<Advertise>>,
    /// How learned routes go into the kernel.
    pub kernel: Kernel,
    /// Sessions with nodes that need not be: they are not made, and end only when nothing is lost by
    /// it. Names are not among those of `peers`.
    pub spare: Arc<Spares>,
    /// How long that must hold before they end.
    pub settle: Duration,
    /// Whose each prefix of the mesh is.
    pub owners: Arc<Owners>,
    /// Whether this node is relieved of traffic.
    pub drain: Drain,
    /// How long addresses of Services are held that come and go with their endpoints.
    pub hold: Hold,
    /// The monitoring stations, by where they listen.
    pub stations: BTreeMap<SocketAddr, BmpStation>,
    /// The update log, if there is to be one.
    pub mrt: Option<MrtLog>,
}

impl DesiredState {
    /// Whether the routes of our own are all in which the two may differ.
    #[must_use]
    pub fn is_alike_but_for_routes(&self, other: &Self) -> bool {
        let Self {
            node,
            listen,
            peers,
            originations: _,
            interfaces,
            kernel_tables,
            kernel,
            spare,
            settle,
            owners,
            drain,
            hold,
            stations,
            mrt,
        } = self;
        *node == other.node
            && *listen == other.listen
            && *peers == other.peers
            && *interfaces == other.interfaces
            && *kernel_tables == other.kernel_tables
            && *kernel == other.kernel
            && *spare == other.spare
            && *settle == other.settle
            && *owners == other.owners
            && *drain == other.drain
            && *hold == other.hold
            && *stations == other.stations
            && *mrt == other.mrt
    }

    /// No neighbours and no routes.
    #[must_use]
    pub fn idle(kernel: Kernel) -> Self {
        Self {
            node: None,
            listen: Vec::new(),
            peers: Arc::default(),
            originations: Originations::default(),
            interfaces: BTreeMap::new(),
            kernel_tables: BTreeMap::new(),
            kernel,
            spare: Arc::default(),
            settle: Duration::ZERO,
            owners: Arc::default(),
            drain: Drain::default(),
            hold: Hold::default(),
            stations: BTreeMap::new(),
            mrt: None,
        }
    }
}

/// How long addresses of Services are held that come and go with their endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// How long an address must have been one that can be served before it is told.
    pub min_ready: Duration,
    /// How long an address is told after its last endpoint has gone.
    pub withdraw_delay: Duration,
}

/// Routes of our own. One that did not change is the very same value as before, and two versions share
/// what they have in common: a copy costs nothing, a change as much as it changes.
pub type Originations = SharedMap<Prefix, Arc<Origination>>;

/// Who this speaker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The Node's name.
    pub name: String,
    /// The local AS.
    pub asn: Asn,
    /// The BGP Identifier.
    pub router_id: RouterId,
    /// The node's own IPv4 address: next hop of IPv4 routes.
    pub ipv4: Option<Ipv4Addr>,
    /// The node's own IPv6 address: next hop of IPv6 routes.
    pub ipv6: Option<Ipv6Addr>,
}

/// The name of a neighbour: `mesh-NODE` or the `BGPPeer` object's name. Unique on this node; the
/// CLI, the logs and the metrics use it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(pub String);

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Why it exists.
    pub source: ObjectRef,
    /// A node of the mesh, or a router from a `BGPPeer`.
    pub role: PeerRole,
    /// Where it is.
    pub remote: Remote,
    /// The link that its sessions are bound to, if fixed.
    pub bind_interface: Option<String>,
    /// Our address towards it, if fixed.
    pub local: Option<IpAddr>,
    /// The AS it must have.
    pub remote_as: RemoteAs,
    /// The AS that we show it.
    pub local_as: Asn,
    /// Families to negotiate.
    pub families: FamilySet,
    /// Only accept, never dial.
    pub passive: bool,
    /// Seconds; 0 disables keepalives.
    pub hold_time: u16,
    /// Time between attempts to connect, before jitter.
    pub connect_retry: Duration,
    /// How long to wait for its OPEN before sending ours.
    pub delay_open: Option<Duration>,
    /// How long it may take nothing of what there is to send (RFC 9687); `None`: as the RFC recommends.
    pub send_hold: Option<Duration>,
    /// Whether IPv4 routes may have an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// Hops between us and an eBGP neighbour: 1 is directly connected.
    pub ttl: Ttl,
    /// Restart time to offer (RFC 4724), or `None` to offer no graceful restart.
    pub graceful_restart: Option<u16>,
    /// TCP-MD5 key.
    pub password: Option<Password>,
    /// Keys of the TCP Authentication Option, the one to send with first; empty: not used.
    pub tcp_ao: Vec<AoKey>,
    /// How long routes stay beyond the restart time, in seconds (RFC 9494); 0 where they do not.
    /// Only together with graceful restart.
    pub long_lived: u32,
    /// What to take from it.
    pub import: Import,
    /// What is special about it.
    pub rules: PeerRules,
    /// Whether it is told what others said.
    pub transit: bool,
    /// When a session that had too many routes starts again.
    pub limit_restart: Option<Duration>,
    /// Whether several paths for a prefix are taken and sent (RFC 7911).
    pub add_path: AddPath,
    /// What we are to it (RFC 9234).
    pub bgp_role: Option<Role>,
    /// Whether it must say what it is to us.
    pub strict_role: bool,
    /// Rules for its routes, both ways.
    pub policies: PeerPolicies,
    /// How fast it is found dead, if it is watched for that.
    pub bfd: Option<Bfd>,
}

/// Bidirectional Forwarding Detection of one neighbour (RFC 5880).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bfd {
    /// Required Min RX Interval.
    pub receive: Duration,
    /// Desired Min TX Interval.
    pub transmit: Duration,
    /// Detect Mult.
    pub multiplier: u8,
    /// Whether the neighbour has to begin.
    pub passive: bool,
    /// Least TTL of what comes from a neighbour more than one hop away.
    pub minimum_ttl: u8,
}

/// Where a neighbour is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// At this address.
    Address(SocketAddr),
    /// Wherever it connects from, within this range. The entry stands for any number of neighbours,
    /// at most `limit` at once.
    Range {
        /// The addresses.
        prefix: Prefix,
        /// The most neighbours at once.
        limit: u32,
    },
    /// At the other end of this link, at an address that is to be found out (RFC 4861). Nobody has a
    /// session with it before that.
    Interface {
        /// The name of the interface.
        name: String,
        /// The TCP port there.
        port: u16,
    },
    /// Wherever the kernel's default route of this family leads. Nobody has a session with it before
    /// that is known.
    DefaultGateway {
        /// The family of the route, and of the session.
        family: Family,
        /// The TCP port there.
        port: u16,
    },
}

impl Remote {
    /// Where it is, if that is known from the objects alone.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Range { .. } | Self::Interface { .. } | Self::DefaultGateway { .. } => None,
        }
    }

    /// Whether sessions with it run over IPv4.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        match self {
            Self::Address(address) => address.is_ipv4(),
            Self::Range { prefix, .. } => matches!(prefix, Prefix::V4(_)),
            Self::Interface { .. } => false,
            Self::DefaultGateway { family, .. } => matches!(family, Family::Ipv4Unicast),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => fmt::Display::fmt(address, f),
            Self::Range { prefix, .. } => fmt::Display::fmt(prefix, f),
            Self::Interface { name, .. } => f.write_str(name),
            Self::DefaultGateway { family, .. } => write!(f, "{family} default gateway"),
        }
    }
}

/// Several paths for one prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddPath {
    /// From the neighbour.
    pub receive: bool,
    /// To the neighbour.
    pub send: bool,
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// A node of the mesh.
    Mesh {
        /// The Node's name.
        node: String,
    },
    /// A router.
    Router,
}

/// The AS that a neighbour must show in its OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAs {
    /// This one.
    Number(Asn),
    /// Ours.
    Internal,
    /// Any but ours.
    External,
}

/// How far away the neighbour may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Sent TTL; what arrives is not checked.
    Hops(u8),
    /// Generalised TTL security (RFC 5082): at most this many hops away.
    Security(u8),
}

/// A key of the TCP Authentication Option (RFC 5925).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AoKey {
    /// The number that our segments carry.
    pub send_id: u8,
    /// The number that the neighbour's segments carry.
    pub receive_id: u8,
    /// How segments are authenticated.
    pub algorithm: AoAlgorithm,
    /// The key itself.
    pub secret: Password,
}

/// How segments are authenticated (RFC 5926).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AoAlgorithm {
    /// HMAC-SHA-1-96.
    HmacSha1,
    /// AES-128-CMAC-96.
    AesCmac,
}

/// A secret of a session, such as a TCP-MD5 key. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What to take from a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Import {
    /// From the Node of this name: its own pod CIDRs, and, where it passes them on, other Nodes' as
    /// far as they lead to these.
    Owner(String),
    /// Everything but what overlaps these (the cluster's own ranges), and the default route only
    /// where asked for.
    AllBut {
        /// Refused, and everything more specific.
        refuse: Arc<BTreeSet<Prefix>>,
        /// Whether the default route is welcome.
        default_route: bool,
    },
}

/// A route of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origination {
    /// What it stands for: the Node whose pod CIDR it is, a Service, ….
    pub object: ObjectRef,
    /// To whom it goes and how it looks there. Empty: to nobody.
    pub advertise: Vec<Arc<Advertise>>,
    /// Whether the kernel drops what no more specific route takes.
    pub blackhole: bool,
}

impl Origination {
    /// Whether it stands for pods of this node, which no other node can take the traffic of.
    #[must_use]
    pub fn is_pod_cidr(&self) -> bool {
        self.object.kind == Kind::Node.as_str()
    }

    /// Whether it stands for an address of a Service.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.object.kind == Kind::Service.as_str()
    }
}

/// One way to advertise a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// Why: a `BGPAdvertisement`, or the `BGPConfiguration` for the mesh.
    pub source: ObjectRef,
    /// To whom. Where several entries name one peer, communities add up, and of each number the most
    /// attractive one counts: the highest local-pref, the lowest MED, the least prepending.
    pub peers: BTreeSet<PeerName>,
    /// Standard communities to add.
    pub communities: BTreeSet<Community>,
    /// Large communities to add.
    pub large_communities: BTreeSet<LargeCommunity>,
    /// Extended communities to add.
    pub extended_communities: BTreeSet<ExtendedCommunity>,
    /// LOCAL_PREF towards internal peers.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// How often to prepend our AS, beyond the once that eBGP asks for.
    pub prepend: u8,
}

/// How learned routes go into the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Whether they go there at all.
    pub install: bool,
    /// The table; 254 is main.
    pub table: u32,
    /// The metric that marks our routes; never 0.
    pub metric: u32,
    /// The route protocol number (`ip route` shows 186 as `bgp`).
    pub protocol: u8,
    /// The table whose routes lead to next hops; 254 is main.
    pub next_hop_table: u32,
    /// Most next hops of one route; 1 turns ECMP off.
    pub max_paths: u8,
    /// How routes name their next hops.
    pub nexthops: NexthopStyle,
    /// The source addresses that routes prescribe, where this node has them: at most one of each
    /// family.
    pub sources: Vec<IpAddr>,
}

impl Default for Kernel {
    /// Without a `BGPConfiguration`.
    fn default() -> Self {
        super::kernel(&KernelSpec::default())
    }
}
