//! Somebody who asks the speaker one thing after the other while a row is played, and until it is at rest: an
//! answer takes from the start of `redc` to its end.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::questions::{milliseconds, redc};

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

/// How long each answer took, in milliseconds, and to what.
pub type Answers = Vec<(f64, String)>;

#[derive(Debug, Default)]
struct Noted {
    answers: Answers,
    /// Since when an answer is waited for.
    waiting: Option<Instant>,
}

/// A thread that asks.
#[derive(Debug)]
pub struct Asking {
    noted: Arc<Mutex<Noted>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Asking {
    /// Nobody asks if there is nobody to ask.
    pub fn start(whom: &Whom) -> Option<Self> {
        let (redc, socket) = (whom.redc.clone()?, whom.socket.clone()?);
        let noted = Arc::default();
        let told = Arc::downgrade(&noted);
        let thread = thread::spawn(move || {
            for question in QUESTIONS.into_iter().cycle() {
                let Some(noted) = told.upgrade() else { break };
                let began = Instant::now();
                lock(&noted).waiting = Some(began);
                let asked = ask(&redc, &socket, question);
                let took = milliseconds(began.elapsed());
                let mut now = lock(&noted);
                now.waiting = None;
                now.answers.push((took, question.to_owned()));
                drop(now);
                asked?;
                drop(noted);
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        Some(Self {
            noted,
            thread: Some(thread),
        })
    }

    /// What was answered until now counts no more; what is waited for does.
    pub fn forget(&mut self) {
        lock(&self.noted).answers.clear();
    }

    /// The answers since then, also that which is waited for now; fails if a question got none.
    pub fn take(&mut self) -> Result<Answers> {
        let now = Instant::now();
        let asks = |thread: &JoinHandle<_>| !thread.is_finished();
        while self.thread.as_ref().is_some_and(asks)
            && lock(&self.noted).waiting.is_some_and(|since| since <= now)
        {
            thread::sleep(Duration::from_millis(1));
        }
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let ended = thread.join();
            ended.map_err(|_| anyhow::anyhow!("who asks panicked"))??;
        }
        Ok(std::mem::take(&mut lock(&self.noted).answers))
    }
}

fn lock(noted: &Mutex<Noted>) -> MutexGuard<'_, Noted> {
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ask(program: &Path, socket: &Path, question: &str) -> Result<()> {
    let mut asking = redc(program, socket, question);
    let answer = asking.stderr(Stdio::piped()).output()?;
    ensure!(
        answer.status.success(),
        "{question}: {}",
        String::from_utf8_lossy(&answer.stderr)
    );
    Ok(())
}
