//! All cases against the speaker, and the verdict on each.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use redstart_bgp::{types::Family, wire::Message};
use redstart_controller::control::views;
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinHandle, time::interval};

use super::{
    super::{Case, Expected, GOOD_MED, Stage, route, table},
    BYSTANDER, address,
    bystander::{self, announces},
    node,
    peer::{Arrived, Connection, good_routes, sentinel},
    socket,
};
use crate::lab::{netns::stdout_of, requirements::Binaries, wait};

/// How long the speaker may take to come to a verdict.
const BOUND: Duration = Duration::from_secs(20);

/// Where the run stands; the peers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Gather,
    Send,
    Finish,
}

/// What a scripted peer saw after its case.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Code and subcode.
    notification: Option<(u8, u8)>,
    /// The connection ended before the run did.
    closed: bool,
    /// What should not have happened.
    trouble: Option<String>,
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases that ran.
    pub ran: usize,
    /// The UPDATEs that the bystander was sent.
    pub passed_on: Vec<Bytes>,
    /// What was not as the table says.
    pub wrong: Vec<String>,
}

/// Runs the whole table. To be called in the namespace of the peers.
pub fn run(binaries: &Binaries) -> Result<Report> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(run_all(binaries))
}

async fn run_all(binaries: &Binaries) -> Result<Report> {
    let cases: Arc<[Case]> = table().into();
    let (phase, follow) = watch::channel(Phase::Gather);
    let heard = bystander::Shared::default();
    let bystander = tokio::spawn(bystander::stand_by(Arc::clone(&heard), follow.clone()));
    let ready = Arc::new(Mutex::new(0_usize));
    let peers: Vec<JoinHandle<Seen>> = (0..cases.len())
        .map(|index| {
            let (cases, follow, ready) = (Arc::clone(&cases), follow.clone(), Arc::clone(&ready));
            tokio::spawn(async move {
                let mut seen = Seen::default();
                let result = match cases.get(index) {
                    Some(case) => play(index, case, follow, &ready, &mut seen).await,
                    None => Ok(()),
                };
                if let Err(error) = result {
                    seen.trouble = Some(format!("{error:#}"));
                }
                seen
            })
        })
        .collect();
    gather(binaries, &cases, &ready, &heard).await?;
    let kernel_before = kernel_routes()?;
    phase.send_replace(Phase::Send);
    let settled = wait_until("cases are settled", || settled(binaries, &cases, &peers)).await;
    let told = wait_until("the bystander knows what became of the cases", || {
        ask_bystander(&heard, |heard| heard.knows_the_outcome(&cases))
    })
    .await;
    let tables = Tables::read(binaries)?;
    // With the last of what follows the bystander goes, and its route with it.
    let kernel = [kernel_before, kernel_routes()?];
    let mut report = Report::default();
    if let Ok(mut heard) = heard.lock() {
        report.passed_on = std::mem::take(&mut heard.updates);
    }
    phase.send_replace(Phase::Finish);
    for (case, peer) in cases.iter().zip(peers) {
        let seen = peer.await.context("a scripted peer panicked")?;
        report.judge(case, &seen, &tables);
    }
    for error in [settled.err(), told.err()].into_iter().flatten() {
        report.wrong.push(format!("{error:#}"));
    }
    let stood = bystander.await.context("the bystander panicked")?;
    report.judge_bystander(stood, &tables, &kernel);
    Ok(report)
}

/// Waits until every peer is there, and its good routes are with the speaker and with the bystander.
async fn gather(
    binaries: &Binaries,
    cases: &[Case],
    ready: &Mutex<usize>,
    heard: &bystander::Shared,
) -> Result<()> {
    wait_until("peers are established", || {
        let count = ready.lock().map_or(0, |count| *count);
        if count == cases.len() {
            Ok(())
        } else {
            bail!("{count} of {}", cases.len())
        }
    })
    .await?;
    wait_until("good routes are in the table", || {
        good_routes_are_there(binaries, cases)
    })
    .await?;
    wait_until("the bystander has the good routes", || {
        ask_bystander(heard, |heard| heard.knows_the_good_routes(cases))
    })
    .await
}

fn ask_bystander(
    heard: &bystander::Shared,
    question: impl FnOnce(&bystander::Heard) -> Result<()>,
) -> Result<()> {
    question(&*heard.lock().ok().context("the bystander panicked")?)
}

