//! The words that the planner and the kernel exchange: operations and their outcome one way, events
//! and dumps the other.
//!
//! Nothing here knows netlink. The driver translates (`crate::netlink`), and so does the fake
//! kernel of the tests.

use core::fmt;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use redstart_bgp::types::Prefix;

use super::{
    model::{Form, RouteKey, Target},
    object::{KernelNexthop, NexthopChange, NexthopId},
};
use crate::nexthop::NexthopSet;

/// Names one operation until its outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// One change to the kernel's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelOp {
    /// To match the outcome with.
    pub id: OpId,
    /// What is asked for.
    pub request: Request,
}

/// What an operation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A change to a route.
    Route {
        /// Which route.
        key: RouteKey,
        /// What shall happen to it.
        change: Change,
    },
    /// A change to a nexthop object.
    Nexthop {
        /// Which object.
        id: NexthopId,
        /// The `nh_protocol` that marks it as ours.
        protocol: u8,
        /// What shall happen to it.
        change: NexthopChange,
    },
}

/// What shall happen to a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Create it, and fail with `EEXIST` if the kernel has any route with this prefix and metric
    /// (CREATE and EXCL): the only safe way to start, for REPLACE overwrites a stranger's route
    /// without a word.
    Add(Arc<Form>),
    /// Overwrite what is there (CREATE and REPLACE): only for what we know to be ours.
    Replace(Arc<Form>),
    /// Remove it: what we believe is there, or, if that is not known, whatever is under our key.
    /// IPv6 makes one multipath route of all routes that share prefix and metric, whoever made them;
    /// a delete that names our gateways leaves the others' alone.
    Delete(Option<Arc<Form>>),
}

impl Change {
    /// The object that the route will name.
    pub(super) fn writes(&self) -> Option<NexthopId> {
        match self {
            Self::Add(form) | Self::Replace(form) => form.object(),
            Self::Delete(_) => None,
        }
    }
}

/// The kernel refused an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} (errno {errno})", message.as_deref().unwrap_or("the kernel gave no reason"))]
pub struct KernelError {
    /// The error number, positive.
    pub errno: i32,
    /// The kernel's own words (extended ACK), where it had any.
    pub message: Option<Box<str>>,
}

impl KernelError {
    /// An error without words.
    #[must_use]
    pub const fn new(errno: i32) -> Self {
        Self {
            errno,
            message: None,
        }
    }
}

/// Why an operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// The kernel said no; nothing changed.
    #[error("refused by the kernel: {0}")]
    Refused(#[from] KernelError),
    /// No answer came: the change may or may not have happened.
    #[error("no answer from the kernel")]
    Lost,
}

/// What a route of the kernel does, ours or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// Forwards to one of these.
    Forward(NexthopSet),
    /// Drops silently.
    Blackhole,
    /// Refuses with an ICMP error, or ends the lookup in this table (unreachable, prohibit, throw).
    Refuse,
    /// Something that no unicast packet is forwarded by (local, broadcast, a type from the future).
    Other,
}

/// A route that the kernel holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// The destination.
    pub prefix: Prefix,
    /// The routing table.
    pub table: u32,
    /// Who made it: `rtm_protocol`.
    pub protocol: u8,
    /// The metric; lower wins.
    pub metric: u32,
    /// What it does.
    pub action: RouteAction,
    /// The source address it prescribes.
    pub prefsrc: Option<IpAddr>,
    /// The nexthop object that it names. What the object leads to is in `action` as well, unless the
    /// sysctl `net.ipv4.nexthop_compat_mode` is off: then the gateways there are none.
    pub nexthop: Option<NexthopId>,
}

