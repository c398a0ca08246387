//! The daemon as a process: how it stops, as a neighbour sees it.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{
    fs, io,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(10);

// Message types of RFC 4271 section 4.1.
const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;

const OBJECTS: &str = "
apiVersion: v1
kind: Node
metadata: { name: n1 }
spec: { podCIDRs: [10.244.1.0/24] }
status: { addresses: [{ type: InternalIP, address: 10.0.0.1 }] }
---
apiVersion: redstart.dev/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec: { asn: 64512, gracefulRestart: { enabled: false } }
---
apiVersion: redstart.dev/v1alpha1
kind: BGPPeer
metadata: { name: tor }
spec: { address: 10.0.0.2, asn: 65001, port: 1179 }
";

#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
fn unshare_network() -> io::Result<()> {
    // SAFETY: takes no pointers; only moves this thread to a new network namespace.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status();
    assert!(status.unwrap().success(), "{command}");
}

/// Ends with the test, whatever happens.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    fn start(objects: &Path, socket: &Path) -> Self {
        fs::write(objects.join("objects.yaml"), OBJECTS).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_redstart"))
            .args(["run", "--node", "n1", "--log", "warn"])
            .args(["--objects".as_ref(), objects.as_os_str()])
            .args(["--socket".as_ref(), socket.as_os_str()])
            .spawn();
        Self(child.unwrap())
    }

    fn exit_code(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "the daemon does not end");
            std::thread::yield_now();
        }
    }
}

fn send(stream: &mut TcpStream, kind: u8, body: &[u8]) {
    let mut message = vec![0xff; 16];
    message.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    message.push(kind);
    message.extend(body);
    stream.write_all(&message).unwrap();
}

/// Reads until a message of this kind, and returns its body.
fn receive(stream: &mut TcpStream, wanted: u8) -> Vec<u8> {
    loop {
        let mut header = [0; 19];
        stream.read_exact(&mut header).unwrap();
        let length = u16::from_be_bytes([header[16], header[17]]);
        let mut body = vec![0; usize::from(length) - header.len()];
        stream.read_exact(&mut body).unwrap();
        if header[18] == wanted {
            return body;
        }
        assert_ne!(header[18], NOTIFICATION, "{body:?}");
    }
}

fn establish(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    receive(&mut stream, OPEN);
    // Version 4, AS 65001, hold time 90, BGP Identifier 10.0.0.2, no capabilities.
    send(&mut stream, OPEN, &[4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 2, 0]);
    receive(&mut stream, KEEPALIVE);
    send(&mut stream, KEEPALIVE, &[]);
    receive(&mut stream, UPDATE);
    stream
}

fn stop_and_look() {
    run("ip link set lo up");
    run("ip addr add 10.0.0.1/32 dev lo");
    run("ip addr add 10.0.0.2/32 dev lo");
    let listener = TcpListener::bind("10.0.0.2:1179").unwrap();
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redstart.sock");
        let mut daemon = Daemon::start(dir.path(), &socket);
        let mut stream = establish(&listener);
        assert!(socket.exists());

        run(&format!("kill -TERM {}", daemon.0.id()));
        // RFC 4486: Cease, Administrative Shutdown.
        let body = receive(&mut stream, NOTIFICATION);
        assert_eq!(body[..2], [6, 2], "{body:?}");
        drop(stream);
        assert_eq!(daemon.exit_code(), Some(0));
        assert!(!socket.exists());
    }
}

#[test]
fn a_stop_says_goodbye_and_leaves_no_socket() {
    let thread = std::thread::spawn(|| {
        unshare_network().expect("this test needs root: a network namespace of its own");
        stop_and_look();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
