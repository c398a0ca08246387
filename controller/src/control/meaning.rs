//! What a typed reason means, in a sentence.
//!
//! A reason's identifier is for logs, metrics and searches; the sentence is for who reads
//! `redc explain`. Each enum is matched whole, so a reason that is added later does not build without
//! its sentence.

use redstart_rib::{decision::Step, export::Withheld, import::Refusal, nexthop::Unresolved};

use super::{DrainStep, Held, Why};
use crate::compile;

/// Why a route that came was refused.
#[must_use]
pub(crate) const fn refusal(reason: Refusal) -> &'static str {
    match reason {
        Refusal::AsLoop => "our own AS is in its AS_PATH: it has been here",
        Refusal::OriginatorLoop => "its ORIGINATOR_ID is ours: it has been here",
        Refusal::ClusterLoop => "our cluster id is in its CLUSTER_LIST: it has been here",
        Refusal::FirstAs => "its AS_PATH does not begin with the neighbour's AS",
        Refusal::OwnNextHop => "its next hop is an address of this node",
        Refusal::NoNextHop => "it has no next hop",
        Refusal::Martian => {
            "no such prefix can be routed (loopback, link-local, multicast, reserved)"
        }
        Refusal::NotAllowed => "the prefix does not belong to the node that announces it",
        Refusal::NotOwnersNextHop => {
            "the prefix is a node's, and it leads to an address of another one"
        }
        Refusal::Protected => "it overlaps the cluster's own ranges, which no router may announce",
        Refusal::DefaultRoute => "a default route, which was not asked for",
        Refusal::Family => "the session did not agree on this family",
        Refusal::AsSet => "its AS_PATH has an AS_SET, which is not to be used any more (RFC 9774)",
        Refusal::RouteLeak => {
            "the neighbour passed on what it may send to its customers only (RFC 9234)"
        }
        Refusal::RemoteNextHop => {
            "its next hop is not in the subnet that we share with the neighbour"
        }
        Refusal::Policy => "a rule of an import policy rejects it",
        Refusal::TooManyPaths => "more paths to one prefix than are held of one neighbour",
    }
}

/// Why a next hop cannot be used.
#[must_use]
pub(crate) const fn unresolved(reason: Unresolved) -> &'static str {
    match reason {
        Unresolved::Pending => "its next hop is being looked up",
        Unresolved::NoRoute => "the kernel has no route to its next hop",
        Unresolved::OnlyDefaultRoute => {
            "only the default route leads to its next hop, and that does not count"
        }
        Unresolved::Unreachable => "the kernel's route to its next hop drops packets",
        Unresolved::LinkDown => "the link towards its next hop is down",
        Unresolved::NoInterface => "its next hop is link-local, and it is not known on which link",
        Unresolved::OwnAddress => "its next hop is an address of this node",
        Unresolved::Recursive => {
            "only learned routes cover its next hop, and none of them has a next hop that the kernel's own routes reach"
        }
    }
}

/// In which step of the decision a path lost to a better one.
#[must_use]
pub(crate) const fn lost(step: Step) -> &'static str {
    match step {
        Step::Local => "a route of this node's own comes first",
        Step::LongLivedStale => "it is stale for long, a last resort (RFC 9494)",
        Step::LocalPref => "its LOCAL_PREF is lower",
        Step::Aigp => "its AIGP distance is longer, or unknown",
        Step::AsPath => "its AS_PATH is longer",
        Step::Origin => "its ORIGIN is worse (IGP before EGP before INCOMPLETE)",
        Step::Med => "its MED is higher than that of another path by the same AS",
        Step::Ebgp => "it came by iBGP, the other one by eBGP",
        Step::IgpMetric => "the kernel's way to its next hop is longer",
        Step::RouterId => "a tie: the BGP Identifier behind it is higher",
        Step::ClusterList => "a tie: its CLUSTER_LIST is longer",
        Step::PeerAddress => "a tie: its neighbour's address is higher",
        Step::PathId => "a tie: its path identifier is higher",
    }
}

