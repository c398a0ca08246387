//! Octets to messages.

use bytes::Bytes;

use super::{
    HEADER_LEN, Information, Message, PeerDown, PeerHeader, PeerUp, Statistic, VERSION, kind,
    peer::address,
};
use crate::{
    types::Family,
    wire::{
        HEADER_LEN as BGP_HEADER_LEN,
        parse::{self, PResult},
    },
};

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another version than 3.
    #[error("version {0} of BMP is not known")]
    Version(u8),
    /// A type of message that is not known.
    #[error("a BMP message of type {0} is not known")]
    Type(u8),
    /// A type of peer that is not known.
    #[error("a BMP peer of type {0} is not known")]
    PeerType(u8),
    /// A reason that is not known.
    #[error("a BMP Peer Down with reason {0} is not known")]
    Reason(u8),
    /// It ends before it should.
    #[error("the BMP message is cut short")]
    Short,
}

/// The first message, and what follows it; nothing where octets are missing.
///
/// # Errors
/// [`ReadError`]. There is no way to find the next message after a wrong version.
pub fn read(input: &[u8]) -> Result<Option<(Message, &[u8])>, ReadError> {
    let Some(&[version, a, b, c, d, kind]) = input.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    if version != VERSION {
        return Err(ReadError::Version(version));
    }
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if len < HEADER_LEN {
        return Err(ReadError::Short);
    }
    let Some((whole, rest)) = input.split_at_checked(len) else {
        return Ok(None);
    };
    let body = whole.get(HEADER_LEN..).unwrap_or_default();
    Ok(Some((message(kind, body)?, rest)))
}

fn message(kind: u8, body: &[u8]) -> Result<Message, ReadError> {
    match kind {
        kind::INITIATION => return Ok(Message::Initiation(all(body, Of::Initiation)?)),
        kind::TERMINATION => return Ok(Message::Termination(all(body, Of::Termination)?)),
        kind::ROUTE_MONITORING | kind::STATISTICS_REPORT | kind::PEER_DOWN | kind::PEER_UP => {}
        other => return Err(ReadError::Type(other)),
    }
    let (body, peer) = PeerHeader::read(body)?;
    Ok(match kind {
        kind::ROUTE_MONITORING => Message::RouteMonitoring(peer, Bytes::copy_from_slice(body)),
        kind::STATISTICS_REPORT => {
            let (_, list) = statistics(body).map_err(|_| ReadError::Short)?;
            Message::StatisticsReport(peer, list)
        }
        kind::PEER_DOWN => Message::PeerDown(peer, peer_down(body)?),
        _ => Message::PeerUp(peer, Box::new(peer_up(&peer, body)?)),
    })
}

fn statistics(input: &[u8]) -> PResult<'_, Vec<Statistic>> {
    let (mut input, count) = parse::u32(input)?;
    let mut list = Vec::new();
    for _ in 0..count {
        let (rest, kind) = parse::u16(input)?;
        let (rest, value) = parse::sized_u16(rest)?;
        list.push(statistic(kind, value).unwrap_or(Statistic::Other(kind)));
        input = rest;
    }
    Ok((input, list))
}

fn statistic(kind: u16, value: &[u8]) -> Option<Statistic> {
    let gauge = || Some(u64::from_be_bytes(value.try_into().ok()?));
    let of_family = || {
        let (family, value) = value.split_first_chunk::<3>()?;
        let [hi, lo, safi] = *family;
        let family = Family::from_afi_safi(u16::from_be_bytes([hi, lo]), safi)?;
        Some((family, u64::from_be_bytes(value.try_into().ok()?)))
    };
    Some(match kind {
        Statistic::ADJ_RIB_IN => Statistic::AdjRibIn(gauge()?),
        Statistic::LOC_RIB => Statistic::LocRib(gauge()?),
        Statistic::ADJ_RIB_OUT => Statistic::AdjRibOut(gauge()?),
        Statistic::FAMILY_ADJ_RIB_IN => {
            of_family().map(|(f, n)| Statistic::FamilyAdjRibIn(f, n))?
        }
        Statistic::FAMILY_LOC_RIB => of_family().map(|(f, n)| Statistic::FamilyLocRib(f, n))?,
        Statistic::FAMILY_ADJ_RIB_OUT => {
            of_family().map(|(f, n)| Statistic::FamilyAdjRibOut(f, n))?
        }
        _ => return None,
    })
}