impl KernelRoute {
    /// The route in the planner's words, if it is of a kind that Redstart makes.
    #[must_use]
    pub fn to_form(&self) -> Option<Form> {
        let target = match (&self.action, self.nexthop) {
            (RouteAction::Forward(_), Some(id)) => Target::Object(id),
            (RouteAction::Forward(set), None) => Target::Gateways(set.clone()),
            (RouteAction::Blackhole, None) => Target::Blackhole,
            _ => return None,
        };
        Some(Form {
            target,
            prefsrc: self.prefsrc,
        })
    }
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's index.
    pub ifindex: u32,
    /// The name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// The other end is there. Without it packets go nowhere, but routes stay.
    pub carrier: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// The bridge, bond or VRF that it is a part of, by index.
    pub controller: Option<u32>,
    /// The routing table, if it is a VRF itself.
    pub vrf_table: Option<u32>,
}

/// An address of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkAddress {
    /// The interface.
    pub ifindex: u32,
    /// The address itself.
    pub addr: IpAddr,
    /// What lies on the link by this address: its subnet, or the far end of a point-to-point link.
    pub subnet: Prefix,
}

/// Somebody else on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkNeighbour {
    /// The interface.
    pub ifindex: u32,
    /// The address that packets for it are sent to.
    pub addr: IpAddr,
}

impl LinkNeighbour {
    /// Puts it among those that do not answer, or takes it out; whether that is another state.
    pub(crate) fn note(self, is_silent: bool, silent: &mut BTreeSet<Self>) -> bool {
        if is_silent {
            silent.insert(self)
        } else {
            silent.remove(&self)
        }
    }
}

/// Links, addresses, nexthop objects and the routes of some tables, read while changes are being watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// Every link.
    pub links: Vec<Link>,
    /// Every address.
    pub addresses: Vec<LinkAddress>,
    /// Those on links that the kernel asks for in vain, by ARP or Neighbour Discovery.
    pub silent: BTreeSet<LinkNeighbour>,
    /// Every nexthop object, ours and others'.
    pub nexthops: Vec<KernelNexthop>,
    /// Every route of the tables, ours and others'.
    pub routes: Vec<KernelRoute>,
    /// What happened while all this was being read, in order: it may or may not show above, and each is
    /// still true in its turn. Whoever takes over a dump takes over these after it, at once.
    pub since: Vec<KernelEvent>,
}

/// Something changed in the kernel, and it was not one of our own operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEvent {
    /// Everything there is. Comes first, and again once for each request. Reading it takes a while;
    /// after the first one, what happens meanwhile is told at once, and with the dump again
    /// ([`Dump::since`]). Operations that are carried out while it is being made may or may not be in
    /// it.
    Synced(Arc<Dump>),
    /// A link appeared or changed.
    Link(Link),
    /// A link is gone.
    LinkGone {
        /// Its index.
        ifindex: u32,
    },
    /// An address appeared or changed.
    Address(LinkAddress),
    /// An address is gone.
    AddressGone(LinkAddress),
    /// The kernel asks for somebody on a link in vain, or no longer does. It sends nothing to such a
    /// member of a nexthop group while another one answers, unless the group is resilient.
    Neighbour {
        /// Whom.
        neighbour: LinkNeighbour,
        /// Whether there is no answer.
        silent: bool,
    },
    /// A route appeared, or took the place of the one with the same prefix and metric.
    Route(KernelRoute),
    /// A route is gone.
    RouteGone(KernelRoute),
    /// A nexthop object appeared or changed.
    Nexthop(KernelNexthop),
    /// A nexthop object is gone, and with it the routes that named it.
    NexthopGone(NexthopId),
    /// Events were lost: ask for a [`KernelEvent::Synced`], unless one is due. That will be of a time
    /// after the loss.
    Overrun,
}

/// The name of a routing protocol as `ip route` prints it, or its number.
#[must_use]
pub fn protocol_name(protocol: u8) -> ProtocolName {
    ProtocolName(protocol)
}

/// Displays an `rtm_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolName(u8);

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "redirect",
            2 => "kernel",
            3 => "boot",
            4 => "static",
            8 => "gated",
            9 => "ra",
            11 => "zebra",
            12 => "bird",
            16 => "dhcp",
            18 => "keepalived",
            42 => "babel",
            186 => "bgp",
            187 => "isis",
            188 => "ospf",
            189 => "rip",
            192 => "eigrp",
            other => return write!(f, "{other}"),
        };
        f.pad(name)
    }
}
