//! Somebody who asks the speaker one thing after the other while a row is played: each answer takes from the start
//! of `redc` to its end.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::report::median;

/// What is asked, in turn.
const QUESTIONS: [&str; 4] = [
    "show route count",
    "show protocols",
    "show route for 1.0.0.1",
    "show status",
];

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(20);

/// Whom to ask, if somebody shall.
#[derive(Clone, Debug, clap::Args)]
pub struct Whom {
    /// The program `redc`.
    #[arg(long, requires = "socket")]
    pub redc: Option<PathBuf>,
    /// The speaker's control socket.
    #[arg(long)]
    pub socket: Option<PathBuf>,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answers {
    /// How many there were.
    pub count: usize,
    /// The middle one.
    pub median: f64,
    /// The longest, and the question.
    pub worst: (f64, String),
}

type Times = Vec<(f64, &'static str)>;

/// A thread that asks.
#[derive(Debug)]
pub struct Asking {
    times: Arc<Mutex<Times>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Asking {
    /// Nobody asks if there is nobody to ask.
    pub fn start(whom: &Whom) -> Option<Self> {
        let (redc, socket) = (whom.redc.clone()?, whom.socket.clone()?);
        let times = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::downgrade(&times);
        let thread = thread::spawn(move || {
            for question in QUESTIONS.into_iter().cycle() {
                let Some(times) = noted.upgrade() else { break };
                let took = ask(Command::new(&redc).arg("-s").arg(&socket), question)?;
                let took = took.as_secs_f64() * 1000.0;
                times
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((took, question));
                drop(times);
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        Some(Self {
            times,
            thread: Some(thread),
        })
    }

    /// What was answered until now counts no more.
    pub fn forget(&mut self) {
        self.noted().clear();
    }

    /// The answers since then; fails if there was none, or one was none.
    pub fn take(&mut self) -> Result<Answers> {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let ended = thread.join();
            ended.map_err(|_| anyhow::anyhow!("who asks panicked"))??;
        }
        let times = std::mem::take(&mut *self.noted());
        let worst = times.iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((worst, question)) = worst.copied() else {
            anyhow::bail!("nothing was answered");
        };
        Ok(Answers {
            count: times.len(),
            median: median(times.into_iter().map(|(took, _)| took).collect()),
            worst: (worst, question.to_owned()),
        })
    }

    fn noted(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(redc: &mut Command, question: &str) -> Result<Duration> {
    let began = Instant::now();
    let answer = redc
        .args(question.split(' '))
        .stderr(Stdio::piped())
        .output()?;
    let took = began.elapsed();
    ensure!(
        answer.status.success(),
        "{question}: {}",
        String::from_utf8_lossy(&answer.stderr)
    );
    Ok(took)
}
