//! UPDATEs that were read together.
//!
//! A full table comes in a hundred thousand messages, of some seven routes each. What a read of a socket brings
//! is one value of a few large lists: what is read costs no allocation of its own, it goes to the routing table
//! in one piece, and whoever takes the routes of one message sees those that come next.

use bytes::Bytes;

use super::{Reach, Update};
use crate::{
    types::{Family, Ipv4Prefix, Ipv6Prefix, Nlri, NlriSet, PathAttributes, Routes, Span},
    wire::AttributeFault,
};

/// What part of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Withdrawn,
    /// With the next ones of the attribute sets.
    Announced,
    EndOfRib,
    /// The next one of the malformed messages, whose routes were parts before.
    Malformed,
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    what: What,
    family: Family,
    /// Whether it is the first one of its message.
    opens: bool,
    /// How many routes of the family's list are its own: those that follow the part's before.
    routes: u32,
}

/// The parts of UPDATEs, dispositions of RFC 7606 applied, in the order in which they are to be dealt with.
#[derive(Clone, Debug, Default)]
pub struct Updates {
    /// How many octets the read brought that they came by.
    read: usize,
    parts: Vec<Part>,
    v4: Vec<Nlri<Ipv4Prefix>>,
    v6: Vec<Nlri<Ipv6Prefix>>,
    attributes: Vec<PathAttributes>,
    malformed: Vec<Faults>,
}

/// What was wrong with a message.
#[derive(Clone, Debug)]
struct Faults {
    faults: Vec<AttributeFault>,
    /// The message, whole.
    octets: Option<Bytes>,
    begin: Ends,
}

/// A part of an UPDATE.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// Routes to forget.
    Withdrawn(Routes<'a>),
    /// Routes to take, with their attributes; `next_hop` is there.
    Announced(&'a PathAttributes, Routes<'a>),
    /// The initial table of a family is complete (RFC 4724 section 2).
    EndOfRib(Family),
    /// The UPDATE whose parts came before had faults.
    Malformed(Malformed<'a>),
}

/// An UPDATE that had faults.
#[derive(Clone, Copy, Debug)]
pub struct Malformed<'a> {
    updates: &'a Updates,
    what: &'a Faults,
}

impl<'a> Malformed<'a> {
    /// What was wrong.
    #[must_use]
    pub fn faults(self) -> &'a [AttributeFault] {
        &self.what.faults
    }

    /// All of it.
    #[must_use]
    pub fn update(self) -> Update {
        let mut update = Update {
            faults: self.what.faults.clone(),
            malformed: self.what.octets.clone(),
            ..Update::default()
        };
        let parts = Parts {
            updates: self.updates,
            ends: self.what.begin,
        };
        for said in parts.take_while(|said| !matches!(said, Said::Malformed(_))) {
            put(&mut update, said);
        }
        update
    }
}

/// Where lists end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    parts: usize,
    v4: usize,
    v6: usize,
    attributes: usize,
    malformed: usize,
}

/// The octets of a route on the wire, without a path identifier: most are of /24 or /48.
const V4: usize = 4;
const V6: usize = 7;
const PATH_ID: usize = 4;

impl Updates {
    /// For what a read of this many octets brought.
    #[must_use]
    pub fn read(octets: usize) -> Self {
        Self {
            read: octets,
            ..Self::default()
        }
    }

