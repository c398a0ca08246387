//! What was negotiated and changes how messages look.
//!
//! A [`Codec`] is a small `Copy` value: the session makes one when OPENs have been exchanged and
//! hands it to whoever reads or writes messages. Decoding and encoding keep no state.

use bytes::BytesMut;

use super::{
    Message,
    error::EncodeError,
    header::{Header, MessageType, frame},
    notification::{ErrorCode, HeaderSubcode, Notification},
    open::Open,
    refresh::RouteRefresh,
    update::{self, Update, Updates},
};
use crate::types::{Family, FamilySet, NlriSet, PathAttributes};

/// How the messages of one session look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    /// AS numbers have four octets: both sides sent capability 65 (RFC 6793).
    pub four_octet_as: bool,
    /// The peer is in another AS: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST are neither sent nor
    /// accepted.
    pub ebgp: bool,
    /// Messages have up to 65535 octets (RFC 8654).
    pub extended_messages: bool,
    /// Negotiated families; routes of others are ignored.
    pub families: FamilySet,
    /// Families whose NLRI we receive with path identifiers (RFC 7911).
    pub add_path_receive: FamilySet,
    /// Families whose NLRI we send with path identifiers.
    pub add_path_send: FamilySet,
    /// Families that may have a next hop of another family (RFC 8950).
    pub extended_next_hop: FamilySet,
}

impl Default for Codec {
    /// As before the OPENs: no extension, IPv4 unicast.
    fn default() -> Self {
        Self {
            four_octet_as: false,
            ebgp: false,
            extended_messages: false,
            families: FamilySet::from_iter([Family::Ipv4Unicast]),
            add_path_receive: FamilySet::EMPTY,
            add_path_send: FamilySet::EMPTY,
            extended_next_hop: FamilySet::EMPTY,
        }
    }
}

impl Codec {
    /// For writing down a route as it is held, for whoever looks on: nothing is negotiated, so everything
    /// can be said, and LOCAL_PREF stands only where the route has one, or has been passed on within the
    /// AS.
    #[must_use]
    pub fn as_held(attributes: &PathAttributes) -> Self {
        let internal = attributes.local_pref.is_some()
            || attributes.originator_id.is_some()
            || !attributes.cluster_list.is_empty();
        Self {
            four_octet_as: true,
            ebgp: !internal,
            extended_messages: false,
            families: FamilySet::ALL,
            add_path_receive: FamilySet::EMPTY,
            add_path_send: FamilySet::EMPTY,
            extended_next_hop: FamilySet::ALL,
        }
    }

    /// Decodes one whole message, header included, as the framer cut it.
    ///
    /// # Errors
    /// The NOTIFICATION with which the session must be reset. Everything that RFC 7606 handles
    /// without a reset is in [`Update::faults`] instead.
    pub fn decode(&self, message: &[u8]) -> Result<Message, Notification> {
        let bad_length = || {
            Notification::with_data(
                ErrorCode::MessageHeader(HeaderSubcode::BadMessageLength),
                message.get(16..18).unwrap_or_default(),
            )
        };
        let header = Header::read(message, self.extended_messages)?
            .filter(|header| header.len == message.len())
            .ok_or_else(bad_length)?;
        Ok(match header.kind {
            MessageType::Open => Message::Open(Open::decode(message)?),
            MessageType::Update => {
                let mut updates = Updates::default();
                update::decode(self, message, &mut updates)?;
                // One that says nothing is none of the messages.
                Message::Update(updates.messages().pop().unwrap_or_default())
            }
            MessageType::Notification => {
                Message::Notification(Notification::decode(message).map_err(|_| bad_length())?)
            }
            MessageType::Keepalive => Message::Keepalive,
            MessageType::RouteRefresh => Message::RouteRefresh(RouteRefresh::decode(message)?),
        })
    }

    /// Decodes a whole UPDATE, header included, as the framer cut it, and appends it to those that came
    /// before; the family whose End-of-RIB it is. The header is not looked at.
    ///
    /// # Errors
    /// As [`Codec::decode`]. Nothing is appended.
    pub fn decode_update(
        &self,
        message: &[u8],
        updates: &mut Updates,
    ) -> Result<Option<Family>, Notification> {
        update::decode(self, message, updates)
    }

    /// Appends `message` and returns the number of messages that it took: one, except for an
    /// UPDATE, which takes as many as its parts need and none for parts that cannot be sent. Routes
    /// in bulk go by [`Codec::encode_reach`], which says why not.
    pub fn encode(&self, message: &Message, out: &mut BytesMut) -> usize {
        match message {
            Message::Open(open) => open.encode(out),
            Message::Update(update) => return self.encode_update(update, out),
            Message::Notification(notification) => notification.encode(self.extended_messages, out),
            Message::Keepalive => frame(MessageType::Keepalive, out, |_| {}),
            Message::RouteRefresh(refresh) => refresh.encode(out),
        }
        1
    }

    fn encode_update(&self, update: &Update, out: &mut BytesMut) -> usize {
        let mut messages = 0;
        for nlri in &update.unreach {
            messages += self.encode_unreach(nlri, out);
        }
        for reach in &update.reach {
            messages += self
                .encode_reach(&reach.attrs, &reach.nlri, out)
                .unwrap_or(0);
        }
        if let Some(family) = update.end_of_rib {
            self.encode_end_of_rib(family, out);
            messages += 1;
        }
        messages
    }

    /// Packs routes that share one set of attributes into as few UPDATEs as hold them, appends
    /// those and returns their number. Nothing is appended on an error.
    ///
    /// # Errors
    /// The attributes leave no room for a prefix, or the next hop cannot be sent for this family.
    pub fn encode_reach(
        &self,
        attrs: &PathAttributes,
        nlri: &NlriSet,
        out: &mut BytesMut,
    ) -> Result<usize, EncodeError> {
        update::encode_reach(self, attrs, nlri, out)
    }

    /// As [`Codec::encode_reach`], but for the last message, which may have room for more: how many
    /// messages, and how many routes are in them.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn encode_reach_whole(
        &self,
        attrs: &PathAttributes,
        nlri: &NlriSet,
        out: &mut BytesMut,
    ) -> Result<(usize, usize), EncodeError> {
        update::encode_reach_whole(self, attrs, nlri, out)
    }

    /// Packs withdrawals into as few UPDATEs as hold them, appends those and returns their number.
    pub fn encode_unreach(&self, nlri: &NlriSet, out: &mut BytesMut) -> usize {
        update::encode_unreach(self, nlri, out)
    }

    /// Appends the End-of-RIB marker of `family` (RFC 4724 section 2).
    pub fn encode_end_of_rib(&self, family: Family, out: &mut BytesMut) {
        update::encode_end_of_rib(family, out);
    }

    /// The longest UPDATE, in octets.
    pub(crate) const fn max_update_len(&self) -> usize {
        MessageType::Update.max_len(self.extended_messages)
    }
}