fn peer_down(body: &[u8]) -> Result<PeerDown, ReadError> {
    let (reason, data) = body.split_first().ok_or(ReadError::Short)?;
    let message = || Bytes::copy_from_slice(data);
    Ok(match reason {
        1 => PeerDown::LocalNotification(message()),
        2 => {
            let event = data.first_chunk().ok_or(ReadError::Short)?;
            PeerDown::LocalNoNotification(u16::from_be_bytes(*event))
        }
        3 => PeerDown::RemoteNotification(message()),
        4 => PeerDown::RemoteNoNotification,
        5 => PeerDown::Deconfigured,
        6 => PeerDown::LocRib(all(data, Of::Peer)?),
        other => return Err(ReadError::Reason(*other)),
    })
}

fn peer_up(peer: &PeerHeader, body: &[u8]) -> Result<PeerUp, ReadError> {
    let fields = |input| {
        let (input, local) = parse::array(input)?;
        let (input, local_port) = parse::u16(input)?;
        let (input, remote_port) = parse::u16(input)?;
        let (input, sent_open) = bgp_message(input)?;
        let (input, received_open) = bgp_message(input)?;
        let up = PeerUp {
            local: address(local, peer.address.is_ipv6()),
            local_port,
            remote_port,
            sent_open: Bytes::copy_from_slice(sent_open),
            received_open: Bytes::copy_from_slice(received_open),
            information: Vec::new(),
        };
        Ok((input, up))
    };
    let read: PResult<'_, PeerUp> = fields(body);
    let (rest, mut up) = read.map_err(|_| ReadError::Short)?;
    up.information = all(rest, Of::Peer)?;
    Ok(up)
}

/// A BGP message, as long as its header says.
fn bgp_message(input: &[u8]) -> PResult<'_, &[u8]> {
    let (rest, _marker) = parse::octets(16)(input)?;
    let (_, len) = parse::u16(rest)?;
    parse::octets(usize::from(len).max(BGP_HEADER_LEN))(input)
}

/// Where information stands: a type means another thing in each.
#[derive(Clone, Copy)]
enum Of {
    Initiation,
    Termination,
    Peer,
}

fn all(mut input: &[u8], of: Of) -> Result<Vec<Information>, ReadError> {
    let mut list = Vec::new();
    while !input.is_empty() {
        let one = |input| {
            let (input, kind) = parse::u16(input)?;
            let (input, value) = parse::sized_u16(input)?;
            Ok((input, (kind, value)))
        };
        let read: PResult<'_, (u16, &[u8])> = one(input);
        let (rest, (kind, value)) = read.map_err(|_| ReadError::Short)?;
        list.push(information(kind, value, of));
        input = rest;
    }
    Ok(list)
}

fn information(kind: u16, value: &[u8], of: Of) -> Information {
    let text = || String::from_utf8_lossy(value).into_owned();
    let number = || value.try_into().ok().map(u16::from_be_bytes);
    match (kind, of) {
        (0, _) => Information::Text(text()),
        (1, Of::Initiation) => Information::SysDescr(text()),
        (2, Of::Initiation) => Information::SysName(text()),
        (3, Of::Peer) => Information::TableName(text()),
        (1, Of::Termination) if let Some(reason) = number() => Information::Reason(reason),
        _ => Information::Other(kind, Bytes::copy_from_slice(value)),
    }
}
