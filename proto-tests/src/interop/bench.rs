//! One scene on its way: both sides at a site, and what came out so far.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{
    feature::{Feature, Outcome},
    limits,
    ours::Ours,
    programs::Programs,
    session::{Extra, Session, our_prefix, their_address, their_prefix},
    site::Site,
    subject::{Heard, Implementation, Subject},
    third,
};
use crate::lab::{
    kernel,
    process::{Process, Signal},
    requirements::Binaries,
    topology::Family,
    wait,
};

/// How long a session may take to come up, GoBGP's pause before it dials included, on a machine that
/// is busy.
pub(super) const UP: Duration = Duration::from_secs(25);
/// How long anything that follows from a message may take.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Both sides, and the rows that have been filled in.
#[derive(Debug)]
pub struct Bench {
    /// Redstart.
    pub ours: Ours,
    /// The other side.
    pub theirs: Box<dyn Subject>,
    /// Which other side.
    pub kind: Implementation,
    third: Option<Process>,
    router: Option<Process>,
    binaries: Binaries,
    /// What came out.
    pub rows: Vec<(Feature, Outcome)>,
    /// Last, because it takes everything down when it is dropped.
    pub site: Site,
}

impl Bench {
    /// A site for this scene, with nothing running.
    pub fn new(
        scene: &str,
        kind: Implementation,
        binaries: &Binaries,
        programs: &Programs,
    ) -> Result<Self> {
        let site = Site::new(&format!("ix-{scene}-{}", kind.word()), programs)?;
        Ok(Self {
            ours: Ours::at(&site, binaries),
            theirs: kind.subject(&site),
            kind,
            rows: Vec::new(),
            third: None,
            router: None,
            binaries: binaries.clone(),
            site,
        })
    }

    /// What is known of a row without trying.
    pub fn limit(&self, feature: Feature) -> Option<Outcome> {
        limits::known(feature, self.kind, self.site.programs.in_a_root())
    }

    /// Fills in a row by trying, unless it is known that one side cannot.
    pub fn row(&mut self, feature: Feature, assert: impl FnOnce(&mut Self) -> Result<()>) {
        let outcome = self.limit(feature).unwrap_or_else(|| match assert(self) {
            Ok(()) => Outcome::Holds,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        });
        self.rows.push((feature, outcome));
    }

    /// Starts both sides, and a third one if there is to be; the one that dials comes last, so that
    /// its first attempt finds the other.
    pub fn start(&mut self, session: &Session) -> Result<()> {
        self.start_each(session, session)
    }

    /// The same, with each side told something else.
    pub fn start_each(&mut self, ours: &Session, theirs: &Session) -> Result<()> {
        if let Some(third) = ours.third {
            self.site.add_third()?;
            self.third = Some(third::start(&self.site, &self.binaries, third, ours)?);
        }
        if ours.extra == Some(Extra::Unnumbered) {
            self.site.take_addresses()?;
        }
        self.ours.configure(ours)?;
        self.ours.start(&self.site)?;
        if ours.extra == Some(Extra::Unnumbered) && !self.kind.advertises_itself() {
            self.router = Some(self.site.advertise_router()?);
            self.site.known_there(&ours.our_address())?;
        }
        self.theirs.configure(theirs)?;
        self.theirs
            .side()
            .daemon()?
            .exited()?
            .map_or(Ok(()), |status| bail!("it ended: {status}"))
    }

    /// Ends their daemon like a crash would, and starts one for another session.
    pub fn replace_theirs(&mut self, session: &Session) -> Result<()> {
        self.theirs.kill()?;
        self.theirs.configure(session)
    }

    /// Waits until both sides show the session.
    pub fn up(&self) -> Result<()> {
        wait::until("session is up on both sides", UP, || {
            let up = self.ours.established().map(drop);
            up.and_then(|()| self.theirs.established())
                .or_else(|error| self.theirs.hurry().and(Err(error)))
        })
        .map(drop)
    }

    /// Waits until Redstart shows no session.
    pub fn down(&self, bound: Duration) -> Result<String> {
        let (error, _) = wait::until("redc shows that the session is down", bound, || {
            let protocol = self.ours.protocol()?;
            if protocol.state == "Established" {
                bail!("Established");
            }
            protocol.last_error.context("no reason shown")
        })?;
        Ok(error)
    }

