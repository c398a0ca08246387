//! The bystander: another peer of the speaker, which is told every path that the speaker takes.
//!
//! The node is a transit for it and sends it all paths of a prefix (RFC 7911). The proper announcements
//! of each case carry a community of their own, a *tag*; no case carries one. So the bystander's table
//! shows of every case whether its route is still the proper one. Before the cases it must hold the
//! tags of all of them, which is the proof that it would see the rest; after them just those that the
//! table of cases leaves in place, and beside them a route for each one that was taken instead.
//!
//! What it is sent has passed through the speaker. It must be free of faults to our decoder, and the
//! test gives the octets to another one too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use redstart_bgp::{
    types::{Community, Family, FamilySet, NlriSet, PathAttributes, Prefix},
    wire::{Codec, Message, Update},
};
use tokio::{sync::watch, time::interval};

use super::{
    super::{
        Case, EBGP, Expected, ROUTE_V4, ROUTE_V6, Stage,
        build::{self, capabilities, capability, message, nothing},
        route,
    },
    BYSTANDER, BYSTANDER_AS,
    peer::{Arrived, Connection, classic},
    run::{Phase, reach},
};

/// 10.50.0.0/24: the bystander's own route.
const OWN_ROUTE: &[u8] = &[24, 10, 50, 0];
/// The high half of the tags.
const TAGS: u16 = 64_601;

/// The tag of the case with this number, as a COMMUNITIES attribute.
pub(super) fn tag(index: usize) -> Result<Vec<u8>> {
    let community = Community::new(TAGS, u16::try_from(index)?);
    Ok(build::attr(0xc0, 8, &community.0.to_be_bytes()))
}

/// The case whose tag is on a route.
fn tagged(attrs: &PathAttributes) -> Option<usize> {
    attrs.communities.iter().find_map(|community| {
        let [a, b, c, d] = community.0.to_be_bytes();
        let number = usize::from(u16::from_be_bytes([c, d]));
        (u16::from_be_bytes([a, b]) == TAGS).then_some(number)
    })
}

/// What it was told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Its table: every path, by prefix and path identifier.
    routes: BTreeMap<(Prefix, u32), Arc<PathAttributes>>,
    /// Every UPDATE, as it came.
    pub(super) updates: Vec<Bytes>,
    /// What it should not have been told.
    complaints: Vec<String>,
}

/// It, shared with the run.
pub(super) type Shared = Arc<Mutex<Heard>>;

impl Heard {
    fn take(&mut self, octets: &[u8], update: Update) {
        self.updates.push(Bytes::copy_from_slice(octets));
        if !update.faults.is_empty() {
            let faults = &update.faults;
            self.complaints.push(format!("{faults:?} in {octets:02x?}"));
        }
        for nlri in update.unreach.iter().flat_map(NlriSet::iter) {
            self.routes.remove(&(nlri.prefix, nlri.path_id.0));
        }
        for reach in update.reach {
            for nlri in reach.nlri.iter() {
                let key = (nlri.prefix, nlri.path_id.0);
                self.routes.insert(key, Arc::clone(&reach.attrs));
            }
        }
    }

    /// The tags on the paths to the cases' prefix, and how many paths have none.
    fn paths(&self, family: Family) -> (BTreeSet<usize>, usize) {
        let prefix = route(family);
        let paths = self.routes.iter().filter(|((p, _), _)| *p == prefix);
        let tags: Vec<Option<usize>> = paths.map(|(_, attrs)| tagged(attrs)).collect();
        let others = tags.iter().filter(|tag| tag.is_none()).count();
        (tags.into_iter().flatten().collect(), others)
    }

    /// Whether the proper routes of all cases have reached it.
    pub(super) fn knows_the_good_routes(&self, cases: &[Case]) -> Result<()> {
        for family in Family::ALL {
            let expected = numbers(cases, |case| announces(case, family));
            compare(cases, family, &expected, &self.paths(family).0)?;
        }
        Ok(())
    }

    /// Whether it knows what became of all cases, and nothing else.
    pub(super) fn knows_the_outcome(&self, cases: &[Case]) -> Result<()> {
        let mut complaints = self.complaints.clone();
        for family in Family::ALL {
            let (tags, others) = self.paths(family);
            let expected = numbers(cases, |case| keeps(case, family));
            if let Err(error) = compare(cases, family, &expected, &tags) {
                complaints.push(error.to_string());
            }
            let taken = numbers(cases, |case| passes(case, family)).len();
            if others != taken {
                complaints.push(format!(
                    "{others} paths for {family} in place of proper ones, not {taken}"
                ));
            }
        }
        if complaints.is_empty() {
            return Ok(());
        }
        bail!("{}", complaints.join("; "))
    }
}

fn numbers(cases: &[Case], which: impl Fn(&Case) -> bool) -> BTreeSet<usize> {
    let numbered = cases.iter().enumerate().filter(|(_, case)| which(case));
    numbered.map(|(number, _)| number).collect()
}

