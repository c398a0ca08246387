//! KEEPALIVEs for every neighbour that is acted, from a thread of its own: sessions with a short hold time stay up
//! whatever the player has to make, or to look at, between phases.

use std::{
    io::{self, ErrorKind, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::net::{SendFlags, send};

use crate::malformed::build::message;

/// How often it is looked who has to say one.
const TICK: Duration = Duration::from_millis(50);

/// What one neighbour says.
#[derive(Debug)]
pub struct Voice {
    stream: Arc<TcpStream>,
    interval: Duration,
    spoke: Instant,
    /// Why a KEEPALIVE could not be said.
    failed: Option<ErrorKind>,
}

impl Voice {
    /// Sends messages that were made before.
    pub fn say(&mut self, messages: &[u8]) -> io::Result<()> {
        (&*self.stream).write_all(messages)?;
        self.spoke = Instant::now();
        Ok(())
    }

    /// Never waits: where there is no room, something that was said has not been heard yet.
    fn keep_alive(&mut self) {
        if self.spoke.elapsed() < self.interval {
            return;
        }
        let message = message(4, &[]);
        match send(&*self.stream, &message, SendFlags::DONTWAIT).map_err(io::Error::from) {
            Ok(all) if all == message.len() => self.spoke = Instant::now(),
            Ok(_) => self.failed = Some(ErrorKind::WriteZero),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.failed = Some(error.kind()),
        }
    }

    /// Fails if a KEEPALIVE could not be said.
    pub fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
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
        stream: Arc<TcpStream>,
        interval: Duration,
    ) -> io::Result<Arc<Mutex<Voice>>> {
        let voice = Arc::new(Mutex::new(Voice {
            stream,
            interval,
            spoke: Instant::now(),
            failed: None,
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

/// `false`: it is gone. Who is speaking needs no KEEPALIVE.
fn is_kept_alive(voice: &Weak<Mutex<Voice>>) -> bool {
    let Some(voice) = voice.upgrade() else {
        return false;
    };
    if let Ok(mut voice) = voice.try_lock() {
        voice.keep_alive();
    }
    true
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpListener};

    use super::*;

    #[test]
    fn who_is_silent_is_spoken_for_until_it_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (mut far, _) = listener.accept().unwrap();
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let keeper = Keeper::start();
        let voice = keeper
            .speak_for(Arc::clone(&stream), Duration::from_millis(10))
            .unwrap();
        voice.lock().unwrap().say(b"first").unwrap();
        let mut read = [0; 5 + 2 * 19];
        far.read_exact(&mut read).unwrap();
        let keepalive = message(4, &[]);
        assert_eq!(read[..5], *b"first");
        assert_eq!(read[5..], [keepalive.clone(), keepalive].concat());
        voice.lock().unwrap().check().unwrap();
        drop((voice, stream));
        // The other end hears of it although the keeper goes on.
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).unwrap();
        drop(keeper);
    }

    #[test]
    fn who_does_not_listen_keeps_nobody_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (deaf, _deaf_end) = (connect(), listener.accept().unwrap());
        let (other, (mut end, _)) = (connect(), listener.accept().unwrap());
        end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        deaf.set_nonblocking(true).unwrap();
        while (&*deaf).write(&[0; 1 << 16]).is_ok() {}
        deaf.set_nonblocking(false).unwrap();
        let keeper = Keeper::start();
        let interval = Duration::from_millis(10);
        let voice = keeper.speak_for(deaf, interval).unwrap();
        let _other = keeper.speak_for(other, interval).unwrap();
        end.read_exact(&mut [0; 2 * 19]).unwrap();
        voice.lock().unwrap().check().unwrap();
    }
}
