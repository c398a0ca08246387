//! The values that BGP is about, independent of how they look on the wire.
//!
//! Everything here is canonical by construction (a [`Prefix`] has no host bits, an [`AsPath`] has no
//! empty segment), so code that holds a value need not check it again.

mod aigp;
mod asn;
mod attributes;
mod community;
mod family;
mod next_hop;
mod prefix;
mod role;
mod router_id;

pub use aigp::Aigp;
pub use asn::{Asn, ParseAsnError};
pub use attributes::{
    Aggregator, AsPath, AsPathSegment, Origin, PartialAttributes, PathAttributes, SegmentType,
    UnknownAttribute,
};
pub use community::{Community, ExtendedCommunity, LargeCommunity, ParseCommunityError};
pub use family::{Family, FamilySet};
pub use next_hop::NextHop;
pub use prefix::{
    Ipv4Prefix, Ipv6Prefix, Nlri, NlriSet, ParsePrefixError, PathId, Prefix, PrefixKey, Routes,
    Span,
};
pub use role::Role;
pub use router_id::RouterId;
