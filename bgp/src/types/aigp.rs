//! AIGP: the distance that a route has accumulated within one administration (RFC 7311).
//!
//! The attribute is a list of TLVs, of which one type has a meaning: the AIGP TLV, a metric of eight
//! octets. The list is kept as it came, because everything but the first AIGP TLV is to be passed
//! along unchanged (section 3), and who leaves the next hop alone leaves the metric alone too
//! (section 3.4). What Redstart passes on keeps its next hop or loses the attribute, so no metric is
//! ever changed here.

/// The type of the AIGP TLV.
const AIGP_TLV: u8 = 1;
/// Type and length; the length counts itself and the type.
const TLV_HEADER: usize = 3;

/// The value of an AIGP attribute: well-formed TLVs, one or more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aigp(Box<[u8]>);

impl Aigp {
    /// An attribute with this metric alone.
    #[must_use]
    pub fn of(metric: u64) -> Self {
        let mut tlv = vec![AIGP_TLV, 0, 11];
        tlv.extend(metric.to_be_bytes());
        Self(tlv.into())
    }

    /// The value of a received attribute. `None` if it is malformed (RFC 7311 section 3.2): a length
    /// that does not fit, an AIGP TLV of another length than 11, or a first one with the largest
    /// value. Several AIGP TLVs and TLVs of other types are none of these.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut rest = value;
        while !rest.is_empty() {
            let (kind, octets, next) = cut(rest)?;
            if kind == AIGP_TLV && octets.len() != 8 {
                return None;
            }
            rest = next;
        }
        let parsed = Self(value.into());
        let says_something = !value.is_empty() && parsed.metric() != Some(u64::MAX);
        says_something.then_some(parsed)
    }

    /// The metric: that of the first AIGP TLV. `None` where all TLVs are of other types.
    #[must_use]
    pub fn metric(&self) -> Option<u64> {
        let mut rest = &*self.0;
        loop {
            let (kind, octets, next) = cut(rest)?;
            if kind == AIGP_TLV {
                return Some(u64::from_be_bytes(octets.try_into().ok()?));
            }
            rest = next;
        }
    }

    /// The TLVs, as they came.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// The type and the value of the first TLV, and what follows it; `None` if it does not fit.
fn cut(tlvs: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let &[kind, high, low, ..] = tlvs else {
        return None;
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let (tlv, rest) = tlvs.split_at_checked(len)?;
    Some((kind, tlv.get(TLV_HEADER..)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN: [u8; 11] = [1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 7];
    const NINE: [u8; 11] = [1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9];
    const OTHER: [u8; 4] = [2, 0, 4, 5];

    #[test]
    fn the_first_aigp_tlv_counts_and_all_are_kept() {
        assert_eq!(Aigp::of(7).octets(), SEVEN);
        for value in [
            SEVEN.to_vec(),
            [&SEVEN[..], &NINE].concat(),
            [&OTHER[..], &SEVEN, &NINE].concat(),
        ] {
            let aigp = Aigp::parse(&value).unwrap();
            assert_eq!((aigp.metric(), aigp.octets()), (Some(7), &value[..]));
        }
        assert_eq!(Aigp::parse(&OTHER).unwrap().metric(), None);
    }

    #[test]
    fn lengths_that_do_not_fit_and_a_metric_without_end_are_malformed() {
        let whole = Aigp::of(u64::MAX).octets().to_vec();
        for value in [
            &[][..],
            &[1],
            &[1, 0, 0],
            &[1, 0, 2],
            &[1, 0, 3],
            &[1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 7],
            &[1, 0, 10, 0, 0, 0, 0, 0, 0, 0],
            &[&SEVEN[..], &[2, 0]].concat(),
            &[&SEVEN[..], &[1, 0, 4, 7]].concat(),
            &whole,
        ] {
            assert_eq!(Aigp::parse(value), None, "{value:?}");
        }
    }
}
