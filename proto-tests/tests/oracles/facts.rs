//! What a message says, as small sentences that codecs can agree on.

use std::{collections::BTreeSet, fmt::Write as _};

use redstart_bgp::{
    types::{Family, FamilySet},
    wire::Codec,
};

/// What a message says, one small sentence each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(pub(crate) BTreeSet<String>);

impl Facts {
    pub(crate) fn say(&mut self, fact: impl Into<String>) {
        self.0.insert(fact.into());
    }
}

/// What an oracle must know of the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) codec: Codec,
}

impl Context {
    pub(crate) fn before_open() -> Self {
        Self {
            codec: Codec::default(),
        }
    }

    pub(crate) fn established(four_octet_as: bool, ebgp: bool, add_path: bool) -> Self {
        let add = if add_path {
            FamilySet::ALL
        } else {
            FamilySet::EMPTY
        };
        Self {
            codec: Codec {
                four_octet_as,
                ebgp,
                extended_messages: false,
                families: FamilySet::ALL,
                add_path_receive: add,
                add_path_send: add,
                extended_next_hop: FamilySet::from_iter([Family::Ipv4Unicast]),
            },
        }
    }

    pub(crate) fn add_path(&self) -> bool {
        !self.codec.add_path_send.is_empty()
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// A segment of an AS path: type and members.
pub(crate) fn segment(kind: u8, asns: &[u32]) -> String {
    format!("{kind}:{asns:?}")
}

/// An FQDN capability as an oracle that leaves it unread has it.
pub(crate) fn fqdn(value: &[u8]) -> Option<String> {
    let (&len, rest) = value.split_first()?;
    let (host, rest) = rest.split_at_checked(usize::from(len))?;
    let (&len, rest) = rest.split_first()?;
    let (domain, rest) = rest.split_at_checked(usize::from(len))?;
    rest.is_empty().then(|| {
        format!(
            "fqdn {} {}",
            String::from_utf8_lossy(host),
            String::from_utf8_lossy(domain)
        )
    })
}
