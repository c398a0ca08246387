//! Path attributes, as a table.
//!
//! Each attribute that Redstart reads is one row of [`TABLE`]: its code, the flags that it must
//! have, from whom it is taken, what a malformed one leads to (RFC 7606 section 7), and the function
//! that reads its value. [`read_list`] walks the list of an UPDATE; everything that all attributes
//! have in common happens there, once: flags, duplicates, overruns, unknown types. Adding an
//! attribute is a row here, a function beside its relatives, and a line in `put`.
//!
//! Two things are never judged in a row because they concern the message as a whole: mandatory
//! attributes that are missing, and NLRI inside MP_REACH_NLRI and MP_UNREACH_NLRI. `update::decode`
//! does both.

mod as_path;
mod communities;
mod mp;
mod put;
mod single;

#[cfg(test)]
mod tests;

use super::{
    codec::Codec,
    error::{AttributeFault, Disposition, FaultReason},
    notification::{ErrorCode, Notification, UpdateSubcode},
};
use crate::types::{Aggregator, Aigp, AsPath, PathAttributes, UnknownAttribute};

pub(super) use as_path::merge_as4;
pub(crate) use mp::put_next_hop_alone;
pub(super) use mp::{
    MpReach, MpUnreach, mp_reach_header_len, mp_reach_room, mp_unreach_header_len,
    put_mp_reach_header, put_mp_unreach_header,
};
pub(crate) use put::put_attributes;

/// Flag bits (RFC 4271 section 4.3).
pub(super) mod flag {
    pub(in super::super) const OPTIONAL: u8 = 0x80;
    pub(in super::super) const TRANSITIVE: u8 = 0x40;
    pub(in super::super) const PARTIAL: u8 = 0x20;
    pub(in super::super) const EXTENDED_LENGTH: u8 = 0x10;
}

/// Type codes.
pub(super) mod code {
    pub(in super::super) const ORIGIN: u8 = 1;
    pub(in super::super) const AS_PATH: u8 = 2;
    pub(in super::super) const NEXT_HOP: u8 = 3;
    pub(in super::super) const MULTI_EXIT_DISC: u8 = 4;
    pub(in super::super) const LOCAL_PREF: u8 = 5;
    pub(in super::super) const ATOMIC_AGGREGATE: u8 = 6;
    pub(in super::super) const AGGREGATOR: u8 = 7;
    pub(in super::super) const COMMUNITIES: u8 = 8;
    pub(in super::super) const ORIGINATOR_ID: u8 = 9;
    pub(in super::super) const CLUSTER_LIST: u8 = 10;
    pub(in super::super) const MP_REACH_NLRI: u8 = 14;
    pub(in super::super) const MP_UNREACH_NLRI: u8 = 15;
    pub(in super::super) const EXTENDED_COMMUNITIES: u8 = 16;
    pub(in super::super) const AS4_PATH: u8 = 17;
    pub(in super::super) const AS4_AGGREGATOR: u8 = 18;
    pub(in super::super) const AIGP: u8 = 26;
    pub(in super::super) const LARGE_COMMUNITY: u8 = 32;
    pub(in super::super) const ONLY_TO_CUSTOMER: u8 = 35;
}

/// The flags that a type must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    WellKnown,
    OptionalTransitive,
    OptionalNonTransitive,
}

impl Class {
    const fn flags(self) -> u8 {
        match self {
            Self::WellKnown => flag::TRANSITIVE,
            Self::OptionalTransitive => flag::OPTIONAL | flag::TRANSITIVE,
            Self::OptionalNonTransitive => flag::OPTIONAL,
        }
    }

    /// "For well-known attributes and for optional non-transitive attributes, the Partial bit MUST
    /// be set to 0" (RFC 4271 section 4.3). The low four bits are "unused ... MUST be ignored when
    /// received".
    const fn accepts(self, flags: u8) -> bool {
        let judged = match self {
            Self::OptionalTransitive => flag::OPTIONAL | flag::TRANSITIVE,
            Self::WellKnown | Self::OptionalNonTransitive => {
                flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL
            }
        };
        flags & judged == self.flags()
    }
}

/// From whom an attribute is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Anybody,
    /// From an external peer it is discarded, whatever it holds (RFC 7606 sections 7.5, 7.9, 7.10).
    InternalPeers,
    /// From a peer that speaks four-octet AS numbers it is discarded, whatever it holds: its AS_PATH
    /// says it all (RFC 6793 section 4.1).
    TwoOctetPeers,
}

/// Reads the value of one attribute into what was collected.
type Read = for<'a> fn(&Codec, &'a [u8], &mut Collected<'a>) -> Result<(), FaultReason>;

