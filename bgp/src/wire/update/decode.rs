//! Reading an UPDATE: structure first, then the dispositions of RFC 7606.
//!
//! The order matters. The fields are cut (RFC 4271 section 6.3: lengths that do not add up reset the
//! session), all NLRI are read (section 5.3 of RFC 7606: ones that cannot be read do so too), then
//! the strongest disposition among the attributes decides what becomes of the routes.

use std::sync::Arc;

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
    Reach, Update,
};
use crate::types::{Family, NextHop, NlriSet, PathAttributes};

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

fn read_nlri(codec: &Codec, family: Family, octets: &[u8]) -> Result<NlriSet, Notification> {
    nlri::decode(family, codec.add_path_receive.contains(family), octets)
        .map_err(|_| attr::reset(FaultReason::InvalidNlri, &[]))
}

/// Reads an UPDATE.
///
/// # Errors
/// The NOTIFICATION that resets the session.
pub(crate) fn decode(codec: &Codec, message: &[u8]) -> Result<Update, Notification> {
    let fields = fields(message)?;
    let mut collected = attr::read_list(codec, fields.attributes)?;
    let mut update = Update {
        end_of_rib: end_of_rib(&fields, &collected),
        ..Update::default()
    };
    let ipv4 = Family::Ipv4Unicast;
    let mut announced = Announced {
        classic: read_nlri(codec, ipv4, fields.nlri)?,
        mp: match &collected.mp_reach {
            Some(mp) => Some((read_nlri(codec, mp.family, mp.nlri)?, mp.next_hop)),
            None => None,
        },
    };
    push(
        &mut update.unreach,
        read_nlri(codec, ipv4, fields.withdrawn)?,
    );
    if let Some(mp) = &collected.mp_unreach {
        push(&mut update.unreach, read_nlri(codec, mp.family, mp.nlri)?);
    }
    if !codec.families.contains(ipv4) {
        drop_classic(&mut update, &mut announced, &mut collected);
    }
    if fields.nlri.is_empty() && collected.has(code::MP_REACH_NLRI) {
        collected.ignore_next_hop();
    }
    check_mandatory(codec, &announced, &mut collected);
    if let Some(fault) = collected.withdrawing() {
        if hides_routes(&fields, &collected) {
            return Err(attr::reset(fault.reason, &[]));
        }
        announced.withdraw(&mut update);
    } else {
        attr::merge_as4(&mut collected);
        announced.announce(&mut collected, &mut update);
    }
    update.faults = collected.faults;
    update.malformed = (!update.faults.is_empty()).then(|| bytes::Bytes::copy_from_slice(message));
    Ok(update)
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

fn push(list: &mut Vec<NlriSet>, nlri: NlriSet) {
    if !nlri.is_empty() {
        list.push(nlri);
    }
}

/// Routes in the classic fields are of a family that this session does not carry.
fn drop_classic(update: &mut Update, announced: &mut Announced, collected: &mut Collected<'_>) {
    let before = update.unreach.len();
    // The classic ones came first; MP_UNREACH_NLRI of IPv4 would not have been read.
    update
        .unreach
        .retain(|nlri| nlri.family() != Family::Ipv4Unicast);
    if update.unreach.len() != before || !announced.classic.is_empty() {
        collected.fault(
            0,
            Disposition::DiscardAttribute,
            FaultReason::FamilyNotNegotiated,
        );
    }
    announced.classic = NlriSet::empty(Family::Ipv4Unicast);
    update.end_of_rib = update.end_of_rib.filter(|f| *f != Family::Ipv4Unicast);
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
        (code::NEXT_HOP, !announced.classic.is_empty()),
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

fn reach(attrs: PathAttributes, (nlri, next_hop): (NlriSet, Option<NextHop>)) -> Reach {
    let attrs = Arc::new(PathAttributes { next_hop, ..attrs });
    Reach { attrs, nlri }
}

/// The routes that a message announces.
struct Announced {
    classic: NlriSet,
    mp: Option<(NlriSet, Option<NextHop>)>,
}

impl Announced {
    fn is_empty(&self) -> bool {
        self.classic.is_empty() && self.mp.as_ref().is_none_or(|(nlri, _)| nlri.is_empty())
    }

    /// "Treat-as-withdraw": "as though all contained routes had been withdrawn" (RFC 7606 section 2).
    fn withdraw(self, update: &mut Update) {
        push(&mut update.unreach, self.classic);
        if let Some((nlri, _)) = self.mp {
            push(&mut update.unreach, nlri);
        }
    }

    fn announce(self, collected: &mut Collected<'_>, update: &mut Update) {
        if self.is_empty() {
            return;
        }
        let attrs = collected.take_attributes();
        let next_hop = collected.next_hop.map(NextHop::V4);
        let mp = self.mp.filter(|(nlri, _)| !nlri.is_empty());
        // One, as a rule, and no room for four.
        update.reach.reserve_exact(1);
        match mp {
            None => update.reach.push(reach(attrs, (self.classic, next_hop))),
            Some(mp) if self.classic.is_empty() => update.reach.push(reach(attrs, mp)),
            Some(mp) => {
                update.reach.push(reach(attrs.clone(), mp));
                update.reach.push(reach(attrs, (self.classic, next_hop)));
            }
        }
    }
}
