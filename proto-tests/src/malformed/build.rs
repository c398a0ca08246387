//! Messages octet by octet, right or wrong.
//!
//! Deliberately not the product's encoder: what is to be malformed must not pass through code that
//! cannot say it, and a mistake of the encoder must not hide the same one of the decoder.

use super::{GOOD_MED, NEXT_HOP_V4, NEXT_HOP_V6, OUR_AS, PEER_AS, ROUTE_V4, ROUTE_V6, Session};

/// OPEN.
pub const OPEN: u8 = 1;
/// UPDATE.
pub const UPDATE: u8 = 2;
/// NOTIFICATION.
pub const NOTIFICATION: u8 = 3;
/// KEEPALIVE.
pub const KEEPALIVE: u8 = 4;
/// ROUTE-REFRESH.
pub const ROUTE_REFRESH: u8 = 5;

/// A length field of two octets; cases stay below.
pub fn len16(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

fn len8(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

/// A message with the length that it has.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    with_length(kind, body, 19 + body.len())
}

/// A message that claims another length.
pub fn with_length(kind: u8, body: &[u8], len: usize) -> Vec<u8> {
    let mut out = vec![0xff; 16];
    out.extend(len16(len));
    out.push(kind);
    out.extend(body);
    out
}

/// A path attribute; a value of more than 255 octets gets the extended length.
pub fn attr(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if value.len() > 255 || flags & 0x10 != 0 {
        out.extend([flags | 0x10, code]);
        out.extend(len16(value.len()));
    } else {
        out.extend([flags, code, len8(value.len())]);
    }
    out.extend(value);
    out
}

/// An AS_PATH of one sequence.
pub fn as_sequence(session: Session, asns: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in asns.chunks(255) {
        out.extend([2, len8(part.len())]);
        for asn in part {
            out.extend(asn_octets(session, *asn));
        }
    }
    out
}

/// An AS number as the session writes it.
pub fn asn_octets(session: Session, asn: u32) -> Vec<u8> {
    if session.four_octet_as {
        asn.to_be_bytes().to_vec()
    } else {
        u16::try_from(asn).unwrap_or(23456).to_be_bytes().to_vec()
    }
}

/// An UPDATE as a list of parts, well-formed until something is changed.
#[derive(Clone, Debug)]
pub struct UpdateParts {
    session: Session,
    withdrawn: Vec<u8>,
    attributes: Vec<Vec<u8>>,
    nlri: Vec<u8>,
}

/// The route by the classic fields.
pub fn announce(session: Session) -> UpdateParts {
    let mut parts = common(session);
    parts.nlri = ROUTE_V4.to_vec();
    let next_hop = parts.attributes.len().min(2);
    parts
        .attributes
        .insert(next_hop, attr(0x40, 3, &NEXT_HOP_V4));
    parts
}

/// The IPv6 route by MP_REACH_NLRI.
pub fn announce_v6(session: Session) -> UpdateParts {
    let mut parts = common(session);
    parts
        .attributes
        .insert(0, attr(0x80, 14, &mp_reach(2, 1, &NEXT_HOP_V6, ROUTE_V6)));
    parts
}

fn common(session: Session) -> UpdateParts {
    let path = if session.internal {
        Vec::new()
    } else {
        as_sequence(session, &[PEER_AS])
    };
    let mut attributes = vec![attr(0x40, 1, &[0]), attr(0x40, 2, &path)];
    if session.internal {
        attributes.push(attr(0x40, 5, &100_u32.to_be_bytes()));
    }
    UpdateParts {
        session,
        withdrawn: Vec::new(),
        attributes,
        nlri: Vec::new(),
    }
}

/// An UPDATE without anything.
pub fn nothing(session: Session) -> UpdateParts {
    UpdateParts {
        session,
        withdrawn: Vec::new(),
        attributes: Vec::new(),
        nlri: Vec::new(),
    }
}

/// The value of MP_REACH_NLRI.
pub fn mp_reach(afi: u16, safi: u8, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut value = afi.to_be_bytes().to_vec();
    value.extend([safi, len8(next_hop.len())]);
    value.extend(next_hop);
    value.push(0);
    value.extend(nlri);
    value
}

/// The value of MP_UNREACH_NLRI.
pub fn mp_unreach(afi: u16, safi: u8, nlri: &[u8]) -> Vec<u8> {
    let mut value = afi.to_be_bytes().to_vec();
    value.push(safi);
    value.extend(nlri);
    value
}

impl UpdateParts {
    /// Puts an attribute in the place of the one of its type, or at the end.
    #[must_use]
    pub fn set(mut self, attribute: Vec<u8>) -> Self {
        let code = attribute.get(1).copied();
        match self
            .attributes
            .iter_mut()
            .find(|a| a.get(1).copied() == code)
        {
            Some(place) => *place = attribute,
            None => self.attributes.push(attribute),
        }
        self
    }

    /// Puts octets after the attributes, whatever is there.
    #[must_use]
    pub fn append(mut self, octets: &[u8]) -> Self {
        self.attributes.push(octets.to_vec());
        self
    }

    /// Puts octets before the attributes.
    #[must_use]
    pub fn prepend(mut self, octets: &[u8]) -> Self {
        self.attributes.insert(0, octets.to_vec());
        self
    }

    /// Leaves an attribute out.
    #[must_use]
    pub fn without(mut self, code: u8) -> Self {
        self.attributes.retain(|a| a.get(1) != Some(&code));
        self
    }

    /// Other NLRI.
    #[must_use]
    pub fn nlri(mut self, nlri: &[u8]) -> Self {
        self.nlri = nlri.to_vec();
        self
    }

    /// Withdrawn routes.
    #[must_use]
    pub fn withdrawn(mut self, withdrawn: &[u8]) -> Self {
        self.withdrawn = withdrawn.to_vec();
        self
    }

    /// With the MED that marks the proper announcement.
    #[must_use]
    pub fn good(self) -> Self {
        self.set(attr(0x80, 4, &GOOD_MED.to_be_bytes()))
    }

    /// The session that this is for.
    pub fn session(&self) -> Session {
        self.session
    }

    /// The message.
    pub fn message(&self) -> Vec<u8> {
        let attributes = self.attributes.concat();
        update_with(
            &self.withdrawn,
            self.withdrawn.len(),
            &attributes,
            attributes.len(),
            &self.nlri,
        )
    }
}

/// An UPDATE that claims these lengths.
pub fn update_with(
    withdrawn: &[u8],
    withdrawn_len: usize,
    attributes: &[u8],
    attributes_len: usize,
    nlri: &[u8],
) -> Vec<u8> {
    let mut body = len16(withdrawn_len).to_vec();
    body.extend(withdrawn);
    body.extend(len16(attributes_len));
    body.extend(attributes);
    body.extend(nlri);
    message(UPDATE, &body)
}

/// A capability.
pub fn capability(code: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![code, len8(value.len())];
    out.extend(value);
    out
}

/// The peer's AS in a session.
pub fn peer_as(session: Session) -> u32 {
    if session.internal { OUR_AS } else { PEER_AS }
}

/// An OPEN with these optional parameters, their length included.
pub fn open_with(session: Session, identifier: [u8; 4], parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![4];
    body.extend(len16(usize::try_from(peer_as(session)).unwrap_or(0)));
    body.extend(90_u16.to_be_bytes());
    body.extend(identifier);
    body.extend(parameters);
    message(OPEN, &body)
}

/// Capabilities as one optional parameter, with both lengths.
pub fn capabilities(list: &[u8]) -> Vec<u8> {
    let mut out = vec![len8(list.len() + 2), 2, len8(list.len())];
    out.extend(list);
    out
}

/// What the peer of such a session offers.
pub fn offered(session: Session) -> Vec<u8> {
    let mut list = Vec::new();
    for family in session.families.iter() {
        let [hi, lo] = family.afi().to_be_bytes();
        list.extend(capability(1, &[hi, lo, 0, family.safi()]));
        if session.add_path {
            list.extend(capability(69, &[hi, lo, family.safi(), 2]));
        }
    }
    list.extend(capability(2, &[]));
    // Enhanced route refresh: RFC 7313 section 5 judges only peers that have it.
    list.extend(capability(70, &[]));
    if session.extended_messages {
        list.extend(capability(6, &[]));
    }
    if session.extended_next_hop {
        list.extend(capability(5, &[0, 1, 0, 1, 0, 2]));
    }
    if let Some(local) = session.role {
        list.extend(capability(9, &[local.role.counterpart().code()]));
    }
    if session.four_octet_as {
        list.extend(capability(65, &peer_as(session).to_be_bytes()));
    }
    list
}

/// A proper OPEN of such a session.
pub fn open(session: Session, identifier: [u8; 4]) -> Vec<u8> {
    open_with(session, identifier, &capabilities(&offered(session)))
}