/// What there is to know about an attribute.
#[derive(Clone, Copy)]
struct Descriptor {
    code: u8,
    class: Class,
    from: Sender,
    /// What a value that cannot be read leads to.
    malformed: Disposition,
    read: Read,
}

const fn row(code: u8, class: Class, malformed: Disposition, read: Read) -> Descriptor {
    Descriptor {
        code,
        class,
        from: Sender::Anybody,
        malformed,
        read,
    }
}

const fn row_from(from: Sender, row: Descriptor) -> Descriptor {
    Descriptor { from, ..row }
}

/// The type codes of [`TABLE`].
#[cfg(test)]
pub(super) fn known_codes() -> impl Iterator<Item = u8> {
    TABLE.iter().map(|row| row.code)
}

/// Every attribute that is read; the rest are unknown.
static TABLE: [Descriptor; 17] = {
    use Class::{OptionalNonTransitive, OptionalTransitive, WellKnown};
    use Disposition::{DiscardAttribute, Reset, TreatAsWithdraw};
    use Sender::{InternalPeers, TwoOctetPeers};
    [
        row(code::ORIGIN, WellKnown, TreatAsWithdraw, single::origin),
        row(code::AS_PATH, WellKnown, TreatAsWithdraw, as_path::as_path),
        row(code::NEXT_HOP, WellKnown, TreatAsWithdraw, single::next_hop),
        row(
            code::MULTI_EXIT_DISC,
            OptionalNonTransitive,
            TreatAsWithdraw,
            single::med,
        ),
        row_from(
            InternalPeers,
            row(
                code::LOCAL_PREF,
                WellKnown,
                TreatAsWithdraw,
                single::local_pref,
            ),
        ),
        row(
            code::ATOMIC_AGGREGATE,
            WellKnown,
            DiscardAttribute,
            single::atomic_aggregate,
        ),
        row(
            code::AGGREGATOR,
            OptionalTransitive,
            DiscardAttribute,
            as_path::aggregator,
        ),
        row(
            code::COMMUNITIES,
            OptionalTransitive,
            TreatAsWithdraw,
            communities::standard,
        ),
        row_from(
            InternalPeers,
            row(
                code::ORIGINATOR_ID,
                OptionalNonTransitive,
                TreatAsWithdraw,
                single::originator_id,
            ),
        ),
        row_from(
            InternalPeers,
            row(
                code::CLUSTER_LIST,
                OptionalNonTransitive,
                TreatAsWithdraw,
                single::cluster_list,
            ),
        ),
        row(code::MP_REACH_NLRI, OptionalNonTransitive, Reset, mp::reach),
        row(
            code::MP_UNREACH_NLRI,
            OptionalNonTransitive,
            Reset,
            mp::unreach,
        ),
        row(
            code::EXTENDED_COMMUNITIES,
            OptionalTransitive,
            TreatAsWithdraw,
            communities::extended,
        ),
        row_from(
            TwoOctetPeers,
            row(
                code::AS4_PATH,
                OptionalTransitive,
                DiscardAttribute,
                as_path::as4_path,
            ),
        ),
        row_from(
            TwoOctetPeers,
            row(
                code::AS4_AGGREGATOR,
                OptionalTransitive,
                DiscardAttribute,
                as_path::as4_aggregator,
            ),
        ),
        row(
            code::LARGE_COMMUNITY,
            OptionalTransitive,
            TreatAsWithdraw,
            communities::large,
        ),
        row(
            code::ONLY_TO_CUSTOMER,
            OptionalTransitive,
            TreatAsWithdraw,
            single::only_to_customer,
        ),
    ]
};

/// The row of each code: the look-up of every attribute of every route.
static ROWS: [Option<&Descriptor>; 256] = {
    let mut rows = [None; 256];
    let mut row = 0;
    while row < TABLE.len() {
        rows[TABLE[row].code as usize] = Some(&TABLE[row]);
        row += 1;
    }
    rows
};

fn descriptor(code: u8) -> Option<&'static Descriptor> {
    ROWS[usize::from(code)]
}

/// What one list of attributes held.
#[derive(Debug, Default)]
pub(super) struct Collected<'a> {
    seen: CodeSet,
    /// The attributes; the next hop is in `next_hop` and `mp_reach`.
    pub(super) attrs: PathAttributes,
    pub(super) next_hop: Option<std::net::Ipv4Addr>,
    pub(super) as4_path: Option<AsPath>,
    pub(super) as4_aggregator: Option<Aggregator>,
    pub(super) mp_reach: Option<MpReach<'a>>,
    pub(super) mp_unreach: Option<MpUnreach<'a>>,
    unknown: Vec<UnknownAttribute>,
    /// What was wrong, in order; a reset is not among them.
    pub(super) faults: Vec<AttributeFault>,
}

