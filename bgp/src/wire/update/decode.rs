//! Reading an UPDATE: structure first, then the dispositions of RFC 7606.
//!
//! The order matters. The fields are cut (RFC 4271 section 6.3: lengths that do not add up reset the
//! session), all NLRI are read (section 5.3 of RFC 7606: ones that cannot be read do so too), then
//! the strongest disposition among the attributes decides what becomes of the routes.

use bytes::Bytes;

use super::{
    super::{
        attr::{self, Collected, code},
        codec::Codec,
        error::{Disposition, FaultReason},
        header::HEADER_LEN,
        nlri,
        notification::Notification,
        parse,
    },
    Updates,
    updates::Ends,
};
use crate::types::{Family, NextHop, PathAttributes};

/// The three fields of the message.
struct Fields<'a> {
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    nlri: &'a [u8],
}

fn fields(message: &[u8]) -> Result<Fields<'_>, Notification> {
    let body = message.get(HEADER_LEN..).unwrap_or_default();
    let cut = |input| {
        let (input, withdrawn) = parse::sized_u16(input)?;
        let (nlri, attributes) = parse::sized_u16(input)?;
        Ok((nlri, (withdrawn, attributes)))
    };
    let parsed: parse::PResult<'_, _> = cut(body);
    let (nlri, (withdrawn, attributes)) = parsed.map_err(|_| attr::malformed_list())?;
    Ok(Fields {
        withdrawn,
        attributes,
        nlri,
    })
}

/// Appends the routes in a field of a message; how many there are.
fn read_nlri(
    codec: &Codec,
    family: Family,
    (octets, message): (&[u8], &[u8]),
    updates: &mut Updates,
) -> Result<usize, Notification> {
    let add_path = codec.add_path_receive.contains(family);
    updates.make_room(family, add_path, octets.len(), message.len());
    let (v4, v6) = updates.lists();
    let before = v4.len() + v6.len();
    match family {
        Family::Ipv4Unicast => nlri::decode(add_path, octets, v4),
        Family::Ipv6Unicast => nlri::decode(add_path, octets, v6),
    }
    .map_err(|_| attr::reset(FaultReason::InvalidNlri, &[]))?;
    Ok(v4.len() + v6.len() - before)
}

/// Reads an UPDATE, and appends it; the family whose End-of-RIB it is.
///
/// # Errors
/// The NOTIFICATION that resets the session. Nothing is appended.
pub(crate) fn decode(
    codec: &Codec,
    message: &[u8],
    updates: &mut Updates,
) -> Result<Option<Family>, Notification> {
    let begin = updates.ends();
    let decoded = append(codec, message, begin, updates);
    if decoded.is_err() {
        updates.truncate(begin);
    }
    decoded
}

fn append(
    codec: &Codec,
    message: &[u8],
    begin: Ends,
    updates: &mut Updates,
) -> Result<Option<Family>, Notification> {
    let fields = fields(message)?;
    let mut collected = attr::read_list(codec, fields.attributes)?;
    let ipv4 = Family::Ipv4Unicast;
    let carries_classic = codec.families.contains(ipv4);
    let mut withdrawn = read_nlri(codec, ipv4, (fields.withdrawn, message), updates)?;
    let mut classic = 0;
    if !carries_classic {
        // Read to see whether it can be.
        classic = read_nlri(codec, ipv4, (fields.nlri, message), updates)?;
        drop_classic(withdrawn + classic, &mut collected);
        updates.truncate(begin);
        (withdrawn, classic) = (0, 0);
    }
    updates.withdrawn(begin, ipv4, withdrawn);
    if let Some(mp) = collected.mp_unreach {
        let withdrawn = read_nlri(codec, mp.family, (mp.nlri, message), updates)?;
        updates.withdrawn(begin, mp.family, withdrawn);
    }
    let mp = match collected.mp_reach {
        Some(mp) => Some((
            mp.family,
            read_nlri(codec, mp.family, (mp.nlri, message), updates)?,
            mp.next_hop,
        )),
        None => None,
    };
    if carries_classic {
        classic = read_nlri(codec, ipv4, (fields.nlri, message), updates)?;
    }
    let announced = Announced {
        mp: mp.filter(|(_, routes, _)| *routes > 0),
        classic,
    };
    if fields.nlri.is_empty() && collected.has(code::MP_REACH_NLRI) {
        collected.ignore_next_hop();
    }
    check_mandatory(codec, &announced, &mut collected);
    if let Some(fault) = collected.withdrawing() {
        if hides_routes(&fields, &collected) {
            return Err(attr::reset(fault.reason, &[]));
        }
        announced.withdraw(begin, updates);
    } else if !announced.is_empty() {
        attr::merge_as4(&mut collected);
        updates.make_room_for_attributes(message.len());
        announced.announce(&mut collected, begin, updates);
    }
    let end_of_rib = end_of_rib(&fields, &collected);
    let end_of_rib = end_of_rib.filter(|family| carries_classic || *family != ipv4);
    if let Some(family) = end_of_rib {
        updates.end_of_rib(begin, family);
    }
    if !collected.faults.is_empty() {
        let octets = Bytes::copy_from_slice(message);
        updates.malformed(begin, collected.faults, Some(octets));
    }
    Ok(end_of_rib)
}