/// Why a neighbour is not told.
#[must_use]
pub(crate) const fn withheld(reason: Withheld) -> &'static str {
    match reason {
        Withheld::PeerDown => "there is no session",
        Withheld::Family => "the session did not agree on this family",
        Withheld::NoRoute => "there is no usable route to tell",
        Withheld::NotAdvertised => "it is our own, and no advertisement of it names this neighbour",
        Withheld::NoTransit => "it was learned, and this node passes nothing on to this neighbour",
        Withheld::LearnedFromPeer => "it came from this very neighbour",
        Withheld::IbgpToIbgp => {
            "it came by iBGP and would go by iBGP, and neither side is a client"
        }
        Withheld::Originator => "this very neighbour brought it into the AS",
        Withheld::NoAdvertise => "it has the community NO_ADVERTISE",
        Withheld::NoExport => "it has the community NO_EXPORT, and the neighbour is external",
        Withheld::AsLoop => "the neighbour's AS is in its AS_PATH: it would refuse it",
        Withheld::AsSet => "its AS_PATH has an AS_SET (RFC 9774)",
        Withheld::OnlyToCustomer => {
            "it may go to customers only, and the neighbour is none (RFC 9234)"
        }
        Withheld::LongLivedStale => {
            "it is stale for long, and the neighbour does not know what that means"
        }
        Withheld::PeerIsNextHop => "its next hop is the neighbour itself",
        Withheld::UnusableNextHop => {
            "its next hop is of no use to the neighbour, and not ours to change"
        }
        Withheld::NoNextHopSelf => {
            "we have no address of this family on the session to be the next hop"
        }
        Withheld::TooLong => "with its attributes it does not fit in a message to this neighbour",
        Withheld::Policy => "a rule of an export policy rejects it",
    }
}

/// Why an address of a Service is not just advertised.
#[must_use]
pub(crate) const fn of_service(why: Why) -> &'static str {
    match why {
        Why::Withheld(reason) => service(reason),
        Why::Held(held_as) => held(held_as),
        Why::Drain(step) => drain(step),
    }
}

/// Why an address of a Service is not advertised.
#[must_use]
const fn service(reason: compile::Withheld) -> &'static str {
    use compile::Withheld as W;
    match reason {
        W::NotSelected => {
            "no BGPAdvertisement for this node selects the Service and this kind of its addresses"
        }
        W::UnusableAddress => "no address that could be reached from elsewhere",
        W::PodAddress => "it lies in the pod CIDR of a node",
        W::SpeakerAddress => "it is the address of a node or of a router",
        W::NotAllowed => "it is outside of the ranges that BGPConfiguration allows",
        W::NodeExcluded => {
            "the Node has the label node.kubernetes.io/exclude-from-external-load-balancers"
        }
        W::NetworkUnavailable => "the Node has the condition NetworkUnavailable",
        W::NoPeer => "what asks for it names no neighbour of this node",
        W::NoNodeAddress => "the node has no address of this family to be the next hop",
        W::NoEndpoints => "the Service has no endpoint anywhere that could serve it",
        W::NoLocalEndpoints => {
            "its traffic policy is Local, and none of its endpoints is on this node"
        }
    }
}

/// Why an address of a Service is not as the objects ask for.
#[must_use]
const fn held(held: Held) -> &'static str {
    match held {
        Held::MinReady => "it could not be served for minReadySeconds yet",
        Held::WithdrawDelay => "endpoints went within withdrawDelaySeconds: told still",
    }
}

/// What a drain makes of it.
#[must_use]
const fn drain(step: DrainStep) -> &'static str {
    match step {
        DrainStep::Marked => "the node is being drained: routes carry GRACEFUL_SHUTDOWN",
        DrainStep::Withdrawn => "the node is drained: routes are withdrawn",
    }
}
