//! Messages and changes of state as they come: `BGP4MP` (RFC 6396 section 4.4), with microseconds
//! (`BGP4MP_ET`) and with path identifiers (RFC 8050).
//!
//! Written records always have microseconds and four-octet AS numbers in their own fields. Whether the
//! AS numbers *within* a message have four octets is what a subtype says, and so is whether its NLRI have
//! path identifiers: both are the session's ([`Form`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

pub use super::form::Form;
use super::{Record, Time, kind, put_record};
use crate::{
    session::State,
    types::Asn,
    wire::parse::{self, PResult},
};

const AFI_IPV4: u16 = 1;
const AFI_IPV6: u16 = 2;

/// Subtypes.
const STATE_CHANGE: u16 = 0;
const STATE_CHANGE_AS4: u16 = 5;

/// Whose messages they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The neighbour's AS; zero where it is not known yet.
    pub peer_as: Asn,
    /// Ours.
    pub local_as: Asn,
    /// The neighbour's address.
    pub peer: IpAddr,
    /// Ours, of the same family.
    pub local: IpAddr,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'f> {
    /// A message.
    Message {
        /// How it looks.
        form: Form,
        /// Whether the neighbour sent it.
        received: bool,
        /// It, from the marker on.
        message: &'f [u8],
    },
    /// The state of a session changed.
    StateChange {
        /// From this state, by its number (section 4.4.1).
        from: u16,
        /// To this one.
        to: u16,
    },
}

/// Appends a message. One with four-octet AS numbers has them in the record's fields as well; one without
/// shows an AS number that does not fit as AS_TRANS, as the session does.
pub fn put_message(
    time: Time,
    session: &Session,
    form: Form,
    received: bool,
    message: &[u8],
    out: &mut BytesMut,
) {
    put(time, form.subtype(received), out, |out| {
        put_session(session, form.four_octet_as, out);
        out.put_slice(message);
    });
}

/// Appends a change of state.
pub fn put_state_change(time: Time, session: &Session, from: State, to: State, out: &mut BytesMut) {
    put(time, STATE_CHANGE_AS4, out, |out| {
        put_session(session, true, out);
        out.put_u16(number(from));
        out.put_u16(number(to));
    });
}

fn put(time: Time, subtype: u16, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    put_record(time.seconds, (kind::BGP4MP_ET, subtype), out, |out| {
        out.put_u32(time.micros);
        body(out);
    });
}

fn put_session(session: &Session, four_octet_as: bool, out: &mut BytesMut) {
    for asn in [session.peer_as, session.local_as] {
        if four_octet_as {
            out.put_u32(asn.0);
        } else {
            out.put_u16(asn.to_two_octet());
        }
    }
    // The index of the interface, which "is OPTIONAL and MAY be zero if unknown or unsupported".
    out.put_u16(0);
    match (session.peer, session.local) {
        (IpAddr::V4(peer), IpAddr::V4(local)) => {
            out.put_u16(AFI_IPV4);
            out.put_slice(&peer.octets());
            out.put_slice(&local.octets());
        }
        (peer, local) => {
            out.put_u16(AFI_IPV6);
            out.put_slice(&v6(peer).octets());
            out.put_slice(&v6(local).octets());
        }
    }
}

const fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Section 4.4.1.
const fn number(state: State) -> u16 {
    match state {
        State::Idle => 1,
        State::Connect => 2,
        State::Active => 3,
        State::OpenSent => 4,
        State::OpenConfirm => 5,
        State::Established => 6,
    }
}

/// What a record says, and of which session; nothing where it is of another kind, or cut short.
#[must_use]
pub fn read<'f>(record: &Record<'f>) -> Option<(Session, Said<'f>)> {
    if !matches!(record.kind, kind::BGP4MP | kind::BGP4MP_ET) {
        return None;
    }
    if let Some((form, received)) = Form::of_subtype(record.subtype) {
        let (message, session) = session(form.four_octet_as, record.body).ok()?;
        let said = Said::Message {
            form,
            received,
            message,
        };
        return Some((session, said));
    }
    let four_octet_as = match record.subtype {
        STATE_CHANGE => false,
        STATE_CHANGE_AS4 => true,
        _ => return None,
    };
    let (rest, session) = session(four_octet_as, record.body).ok()?;
    let (rest, from) = parse::u16(rest).ok()?;
    let (_, to) = parse::u16(rest).ok()?;
    Some((session, Said::StateChange { from, to }))
}

fn session(four_octet_as: bool, input: &[u8]) -> PResult<'_, Session> {
    let (input, peer_as) = asn(four_octet_as, input)?;
    let (input, local_as) = asn(four_octet_as, input)?;
    let (input, _interface) = parse::u16(input)?;
    let (input, afi) = parse::u16(input)?;
    let (input, peer) = address(afi, input)?;
    let (input, local) = address(afi, input)?;
    let session = Session {
        peer_as,
        local_as,
        peer,
        local,
    };
    Ok((input, session))
}

fn asn(four_octet_as: bool, input: &[u8]) -> PResult<'_, Asn> {
    if four_octet_as {
        let (input, asn) = parse::u32(input)?;
        return Ok((input, Asn(asn)));
    }
    let (input, asn) = parse::u16(input)?;
    Ok((input, Asn(asn.into())))
}

fn address(afi: u16, input: &[u8]) -> PResult<'_, IpAddr> {
    match afi {
        AFI_IPV4 => {
            let (input, bits) = parse::u32(input)?;
            Ok((input, Ipv4Addr::from_bits(bits).into()))
        }
        AFI_IPV6 => {
            let (input, octets) = parse::array::<16>(input)?;
            Ok((input, Ipv6Addr::from(octets).into()))
        }
        _ => parse::invalid(input),
    }
}