    /// Waits until they have our prefix.
    pub fn heard(&self, family: Family) -> Result<Heard> {
        let prefix = our_prefix(family);
        let what = format!("{prefix} arrives there");
        let (heard, _) = wait::until(&what, SOON, || {
            self.theirs.heard(family, prefix)?.context("not there")
        })?;
        Ok(heard)
    }

    /// Waits until they do not have our prefix any more.
    pub fn unheard(&self, family: Family) -> Result<()> {
        let prefix = our_prefix(family);
        wait::until(&format!("{prefix} is gone there"), SOON, || {
            match self.theirs.heard(family, prefix)? {
                None => Ok(()),
                Some(heard) => bail!("{heard:?}"),
            }
        })
        .map(drop)
    }

    /// Waits until our kernel forwards their prefix to them.
    pub fn installed(&self, family: Family) -> Result<()> {
        wait::until("their prefix is in the kernel", SOON, || {
            self.in_kernel(family)
        })
        .map(drop)
    }

    /// Whether our kernel forwards their prefix to them, now.
    pub fn in_kernel(&self, family: Family) -> Result<()> {
        self.leads_to(family, &their_address(family))
    }

    /// Whether our kernel forwards their prefix to this address and to no other, now.
    pub fn leads_to(&self, family: Family, next_hop: &IpAddr) -> Result<()> {
        let prefix = their_prefix(family);
        let routes = kernel::routes_to(&self.site.us, family, prefix)?;
        let hops: Vec<_> = routes.iter().flat_map(|route| &route.next_hops).collect();
        if hops != [next_hop] {
            bail!("{prefix} leads to {hops:?}");
        }
        Ok(())
    }

    /// Waits until our kernel has lost their prefix.
    pub fn uninstalled(&self, family: Family) -> Result<()> {
        let prefix = their_prefix(family);
        wait::until(&format!("{prefix} leaves the kernel"), SOON, || {
            let routes = kernel::routes_to(&self.site.us, family, prefix)?;
            if !routes.is_empty() {
                bail!("{routes:?}");
            }
            Ok(())
        })
        .map(drop)
    }

    /// Announces their prefix, and waits for it in our kernel.
    pub fn exchange(&mut self, family: Family) -> Result<()> {
        self.theirs.announce(family)?;
        self.heard(family)?;
        self.installed(family)
    }

    /// Waits until Redstart shows no session, and maybe, in a listen range, no neighbour either.
    pub fn gone(&self) -> Result<()> {
        wait::until("the session is gone", UP, || {
            match self.ours.established() {
                Ok(_) => bail!("Established"),
                Err(_) => Ok(()),
            }
        })
        .map(drop)
    }

    /// Fails unless Redstart shows any of these as the reason why there is no session, and there is
    /// none.
    pub fn refused(&self, reasons: &[&str]) -> Result<()> {
        wait::until("redc shows why there is no session", UP, || {
            let protocol = self.ours.protocol()?;
            let error = protocol.last_error.unwrap_or_default();
            let received = protocol.last_received.map(|notice| notice.text);
            let shown = format!("{error} {}", received.unwrap_or_default());
            if !reasons.iter().any(|reason| shown.contains(reason)) {
                bail!("redc shows {} {shown}", protocol.state);
            }
            Ok(())
        })?;
        self.stays_down()
    }

    /// Waits until the other side shows no session.
    pub fn down_there(&self) -> Result<()> {
        wait::until("they notice", UP, || match self.theirs.established() {
            Err(_) => Ok(()),
            Ok(()) => bail!("still Established"),
        })
        .map(drop)
    }

    /// Fails unless they say any of these, in small letters.
    pub fn they_say(&self, words: &[&str]) -> Result<()> {
        wait::until("they show why", SOON, || {
            let says = self.theirs.says()?.to_lowercase();
            let shown = words.iter().any(|words| says.contains(words));
            if !shown {
                bail!("nothing of {words:?}");
            }
            Ok(())
        })
        .map(drop)
    }

    /// No session, for several of the dialling side's attempts.
    pub fn stays_down(&self) -> Result<()> {
        wait::holds("no session", Duration::from_secs(3), || {
            match self.ours.established() {
                Ok(_) => bail!("Established"),
                Err(_) => Ok(()),
            }
        })
    }

    /// Lets the other side do nothing until `then` has been tried.
    pub fn while_paused(&mut self, then: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.theirs.signal(Signal::Pause)?;
        let result = then(self);
        self.theirs.signal(Signal::Resume)?;
        result
    }
}
