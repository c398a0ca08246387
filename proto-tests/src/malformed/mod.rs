//! Malformed input as a table: what was sent, and what has to become of it.
//!
//! Each [`Case`] is a message that some speaker got wrong, or that an RFC has a rule for: the rows of
//! RFC 7606 section 7, the checks of RFC 4271 section 6, and the messages behind published crashes.
//! The expectation is the RFC's, never what we happen to do. Two tests run the whole table:
//! `malformed_codec` through framer and codec, `malformed_live` against a running speaker, where the
//! session either ends with exactly the right NOTIFICATION or goes on with exactly the right routes,
//! and another peer, which is told those routes, sees exactly that and nothing else. `docs/MALFORMED.md` is generated from it.
//!
//! Every UPDATE of the table is about one route: [`ROUTE_V4`] or [`ROUTE_V6`]. A live session
//! announces that route properly first, with MED [`GOOD_MED`], which no case carries: so it shows
//! whether the route is the old one, the new one, or gone.

pub mod attributes;
pub mod build;
pub mod document;
pub mod elsewhere;
pub mod header;
pub mod incidents;
pub mod live;
pub mod multiprotocol;
pub mod notification;
pub mod open;
pub mod optional;
pub mod role;
pub mod update;

use std::fmt;

use redstart_bgp::{
    types::{Family, FamilySet, Role},
    wire::{Codec, Disposition, Framer, Message, Notification, Update},
};

/// The AS of the speaker under test.
pub const OUR_AS: u32 = 64500;
/// The AS of its external peers.
pub const PEER_AS: u32 = 64600;
/// The BGP Identifier of the speaker under test, and its address.
pub const OUR_ID: [u8; 4] = [10, 99, 0, 1];
/// A next hop beside us that is nobody's own address.
pub const NEXT_HOP_V4: [u8; 4] = [10, 99, 0, 200];
/// The same for IPv6: fd00:99::200.
pub const NEXT_HOP_V6: [u8; 16] = [0xfd, 0, 0, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0];
/// 10.9.0.0/24 as NLRI.
pub const ROUTE_V4: &[u8] = &[24, 10, 9, 0];
/// 2001:db8:9::/48 as NLRI.
pub const ROUTE_V6: &[u8] = &[48, 0x20, 0x01, 0x0d, 0xb8, 0, 9];
/// MED of the proper announcement before a case.
pub const GOOD_MED: u32 = 777;

/// What has to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A NOTIFICATION with this code and subcode, and the end of the session.
    Reset(u8, u8),
    /// The route is withdrawn, the session stays.
    Withdraw,
    /// The attribute of this type is discarded, the route taken, the session stays.
    DiscardAttribute(u8),
    /// The route, or the OPEN, is taken as it is.
    Accept,
    /// The route is read, and refused by the rules for importing: it replaces the old one and is no
    /// candidate.
    Refuse,
    /// Nothing happens: routes and session stay.
    Ignore,
    /// The session ends because the peer said so; it gets no answer.
    End,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset(code, subcode) => write!(f, "reset {code}/{subcode}"),
            Self::Withdraw => f.write_str("treat as withdraw"),
            Self::DiscardAttribute(code) => write!(f, "discard attribute {code}"),
            Self::Accept => f.write_str("accept"),
            Self::Refuse => f.write_str("refuse on import"),
            Self::Ignore => f.write_str("ignore"),
            Self::End => f.write_str("end, no answer"),
        }
    }
}

/// When a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// As the first message of the connection, in place of a proper OPEN.
    First,
    /// In Established.
    Established,
}

/// What the speaker is to its peer (RFC 9234).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalRole {
    /// Its role.
    pub role: Role,
    /// Whether the peer has to say its own.
    pub strict: bool,
}

/// What was negotiated before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Within one AS.
    pub internal: bool,
    /// Both sides have capability 65.
    pub four_octet_as: bool,
    /// Negotiated families.
    pub families: FamilySet,
    /// RFC 8654.
    pub extended_messages: bool,
    /// RFC 8950 for IPv4 routes.
    pub extended_next_hop: bool,
    /// RFC 7911, towards us, for both families.
    pub add_path: bool,
    /// The speaker's role, if it has one.
    pub role: Option<LocalRole>,
}

/// An external session with everything usual.
pub const EBGP: Session = Session {
    internal: false,
    four_octet_as: true,
    families: FamilySet::ALL,
    extended_messages: false,
    extended_next_hop: false,
    add_path: false,
    role: None,
};
/// The same within the AS.
pub const IBGP: Session = Session {
    internal: true,
    ..EBGP
};
/// External, two-octet AS numbers.
pub const TWO_OCTET: Session = Session {
    four_octet_as: false,
    ..EBGP
};
/// External, messages up to 65535 octets.
pub const EXTENDED: Session = Session {
    extended_messages: true,
    ..EBGP
};
/// External, several paths for a prefix.
pub const ADD_PATH: Session = Session {
    add_path: true,
    ..EBGP
};
/// External, IPv4 routes may have IPv6 next hops.
pub const NEXT_HOP_6: Session = Session {
    extended_next_hop: true,
    ..EBGP
};

impl Session {
    /// External, with this one family.
    pub fn only(family: Family) -> Self {
        Self {
            families: FamilySet::from_iter([family]),
            ..EBGP
        }
    }

