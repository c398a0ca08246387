//! What an operator asks of a speaker with a full table, how soon it is answered, and what that does to the
//! sessions and to memory.
//!
//! Runs as a process of its own in the neighbours' namespace, and acts one neighbour, which heeds when
//! KEEPALIVEs come. Questions go through `redc`, from its start to the answer, and through the control
//! socket alone.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    keeper::Keeper,
    peer::{Identity, Peer},
    report::median,
    row::Row,
    table::Table,
    usage,
};
use crate::lab::wait;

/// A KEEPALIVE each second.
const HOLD_TIME: u16 = 3;
const PATIENCE: Duration = Duration::from_secs(200);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The slow reader takes so many octets, and rests.
const SIP: usize = 1 << 18;
const REST: Duration = Duration::from_millis(50);

/// What to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Ask {
    /// The speaker's process.
    pub pid: u32,
    /// The speaker's control socket.
    #[arg(long)]
    pub socket: PathBuf,
    /// The program `redc`.
    #[arg(long)]
    pub redc: PathBuf,
    /// How many routes it shall have.
    #[arg(long)]
    pub prefixes: u32,
    /// How often each question is asked.
    #[arg(long)]
    pub times: u32,
}

/// What the session shows of the speaker.
#[derive(Debug, Default)]
struct Pulse {
    over: AtomicBool,
    /// The longest pause between KEEPALIVEs, in nanoseconds.
    pause: AtomicU64,
}

impl Pulse {
    /// The longest pause since this was asked last.
    fn take(&self) -> Duration {
        Duration::from_nanos(self.pause.swap(0, Ordering::Relaxed))
    }
}

/// How much is read of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    FirstLine,
    End,
}

/// Asks everything, and prints a table of it.
pub fn ask(ask: &Ask) -> Result<()> {
    let table = Table::generated(ask.prefixes);
    let identity = *Row::Table
        .as_usual()
        .senders()
        .first()
        .context("no sender")?;
    let identity = Identity {
        hold_time: HOLD_TIME,
        ..identity
    };
    let mut peer = Peer::establish(identity, Duration::from_secs(60), &Keeper::start())?;
    peer.send(&table.announcements(Row::Table.sender(0, identity)))?;
    let pulse = Pulse::default();
    thread::scope(|scope| {
        let beating = scope.spawn(|| beat(&mut peer, &pulse));
        let asked = questions(ask, &table, &pulse);
        pulse.over.store(true, Ordering::Relaxed);
        let beaten = beating.join();
        beaten.map_err(|_| anyhow::anyhow!("the neighbour panicked"))??;
        asked
    })
}

/// Notes how regular KEEPALIVEs are.
fn beat(peer: &mut Peer, pulse: &Pulse) -> Result<()> {
    peer.set_patience(Duration::from_millis(50))?;
    while !pulse.over.load(Ordering::Relaxed) {
        peer.read_some()?;
        let pause = u64::try_from(peer.take_pause().as_nanos()).unwrap_or(u64::MAX);
        pulse.pause.fetch_max(pause, Ordering::Relaxed);
    }
    Ok(())
}