impl Collected<'_> {
    pub(super) fn has(&self, code: u8) -> bool {
        self.seen.contains(code)
    }

    /// Whether anything but a faultless MP_UNREACH_NLRI was there.
    pub(super) fn has_more_than_unreach(&self) -> bool {
        self.seen.without(code::MP_UNREACH_NLRI) || !self.faults.is_empty()
    }

    /// A message without NLRI of its own, but with MP_REACH_NLRI, "SHOULD NOT carry the NEXT_HOP
    /// attribute", and who receives one "SHOULD ignore this attribute" (RFC 4760 section 3): some
    /// speakers send it as 0.0.0.0, and that must not cost the routes.
    pub(super) fn ignore_next_hop(&mut self) {
        self.next_hop = None;
        for fault in &mut self.faults {
            if fault.code == code::NEXT_HOP && fault.reason != FaultReason::AttributeOverrun {
                fault.disposition = Disposition::DiscardAttribute;
            }
        }
    }

    pub(super) fn fault(&mut self, code: u8, disposition: Disposition, reason: FaultReason) {
        self.faults.push(AttributeFault {
            code,
            disposition,
            reason,
        });
    }

    /// The first fault for which the routes have to be withdrawn.
    pub(super) fn withdrawing(&self) -> Option<&AttributeFault> {
        self.faults
            .iter()
            .find(|f| f.disposition >= Disposition::TreatAsWithdraw)
    }

    /// The attributes, unknown ones in order.
    pub(super) fn take_attributes(&mut self) -> PathAttributes {
        self.unknown.sort();
        let unknown = core::mem::take(&mut self.unknown);
        PathAttributes {
            unknown: unknown.into(),
            ..core::mem::take(&mut self.attrs)
        }
    }
}

/// A set of type codes.
#[derive(Clone, Copy, Debug, Default)]
struct CodeSet([u64; 4]);

impl CodeSet {
    fn contains(self, code: u8) -> bool {
        self.0[usize::from(code >> 6)] >> (code & 63) & 1 == 1
    }

    /// Adds `code`; whether it was not there before.
    fn insert(&mut self, code: u8) -> bool {
        let new = !self.contains(code);
        self.0[usize::from(code >> 6)] |= 1 << (code & 63);
        new
    }

    /// Whether there is any code but this one.
    fn without(mut self, code: u8) -> bool {
        self.0[usize::from(code >> 6)] &= !(1 << (code & 63));
        self.0 != [0; 4]
    }
}

/// An attribute as its octets say it.
struct Raw<'a> {
    flags: u8,
    code: u8,
    value: &'a [u8],
    /// The whole of it, for the data of a NOTIFICATION.
    octets: &'a [u8],
}

/// Cuts the first attribute off `list`; `None` if it does not fit.
fn cut(list: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    let &[flags, code, ref rest @ ..] = list else {
        return None;
    };
    let (len, rest) = if flags & flag::EXTENDED_LENGTH == 0 {
        let (&len, rest) = rest.split_first()?;
        (usize::from(len), rest)
    } else {
        let (len, rest) = rest.split_first_chunk::<2>()?;
        (usize::from(u16::from_be_bytes(*len)), rest)
    };
    let (value, rest) = rest.split_at_checked(len)?;
    let octets = list.get(..list.len() - rest.len())?;
    Some((
        Raw {
            flags,
            code,
            value,
            octets,
        },
        rest,
    ))
}

/// Reads the list of attributes of an UPDATE.
///
/// # Errors
/// The NOTIFICATION that resets the session, where RFC 7606 leaves nothing milder.
pub(super) fn read_list<'a>(
    codec: &Codec,
    mut list: &'a [u8],
) -> Result<Collected<'a>, Notification> {
    let mut collected = Collected::default();
    while !list.is_empty() {
        let Some((raw, rest)) = cut(list) else {
            // RFC 7606 section 4: "the 'treat-as-withdraw' approach MUST be used", because the NLRI
            // field is found by the Total Attribute Length, which was right. Unless the attribute is
            // the one that has the routes: those cannot be located any more, so the session is reset
            // (section 3 (j)).
            let code = list.get(1).copied().unwrap_or(0);
            if has_routes(code) {
                return Err(mp_error(list));
            }
            collected.fault(
                code,
                Disposition::TreatAsWithdraw,
                FaultReason::AttributeOverrun,
            );
            break;
        };
        list = rest;
        read_one(codec, &raw, &mut collected)?;
    }
    Ok(collected)
}

