use std::time::Duration;

use redstart_bgp::{
    time::Instant,
    wire::{Codec, Message},
};

use super::*;
use crate::cli::decode;

fn encoded(messages: &[Message]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for message in messages {
        Codec::default().encode(message, &mut out);
    }
    out.to_vec()
}

fn captured(passed: &[Passed]) -> BytesMut {
    let mut pcap = Pcap::new(Timestamp::from_second(1_700_000_000).unwrap());
    let mut out = BytesMut::new();
    Pcap::put_header(&mut out);
    for one in passed {
        pcap.put(one, &mut out);
    }
    out
}

fn passed(local: &str, remote: &str, what: Passing) -> Passed {
    Passed {
        at: Instant::ZERO + Duration::from_micros(2_000_007),
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        what,
    }
}

/// A new connection and one that was there, IPv4 and IPv6, messages in pieces and more of them than a packet
/// has room for.
#[test]
fn what_passed_is_read_back() {
    let keepalives = encoded(&vec![Message::Keepalive; 4000]);
    assert!(keepalives.len() > 2 * SEGMENT);
    let (first, second) = keepalives.split_at(70_007);
    for (local, remote) in [
        ("10.0.0.1:43210", "10.0.0.2:179"),
        ("[fd00::1]:179", "[fd00::2]:43210"),
    ] {
        for is_new in [false, true] {
            let mut all = vec![
                passed(local, remote, Passing::Sent(first.to_vec().into())),
                passed(
                    local,
                    remote,
                    Passing::Received(keepalives[..19].to_vec().into()),
                ),
                passed(local, remote, Passing::Sent(second.to_vec().into())),
            ];
            if is_new {
                all.insert(0, passed(local, remote, Passing::Opened));
            }
            let file = captured(&all);
            let messages = decode::file("x.pcap", &file).unwrap();
            let count = |source: &str| {
                let is_from = |one: &&decode::Decoded| one.source.as_deref() == Some(source);
                messages.iter().filter(is_from).count()
            };
            assert_eq!(count(&format!("{local} to {remote}")), 4000, "{is_new}");
            assert_eq!(count(&format!("{remote} to {local}")), 1, "{is_new}");
            assert_eq!(messages.len(), 4001);
            assert!(messages.iter().all(|one| one.verdict == "valid"));
        }
    }
}

#[test]
fn packets_are_dated_and_have_the_dialler_speak_first() {
    let file = captured(&[passed("10.0.0.1:179", "10.0.0.2:4000", Passing::Opened)]);
    let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((word(24), word(28)), (1_700_000_002, 7));
    // Two SYNs, the neighbour's first.
    assert_eq!(word(32), 40);
    assert_eq!(&file[40 + 12..40 + 16], [10, 0, 0, 2]);
    assert_eq!(file[40 + 33], SYN);
    assert_eq!(file[40 + 40 + 16 + 33], SYN | ACK);
    assert_eq!(file.len(), 24 + 2 * (16 + 40));
    // The sum with the checksum in it is nothing (RFC 1071 section 1).
    assert_eq!(checksum(&file[40..60]), [0, 0]);
}

#[test]
fn connections_that_are_over_are_forgotten() {
    let mut pcap = Pcap::new(Timestamp::UNIX_EPOCH);
    let mut out = BytesMut::new();
    for port in 1..100 {
        let remote = format!("10.0.0.2:{port}");
        pcap.put(&passed("10.0.0.1:179", &remote, Passing::Opened), &mut out);
    }
    assert_eq!(pcap.connections.len(), CONNECTIONS);
}