fn questions(ask: &Ask, table: &Table, pulse: &Pulse) -> Result<()> {
    wait::until("every route is there", PATIENCE, || {
        let counted = over_socket(ask, "/v1/routes/count", Until::End)?;
        let wanted = format!("\"routes\":{}", ask.prefixes);
        ensure!(counted.contains(&wanted), "{counted}");
        Ok(())
    })?;
    let addresses: Vec<String> = table
        .keys()
        .step_by(table.len().div_ceil(1 + ask.times as usize))
        .filter_map(|key| Some(key.to_string().split_once('/')?.0.to_owned()))
        .collect();
    pulse.take();
    println!(
        "| question | through | median ms | worst of {} ms |",
        ask.times
    );
    println!("|---|---|---|---|");
    for (words, until) in [
        ("show route count", Until::End),
        ("show route", Until::FirstLine),
        ("show route for", Until::End),
    ] {
        row(words, "redc", ask, |n| {
            let address = addresses.get(n).filter(|_| words.ends_with("for"));
            by_redc(ask, words, address, until)
        })?;
        row(words, "the socket", ask, |n| {
            let address = addresses.get(n).map_or("", String::as_str);
            let path = match words {
                "show route count" => "/v1/routes/count".to_owned(),
                "show route" => "/v1/routes".to_owned(),
                _ => format!("/v1/routes?for={address}"),
            };
            over_socket(ask, &path, until)
        })?;
    }
    let pause = pulse.take().as_secs_f64();
    println!("\nThe longest pause between KEEPALIVEs meanwhile: {pause:.3} s\n");
    println!(
        "| the whole table | s | MiB printed | CPU s | speaker MiB before | at most | after | redc MiB | longest pause s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    whole("read at once", ask, pulse, Duration::ZERO)?;
    whole("read slowly", ask, pulse, REST)
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn row<T>(
    words: &str,
    through: &str,
    ask: &Ask,
    mut question: impl FnMut(usize) -> Result<T>,
) -> Result<()> {
    let mut times = Vec::new();
    for n in 0..ask.times as usize {
        wait::check_interrupt()?;
        let began = Instant::now();
        question(n)?;
        times.push(milliseconds(began.elapsed()));
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    println!(
        "| `{words}` | {through} | {:.2} | {worst:.2} |",
        median(times)
    );
    Ok(())
}

/// `redc` with a question for who is at the socket.
pub(super) fn redc(program: &Path, socket: &Path, words: &str) -> Command {
    let mut redc = Command::new(program);
    redc.arg("-s").arg(socket).args(words.split(' '));
    redc.stdout(Stdio::piped());
    redc
}

fn by_redc(ask: &Ask, words: &str, address: Option<&String>, until: Until) -> Result<()> {
    let mut redc = redc(&ask.redc, &ask.socket, words).args(address).spawn()?;
    let mut stdout = redc.stdout.take().context("no output")?;
    let mut read = [0; 4096];
    loop {
        let count = stdout.read(&mut read)?;
        let line = read.get(..count).unwrap_or_default().contains(&b'\n');
        if count == 0 || (line && until == Until::FirstLine) {
            break;
        }
    }
    drop(stdout);
    if until == Until::End {
        ensure!(redc.wait()?.success(), "redc failed");
    } else {
        // Its end is no part of the answer, but the next question is not to meet it.
        redc.kill()?;
        redc.wait()?;
    }
    Ok(())
}

/// The answer, as far as it is read.
fn over_socket(ask: &Ask, path: &str, until: Until) -> Result<String> {
    let mut stream = UnixStream::connect(&ask.socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: n1\r\n\r\n").as_bytes())?;
    let (mut answer, mut read) = (String::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut read)?;
        answer.push_str(&String::from_utf8_lossy(
            read.get(..count).unwrap_or_default(),
        ));
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        let line = body.is_some_and(|body| body.contains('\n'));
        if count == 0 || (line && until == Until::FirstLine) {
            ensure!(answer.contains(" 200 "), "{answer}");
            return Ok(answer);
        }
    }
}

/// Has `redc` print every route, and reads that.
fn whole(name: &str, ask: &Ask, pulse: &Pulse, rest: Duration) -> Result<()> {
    pulse.take();
    let before = usage::alone(ask.pid);
    let began = Instant::now();
    let mut redc = redc(&ask.redc, &ask.socket, "show route").spawn()?;
    let (octets, most, redc_most) = read_all(&mut redc, ask.pid, rest)?;
    ensure!(redc.wait()?.success(), "redc failed");
    let seconds = began.elapsed().as_secs_f64();
    let after = usage::alone(ask.pid);
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    let [printed, before, most, after, redc] =
        [octets, before.resident, most, after.resident, redc_most].map(mebibytes);
    let pause = pulse.take().as_secs_f64();
    println!(
        "| {name} | {seconds:.1} | {printed:.0} | {cpu:.2} | {before:.1} | {most:.1} | {after:.1} | {redc:.1} | {pause:.3} |"
    );
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "exact below 2^53 octets")]
fn mebibytes(octets: u64) -> f64 {
    octets as f64 / 1_048_576.0
}

/// How many octets it printed, and how much memory the speaker and it took at most.
fn read_all(redc: &mut Child, speaker: u32, rest: Duration) -> Result<(u64, u64, u64)> {
    let mut stdout = redc.stdout.take().context("no output")?;
    let mut sip = vec![0; SIP];
    let (mut octets, mut most, mut redc_most) = (0, 0, 0);
    let (mut looked, mut rested) = (Instant::now(), 0);
    loop {
        let count = stdout.read(&mut sip)? as u64;
        octets += count;
        rested += count;
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            most = usage::alone(speaker).resident.max(most);
            redc_most = usage::alone(redc.id()).resident.max(redc_most);
        }
        if count == 0 {
            return Ok((octets, most, redc_most));
        }
        if rested >= SIP as u64 {
            rested = 0;
            thread::sleep(rest);
            wait::check_interrupt()?;
        }
    }
}