    /// Whether they say nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What they say, part by part.
    #[must_use]
    pub fn iter(&self) -> Parts<'_> {
        Parts {
            updates: self,
            ends: Ends::default(),
        }
    }

    /// Each by itself, but those that said nothing.
    #[must_use]
    pub fn messages(&self) -> Vec<Update> {
        let mut messages: Vec<Update> = Vec::new();
        for (part, said) in self.parts.iter().zip(self) {
            if part.opens {
                messages.push(Update::default());
            }
            if let Some(message) = messages.last_mut() {
                put(message, said);
            }
        }
        messages
    }

    /// Where the next message begins.
    pub(super) const fn ends(&self) -> Ends {
        Ends {
            parts: self.parts.len(),
            v4: self.v4.len(),
            v6: self.v6.len(),
            attributes: self.attributes.len(),
            malformed: self.malformed.len(),
        }
    }

    /// Forgets what came after.
    pub(super) fn truncate(&mut self, ends: Ends) {
        self.parts.truncate(ends.parts);
        self.v4.truncate(ends.v4);
        self.v6.truncate(ends.v6);
        self.attributes.truncate(ends.attributes);
        self.malformed.truncate(ends.malformed);
    }

    /// The lists of IPv4 and of IPv6 routes: to append to, and to say so with one of the methods below.
    pub(super) const fn lists(
        &mut self,
    ) -> (&mut Vec<Nlri<Ipv4Prefix>>, &mut Vec<Nlri<Ipv6Prefix>>) {
        (&mut self.v4, &mut self.v6)
    }

    /// Makes room for routes where there is none yet, if so many octets of a message are routes of a family and
    /// what else came with it is alike.
    pub(super) fn make_room(
        &mut self,
        family: Family,
        add_path: bool,
        octets: usize,
        message: usize,
    ) {
        let path_id = if add_path { PATH_ID } else { 0 };
        let all = octets * self.alike(message);
        match family {
            _ if octets == 0 => {}
            Family::Ipv4Unicast if self.v4.is_empty() => {
                self.v4.reserve(all.div_ceil(V4 + path_id));
            }
            Family::Ipv6Unicast if self.v6.is_empty() => {
                self.v6.reserve(all.div_ceil(V6 + path_id));
            }
            _ => {}
        }
    }

    /// The same for attribute sets.
    pub(super) fn make_room_for_attributes(&mut self, message: usize) {
        if self.attributes.is_empty() {
            self.attributes.reserve(self.alike(message));
        }
    }

    /// How many messages of this length a read held.
    fn alike(&self, message: usize) -> usize {
        self.read.div_ceil(message.max(1)).max(1)
    }

    /// So many routes that were appended are withdrawn, by the message that began at `begin`.
    pub(super) fn withdrawn(&mut self, begin: Ends, family: Family, routes: usize) {
        if routes > 0 {
            self.push(begin, What::Withdrawn, family, routes);
        }
    }

    /// So many are announced, with these attributes.
    pub(super) fn announced(
        &mut self,
        begin: Ends,
        family: Family,
        routes: usize,
        attributes: impl FnOnce() -> PathAttributes,
    ) {
        if routes > 0 {
            self.attributes.push(attributes());
            self.push(begin, What::Announced, family, routes);
        }
    }

    pub(super) fn end_of_rib(&mut self, begin: Ends, family: Family) {
        self.push(begin, What::EndOfRib, family, 0);
    }

    /// The message that began at `begin`, and is complete but for this, had faults.
    pub(super) fn malformed(
        &mut self,
        begin: Ends,
        faults: Vec<AttributeFault>,
        octets: Option<Bytes>,
    ) {
        self.malformed.push(Faults {
            faults,
            octets,
            begin,
        });
        self.push(begin, What::Malformed, Family::Ipv4Unicast, 0);
    }

    fn push(&mut self, begin: Ends, what: What, family: Family, routes: usize) {
        self.parts.push(Part {
            what,
            family,
            opens: self.parts.len() == begin.parts,
            // A message has 64 KiB at most.
            routes: u32::try_from(routes).unwrap_or(u32::MAX),
        });
    }

    fn append(&mut self, routes: &NlriSet) {
        match routes {
            NlriSet::V4(list) => self.v4.extend_from_slice(list),
            NlriSet::V6(list) => self.v6.extend_from_slice(list),
        }
    }
}

/// Puts a part where it belongs in the message that it came from.
fn put(message: &mut Update, said: Said<'_>) {
    match said {
        Said::Withdrawn(routes) => message.unreach.push(routes.into()),
        Said::Announced(attributes, routes) => message.reach.push(Reach {
            attrs: attributes.clone().into(),
            nlri: routes.into(),
        }),
        Said::EndOfRib(family) => message.end_of_rib = Some(family),
        Said::Malformed(malformed) => *message = malformed.update(),
    }
}

impl FromIterator<Update> for Updates {
    fn from_iter<I: IntoIterator<Item = Update>>(messages: I) -> Self {
        let mut updates = Self::default();
        for message in messages {
            let begin = updates.ends();
            for routes in &message.unreach {
                updates.append(routes);
                updates.withdrawn(begin, routes.family(), routes.len());
            }
            for Reach { attrs, nlri } in &message.reach {
                updates.append(nlri);
                let attributes = || PathAttributes::clone(attrs);
                updates.announced(begin, nlri.family(), nlri.len(), attributes);
            }
            if let Some(family) = message.end_of_rib {
                updates.end_of_rib(begin, family);
            }
            if !message.faults.is_empty() {
                updates.malformed(begin, message.faults, message.malformed);
            }
        }
        updates
    }
}

impl From<Update> for Updates {
    fn from(message: Update) -> Self {
        Self::from_iter([message])
    }
}

impl<'a> IntoIterator for &'a Updates {
    type Item = Said<'a>;
    type IntoIter = Parts<'a>;