    /// The codec of the speaker under test.
    pub fn codec(&self) -> Codec {
        let when = |set: bool, families: FamilySet| if set { families } else { FamilySet::EMPTY };
        Codec {
            four_octet_as: self.four_octet_as,
            ebgp: !self.internal,
            extended_messages: self.extended_messages,
            families: self.families,
            add_path_receive: when(self.add_path, self.families),
            extended_next_hop: when(
                self.extended_next_hop,
                FamilySet::from_iter([Family::Ipv4Unicast]),
            ),
            ..Codec::default()
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.internal { "iBGP" } else { "eBGP" })?;
        let families: Vec<String> = self.families.iter().map(|f| f.to_string()).collect();
        if self.families != FamilySet::ALL {
            write!(f, ", {} only", families.join(" "))?;
        }
        for (set, text) in [
            (!self.four_octet_as, "2-octet AS"),
            (self.extended_messages, "extended messages"),
            (self.extended_next_hop, "extended next hop"),
            (self.add_path, "add-path"),
        ] {
            if set {
                write!(f, ", {text}")?;
            }
        }
        if let Some(LocalRole { role, strict }) = self.role {
            let strict = if strict { ", strict" } else { "" };
            write!(f, ", we are {role}{strict}")?;
        }
        Ok(())
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is wrong, in kebab-case; unique.
    pub name: String,
    /// The RFC section or the incident that it stands for.
    pub source: &'static str,
    /// What was negotiated.
    pub session: Session,
    /// When it is sent.
    pub stage: Stage,
    /// The message.
    pub octets: Vec<u8>,
    /// The family of the route that it is about.
    pub family: Family,
    /// What the speaker has to do.
    pub expected: Expected,
    /// What the codec alone says, where that is less: state and configuration are not its business.
    pub codec: Expected,
}

impl Case {
    /// A case about the IPv4 route on an external session.
    pub fn new(
        name: impl Into<String>,
        source: &'static str,
        octets: impl Into<Vec<u8>>,
        expected: Expected,
    ) -> Self {
        Self {
            name: name.into(),
            source,
            session: EBGP,
            stage: Stage::Established,
            octets: octets.into(),
            family: Family::Ipv4Unicast,
            expected,
            codec: if expected == Expected::Refuse {
                Expected::Accept
            } else {
                expected
            },
        }
    }

    /// On another session.
    #[must_use]
    pub fn on(mut self, session: Session) -> Self {
        self.session = session;
        self
    }

    /// With more octets right behind the message.
    #[must_use]
    pub fn followed_by(mut self, octets: &[u8]) -> Self {
        self.octets.extend(octets);
        self
    }

    /// About the IPv6 route.
    #[must_use]
    pub fn v6(mut self) -> Self {
        self.family = Family::Ipv6Unicast;
        self
    }

    /// As the first message of the connection.
    #[must_use]
    pub fn first(mut self) -> Self {
        self.stage = Stage::First;
        self
    }

    /// The codec alone makes this of it.
    #[must_use]
    pub fn codec_says(mut self, codec: Expected) -> Self {
        self.codec = codec;
        self
    }
}

/// The whole table.
pub fn table() -> Vec<Case> {
    [
        header::cases(),
        open::cases(),
        notification::cases(),
        update::cases(),
        attributes::cases(),
        optional::cases(),
        multiprotocol::cases(),
        role::cases(),
        incidents::cases(),
    ]
    .concat()
}

/// What framer and codec make of a case, with the octets arriving in portions of `portion`.
pub fn codec_outcome(case: &Case, portion: usize) -> Result<Expected, String> {
    let mut framer = Framer::new();
    framer.set_extended(case.session.extended_messages && case.stage == Stage::Established);
    let codec = match case.stage {
        Stage::First => Codec::default(),
        Stage::Established => case.session.codec(),
    };
    for octets in case.octets.chunks(portion.max(1)) {
        framer.push(octets);
        match framer.next() {
            Ok(None) => {}
            Ok(Some(message)) => return Ok(judge(case, codec.decode(&message))),
            Err(notification) => return Ok(judge(case, Err(notification))),
        }
    }
    Err("the framer waits for more octets".to_owned())
}

fn judge(case: &Case, decoded: Result<Message, Notification>) -> Expected {
    match decoded {
        Err(notification) => Expected::Reset(notification.code.code(), notification.code.subcode()),
        Ok(Message::Open(_)) => Expected::Accept,
        Ok(Message::Notification(_)) => Expected::End,
        Ok(Message::Keepalive | Message::RouteRefresh(_)) => Expected::Ignore,
        Ok(Message::Update(update)) => judge_update(case.family, &update),
    }
}

fn judge_update(family: Family, update: &Update) -> Expected {
    let route = route(family);
    let holds = |nlri: &redstart_bgp::types::NlriSet| nlri.iter().any(|n| n.prefix == route);
    if update.reach.iter().any(|reach| holds(&reach.nlri)) {
        return match update
            .faults
            .iter()
            .find(|f| f.disposition == Disposition::DiscardAttribute && f.code != 0)
        {
            Some(fault) => Expected::DiscardAttribute(fault.code),
            None => Expected::Accept,
        };
    }
    if update.unreach.iter().any(holds) {
        Expected::Withdraw
    } else {
        Expected::Ignore
    }
}

/// The route that the cases of a family are about.
pub fn route(family: Family) -> redstart_bgp::types::Prefix {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let (addr, len) = match family {
        Family::Ipv4Unicast => (Ipv4Addr::new(10, 9, 0, 0).into(), 24),
        Family::Ipv6Unicast => (Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0).into(), 48),
    };
    redstart_bgp::types::Prefix::new(addr, len).unwrap_or_else(|| unreachable!("lengths are right"))
}