/// RFC 4724 section 2: no field at all for IPv4 unicast, or nothing but an empty MP_UNREACH_NLRI.
fn end_of_rib(fields: &Fields<'_>, collected: &Collected<'_>) -> Option<Family> {
    if !fields.withdrawn.is_empty() || !fields.nlri.is_empty() {
        return None;
    }
    if fields.attributes.is_empty() {
        return Some(Family::Ipv4Unicast);
    }
    let mp = collected.mp_unreach.filter(|mp| mp.nlri.is_empty())?;
    (!collected.has_more_than_unreach()).then_some(mp.family)
}

/// RFC 7606 section 5.2: with attributes other than MP_UNREACH_NLRI, which never is at fault without a
/// reset, and no reachable NLRI, "we cannot be confident that the NLRI have been successfully parsed",
/// and anything stronger than "attribute discard" is a "session reset". Routes of a family that this
/// session does not carry are there all the same.
fn hides_routes(fields: &Fields<'_>, collected: &Collected<'_>) -> bool {
    let mp = match collected.mp_reach {
        Some(mp) => !mp.nlri.is_empty(),
        None => collected.has(code::MP_REACH_NLRI),
    };
    fields.nlri.is_empty() && !mp
}

/// Routes in the classic fields are of a family that this session does not carry.
fn drop_classic(routes: usize, collected: &mut Collected<'_>) {
    if routes > 0 {
        collected.fault(
            0,
            Disposition::DiscardAttribute,
            FaultReason::FamilyNotNegotiated,
        );
    }
}

/// RFC 7606 section 3 (d): "If any of the well-known mandatory attributes are not present in an
/// UPDATE message, then 'treat-as-withdraw' MUST be used."
fn check_mandatory(codec: &Codec, announced: &Announced, collected: &mut Collected<'_>) {
    if announced.is_empty() {
        return;
    }
    let mandatory = [
        (code::ORIGIN, true),
        (code::AS_PATH, true),
        (code::NEXT_HOP, announced.classic > 0),
        // "SHALL be included in all UPDATE messages ... to other internal peers" (RFC 4271 5.1.5).
        (code::LOCAL_PREF, !codec.ebgp),
    ];
    for (code, needed) in mandatory {
        if needed && !collected.has(code) {
            collected.fault(
                code,
                Disposition::TreatAsWithdraw,
                FaultReason::MissingMandatory,
            );
        }
    }
}

/// The routes that a message announces, in the order in which they were appended.
struct Announced {
    /// By MP_REACH_NLRI: their family, how many there are, and their next hop.
    mp: Option<(Family, usize, Option<NextHop>)>,
    classic: usize,
}

impl Announced {
    const fn is_empty(&self) -> bool {
        self.classic == 0 && self.mp.is_none()
    }

    /// "Treat-as-withdraw": "as though all contained routes had been withdrawn" (RFC 7606 section 2).
    fn withdraw(self, begin: Ends, updates: &mut Updates) {
        if let Some((family, routes, _)) = self.mp {
            updates.withdrawn(begin, family, routes);
        }
        updates.withdrawn(begin, Family::Ipv4Unicast, self.classic);
    }

    fn announce(self, collected: &mut Collected<'_>, begin: Ends, updates: &mut Updates) {
        let attrs = collected.take_attributes();
        let ipv4 = Family::Ipv4Unicast;
        let classic = collected.next_hop.map(NextHop::V4);
        let with = |attrs, next_hop| move || PathAttributes { next_hop, ..attrs };
        match self.mp {
            Some((family, routes, next_hop)) if self.classic == 0 => {
                updates.announced(begin, family, routes, with(attrs, next_hop));
            }
            Some((family, routes, next_hop)) => {
                updates.announced(begin, family, routes, with(attrs.clone(), next_hop));
                updates.announced(begin, ipv4, self.classic, with(attrs, classic));
            }
            None => updates.announced(begin, ipv4, self.classic, with(attrs, classic)),
        }
    }
}