    fn into_iter(self) -> Parts<'a> {
        self.iter()
    }
}

/// Goes through [`Updates`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    updates: &'a Updates,
    /// Where what was said ends.
    ends: Ends,
}

impl Parts<'_> {
    /// Whether there is no more.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.parts >= self.updates.parts.len()
    }

    /// Whether what comes next begins an UPDATE, or there is no more.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        let next = self.updates.parts.get(self.ends.parts);
        next.is_none_or(|part| part.opens)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Said<'a>;

    fn next(&mut self) -> Option<Said<'a>> {
        let part = self.updates.parts.get(self.ends.parts)?;
        self.ends.parts += 1;
        Some(match part.what {
            What::Withdrawn => Said::Withdrawn(self.routes(part)),
            What::Announced => {
                let attributes = self.updates.attributes.get(self.ends.attributes)?;
                self.ends.attributes += 1;
                Said::Announced(attributes, self.routes(part))
            }
            What::EndOfRib => Said::EndOfRib(part.family),
            What::Malformed => {
                let updates = self.updates;
                let what = updates.malformed.get(self.ends.malformed)?;
                self.ends.malformed += 1;
                Said::Malformed(Malformed { updates, what })
            }
        })
    }
}

impl<'a> Parts<'a> {
    fn routes(&mut self, part: &Part) -> Routes<'a> {
        let Updates { v4, v6, .. } = self.updates;
        match part.family {
            Family::Ipv4Unicast => Routes::V4(cut(v4, &mut self.ends.v4, part.routes)),
            Family::Ipv6Unicast => Routes::V6(cut(v6, &mut self.ends.v6, part.routes)),
        }
    }
}

/// The next ones of a list.
fn cut<'a, P>(list: &'a [Nlri<P>], end: &mut usize, count: u32) -> Span<'a, P> {
    let rest = list.get(*end..).unwrap_or_default();
    let (these, next) = rest.split_at(rest.len().min(count as usize));
    *end += these.len();
    Span { these, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(third: u8) -> NlriSet {
        let prefix = Ipv4Prefix::new([10, 0, third, 0].into(), 24).unwrap();
        NlriSet::V4(vec![Nlri::plain(prefix); usize::from(third)])
    }

    fn v6() -> NlriSet {
        let prefix = Ipv6Prefix::new(std::net::Ipv6Addr::LOCALHOST, 128).unwrap();
        NlriSet::V6(vec![Nlri::plain(prefix)])
    }

    fn reach(med: u32, nlri: NlriSet) -> Reach {
        let attrs = PathAttributes {
            med: Some(med),
            ..PathAttributes::default()
        };
        Reach {
            attrs: attrs.into(),
            nlri,
        }
    }

    /// What goes in comes out, each message by itself.
    #[test]
    fn messages_keep_what_they_say() {
        let messages = [
            Update {
                unreach: vec![v4(1), v6()],
                reach: vec![reach(1, v6()), reach(2, v4(2))],
                ..Update::default()
            },
            Update {
                end_of_rib: Some(Family::Ipv6Unicast),
                ..Update::default()
            },
            Update {
                reach: vec![reach(3, v4(3))],
                faults: vec![AttributeFault {
                    code: 5,
                    disposition: crate::wire::Disposition::DiscardAttribute,
                    reason: crate::wire::FaultReason::InvalidLength,
                }],
                malformed: Some(Bytes::from_static(b"it")),
                ..Update::default()
            },
            Update {
                unreach: vec![v4(4)],
                ..Update::default()
            },
        ];
        let updates: Updates = messages.iter().cloned().collect();
        assert_eq!(updates.messages(), messages);
        let boundaries = updates.iter().scan(updates.iter(), |parts, _| {
            let between = parts.is_between_messages();
            parts.next();
            Some(between)
        });
        let expected = [true, false, false, false, true, true, false, true];
        assert!(boundaries.eq(expected));
    }

    #[test]
    fn whoever_takes_routes_sees_those_that_come_next() {
        let messages = [v4(1), v6(), v4(2), v4(3)].map(|routes| Update {
            unreach: vec![routes],
            ..Update::default()
        });
        let updates: Updates = messages.into_iter().collect();
        let lens = updates.iter().map(|said| match said {
            Said::Withdrawn(Routes::V4(Span { these, next })) => (these.len(), next.len()),
            Said::Withdrawn(Routes::V6(Span { these, next })) => (these.len(), next.len()),
            _ => panic!("no routes"),
        });
        assert_eq!(lens.collect::<Vec<_>>(), [(1, 5), (1, 0), (2, 3), (3, 0)]);
    }
}