/// Plays the peer of one case.
async fn play(
    index: usize,
    case: &Case,
    mut follow: watch::Receiver<Phase>,
    ready: &Mutex<usize>,
    seen: &mut Seen,
) -> Result<()> {
    let local = address(index)?;
    let connected = async {
        let mut connection = Connection::open(local).await?;
        if case.stage == Stage::Established {
            connection.establish(case.session, local).await?;
            let tag = bystander::tag(index)?;
            connection.send(&good_routes(case.session, &tag)).await?;
        }
        anyhow::Ok(connection)
    }
    .await;
    if let Ok(mut count) = ready.lock() {
        *count += 1;
    }
    let mut connection = connected?;
    keep_up(
        &mut connection,
        &mut follow,
        Phase::Send,
        seen,
        case.stage == Stage::Established,
    )
    .await?;
    if seen.closed || seen.notification.is_some() {
        bail!("the session ended before the case");
    }
    connection.send(&case.octets).await?;
    let survives = !matches!(case.expected, Expected::Reset(..) | Expected::End);
    match case.stage {
        Stage::Established if survives => connection.send(&sentinel(case.session)).await?,
        Stage::First if survives => {
            connection.keepalive().await?;
        }
        _ => {}
    }
    keep_up(&mut connection, &mut follow, Phase::Finish, seen, survives).await
}

/// Reads what comes, and sends KEEPALIVEs, until the run is at `until` or the connection has ended.
async fn keep_up(
    connection: &mut Connection,
    follow: &mut watch::Receiver<Phase>,
    until: Phase,
    seen: &mut Seen,
    established: bool,
) -> Result<()> {
    let mut tick = interval(Duration::from_millis(800));
    loop {
        tokio::select! {
            reached = reach(follow, until) => return reached,
            arrived = connection.next() => match arrived? {
                Arrived::Closed => {
                    seen.closed = true;
                    return Ok(());
                }
                Arrived::Message(Message::Notification(n)) => {
                    seen.notification = Some((n.code.code(), n.code.subcode()));
                }
                Arrived::Message(_) => {}
            },
            _ = tick.tick(), if established => connection.keepalive().await?,
        }
    }
}

pub(super) async fn reach(follow: &mut watch::Receiver<Phase>, until: Phase) -> Result<()> {
    let reached = follow.wait_for(|phase| *phase >= until).await;
    reached.map(drop).context("the run ended early")
}

/// Asks `probe` until it succeeds, without blocking the scripted peers.
async fn wait_until(what: &str, probe: impl FnMut() -> Result<()>) -> Result<()> {
    tokio::task::block_in_place(|| wait::until(what, BOUND, probe)).map(drop)
}

/// Asks the speaker.
fn ask<T: DeserializeOwned>(binaries: &Binaries, words: &[&str]) -> Result<T> {
    let mut command = Command::new(binaries.path("redc"));
    command
        .arg("-s")
        .arg(socket())
        .args(["-o", "json"])
        .args(words);
    let answer = stdout_of(&mut command)?;
    serde_json::from_str(&answer).with_context(|| format!("redc answered {answer:.400}"))
}

/// `show protocols`, by name.
pub(super) fn protocols(binaries: &Binaries) -> Result<BTreeMap<String, views::Protocol>> {
    let list: Vec<views::Protocol> = ask(binaries, &["show", "protocols"])?;
    Ok(list.into_iter().map(|p| (p.name.clone(), p)).collect())
}

/// The paths to a prefix, by peer.
fn paths(binaries: &Binaries, prefix: &str) -> Result<BTreeMap<String, views::Path>> {
    let mut command = Command::new(binaries.path("redc"));
    command.arg("-s").arg(socket());
    command.args(["-o", "json", "show", "route", prefix]);
    // A prefix without any path is not there at all: no error of this run.
    let output = command.output()?;
    let routes: Vec<views::Route> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let paths = routes.into_iter().flat_map(|route| route.paths);
    Ok(paths.map(|path| (path.from.clone(), path)).collect())
}

/// What the speaker's tables hold.
struct Tables {
    v4: BTreeMap<String, views::Path>,
    v6: BTreeMap<String, views::Path>,
    protocols: BTreeMap<String, views::Protocol>,
}

impl Tables {
    fn read(binaries: &Binaries) -> Result<Self> {
        Ok(Self {
            v4: paths(binaries, &route(Family::Ipv4Unicast).to_string())?,
            v6: paths(binaries, &route(Family::Ipv6Unicast).to_string())?,
            protocols: protocols(binaries)?,
        })
    }

    fn path(&self, case: &Case) -> Option<&views::Path> {
        match case.family {
            Family::Ipv4Unicast => self.v4.get(&case.name),
            Family::Ipv6Unicast => self.v6.get(&case.name),
        }
    }
}

/// Every established peer that the speaker could have a session with has its routes in the table.
fn good_routes_are_there(binaries: &Binaries, cases: &[Case]) -> Result<()> {
    let tables = Tables::read(binaries)?;
    let up = |case: &&Case| {
        let peer = tables.protocols.get(&case.name);
        peer.is_some_and(|peer| peer.state == "Established")
    };
    for (family, paths) in [
        (Family::Ipv4Unicast, &tables.v4),
        (Family::Ipv6Unicast, &tables.v6),
    ] {
        let announced = cases
            .iter()
            .filter(|case| announces(case, family))
            .filter(up);
        for case in announced {
            if !paths.contains_key(&case.name) {
                bail!("nothing of {} for {family}", case.name);
            }
        }
    }
    if tables.v4.contains_key(BYSTANDER.0) {
        Ok(())
    } else {
        bail!("nothing of the bystander")
    }
}