fn read_one<'a>(
    codec: &Codec,
    raw: &Raw<'a>,
    collected: &mut Collected<'a>,
) -> Result<(), Notification> {
    let known = descriptor(raw.code);
    if !collected.seen.insert(raw.code) {
        return duplicate(raw, collected);
    }
    if raw.code == code::AIGP {
        collected.attrs.aigp = aigp(raw);
        return Ok(());
    }
    let Some(row) = known else {
        return unknown(raw, collected);
    };
    let unwanted = match row.from {
        Sender::InternalPeers if codec.ebgp => Some(FaultReason::FromExternalPeer),
        Sender::TwoOctetPeers if codec.four_octet_as => Some(FaultReason::FromFourOctetPeer),
        _ => None,
    };
    if let Some(reason) = unwanted {
        collected.fault(raw.code, Disposition::DiscardAttribute, reason);
        return Ok(());
    }
    // RFC 7606 section 3 (c): flags that conflict with the type are "treat-as-withdraw", "unless the
    // specification for the attribute mandates different handling". Section 5.3 does: NLRI in an
    // MP attribute with wrong flags are syntactically incorrect, which resets the session.
    if !row.class.accepts(raw.flags) && has_routes(raw.code) {
        return Err(mp_error(raw.octets));
    }
    if !row.class.accepts(raw.flags) {
        collected.fault(
            raw.code,
            Disposition::TreatAsWithdraw,
            FaultReason::InvalidFlags,
        );
    }
    match (row.read)(codec, raw.value, collected) {
        Ok(()) => {
            if row.class == Class::OptionalTransitive && raw.flags & flag::PARTIAL != 0 {
                collected.attrs.partial.insert(raw.code);
            }
            Ok(())
        }
        // Only MP attributes reset.
        Err(_) if row.malformed == Disposition::Reset => Err(mp_error(raw.octets)),
        Err(reason) => {
            collected.fault(raw.code, row.malformed, reason);
            Ok(())
        }
    }
}

/// RFC 7606 section 3 (g): of MP_REACH_NLRI and MP_UNREACH_NLRI more than one is a Malformed
/// Attribute List; of any other, "all the occurrences ... other than the first one SHALL be
/// discarded".
fn duplicate(raw: &Raw<'_>, collected: &mut Collected<'_>) -> Result<(), Notification> {
    if has_routes(raw.code) {
        return Err(reset(FaultReason::Duplicate, &[]));
    }
    collected.fault(
        raw.code,
        Disposition::DiscardAttribute,
        FaultReason::Duplicate,
    );
    Ok(())
}

/// RFC 4271 section 5 and 6.3: an unrecognised well-known attribute is an error, an optional
/// transitive one is kept and marked Partial, an optional non-transitive one "MUST be quietly
/// ignored".
fn unknown(raw: &Raw<'_>, collected: &mut Collected<'_>) -> Result<(), Notification> {
    if raw.flags & flag::OPTIONAL == 0 {
        return Err(reset(FaultReason::UnrecognizedWellKnown, raw.octets));
    }
    if raw.flags & flag::TRANSITIVE != 0 {
        collected.unknown.push(UnknownAttribute {
            flags: flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL,
            code: raw.code,
            value: raw.value.into(),
        });
    }
    Ok(())
}

/// AIGP is no row of the table because nothing ever comes of a malformed one: RFC 7311 section 3.2 has
/// it handled like an unrecognised non-transitive attribute, which is ignored without a word. Wrong
/// flags make it malformed too. Whether the session has AIGP at all is for the RIB to know.
fn aigp(raw: &Raw<'_>) -> Option<Aigp> {
    let well_formed = Class::OptionalNonTransitive.accepts(raw.flags);
    well_formed.then(|| Aigp::parse(raw.value)).flatten()
}

/// Whether the attribute holds NLRI, without which nothing can be treated as withdrawn.
const fn has_routes(code: u8) -> bool {
    matches!(code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI)
}

/// An MP attribute that cannot be read: "Optional Attribute Error", whatever is wrong with it
/// (RFC 4760 section 7).
fn mp_error(octets: &[u8]) -> Notification {
    let code = ErrorCode::Update(UpdateSubcode::OptionalAttributeError);
    Notification::with_data(code, octets)
}

/// The NOTIFICATION for a fault that nothing milder can handle.
pub(super) fn reset(reason: FaultReason, data: &[u8]) -> Notification {
    Notification::with_data(ErrorCode::Update(reason.subcode()), data)
}

/// "Malformed Attribute List" (RFC 4271 section 6.3).
pub(super) fn malformed_list() -> Notification {
    Notification::new(ErrorCode::Update(UpdateSubcode::MalformedAttributeList))
}

/// The value as an array, if its length is right.
fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], FaultReason> {
    value.try_into().map_err(|_| FaultReason::InvalidLength)
}
