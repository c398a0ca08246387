//! MRT: routing information in files (RFC 6396).
//!
//! Tools that look at BGP from outside (`bgpdump`, `bgpscanner`, collectors) read two kinds of records,
//! and both are here: tables ([`table`], `TABLE_DUMP_V2`) and messages with changes of state as they
//! come ([`message`], `BGP4MP`). A record is a header of 12 octets (time, type, subtype, length of the
//! rest) and its body.
//!
//! Writing goes to a buffer and cannot fail: the caller gives values that are in range. Reading takes
//! octets from anywhere, and holds no copy of them. [`Records`] cuts a file into records; what has a
//! message in it or a change of state is read further by [`message::read`].
//!
//! Tables are written only: whoever wants to read one has a better tool for it.

mod form;
pub mod message;
pub mod table;

#[cfg(test)]
mod tests;

use bytes::{BufMut, BytesMut};

use crate::wire::parse::{self, PResult};

/// The types of records that are written or looked into (RFC 6396 section 4).
mod kind {
    pub(super) const TABLE_DUMP_V2: u16 = 13;
    pub(super) const BGP4MP: u16 = 16;
    pub(super) const BGP4MP_ET: u16 = 17;
    /// All that there are, for telling a file of records from others.
    pub(super) const ALL: [u16; 9] = [11, 12, TABLE_DUMP_V2, BGP4MP, BGP4MP_ET, 32, 33, 48, 49];
}

/// A moment, as records have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: u32,
    /// Millionths of a second beyond that, less than a million.
    pub micros: u32,
}

/// A record: its header, and the octets behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'f> {
    /// When what it says happened. Without microseconds where its type has none.
    pub time: Time,
    /// Its type.
    pub kind: u16,
    /// Its subtype.
    pub subtype: u16,
    /// Where its body begins, counted from the beginning of the file.
    pub at: usize,
    /// Its body; of types with microseconds, what follows those.
    pub body: &'f [u8],
}

/// Whether these look like the first octets of an MRT file: a type that is known, and a length that fits.
#[must_use]
pub fn is_mrt(file: &[u8]) -> bool {
    let first = Records::new(file).next();
    first.is_some_and(|first| first.body.len() >= 4 && kind::ALL.contains(&first.kind))
}

/// The records of a file, one after the other.
#[derive(Clone, Debug)]
pub struct Records<'f> {
    file: &'f [u8],
    at: usize,
}

impl<'f> Records<'f> {
    /// Those of a whole file.
    #[must_use]
    pub const fn new(file: &'f [u8]) -> Self {
        Self { file, at: 0 }
    }

    /// Whether there are octets left that are no whole record: at the end, that the file was cut.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.at < self.file.len()
    }
}

impl<'f> Iterator for Records<'f> {
    type Item = Record<'f>;

    fn next(&mut self) -> Option<Record<'f>> {
        let rest = self.file.get(self.at..)?;
        let (left, mut record) = record(rest).ok()?;
        let end = self.file.len() - left.len();
        record.at = end - record.body.len();
        self.at = end;
        Some(record)
    }
}

/// One record; `at` is not known here.
fn record(input: &[u8]) -> PResult<'_, Record<'_>> {
    let (input, seconds) = parse::u32(input)?;
    let (input, kind) = parse::u16(input)?;
    let (input, subtype) = parse::u16(input)?;
    let (rest, body) = parse::sized_u32(input)?;
    // RFC 6396 section 3: the microseconds are part of what the length counts.
    let (body, micros) = match kind {
        kind::BGP4MP_ET => parse::u32(body)?,
        _ => (body, 0),
    };
    let record = Record {
        time: Time { seconds, micros },
        kind,
        subtype,
        at: 0,
        body,
    };
    Ok((rest, record))
}

/// Appends a record whose body `body` appends.
fn put_record(
    seconds: u32,
    (kind, subtype): (u16, u16),
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut),
) {
    out.put_u32(seconds);
    out.put_u16(kind);
    out.put_u16(subtype);
    let at = out.len();
    out.put_u32(0);
    body(out);
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

/// How many octets of `records` are as many whole records as fit in `limit` octets, but at least one; and
/// how many records that is. Nothing where there is none.
#[must_use]
pub fn whole(records: &[u8], limit: usize) -> (usize, u64) {
    let (mut octets, mut count) = (0, 0);
    while let Some(rest) = records.get(octets..).filter(|rest| !rest.is_empty()) {
        let Ok((left, _)) = record(rest) else {
            break;
        };
        let end = records.len() - left.len();
        if count > 0 && end > limit {
            break;
        }
        (octets, count) = (end, count + 1);
    }
    (octets, count)
}