/// Every surviving session has shown its sentinel, and every other one has ended.
fn settled(binaries: &Binaries, cases: &[Case], peers: &[JoinHandle<Seen>]) -> Result<()> {
    let v4 = paths(binaries, "10.8.0.0/24")?;
    let v6 = paths(binaries, "2001:db8:8::/48")?;
    let protocols = protocols(binaries)?;
    for (case, peer) in cases.iter().zip(peers) {
        // A peer that has ended has seen all that it will see.
        if peer.is_finished() {
            continue;
        }
        let state = protocols.get(&case.name).map(|p| p.state.as_str());
        let up = state == Some("Established");
        let there = match (case.expected, case.stage) {
            (Expected::Reset(..) | Expected::End, _) => !up,
            (_, Stage::First) => up,
            _ => v4.contains_key(&case.name) || v6.contains_key(&case.name),
        };
        if !there {
            bail!("{} is {state:?}", case.name);
        }
    }
    Ok(())
}

impl Report {
    fn judge(&mut self, case: &Case, seen: &Seen, tables: &Tables) {
        self.ran += 1;
        if let Err(complaint) = verdict(case, seen, tables) {
            let expected = case.expected;
            self.wrong.push(format!(
                "{} ({}): expected {expected}, but {complaint:#}",
                case.name, case.source
            ));
        }
    }

    fn judge_bystander(
        &mut self,
        stood: Result<()>,
        tables: &Tables,
        [before, after]: &[String; 2],
    ) {
        let mut complain = |what: String| self.wrong.push(format!("bystander: {what}"));
        if let Err(error) = stood {
            complain(format!("{error:#}"));
        }
        match tables.protocols.get(BYSTANDER.0) {
            Some(peer) if peer.state == "Established" && peer.established_count == 1 => {}
            other => complain(format!("{other:?}")),
        }
        if !tables.v4.contains_key(BYSTANDER.0) {
            complain("its route to the cases' prefix is gone".to_owned());
        }
        if after != before || !after.contains("10.99.0.200") {
            complain(format!("the kernel had {before:?} and has {after:?}"));
        }
    }
}

/// The bystander's own route as the kernel has it.
fn kernel_routes() -> Result<String> {
    node().output("ip", &["-4", "route", "show", "10.50.0.0/24"])
}

fn verdict(case: &Case, seen: &Seen, tables: &Tables) -> Result<()> {
    if let Some(trouble) = &seen.trouble {
        bail!("{trouble} (got {:?})", seen.notification);
    }
    let state = tables.protocols.get(&case.name).map(|p| p.state.as_str());
    match case.expected {
        Expected::Reset(code, subcode) => match seen.notification {
            Some(got) if got == (code, subcode) => flushed(case, tables),
            Some((code, subcode)) => bail!("it was told {code}/{subcode}"),
            None => bail!("it was told nothing (closed: {}, {state:?})", seen.closed),
        },
        Expected::End => match seen.notification {
            None if seen.closed => flushed(case, tables),
            None => bail!("the session goes on"),
            Some((code, subcode)) => bail!("it was told {code}/{subcode}"),
        },
        _ if seen.closed || state != Some("Established") => {
            bail!("needless reset {:?} ({state:?})", seen.notification)
        }
        _ if case.stage == Stage::First => Ok(()),
        expected => route_verdict(expected, tables.path(case), case),
    }
}

/// A session that has ended, with a peer that does not restart gracefully, leaves no route; and what
/// the peer said last is fit for a terminal.
fn flushed(case: &Case, tables: &Tables) -> Result<()> {
    if tables.v4.contains_key(&case.name) || tables.v6.contains_key(&case.name) {
        bail!("its routes outlive the session");
    }
    let protocol = tables.protocols.get(&case.name);
    let said = protocol.and_then(|p| p.last_error.as_deref());
    match said {
        None => bail!("nothing says why the session ended"),
        Some(text) if text.chars().any(char::is_control) => bail!("control characters in {text:?}"),
        Some(_) => Ok(()),
    }
}

fn route_verdict(expected: Expected, path: Option<&views::Path>, case: &Case) -> Result<()> {
    let Some(path) = path else {
        // A session without the family never had the route.
        let had = case.session.families.contains(case.family);
        return match expected {
            Expected::Withdraw => Ok(()),
            Expected::Ignore if !had => Ok(()),
            _ => bail!("the route is gone"),
        };
    };
    let old = path.med == Some(GOOD_MED);
    let refused = path
        .not_best
        .as_deref()
        .filter(|why| why.starts_with("refused-"));
    match (expected, refused) {
        (Expected::Ignore, None) if old => Ok(()),
        (Expected::Accept | Expected::DiscardAttribute(_), None) if !old => Ok(()),
        (Expected::Refuse, Some(_)) if !old => Ok(()),
        _ => bail!("the route stays (the old one: {old}, {refused:?})"),
    }
}