fn compare(
    cases: &[Case],
    family: Family,
    expected: &BTreeSet<usize>,
    got: &BTreeSet<usize>,
) -> Result<()> {
    let names = |numbers: Vec<&usize>| -> Vec<String> {
        let cases = numbers.into_iter().filter_map(|number| cases.get(*number));
        cases.map(|case| case.name.clone()).collect()
    };
    let lacks = names(expected.difference(got).collect());
    let has = names(got.difference(expected).collect());
    if lacks.is_empty() && has.is_empty() {
        return Ok(());
    }
    bail!("{family}: lacks the proper route of {lacks:?}, still has that of {has:?}");
}

/// Whether the case announces a proper route of this family.
pub(super) fn announces(case: &Case, family: Family) -> bool {
    case.stage == Stage::Established && case.session.families.contains(family)
}

/// Whether the proper route of this family outlives the case.
fn keeps(case: &Case, family: Family) -> bool {
    announces(case, family)
        && match case.expected {
            Expected::Reset(..) | Expected::End => false,
            Expected::Ignore => true,
            Expected::Withdraw
            | Expected::DiscardAttribute(_)
            | Expected::Accept
            | Expected::Refuse => !is_about(case, family),
        }
}

/// Whether the message is about the route of this family; some name both.
fn is_about(case: &Case, family: Family) -> bool {
    let route = match family {
        Family::Ipv4Unicast => ROUTE_V4,
        Family::Ipv6Unicast => ROUTE_V6,
    };
    let mut windows = case.octets.windows(route.len());
    family == case.family || windows.any(|window| window == route)
}

/// Whether another route takes its place and goes on to the bystander.
fn passes(case: &Case, family: Family) -> bool {
    announces(case, family)
        && is_about(case, family)
        && matches!(
            case.expected,
            Expected::Accept | Expected::DiscardAttribute(_)
        )
        && !NOT_PASSED_ON.iter().any(|(name, _)| *name == case.name)
}

/// Cases whose route is taken and goes to no neighbour like the bystander, and why.
const NOT_PASSED_ON: &[(&str, &str)] = &[
    ("extended-update-5000", TOO_LONG),
    ("extended-update-65535", TOO_LONG),
    ("update-of-5000-from-who-did-not-offer", TOO_LONG),
    ("update-of-4096", TOO_LONG),
    ("as-path-of-1900-two-octet", TOO_LONG),
    ("as-path-of-2100", TOO_LONG),
    ("as-path-of-15000", TOO_LONG),
    ("as-path-of-2000-segments", TOO_LONG),
    ("mp-next-hop-link-local-alone", NO_LINK),
    ("mp-next-hop-unspecified-and-link-local", NO_LINK),
];

const TOO_LONG: &str = "its attributes and our AS do not fit into 4096 octets";
const NO_LINK: &str = "the session is over IPv4: nothing says which link the address is on";

/// An OPEN that offers to take several paths.
fn open() -> Vec<u8> {
    let mut list = Vec::new();
    for family in Family::ALL {
        let [hi, lo] = family.afi().to_be_bytes();
        list.extend(capability(1, &[hi, lo, 0, family.safi()]));
        list.extend(capability(69, &[hi, lo, family.safi(), 1]));
    }
    list.extend(capability(65, &u32::from(BYSTANDER_AS).to_be_bytes()));
    let mut body = vec![4];
    body.extend(BYSTANDER_AS.to_be_bytes());
    body.extend(90_u16.to_be_bytes());
    body.extend(BYSTANDER.1);
    body.extend(capabilities(&list));
    message(build::OPEN, &body)
}

/// Announces routes of its own, and listens until the run is over.
pub(super) async fn stand_by(heard: Shared, mut follow: watch::Receiver<Phase>) -> Result<()> {
    let mut connection = Connection::open(BYSTANDER.1).await?;
    connection.send(&open()).await?;
    connection.read_open().await?;
    connection.confirm().await?;
    connection.read_as(Codec {
        add_path_receive: FamilySet::ALL,
        ..EBGP.codec()
    });
    let path = build::as_sequence(EBGP, &[BYSTANDER_AS.into()]);
    for nlri in [ROUTE_V4, OWN_ROUTE] {
        let route = classic(EBGP, nlri).set(build::attr(0x40, 2, &path));
        connection.send(&route.message()).await?;
    }
    connection.send(&nothing(EBGP).message()).await?;
    let mut tick = interval(Duration::from_millis(800));
    loop {
        tokio::select! {
            reached = reach(&mut follow, Phase::Finish) => return reached,
            arrived = connection.next() => match arrived? {
                Arrived::Message(Message::Keepalive) => {}
                Arrived::Message(Message::Update(update)) => {
                    let mut heard = heard.lock().ok().context("poisoned")?;
                    heard.take(connection.octets(), update);
                }
                Arrived::Message(other) => bail!("it was told {other:?}"),
                Arrived::Closed => bail!("its session ended"),
            },
            _ = tick.tick() => connection.keepalive().await?,
        }
    }
}
