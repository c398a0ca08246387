//! The messages of the library, and those that it does not know, for the connections that listen.

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;

use super::nexthop;
use crate::fib::KernelNexthop;

/// An rtnetlink message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// One of the library's.
    Route(RouteNetlinkMessage),
    /// An object, or the news of one; `None` if it could not be read.
    Nexthop(Option<KernelNexthop>),
    /// The news of one that is gone.
    NexthopGone(Option<KernelNexthop>),
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(match header.message_type {
            nexthop::RTM_NEWNEXTHOP => Self::Nexthop(nexthop::decode(payload)),
            nexthop::RTM_DELNEXTHOP => Self::NexthopGone(nexthop::decode(payload)),
            _ => Self::Route(RouteNetlinkMessage::deserialize(header, payload)?),
        })
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        match self {
            Self::Route(message) => message.message_type(),
            Self::Nexthop(_) => nexthop::RTM_NEWNEXTHOP,
            Self::NexthopGone(_) => nexthop::RTM_DELNEXTHOP,
        }
    }

    fn buffer_len(&self) -> usize {
        match self {
            Self::Route(message) => message.buffer_len(),
            // These are only received.
            Self::Nexthop(_) | Self::NexthopGone(_) => 0,
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        match self {
            Self::Route(message) => message.serialize(buffer),
            Self::Nexthop(_) | Self::NexthopGone(_) => {}
        }
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}
