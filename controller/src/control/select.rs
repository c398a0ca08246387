//! Which routes a reader asks for: the same choice for `redc`, HTTP and BIRD's clients.
//!
//! A selection says which prefixes to ask the core for, and, of the pages that come back, which
//! paths are left. Where everything is asked for, the core walks its tables in bounded steps, each
//! asked for when the reader has taken what the one before found: nobody ever holds a list of all
//! prefixes. The core knows what can be told at a glance ([`Walk`]); an expensive condition costs the
//! reader's task and nobody else.
//!
//! Destinations come in order as long as there are no more than fit in a step of either family; a
//! larger table comes in the order that it is held in.

use std::net::IpAddr;

use redstart_bgp::types::{Family, Prefix};
use redstart_rib::rib::Cursor;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{PeerPattern, Query, Walk, ask, condition::Condition, pages::Pages, views};

/// Destinations per page: what the core says of one takes longer the more neighbours there are.
const PAGE: usize = 128;

/// Which routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Of this family.
    pub(crate) family: Option<Family>,
    /// To these destinations.
    pub(crate) net: Net,
    /// From this source.
    pub(crate) from: Option<PeerPattern>,
    /// By whether a neighbour was told.
    pub(crate) told: Option<Told>,
    /// Which of the paths.
    pub(crate) paths: Paths,
    /// Those for which this holds.
    pub(crate) condition: Option<Condition>,
}

/// Destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Net {
    /// Every one.
    #[default]
    All,
    /// Exactly this one.
    Exact(Prefix),
    /// Those that lie in this one, and itself.
    In(Prefix),
    /// The one that an address uses: longest match.
    For(IpAddr),
}

/// Whether a neighbour was told the best path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It was.
    Export(String),
    /// It was not, and does not know it from itself.
    NoExport(String),
}

/// Which paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Paths {
    /// Every one that was not refused.
    #[default]
    Accepted,
    /// Best ones only.
    Primary,
    /// Refused ones only.
    Filtered,
    /// Every one, refused or not.
    All,
}

/// The core did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl Selection {
    /// Whether everything of its family is meant.
    pub(crate) fn is_everything(&self) -> bool {
        self.net == Net::All
            && self.from.is_none()
            && self.told.is_none()
            && self.paths == Paths::Accepted
            && self.condition.is_none()
    }

    /// Leaves what is asked for; `false` if that is nothing.
    pub(crate) fn keep(&self, route: &mut views::Route) -> bool {
        let Ok(prefix) = route.prefix.parse() else {
            return false;
        };
        let told = match &self.told {
            None => true,
            Some(Told::Export(peer)) => route.exported.contains(peer),
            Some(Told::NoExport(peer)) => {
                let own = route.paths.iter().any(|p| p.best && p.from == *peer);
                !own && !route.exported.contains(peer)
            }
        };
        if !told {
            return false;
        }
        let before = route.paths.len();
        route.paths.retain(|path| self.keeps(prefix, path));
        route.paths.len() == before || !route.paths.is_empty()
    }

    fn keeps(&self, prefix: Prefix, path: &views::Path) -> bool {
        let by_state = match self.paths {
            Paths::All => true,
            Paths::Accepted => !path.is_refused(),
            Paths::Primary => path.best,
            Paths::Filtered => path.is_refused(),
        };
        // To a neighbour goes the best path.
        by_state
            && (self.told.is_none() || path.best)
            && self
                .from
                .as_ref()
                .is_none_or(|from| from.matches(&path.from))
            && self
                .condition
                .as_ref()
                .is_none_or(|c| c.holds(prefix, path))
    }

    /// What of it can be told at a glance.
    fn walk(&self, from: Cursor) -> Walk {
        Walk {
            from,
            family: self.family,
            within: match self.net {
                Net::In(within) => Some(within),
                _ => None,
            },
            source: self.from.clone(),
            refused: self.paths == Paths::Filtered,
        }
    }
}

/// The routes of a selection, page by page, each asked for when the reader wants more.
#[derive(Debug)]
pub(crate) struct Routes {
    core: mpsc::Sender<Query>,
    selection: Selection,
    /// Those that are still to ask for.
    pages: Pages,
    /// The answer that there is already.
    at_hand: Option<views::Route>,
}

impl Routes {
    /// Asks the core what cannot wait: nothing that grows with the tables.
    pub(crate) async fn select(
        core: mpsc::Sender<Query>,
        selection: Selection,
    ) -> Result<Self, Busy> {
        let mut at_hand = None;
        let pages = match selection.net {
            Net::Exact(prefix) => Pages::of(vec![prefix]),
            Net::For(addr) => {
                let found = ask(&core, |reply| Query::RouteFor(addr, reply)).await;
                at_hand = found.ok_or(Busy)?;
                Pages::of(Vec::new())
            }
            Net::All | Net::In(_) => Pages::walked(),
        };
        Ok(Self {
            core,
            selection,
            pages,
            at_hand,
        })
    }

    /// The next routes; an empty page is not the end.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<views::Route>>, Busy> {
        let mut page: Vec<views::Route> = match self.at_hand.take() {
            Some(route) => vec![route],
            None => {
                let walk = |from| self.selection.walk(from);
                let Some(wanted) = self.pages.next(&self.core, PAGE, walk).await? else {
                    return Ok(None);
                };
                if wanted.is_empty() {
                    return Ok(Some(Vec::new()));
                }
                let routes = ask(&self.core, |reply| Query::Routes(wanted, reply)).await;
                routes.ok_or(Busy)?
            }
        };
        page.retain_mut(|route| self.selection.keep(route));
        Ok(Some(page))
    }
}

/// How many routes of a selection there are, by family. Where everything is asked for, that is known
/// without looking.
pub(crate) async fn count(
    core: mpsc::Sender<Query>,
    selection: Selection,
) -> Result<Vec<views::Count>, Busy> {
    let tables = ask(&core, Query::Tables).await.ok_or(Busy)?;
    let mut counts: Vec<_> = tables
        .iter()
        .filter(|table| selection.family.is_none_or(|family| family == table.family))
        .map(|table| views::Count {
            family: table.family.to_string(),
            routes: table.paths,
            of: table.paths,
            networks: table.prefixes,
        })
        .collect();
    if selection.is_everything() {
        return Ok(counts);
    }
    for count in &mut counts {
        count.routes = 0;
    }
    let mut found = Routes::select(core, selection).await?;
    while let Some(page) = found.page().await? {
        for route in page {
            let Ok(prefix) = route.prefix.parse::<Prefix>() else {
                continue;
            };
            let family = prefix.family().to_string();
            if let Some(count) = counts.iter_mut().find(|count| count.family == family) {
                count.routes += route.paths.len() as u64;
            }
        }
    }
    Ok(counts)
}
