//! KEEPALIVEs for every neighbour that is acted, from a thread of its own: sessions with a short hold time stay up
//! whatever the player has to make, or to look at, between phases.

use std::{
    io::{self, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::malformed::build::message;

/// How often it is looked who has to say one.
const TICK: Duration = Duration::from_millis(50);

/// What one neighbour says.
#[derive(Debug)]
pub struct Voice {
    stream: TcpStream,
    interval: Duration,
    spoke: Instant,
}

impl Voice {
    /// Sends messages that were made before.
    pub fn say(&mut self, messages: &[u8]) -> io::Result<()> {
        self.stream.write_all(messages)?;
        self.spoke = Instant::now();
        Ok(())
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        match self.spoke.elapsed() >= self.interval {
            true => self.say(&message(4, &[])),
            false => Ok(()),
        }
    }
}

/// Says KEEPALIVE for neighbours, as long as they and it are there.
#[derive(Clone, Debug)]
pub struct Keeper(mpsc::Sender<Weak<Mutex<Voice>>>);

impl Keeper {
    /// With nobody to speak for yet.
    pub fn start() -> Self {
        let (new, arriving) = mpsc::channel();
        thread::spawn(move || keep(&arriving));
        Self(new)
    }

    /// From now on also for who speaks through this stream.
    pub fn speak_for(
        &self,
        stream: &TcpStream,
        interval: Duration,
    ) -> io::Result<Arc<Mutex<Voice>>> {
        let voice = Arc::new(Mutex::new(Voice {
            stream: stream.try_clone()?,
            interval,
            spoke: Instant::now(),
        }));
        let listens = self.0.send(Arc::downgrade(&voice));
        listens.map_err(|_| io::Error::other("nobody says KEEPALIVEs any more"))?;
        Ok(voice)
    }
}

/// Until nobody can come any more.
fn keep(arriving: &mpsc::Receiver<Weak<Mutex<Voice>>>) {
    let mut voices = Vec::new();
    let mut next = Instant::now() + TICK;
    loop {
        match arriving.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(voice) => voices.push(voice),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                voices.retain(is_kept_alive);
                next = Instant::now() + TICK;
            }
        }
    }
}

/// `false`: it is gone, or its session is, which whoever reads of it says. Who is speaking needs no KEEPALIVE.
fn is_kept_alive(voice: &Weak<Mutex<Voice>>) -> bool {
    let Some(voice) = voice.upgrade() else {
        return false;
    };
    let speaks = voice.try_lock().map(|mut voice| voice.keep_alive());
    !matches!(speaks, Ok(Err(_)))
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpListener};

    use super::*;

    #[test]
    fn who_is_silent_is_spoken_for_until_it_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let keeper = Keeper::start();
        let voice = keeper
            .speak_for(&stream, Duration::from_millis(10))
            .unwrap();
        voice.lock().unwrap().say(b"first").unwrap();
        let mut read = [0; 5 + 2 * 19];
        far.read_exact(&mut read).unwrap();
        let keepalive = message(4, &[]);
        assert_eq!(read[..5], *b"first");
        assert_eq!(read[5..], [keepalive.clone(), keepalive].concat());
        drop((voice, stream));
        // The other end hears of it although the keeper goes on.
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).unwrap();
        drop(keeper);
    }
}
